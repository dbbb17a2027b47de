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

mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod kernels;
mod measured;
mod once;
mod permute;
pub mod projections;
#[cfg(feature = "reference")]
mod reference;
pub mod session;
mod unclassified;

use std::sync::Arc;

use sparsym_ir::{AttentionCall, AttentionOutput, Bound, DType, Forecast, Symbols, SymbolsCall};

use permute::Permutation;

pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
#[cfg(feature = "emulator")]
pub use emulator::Emulator;
pub use kernels::{Backend, KernelDevice};
pub use measured::{Cost, Measured};
#[cfg(feature = "reference")]
pub use reference::Reference;
pub use session::{Array, BitArray, Session};
#[cfg(feature = "reference")]
pub use sparsym_reference::margin::Margins;
pub(crate) use unclassified::warn_once;

use crate::error::{Error, ErrorKind};

/// Something that makes symbols and computes attention. All devices take the same calls and agree up to rounding.
pub trait Device: Send + Sync {
    /// The name that [`open`] knows it by.
    fn name(&self) -> &'static str;

    /// The most precise element type that it takes.
    fn finest_dtype(&self) -> DType {
        DType::F32
    }

    /// Memory on the device that stays between calls.
    ///
    /// # Errors
    /// The device's own.
    fn session(&self) -> Result<Arc<dyn Session>, Error>;

    /// The symbols of a call whose tokens are given as they are stored, whatever the strategy permutes.
    ///
    /// # Errors
    /// As [`Device::measured_symbols`].
    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        call.check()?;
        once::symbols(&self.session()?, call)
    }

    /// An attention call whose tokens are given as they are stored, whatever the strategy permutes.
    ///
    /// # Errors
    /// As [`Device::measured_attention`].
    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        call.check()?;
        once::attention(&self.session()?, call)
    }

    /// The symbols of a strategy, and what they took.
    ///
    /// # Errors
    /// All that [`SymbolsCall::check`] finds, findings about what the device cannot make, or its own failure.
    fn measured_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        warn_once(call.bound, &call.moment);
        stored(call, |call| self.stored_symbols(call))
    }

    /// How near each decision of the symbols was to the other outcome; None if the device does not know.
    ///
    /// # Errors
    /// As [`Device::measured_symbols`].
    #[cfg(feature = "reference")]
    fn margins(&self, call: &SymbolsCall<'_>) -> Result<Option<Margins>, Error> {
        stored(call, |call| self.stored_margins(call))
    }

    /// The margins of a call whose tokens are given as they are stored.
    ///
    /// # Errors
    /// As [`Device::measured_symbols`].
    #[cfg(feature = "reference")]
    fn stored_margins(&self, call: &SymbolsCall<'_>) -> Result<Option<Margins>, Error> {
        call.check()?;
        Ok(None)
    }

    /// One attention call, and what it took.
    ///
    /// # Errors
    /// All that [`AttentionCall::check`] finds, findings about what the device cannot compute, or its own failure.
    fn measured_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        let Some(permutation) = Permutation::of(call.bound) else { return self.stored_attention(call) };
        call.check()?;
        let bindings = permutation.bindings(call.bound.bindings);
        let bound = Bound { bindings: &bindings, geometry: call.bound.geometry.clone(), ..*call.bound };
        let [q, k, v] = [call.q, call.k, call.v].map(|tensor| permutation.stored(tensor));
        let forecast = call.forecast.as_ref().map(|forecast| {
            let features = forecast.features.iter().map(|feature| permutation.stored(feature)).collect::<Vec<_>>();
            (features, forecast.coefficients.clone())
        });
        let forecast = forecast.as_ref().map(|(features, coefficients)| Forecast {
            features: features.iter().collect(),
            coefficients: coefficients.clone(),
        });
        let (moment, symbols) = (call.moment, call.symbols);
        let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols, forecast };
        let Measured { value, cost } = self.stored_attention(&call)?;
        Ok(Measured { value: permutation.callers(&value), cost })
    }

    /// The symbols of a strategy.
    ///
    /// # Errors
    /// As [`Device::measured_symbols`].
    fn symbols(&self, call: &SymbolsCall<'_>) -> Result<Symbols, Error> {
        Ok(self.measured_symbols(call)?.value)
    }

    /// One attention call.
    ///
    /// # Errors
    /// As [`Device::measured_attention`].
    fn attention(&self, call: &AttentionCall<'_>) -> Result<AttentionOutput, Error> {
        Ok(self.measured_attention(call)?.value)
    }
}

