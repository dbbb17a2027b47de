//! What a layer remembers between steps, in the device's memory.

use super::calls::Reach;
use crate::device::session::{Array, SymbolArrays};
use crate::error::Error;

/// The memory of one layer: symbols of the last Update, outputs for differences, and partials of GEMM-O.
///
/// Made by [`Layer::state`](super::Layer::state). An Update writes it; a Dispatch and a dense step only count themselves.
#[derive(Debug)]
pub struct LayerState {
    /// The layer that made it.
    pub(super) owner: u64,
    last_step: Option<u32>,
    pub(super) symbols: SymbolArrays,
    /// Whether the symbols were made.
    pub(super) has_symbols: bool,
    /// O of the last Updates, the newest first; empty if no forecast needs differences.
    pub(super) outputs: Vec<Array>,
    /// The Updates that made them, the newest first; may be fewer.
    updates: Vec<u32>,
    /// For each part of the sequence a partial for each order.
    pub(super) partials: Vec<Vec<Array>>,
    /// Order up to which the partials are those of the last Update; None: none is.
    pub(super) kept: Option<u32>,
    /// Whether `degrade when` held after some Update.
    pub(super) degraded: bool,
}

impl LayerState {
    pub(super) fn new(owner: u64, symbols: SymbolArrays, outputs: Vec<Array>, partials: Vec<Vec<Array>>) -> LayerState {
        LayerState {
            owner,
            last_step: None,
            symbols,
            has_symbols: false,
            outputs,
            updates: Vec::new(),
            partials,
            kept: None,
            degraded: false,
        }
    }

    /// Forgets everything, as a new state: the next step may be any Update or dense one, of step 0 or later. Forecasts start
    /// at order 0 again.
    pub fn reset(&mut self) {
        self.last_step = None;
        (self.has_symbols, self.kept, self.degraded) = (false, None, false);
        self.updates.clear();
    }

    /// Another state that remembers the same, for a second branch of guidance.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn duplicate(&self) -> Result<LayerState, Error> {
        let arrays = |arrays: &[Array]| arrays.iter().map(Array::duplicate).collect::<Result<Vec<_>, _>>();
        Ok(LayerState {
            owner: self.owner,
            last_step: self.last_step,
            symbols: self.symbols.duplicate()?,
            has_symbols: self.has_symbols,
            outputs: arrays(&self.outputs)?,
            updates: self.updates.clone(),
            partials: self.partials.iter().map(|part| arrays(part)).collect::<Result<_, _>>()?,
            kept: self.kept,
            degraded: self.degraded,
        })
    }

    /// The last step taken.
    pub fn last_step(&self) -> Option<u32> {
        self.last_step
    }

    /// The last Update that was finished.
    pub fn last_update(&self) -> Option<u32> {
        self.updates.first().copied()
    }

    /// Whether the layer reuses its whole output at every Dispatch, because `degrade when` held after an Update.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// The symbols of the last Update; None before it.
    pub fn symbols(&self) -> Option<&SymbolArrays> {
        self.has_symbols.then_some(&self.symbols)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        let arrays = self.outputs.iter().chain(self.partials.iter().flatten());
        self.symbols.bytes() + arrays.map(Array::bytes).sum::<usize>()
    }

    /// Where the output of an Update goes: the memory of the oldest. None: nobody remembers it.
    pub(super) fn target(&self) -> Option<&Array> {
        self.outputs.last()
    }

    /// How far forecasts reach after an Update at `step`, if Dispatches ask for this order.
    pub(super) fn reach_after(&self, step: u32, asked: Option<u32>) -> Reach {
        let mut updates: Vec<u32> = std::iter::once(step).chain(self.updates.iter().copied()).collect();
        updates.truncate(self.outputs.len().max(1));
        // A run that started late has fewer outputs than the schedule counts.
        let most = if self.degraded { 0 } else { updates.len() as u32 - 1 };
        Reach { order: asked.map(|asked| asked.min(most)), updates }
    }

    /// How far the forecast of a Dispatch over outputs reaches, if it asks for this order.
    pub(super) fn reach(&self, asked: Option<u32>) -> Reach {
        let most = if self.degraded { 0 } else { self.updates.len().saturating_sub(1) as u32 };
        Reach { order: asked.map(|asked| asked.min(most)), updates: self.updates.clone() }
    }

    /// An Update is finished: its output lies in [`target`](Self::target), its partials up to the order of `reach`.
    pub(super) fn finish_update(&mut self, step: u32, reach: Reach) {
        if !self.outputs.is_empty() {
            self.outputs.rotate_right(1);
        }
        (self.updates, self.kept) = (reach.updates, reach.order);
        self.count_step(step);
    }

    /// A step is finished.
    pub(super) fn count_step(&mut self, step: u32) {
        self.last_step = Some(step);
    }
}
