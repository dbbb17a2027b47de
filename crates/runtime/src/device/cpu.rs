//! The device that is always there.

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::{AttentionCall, AttentionOutput, Symbols};

use super::Device;
use crate::error::Error;

/// Attention on all cores, through `sparsym-cpu`; symbols by interval reasoning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn symbols(&self, bound: &Bound<'_>, moment: &Moment) -> Result<Symbols, Error> {
        Ok(sparsym_ir::static_symbols::static_symbols(bound, moment))
    }

    fn attention(&self, call: &AttentionCall<'_>) -> Result<AttentionOutput, Error> {
        Ok(sparsym_cpu::attention(call)?)
    }
}
