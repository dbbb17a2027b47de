//! The device that is right by being simple.

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::{AttentionCall, AttentionOutput, Symbols};

use super::Device;
use crate::error::Error;

/// The oracle of `sparsym-reference`: slow, and what every other device is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Device for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn symbols(&self, bound: &Bound<'_>, moment: &Moment) -> Result<Symbols, Error> {
        Ok(sparsym_reference::symbols::static_symbols(bound, moment))
    }

    fn attention(&self, call: &AttentionCall<'_>) -> Result<AttentionOutput, Error> {
        Ok(sparsym_reference::attention(call)?)
    }
}
