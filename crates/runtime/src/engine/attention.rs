//! Attention without projections, for applications that own theirs: Q, K and V in, O out, all on the device.

use sparsym_ir::eval::StepKind;
use sparsym_ir::{DType, Forecast};

use super::core::{Core, Pairs, check_aliases};
use super::forecast::output_weights;
use super::workspace::Sizes;
use super::{Array, Engine, LayerSpec, LayerState, PlannedStep, Schedule, StepReport};
use crate::error::Error;

/// A strategy over Q `[B, N, H, D]`, K and V `[B, N_kv, H_kv, D]`. Rows that are not computed are forecast before anything
/// is projected, so S_c may differ at every step.
pub struct Attention {
    core: Core,
}

impl Attention {
    pub(super) fn new(engine: &Engine, spec: LayerSpec, dtype: DType) -> Result<Attention, Error> {
        let sizes = Sizes::without_projections(&spec.problem, dtype, &spec.strategy);
        let attention = Attention { core: Core::new(engine, spec, dtype, |_| sizes)? };
        attention.prepare()?;
        Ok(attention)
    }

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
        let space = self.core.workspace();
        let mut work = self.core.work(step, StepKind::Update, &space, qkv, state)?;
        self.core.symbols_of_update(&mut work, state)?;
        self.core.attention_of_update(&mut work, state, o)?;
        if let Some(newest) = state.outputs.first() {
            newest.copy_to(o)?;
        }
        state.count_step(step);
        Ok(work.report())
    }

    /// A Dispatch: computes what S_c and S_s ask for, and forecasts the rest.
    ///
    /// # Errors
    /// As [`Attention::step`].
    pub fn dispatch(&self, step: u32, qkv: [&Array; 3], o: &Array, state: &LayerState) -> Result<StepReport, Error> {
        self.check(qkv, o)?;
        let space = self.core.workspace();
        let mut work = self.core.work(step, StepKind::Dispatch, &space, qkv, state)?;
        let symbols = self.core.symbols_of_dispatch(&mut work, state)?;
        let forecast = self.forecast(work.planned, state);
        work.order = self.order(work.planned, state);
        self.core.attention(&mut work, &symbols.cache, Pairs::of(symbols), o, forecast)?;
        state.count_step(step);
        Ok(work.report())
    }

    /// A step that obeys the mask only, and remembers nothing.
    ///
    /// # Errors
    /// As [`Attention::step`].
    pub fn dense(&self, step: u32, qkv: [&Array; 3], o: &Array, state: &LayerState) -> Result<StepReport, Error> {
        self.check(qkv, o)?;
        let space = self.core.workspace();
        let mut work = self.core.work(step, StepKind::Dense, &space, qkv, state)?;
        let pairs = self.core.pairs_of_dense(&mut work)?;
        self.core.attention(&mut work, &space.every_row, pairs, o, None)?;
        state.count_step(step);
        Ok(work.report())
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

    /// Order of a Dispatch's forecast: as far as the Updates reach that the state has seen.
    fn order(&self, planned: PlannedStep, state: &LayerState) -> Option<u32> {
        let asked = if state.degraded { Some(0) } else { planned.order };
        asked.filter(|_| self.core.keeps()).map(|order| order.min(state.most_order()))
    }

    /// A sum of the last outputs.
    fn forecast<'s>(&self, planned: PlannedStep, state: &'s LayerState) -> Option<Forecast<&'s Array>> {
        let order = self.order(planned, state)?;
        let outputs = &state.updates[..=order as usize];
        let coefficients = output_weights(outputs, order, planned.since_update);
        Some(Forecast { features: state.outputs.iter().take(coefficients.len()).collect(), coefficients })
    }

    fn prepare(&self) -> Result<(), Error> {
        let problem = &self.core.spec.problem;
        let array = |name, shape: [usize; 4]| self.core.engine.array(name, &shape, self.core.dtype);
        let (q, k, v) =
            (array("q", problem.q_shape())?, array("k", problem.kv_shape())?, array("v", problem.kv_shape())?);
        let (o, mut state) = (array("o", problem.q_shape())?, self.state()?);
        let space = self.core.workspace();
        for (step, planned) in self.core.kinds_of_steps() {
            let mut work = self.core.work_of(step, planned, &space, [&q, &k, &v], true)?;
            match planned.kind {
                StepKind::Update => {
                    self.core.symbols_of_update(&mut work, &mut state)?;
                    self.core.attention_of_update(&mut work, &mut state, &o)?;
                }
                StepKind::Dispatch => {
                    state.updates = (0..=planned.order.unwrap_or(0)).map(|n| step.saturating_sub(n + 1)).collect();
                    let symbols = self.core.symbols_of_dispatch(&mut work, &state)?;
                    let forecast = self.forecast(planned, &state);
                    self.core.attention(&mut work, &symbols.cache, Pairs::of(symbols), &o, forecast)?;
                }
                StepKind::Dense => {
                    let pairs = self.core.pairs_of_dense(&mut work)?;
                    self.core.attention(&mut work, &space.every_row, pairs, &o, None)?;
                }
            }
        }
        Ok(())
    }
}
