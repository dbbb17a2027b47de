//! Attention without projections, for applications that own theirs: Q, K and V in, O out, all on the device.

use std::collections::HashMap;

use sparsym_ir::eval::StepKind;
use sparsym_ir::{DType, Forecast};

use super::base::Engine;
use super::calls::{Named, Reach, Work};
use super::core::{Core, check_aliases};
use super::forecast::output_weights;
use super::report::StepReport;
use super::schedule::Schedule;
use super::spec::LayerSpec;
use super::state::LayerState;
use super::workspace::Sizes;
use crate::device::session::{Array, SymbolRefs};
use crate::error::Error;

/// A strategy over Q `[B, N, H, D]`, K and V `[B, N_kv, H_kv, D]`. Rows that are not computed are forecast before anything
/// is projected, so S_c may differ at every step.
pub struct Attention {
    core: Core,
}

impl Engine {
    /// Attention without projections, for an application that owns them; `dtype` is that of Q, K, V and O.
    ///
    /// # Errors
    /// Findings about shapes and values, or the device's own.
    pub fn attention(&self, spec: LayerSpec, dtype: DType) -> Result<Attention, Error> {
        let sizes = Sizes::without_projections(&spec.problem, dtype, &spec.strategy);
        let mut attention = Attention { core: Core::new(self, spec, dtype, |_| sizes)? };
        attention.prepare()?;
        Ok(attention)
    }
}

impl Attention {
    /// What each step is.
    pub fn schedule(&self) -> &Schedule {
        &self.core.schedule
    }

    /// Memory for one run.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn state(&self) -> Result<LayerState, Error> {
        self.core.state(self.core.orders(), Vec::new())
    }

    /// Takes the next step, whatever the schedule says it is.
    ///
    /// # Errors
    /// As [`Layer::step`](super::Layer::step).
    pub fn step(&self, step: u32, qkv: [&Array; 3], o: &Array, state: &mut LayerState) -> Result<StepReport, Error> {
        match self.core.kind(step, state)? {
            StepKind::Update => self.update(step, qkv, o, state),
            StepKind::Dispatch => self.dispatch(step, qkv, o, state),
            StepKind::Dense => self.dense(step, qkv, o, state),
        }
    }

    /// An Update: makes the symbols, computes every row, and remembers them. A state that has seen no Update takes a planned
    /// Dispatch as one, so that a run may start anywhere.
    ///
    /// # Errors
    /// As [`Attention::step`].
    pub fn update(&self, step: u32, qkv: [&Array; 3], o: &Array, state: &mut LayerState) -> Result<StepReport, Error> {
        self.check(qkv, o)?;
        let (space, bounds) = (self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Update, state)?;
        let work = self.core.work(step, planned, &bounds, &space, qkv);
        let mut report = StepReport::new(planned.kind, None);
        self.core.update_symbols(&work, state, &mut report)?;
        self.core.run(vec![every_row(&work, o, state)], &mut report)?;
        if let Some(newest) = state.target() {
            newest.copy_to(o)?;
        }
        state.finish_update(step, state.reach_after(step, planned.order));
        Ok(report)
    }

    /// A Dispatch: computes what S_c and S_s ask for, and forecasts the rest.
    ///
    /// # Errors
    /// As [`Attention::step`].
    pub fn dispatch(
        &self,
        step: u32,
        qkv: [&Array; 3],
        o: &Array,
        state: &mut LayerState,
    ) -> Result<StepReport, Error> {
        self.check(qkv, o)?;
        let (space, bounds) = (self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Dispatch, state)?;
        let work = self.core.work(step, planned, &bounds, &space, qkv);
        let asked = if state.degraded { Some(0) } else { planned.order };
        let reach = state.reach(asked.filter(|_| self.core.keeps()));
        let mut report = StepReport::new(planned.kind, reach.order);
        self.core.run(self.dispatched(&work, o, state, &reach), &mut report)?;
        state.count_step(step);
        Ok(report)
    }

    /// A step that obeys the mask only, and remembers nothing.
    ///
    /// # Errors
    /// As [`Attention::step`].
    pub fn dense(&self, step: u32, qkv: [&Array; 3], o: &Array, state: &mut LayerState) -> Result<StepReport, Error> {
        self.check(qkv, o)?;
        let (space, bounds) = (self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Dense, state)?;
        let work = self.core.work(step, planned, &bounds, &space, qkv);
        let mut report = StepReport::new(planned.kind, None);
        self.core.run(work.masked_attention(o), &mut report)?;
        state.count_step(step);
        Ok(report)
    }

    /// The calls of a Dispatch.
    fn dispatched<'a>(&self, work: &Work<'a>, o: &'a Array, state: &'a LayerState, reach: &Reach) -> Vec<Named<'a>> {
        let (made, symbols) = self.core.dispatch_symbols(work, state);
        let symbols = SymbolRefs { cache: &symbols.cache, ..symbols.into() };
        // A sum of the last outputs.
        let forecast = reach.order.map(|order| {
            let coefficients = output_weights(&reach.updates[..=order as usize], order, work.planned.since_update);
            Forecast { features: state.outputs.iter().take(coefficients.len()).collect(), coefficients }
        });
        made.into_iter().chain([work.attention(symbols, o, forecast)]).collect()
    }

    fn check(&self, [q, k, v]: [&Array; 3], o: &Array) -> Result<(), Error> {
        let problem = &self.core.spec.problem;
        for (name, array, shape) in [
            ("q", q, problem.q_shape()),
            ("k", k, problem.kv_shape()),
            ("v", v, problem.kv_shape()),
            ("o", o, problem.q_shape()),
        ] {
            self.core.check_array(name, array, &shape)?;
        }
        Ok(check_aliases(&[("q", q), ("k", k), ("v", v)], &[("o", o)])?)
    }

    /// Prepares every kind of step that the schedule has.
    fn prepare(&mut self) -> Result<(), Error> {
        let (core, problem) = (&self.core, &self.core.spec.problem);
        let array = |name, shape: [usize; 4]| core.engine.array(name, &shape, core.dtype);
        let (q, k, v) =
            (array("q", problem.q_shape())?, array("k", problem.kv_shape())?, array("v", problem.kv_shape())?);
        let (o, state, mut prepared) = (array("o", problem.q_shape())?, self.state()?, HashMap::new());
        let (space, bounds) = (core.workspace(), core.bounds());
        for (step, planned) in core.kinds_of_steps() {
            let work = core.work(step, planned, &bounds, &space, [&q, &k, &v]);
            let calls = match planned.kind {
                StepKind::Update => vec![work.symbols(&state.symbols), every_row(&work, &o, &state)],
                StepKind::Dispatch => {
                    self.dispatched(&work, &o, &state, &Reach::planned(planned.order.filter(|_| core.keeps())))
                }
                StepKind::Dense => work.masked_attention(&o),
            };
            core.prepare(calls, &mut prepared)?;
        }
        drop(space);
        self.core.prepared = prepared;
        Ok(())
    }
}

/// Attention of an Update.
fn every_row<'a>(work: &Work<'a>, o: &'a Array, state: &'a LayerState) -> Named<'a> {
    let symbols = SymbolRefs { cache: &work.space.every_row, ..(&state.symbols).into() };
    work.attention(symbols, state.target().unwrap_or(o), None)
}