/// Hands on a call with its tokens as the strategy stores them.
fn stored<T>(call: &SymbolsCall<'_>, make: impl FnOnce(&SymbolsCall<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let Some(permutation) = Permutation::of(call.bound) else { return make(call) };
    call.check()?;
    let bindings = permutation.bindings(call.bound.bindings);
    let bound = Bound { bindings: &bindings, geometry: call.bound.geometry.clone(), ..*call.bound };
    let data = call.data.map(|(q, k)| (permutation.stored(q), permutation.stored(k)));
    let data = data.as_ref().map(|(q, k)| (q, k));
    make(&SymbolsCall { bound: &bound, data, ..*call })
}

/// Opens the device of that name: `reference`, `cpu`, `emulator` or `cuda`. The emulator gets its default settings; see
/// `Emulator::open` for others.
///
/// # Errors
/// [`ErrorKind::UnknownDevice`], [`ErrorKind::NotBuilt`] if its feature is off, [`ErrorKind::NoCompiler`] without a
/// compiler for `emulator` or `cuda`, and [`ErrorKind::Driver`] without a driver or a GPU.
///
/// ```
/// let device = sparsym_runtime::device::open("cpu")?;
/// assert_eq!(device.name(), "cpu");
/// assert!(sparsym_runtime::device::open("abacus").is_err());
/// # Ok::<(), sparsym_runtime::Error>(())
/// ```
pub fn open(name: &str) -> Result<Box<dyn Device>, Error> {
    match name {
        #[cfg(feature = "reference")]
        "reference" => Ok(Box::new(Reference)),
        "cpu" => Ok(Box::new(Cpu)),
        #[cfg(feature = "emulator")]
        "emulator" => Ok(Box::new(Emulator::open(emulator::Settings::default())?)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Box::new(Cuda::open(0)?)),
        _ => Err(not_here(name)),
    }
}

/// Why this program has no such device.
fn not_here(name: &str) -> Error {
    match ["reference", "emulator", "cuda"].into_iter().find(|&feature| feature == name) {
        Some(name) => {
            let help = format!("enable the feature {name:?} of the crate sparsym in Cargo.toml; cpu is always there");
            let text = format!("this program was built without the device {name}\nhelp: {help}");
            Error::new(ErrorKind::NotBuilt, text)
        }
        None => {
            let text = format!("there is no device {name:?}\nhelp: devices are reference, cpu, emulator and cuda");
            Error::new(ErrorKind::UnknownDevice, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_left_out_names_its_feature() {
        let all = [
            ("reference", cfg!(feature = "reference")),
            ("emulator", cfg!(feature = "emulator")),
            ("cuda", cfg!(feature = "cuda")),
        ];
        for (name, built) in all {
            // With the feature the way there is closed, so what it leads to is asked for directly.
            let error = if built { not_here(name) } else { open(name).err().expect("the feature is off") };
            let lines = [
                format!("this program was built without the device {name}"),
                format!("help: enable the feature {name:?} of the crate sparsym in Cargo.toml; cpu is always there"),
            ];
            assert_eq!(error.to_string(), lines.join("\n"));
            assert_eq!(error.kind(), ErrorKind::NotBuilt);
        }
        assert_eq!(not_here("abacus").kind(), ErrorKind::UnknownDevice);
    }
}
