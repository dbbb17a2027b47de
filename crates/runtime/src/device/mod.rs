//! Where attention is computed.
//!
//! | name | what it is |
//! |---|---|
//! | `reference` | the oracle: plain loops, f64 accumulation |
//! | `cpu` | tiles, threads and a micro-GEMM crate; the default without a GPU |
//! | `cuda` | generated kernels on the first GPU that the driver shows |

mod cpu;
pub mod cuda;
mod reference;

use std::time::Instant;

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::{AttentionCall, AttentionOutput, Symbols};

pub use cpu::Cpu;
pub use cuda::Cuda;
pub use reference::Reference;

use crate::error::Error;

/// Something that makes symbols and computes attention. All devices take the same calls and agree up to rounding.
pub trait Device: Send + Sync {
    /// The name that [`open`] knows it by.
    fn name(&self) -> &'static str;

    /// The symbols of a strategy whose rules read no tensor data.
    ///
    /// # Errors
    /// Findings about what the device cannot make, or its own failure.
    fn symbols(&self, bound: &Bound<'_>, moment: &Moment) -> Result<Symbols, Error>;

    /// One attention call.
    ///
    /// # Errors
    /// All that [`AttentionCall::check`] finds, findings about what the device cannot compute, or its own failure.
    fn attention(&self, call: &AttentionCall<'_>) -> Result<AttentionOutput, Error>;

    /// One attention call and the milliseconds that it took the device. Of a GPU this is the kernel alone, without
    /// compiling it and without copies between host and device.
    ///
    /// # Errors
    /// As [`Device::attention`].
    fn timed_attention(&self, call: &AttentionCall<'_>) -> Result<(AttentionOutput, f64), Error> {
        let start = Instant::now();
        let output = self.attention(call)?;
        Ok((output, start.elapsed().as_secs_f64() * 1e3))
    }
}

/// Opens the device of that name: `reference`, `cpu` or `cuda`.
///
/// # Errors
/// [`Error::UnknownDevice`], [`Error::DeviceNotInThisVersion`] for `emulator`, and whatever stands in the way of a GPU:
/// [`Error::Cuda`] without a driver or a known GPU, [`Error::NoNvrtc`] without a compiler.
///
/// ```
/// let device = sparsym_runtime::device::open("cpu")?;
/// assert_eq!(device.name(), "cpu");
/// assert!(sparsym_runtime::device::open("abacus").is_err());
/// # Ok::<(), sparsym_runtime::Error>(())
/// ```
pub fn open(name: &str) -> Result<Box<dyn Device>, Error> {
    match name {
        "reference" => Ok(Box::new(Reference)),
        "cpu" => Ok(Box::new(Cpu)),
        "cuda" => Ok(Box::new(Cuda::open(0)?)),
        "emulator" => Err(Error::DeviceNotInThisVersion { name: "emulator" }),
        _ => Err(Error::UnknownDevice { name: name.to_owned() }),
    }
}
