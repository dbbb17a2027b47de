//! Generated kernels, on whatever machine runs them.
//!
//! [`KernelDevice`] does what is the same everywhere: it knows which kernel a call needs, compiles it, fills its parameter
//! struct and its buffers, and reads the outputs. A [`Backend`] is the machine: memory and launches.
//!
//! A call is prepared once: its kernel is loaded, and what it needs beside its arrays is placed. Running it fills the kernel's
//! parameter struct, launches, and waits. Everything is checked before the launch, because a kernel checks nothing. Loaded kernels stay loaded for the life of the device; their
//! images stay in the kernel cache.

mod backend;
mod boxed;
mod buffers;
mod call;
pub(super) mod loaded;
mod session;

pub use backend::{Backend, Contents, KernelLaunch};
pub use boxed::{BoxError, Boxed, Swizzle};
pub use loaded::KernelDevice;
