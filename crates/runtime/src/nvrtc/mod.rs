//! CUDA text to cubin and PTX, with NVIDIA's run-time compiler.
//!
//! * [`find`]: which libnvrtc, out of the many places where one may lie;
//! * `bind`: the dozen functions that are called, and all `unsafe` code of this folder;
//! * [`compile`]: one text, one target, one [`Image`];
//! * [`log`]: what the compiler said: registers, spills, errors and their lines.

mod bind;
pub mod compile;
pub mod find;
mod loaded;
pub mod log;

pub use bind::{Nvrtc, OLDEST};
#[cfg(feature = "emulator")]
pub(crate) use compile::excerpt;
pub use compile::{CompileError, Image, QualityError, Source, Spills};
pub use find::{Attempt, Places, Search};
pub use log::Resources;
