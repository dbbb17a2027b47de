//! A step as data: the calls that it makes, in order. Preparing a layer prepares them, taking a step runs them.

use sparsym_codegen::Room;
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::eval::StepKind;
use sparsym_ir::{Attention, Forecast, SymbolsOf};

use super::schedule::PlannedStep;
use super::workspace::Workspace;
use crate::device::session::{Array, Call, SymbolArrays, SymbolRefs};

/// Which call of a layer it is. Calls of one task are alike but for their arrays and numbers: they are prepared once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    /// A part's projection to queries; of tiles whose S_c is 1 or of all, with block means or without.
    Q { part: usize, sparse: bool, means: bool },
    /// To keys.
    K { part: usize, means: bool },
    /// To values.
    V { part: usize },
    /// Projections to queries, keys and values that share the n-th launch of such.
    Projections { launch: usize, sparse: bool, means: bool },
    /// Symbols of the rules.
    Symbols,
    /// Symbols of the mask alone.
    MaskSymbols,
    /// Attention under the rules; with a forecast of the rows that it leaves out or without.
    Attention { forecast: bool },
    /// Attention under the mask alone.
    MaskAttention,
    /// A part's projection back; from a forecast of the heads that it leaves out or from nothing.
    O { part: usize, heads: Heads, forecast: bool },
    /// A part's partials of order 1 and up.
    Differences { part: usize, order: u32 },
}

/// Which heads GEMM-O adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Heads {
    /// All of them.
    All,
    /// All of them, and the cached ones alone into the partials of order 0.
    Both,
    /// The active ones, starting from the forecast of the others.
    Active,
}

/// A call of a step.
pub(super) struct Named<'a> {
    pub(super) task: Task,
    pub(super) call: Call<'a>,
}

/// What the calls of a step are about.
pub(super) struct Work<'a> {
    /// Strategy, shapes and values.
    pub(super) rules: &'a Bound<'a>,
    /// The same without block rules.
    pub(super) mask: &'a Bound<'a>,
    pub(super) moment: Moment,
    pub(super) planned: PlannedStep,
    pub(super) space: &'a Workspace,
    /// Q, K and V.
    pub(super) qkv: [&'a Array; 3],
}

/// How far the forecasts of a step reach.
pub(super) struct Reach {
    /// Of an Update the order up to which Dispatches may ask; of a Dispatch that of its own. None: nothing is forecast.
    pub(super) order: Option<u32>,
    /// The Updates that they rest on, the newest first; one more than the order.
    pub(super) updates: Vec<u32>,
}

impl Task {
    pub(super) fn room(self) -> Room {
        match self {
            Task::Q { .. } | Task::K { .. } | Task::V { .. } | Task::Projections { .. } => Room::GemmQ,
            Task::Symbols | Task::MaskSymbols => Room::Symbols,
            Task::Attention { .. } | Task::MaskAttention => Room::Attention,
            Task::O { .. } | Task::Differences { .. } => Room::GemmO,
        }
    }
}

impl Reach {
    /// Of a step before any was taken: which Updates it rests on does not matter to what it needs.
    pub(super) fn planned(order: Option<u32>) -> Reach {
        Reach { order, updates: (0..=order.unwrap_or(0)).rev().collect() }
    }
}

impl<'a> Work<'a> {
    /// Where GEMM-Q writes means of blocks of Q and K, if it does at this step.
    pub(super) fn block_means(&self) -> Option<&'a [Array; 2]> {
        self.space.means.as_ref().filter(|_| self.planned.kind == StepKind::Update)
    }

    /// The symbols that the rules make at this step.
    pub(super) fn symbols(&self, to: &'a SymbolArrays) -> Named<'a> {
        Named { task: Task::Symbols, call: self.symbols_of(self.rules, to) }
    }

    /// Attention over what the symbols let through.
    pub(super) fn attention(
        &self,
        symbols: SymbolRefs<'a>,
        o: &'a Array,
        forecast: Option<Forecast<&'a Array>>,
    ) -> Named<'a> {
        let task = Task::Attention { forecast: forecast.is_some() };
        Named { task, call: self.attention_of(self.rules, symbols, o, forecast) }
    }

    /// Attention over what the mask lets through, and the symbols that say so.
    pub(super) fn masked_attention(&self, o: &'a Array) -> Vec<Named<'a>> {
        let (cache, mut calls) = (&self.space.every_row, Vec::new());
        let symbols = match self.mask.strategy.mask {
            Some(_) => {
                let made = &self.space.symbols;
                calls.push(Named { task: Task::MaskSymbols, call: self.symbols_of(self.mask, made) });
                SymbolRefs { cache, ..made.into() }
            }
            None => SymbolRefs { cache, skip: &self.space.every_pair, full: None },
        };
        calls.push(Named { task: Task::MaskAttention, call: self.attention_of(self.mask, symbols, o, None) });
        calls
    }

    fn symbols_of(&self, bound: &'a Bound<'a>, symbols: &'a SymbolArrays) -> Call<'a> {
        let (reads_data, [q, k, _]) = (bound.strategy.reads_data(), self.qkv);
        let means = self.space.means.as_ref().filter(|_| reads_data).map(|[q, k]| [q, k]);
        let call = SymbolsOf { bound, moment: self.moment, data: reads_data.then_some((q, k)) };
        Call::Symbols { call, means, symbols }
    }

    fn attention_of(
        &self,
        bound: &'a Bound<'a>,
        symbols: SymbolRefs<'a>,
        o: &'a Array,
        forecast: Option<Forecast<&'a Array>>,
    ) -> Call<'a> {
        let (moment, [q, k, v]) = (self.moment, self.qkv);
        Call::Attention { call: Attention { bound, moment, q, k, v, symbols, forecast }, o, lse: &self.space.lse }
    }
}
