//! The device that is always there.

use sparsym_ir::{AttentionCall, AttentionOutput, Symbols, SymbolsCall};

use super::{Device, Measured};
use crate::error::Error;

/// Attention and symbols on all cores, through `sparsym-cpu`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::symbols(call)?))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::attention(call)?))
    }
}
