//! The device that is right by being simple.

use std::sync::Arc;

use sparsym_ir::{
    AttentionCall, AttentionOutput, DifferencesCall, Findings, GemmOCall, GemmQCall, Symbols, SymbolsCall, Tensor,
};
use sparsym_reference::margin::Margins;

use super::contract::Device;
use super::host::{HostSession, Projections};
use super::measured::Measured;
use super::session::Session;
use crate::error::Error;

/// The oracle of `sparsym-reference`: slow, and what every other device is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Device for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn session(&self) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(HostSession::new(*self)))
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        call.check()?;
        Measured::on_host(|| Ok(sparsym_reference::symbols::symbols(call)))
    }

    fn stored_margins(&self, call: &SymbolsCall<'_>) -> Result<Option<Margins>, Error> {
        call.check()?;
        Ok(Some(sparsym_reference::symbols::symbols_with_margins(call).1))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        Measured::on_host(|| Ok(sparsym_reference::attention(call)?))
    }
}

impl Projections for Reference {
    fn gemm_q(&self, call: &GemmQCall<'_>, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_reference::gemm_q(call, q, means)
    }

    fn gemm_o(&self, call: &GemmOCall<'_>, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
        sparsym_reference::gemm_o(call, y, partial)
    }

    fn differences(&self, call: &DifferencesCall<'_>, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
        sparsym_reference::differences(call, partials)
    }
}
