//! Where attention is computed.
//!
//! | name | what it is |
//! |---|---|
//! | `reference` | the oracle: plain loops, f64 accumulation |
//! | `cpu` | tiles, threads and a micro-GEMM crate; the default without a GPU |
//! | `emulator` | generated kernels on the PTX emulator: slow, and stops at every mistake that it sees |
//! | `cuda` | generated kernels on the first GPU that the driver shows |
//!
//! Each but `cpu` is a feature of this crate, by its own name, all of them on by default. The last two are one device, [`KernelDevice`], over two machines: a [`Backend`] each.

mod contract;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "emulator")]
pub mod emulator;
mod host;
pub mod kernels;
mod measured;
mod once;
mod open;
mod permute;
pub mod projections;
#[cfg(feature = "reference")]
mod reference;
pub mod session;
mod unclassified;

pub use contract::Device;
pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
#[cfg(feature = "emulator")]
pub use emulator::Emulator;
pub use kernels::{Backend, KernelDevice};
pub use measured::{Cost, Measured};
pub use open::open;
#[cfg(feature = "reference")]
pub use reference::Reference;
pub use session::{Array, BitArray, Session};
#[cfg(feature = "reference")]
pub use sparsym_reference::margin::Margins;
pub(crate) use unclassified::warn_once;
