//! The two kinds of steps, each four rooms in a row, and the dense step beside them.

use sparsym_codegen::Room;
use sparsym_ir::eval::StepKind;
use sparsym_ir::projection::Summed;
use sparsym_ir::{Differences, GemmO};

use super::core::{Pairs, Work};
use super::forecast::{coefficients, difference_weights};
use super::{Array, BitArray, Cost, Layer, LayerState, PlannedStep};
use crate::device::session::Call;
use crate::error::Error;

/// What a step did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepReport {
    /// What the schedule made of it.
    pub kind: StepKind,
    /// Order of the forecast that was used; None if nothing was forecast.
    pub order: Option<u32>,
    /// What `gemm_q`, `symbols`, `attention` and `gemm_o` cost.
    pub rooms: [Cost; 4],
}

/// Inputs and results, one array for each part of the sequence.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    pub(super) x: &'a [&'a Array],
    pub(super) y: &'a [&'a Array],
}

impl Layer<'_> {
    /// Takes the next step, whatever the schedule says it is. `x` and `y` have one array for each part of the sequence.
    ///
    /// # Errors
    /// [`StepError`](super::StepError) for a step out of order or a state of another layer, findings about arrays
    /// that do not fit, an array that is read and written, or the device's own. The state forgets nothing unless the
    /// device itself failed.
    pub fn step(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        match self.core.kind(step, state)? {
            StepKind::Update => self.update(step, x, y, state),
            StepKind::Dispatch => self.dispatch(step, x, y, state),
            StepKind::Dense => self.dense(step, x, y, state),
        }
    }

    /// An Update: computes everything, makes the symbols, and keeps what the Dispatches after it start from. A state that
    /// has seen no Update takes a planned Dispatch as one, so that a run may start anywhere.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn update(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        let (ends, space) = (self.ends(x, y)?, self.core.workspace());
        let mut work = self.core.work(step, StepKind::Update, &space, space.qkv(), state)?;
        self.update_in(&mut work, ends, state)?;
        state.count_step(step);
        Ok(work.report())
    }

    fn update_in(&self, work: &mut Work<'_>, ends: Ends<'_>, state: &mut LayerState) -> Result<(), Error> {
        self.gemm_q(work, ends, None)?;
        self.core.symbols_of_update(work, state)?;
        self.core.attention_of_update(work, state, work.space.o())?;
        self.gemm_o_of_update(work, ends, state)
    }

    /// A Dispatch: computes what S_c and S_s ask for, and starts GEMM-O from the forecast of the rest.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn dispatch(&self, step: u32, x: &[&Array], y: &[&Array], state: &LayerState) -> Result<StepReport, Error> {
        let (ends, space) = (self.ends(x, y)?, self.core.workspace());
        let mut work = self.core.work(step, StepKind::Dispatch, &space, space.qkv(), state)?;
        self.dispatch_in(&mut work, ends, state)?;
        state.count_step(step);
        Ok(work.report())
    }

    fn dispatch_in(&self, work: &mut Work<'_>, ends: Ends<'_>, state: &LayerState) -> Result<(), Error> {
        let (s_c, o) = (&state.symbols.cache, work.space.o());
        if !(self.core.idle || state.degraded) {
            self.gemm_q(work, ends, Some(s_c).filter(|_| self.core.keeps()))?;
            let symbols = self.core.symbols_of_dispatch(work, state)?;
            self.core.attention(work, s_c, Pairs::of(symbols), o, None)?;
        }
        self.gemm_o(work, ends, Heads::Active(state), o)
    }

    /// A step that obeys the mask only, and remembers nothing.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn dense(&self, step: u32, x: &[&Array], y: &[&Array], state: &LayerState) -> Result<StepReport, Error> {
        let (ends, space) = (self.ends(x, y)?, self.core.workspace());
        let mut work = self.core.work(step, StepKind::Dense, &space, space.qkv(), state)?;
        self.dense_in(&mut work, ends)?;
        state.count_step(step);
        Ok(work.report())
    }

    fn dense_in<'a>(&'a self, work: &mut Work<'a>, ends: Ends<'_>) -> Result<(), Error> {
        let space = work.space;
        self.gemm_q(work, ends, None)?;
        let pairs = self.core.pairs_of_dense(work)?;
        self.core.attention(work, &space.every_row, pairs, space.o(), None)?;
        self.gemm_o(work, ends, Heads::All, space.o())
    }

    /// Projections of all parts: Q where S_c is 1, K and V everywhere.
    fn gemm_q(&self, work: &mut Work<'_>, ends: Ends<'_>, s_c: Option<&BitArray>) -> Result<(), Error> {
        let [q, k, v] = work.qkv;
        let means = work.space.means.as_ref().filter(|_| work.planned.kind == StepKind::Update);
        let [q_means, k_means] = [means.map(|means| &means[0]), means.map(|means| &means[1])];
        for (part, x) in ends.x.iter().enumerate() {
            let run = |call| work.run(&self.core, Room::GemmQ, &call);
            [
                Call::GemmQ { call: self.q_of(part, x, s_c), q, means: q_means },
                Call::GemmQ { call: self.k_of(part, x), q: k, means: k_means },
                Call::GemmQ { call: self.v_of(part, x), q: v, means: None },
            ]
            .into_iter()
            .try_for_each(run)?;
        }
        Ok(())
    }

    /// All heads; and, if a Dispatch follows, the cached ones alone for each order of its forecast.
    fn gemm_o_of_update(&self, work: &mut Work<'_>, ends: Ends<'_>, state: &mut LayerState) -> Result<(), Error> {
        let space = work.space;
        state.kept = None;
        let o = state.outputs.first().unwrap_or(space.o());
        let Some(order) = work.planned.order.filter(|_| self.core.keeps()) else {
            return self.gemm_o(work, ends, Heads::All, o);
        };
        // A run that started late has fewer outputs than the schedule counts.
        let order = if state.degraded { 0 } else { order.min(state.most_order()) };
        self.gemm_o(work, ends, Heads::Both(state), o)?;
        if order > 0 {
            self.differences(work, state, order)?;
        }
        state.kept = Some(order);
        Ok(())
    }

    /// The partials of order 1 and up.
    fn differences(&self, work: &mut Work<'_>, state: &LayerState, order: u32) -> Result<(), Error> {
        let kept = ..=order as usize;
        let weights = difference_weights(&state.updates[kept], order);
        for (part, partials) in state.partials.iter().enumerate() {
            let call = Differences {
                stream: self.stream_of_o(part),
                outputs: state.outputs[kept].iter().collect(),
                weights: weights.clone(),
                w: self.parts[part].weights.o.weight,
                s_c: &state.symbols.cache,
            };
            let partials = partials[kept].iter().skip(1).collect();
            work.run(&self.core, Room::GemmO, &Call::Differences { call, partials })?;
        }
        Ok(())
    }

    /// The projection of all parts back to the model width.
    fn gemm_o(&self, work: &mut Work<'_>, ends: Ends<'_>, heads: Heads<'_>, o: &Array) -> Result<(), Error> {
        let (s_c, summed, forecast) = match heads {
            Heads::Active(state) if self.core.keeps() => {
                (Some(&state.symbols.cache), Summed::Active, state.kept.zip(work.planned.order))
            }
            Heads::Both(state) => (Some(&state.symbols.cache), Summed::Both, None),
            Heads::All | Heads::Active(_) => (None, Summed::Active, None),
        };
        work.order = forecast.map(|(kept, asked)| kept.min(asked));
        let factors = work.order.map_or_else(Vec::new, |order| coefficients(work.planned.since_update, order));
        for (part, y) in ends.y.iter().enumerate() {
            let partials = match heads {
                Heads::Active(state) | Heads::Both(state) => state.partials.get(part).map_or(&[][..], |all| all),
                Heads::All => &[],
            };
            let weights = self.parts[part].weights.o;
            let call = GemmO {
                stream: self.stream_of_o(part),
                o,
                w: weights.weight,
                bias: weights.bias,
                s_c,
                summed,
                partials: partials.iter().take(factors.len()).collect(),
                coefficients: factors.clone(),
            };
            let partial = partials.first().filter(|_| summed == Summed::Both);
            work.run(&self.core, Room::GemmO, &Call::GemmO { call, y, partial })?;
        }
        Ok(())
    }

    /// Prepares all calls of a kind of step.
    pub(super) fn prepare_step(
        &self,
        step: u32,
        planned: PlannedStep,
        ends: Ends<'_>,
        state: &mut LayerState,
    ) -> Result<(), Error> {
        let space = self.core.workspace();
        let mut work = self.core.work_of(step, planned, &space, space.qkv(), true)?;
        match planned.kind {
            StepKind::Update => {
                // As many Updates before it as its order needs.
                state.updates = (1..=planned.order.unwrap_or(0)).map(|n| step.saturating_sub(n)).collect();
                state.count_step(step.saturating_sub(1));
                self.update_in(&mut work, ends, state)
            }
            StepKind::Dispatch => {
                state.kept = planned.order;
                self.dispatch_in(&mut work, ends, state)
            }
            StepKind::Dense => self.dense_in(&mut work, ends),
        }
    }
}

/// Which heads GEMM-O adds up.
#[derive(Clone, Copy)]
enum Heads<'a> {
    /// All of them.
    All,
    /// All of them, and the cached ones alone into the partials of order 0.
    Both(&'a LayerState),
    /// The active ones, starting from the forecast of the others.
    Active(&'a LayerState),
}
