//! What a layer remembers between steps, in the device's memory.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::device::session::{Array, SymbolArrays};
use crate::error::Error;

/// No step was taken yet.
const NEVER: u32 = u32::MAX;

/// The memory of one layer: symbols of the last Update, outputs for differences, and partials of GEMM-O.
///
/// Made by [`Layer::state`](super::Layer::state). An Update writes it and a Dispatch reads it, and their borrows say so.
#[derive(Debug)]
pub struct LayerState {
    /// The layer that made it.
    pub(super) owner: u64,
    /// The last step taken; a Dispatch counts it through a shared borrow.
    last_step: AtomicU32,
    pub(super) symbols: SymbolArrays,
    /// Whether the symbols were made.
    pub(super) has_symbols: bool,
    /// O of the last Updates, the newest first; empty if no forecast needs differences.
    pub(super) outputs: Vec<Array>,
    /// The Updates that made them, the newest first; may be fewer.
    pub(super) updates: Vec<u32>,
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
            last_step: AtomicU32::new(NEVER),
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
        self.last_step = AtomicU32::new(NEVER);
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
            last_step: AtomicU32::new(self.last_step.load(Ordering::Relaxed)),
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
        Some(self.last_step.load(Ordering::Relaxed)).filter(|&step| step != NEVER)
    }

    /// The last Update that was finished.
    pub fn last_update(&self) -> Option<u32> {
        let last = self.last_step()?;
        self.updates.iter().copied().find(|&update| update <= last)
    }

    /// The highest order of a forecast from the Updates that were seen: one less than there are, as far as outputs are kept.
    pub(super) fn most_order(&self) -> u32 {
        self.updates.len().saturating_sub(1) as u32
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

    /// The memory for the output of an Update: that of the oldest, or its own if the Update is tried again after the
    /// device failed. None: nobody remembers its output.
    pub(super) fn take_output(&mut self, step: u32) -> Option<Array> {
        if self.last_step().is_none() && self.updates.first() != Some(&step) {
            self.updates.clear(); // what the device failed to finish is no part of a run that starts elsewhere
        }
        let again = self.updates.first() == Some(&step) && !self.outputs.is_empty();
        if again { Some(self.outputs.remove(0)) } else { self.outputs.pop() }
    }

    /// An Update made `o`, whose memory [`take_output`](Self::take_output) gave.
    pub(super) fn remember(&mut self, step: u32, o: Option<Array>) {
        self.outputs.splice(0..0, o);
        if self.updates.first() != Some(&step) {
            self.updates.insert(0, step);
        }
        self.updates.truncate(self.outputs.len().max(1));
    }

    pub(super) fn count_step(&self, step: u32) {
        self.last_step.store(step, Ordering::Relaxed);
    }
}
