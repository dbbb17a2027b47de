//! The device that is always there.

use std::sync::Arc;

use sparsym_ir::{
    AttentionCall, AttentionOutput, DifferencesCall, Findings, GemmOCall, GemmQCall, Symbols, SymbolsCall, Tensor,
};

use super::session::{HostSession, Projections};
use super::{Device, Measured, Session};
use crate::error::Error;

/// Attention and symbols on all cores, through `sparsym-cpu`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn session(self: Arc<Self>) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(HostSession::new(self)))
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::symbols(call)?))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_cpu::attention(call)?))
    }
}

impl Projections for Cpu {
    fn gemm_q(&self, call: &GemmQCall<'_>, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_cpu::gemm_q(call, q, means)
    }

    fn gemm_o(&self, call: &GemmOCall<'_>, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_cpu::gemm_o(call, y, partial)
    }

    fn differences(&self, call: &DifferencesCall<'_>, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
        sparsym_cpu::differences(call, partials)
    }
}
