//! The device that is right by being simple.

use sparsym_ir::{AttentionCall, AttentionOutput, Symbols, SymbolsCall};

use super::{Device, Measured};
use crate::error::Error;

/// The oracle of `sparsym-reference`: slow, and what every other device is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Device for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        call.check()?;
        Measured::on_host(|| Ok(sparsym_reference::symbols::symbols(call)))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_reference::attention(call)?))
    }
}
