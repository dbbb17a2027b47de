//! The device that is always there.

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::{AttentionCall, AttentionOutput, Symbols};

use super::{Device, Measured};
use crate::error::Error;

/// Attention on all cores, through `sparsym-cpu`; symbols by interval reasoning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn measured_symbols(&self, bound: &Bound<'_>, moment: &Moment) -> Result<Measured<Symbols>, Error> {
        Measured::on_host(|| Ok(sparsym_ir::static_symbols::static_symbols(bound, moment)))
    }

    fn measured_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::attention(call)?))
    }
}
