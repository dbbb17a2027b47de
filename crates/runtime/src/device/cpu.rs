//! The device that is always there.

use sparsym_ir::{AttentionCall, AttentionOutput, Symbols, SymbolsCall};

use super::{Device, Measured};
use crate::error::Error;

/// Attention on all cores, through `sparsym-cpu`; symbols by interval reasoning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn measured_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        call.check()?;
        Measured::on_host(|| Ok(sparsym_ir::static_symbols::static_symbols(call.bound, &call.moment)))
    }

    fn measured_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::attention(call)?))
    }
}
