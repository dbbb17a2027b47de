//! What every device does.

use std::sync::Arc;

use sparsym_ir::{AttentionCall, AttentionOutput, Bound, DType, Forecast, Symbols, SymbolsCall};
#[cfg(feature = "reference")]
use sparsym_reference::margin::Margins;

use super::measured::Measured;
use super::once;
use super::permute::Permutation;
use super::session::Session;
use super::unclassified::warn_once;
use crate::error::Error;

/// Something that makes symbols and computes attention. All devices take the same calls and agree up to rounding.
pub trait Device: Send + Sync {
    /// The name that [`open`](fn@crate::device::open) knows it by.
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
