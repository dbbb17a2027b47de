//! Denoising steps of one attention layer: Update computes every row and remembers, Dispatch obeys the symbols and
//! forecasts the rows that they leave out.
//!
//! | step | S_c | S_s | remembers |
//! |---|---|---|---|
//! | Update | all rows | the strategy's | output, its differences, symbols |
//! | Dispatch | the strategy's; other rows are forecast | the strategy's | nothing new |
//! | Dispatch, degraded | no rows: all are the last Update's | – | nothing new |
//! | dense | all rows | all pairs that the mask lets through | nothing |
//!
//! Symbols of static rules depend on step, layer and heads only: they are made anew at a step if a rule reads the step,
//! else once. Symbols of rules that read Q and K are made at Update steps and kept until the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsym_ir::bind::{Bindings, Bound, Moment};
use sparsym_ir::eval::StepKind;
use sparsym_ir::expr::{Expr, ExprKind, Global};
use sparsym_ir::strategy::{Reuse, Strategy, TableAxis, When};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{AttentionCall, Forecast, Problem, Symbols, SymbolsCall, Tensor};

use crate::device::{Device, Measured};
use crate::engine::{LayerError, Schedule};
use crate::error::Error;
use crate::state::{AttentionState, History};

/// An attention layer of a model that denoises in steps: a strategy applied to a problem on a device.
#[derive(Clone)]
pub struct AttentionLayer {
    strategy: Strategy,
    /// The strategy without block rules: what dense steps compute.
    mask_only: Strategy,
    problem: Problem,
    bindings: Bindings,
    place: LayerPlace,
    device: Arc<dyn Device>,
    id: u64,
    /// Whether symbols may differ from step to step.
    varying: bool,
}

/// Where a layer stands in the model and how long the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPlace {
    /// Index of the layer.
    pub layer: u32,
    /// Denoising steps of the run.
    pub steps: u32,
}

/// What a step gives.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// `[B, N, H, D]`, every row written.
    pub o: Tensor,
    /// Natural logarithm of each row's softmax denominator, `[B, H, N]`; -inf for rows that were not computed.
    pub lse: Vec<f32>,
    /// What the schedule made of the step.
    pub kind: StepKind,
    /// Share of query blocks that were computed.
    pub density_c: f64,
    /// Share of block pairs that were computed: S_s ∧ S_c.
    pub density_s: f64,
    /// Order of the forecast; None if no row was forecast.
    pub order: Option<u32>,
    /// Milliseconds of the attention call, see [`Cost::ms`](crate::device::Cost::ms).
    pub ms: f64,
}

/// A step out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Steps of a layer come one after another.
    #[error("step {step} cannot follow step {last}\nhelp: give the steps one after another, or start with a new state")]
    OutOfOrder {
        /// The step asked for.
        step: u32,
        /// The step before it.
        last: u32,
    },
    /// The run is over.
    #[error("step {step} is beyond the {steps} steps of the run\nhelp: steps count from 0")]
    BeyondRun {
        /// The step asked for.
        step: u32,
        /// Steps of the run.
        steps: u32,
    },
    /// There is nothing to forecast from.
    #[error(
        "step {step} is a Dispatch, and the state has seen no Update\nhelp: start the run at an Update, F in the layer's schedule, or call `update` to make this step one"
    )]
    NoUpdate {
        /// The step asked for.
        step: u32,
    },
    /// The schedule says otherwise.
    #[error("step {step} is planned as {planned:?}, not as {asked:?}\nhelp: ask the layer's schedule, or call `step`")]
    OtherKind {
        /// The step.
        step: u32,
        /// What was asked for.
        asked: StepKind,
        /// What the schedule says.
        planned: StepKind,
    },
    /// A state remembers one layer only.
    #[error("this state belongs to another layer\nhelp: keep one state for each layer, and a new one for each run")]
    OtherLayer,
}

impl AttentionLayer {
    /// A layer; nothing is computed yet.
    ///
    /// # Errors
    /// All mistakes found in shapes, params, tables and inputs.
    pub fn new(
        strategy: Strategy,
        problem: Problem,
        bindings: Bindings,
        place: LayerPlace,
        device: Arc<dyn Device>,
    ) -> Result<AttentionLayer, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let bound = Bound::new(&strategy, &problem, &bindings)?;
        bound.check_moment(&Moment { step: 0, steps: place.steps, since_update: 0, layer: place.layer })?;
        check_mask(&strategy, &Schedule::new(&bound, place))?;
        let mask_only = Strategy { rules: Vec::new(), ..strategy.clone() };
        let varying = rule_exprs(&strategy).any(|expr| reads_step(expr, &strategy));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(AttentionLayer { strategy, mask_only, problem, bindings, place, device, id, varying })
    }

    /// The strategy.
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// The shapes.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Takes one step: the schedule decides what kind. `state` is left as it was if there is an error.
    ///
    /// # Errors
    /// [`StepError`] for a step out of order or a state of another layer; all that [`Device::attention`] gives.
    pub fn step(
        &self,
        step: u32,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        state: &mut AttentionState,
    ) -> Result<StepOutput, Error> {
        self.check_order(step, state)?;
        let bound = Bound::new(&self.strategy, &self.problem, &self.bindings)?;
        let LayerPlace { layer, steps } = self.place;
        let since_update = state.since_update(step);
        let kind = bound.schedule(step, steps, since_update, layer);
        let since_update = if kind == StepKind::Dispatch { since_update.unwrap_or(0) } else { 0 };
        let moment = Moment { step, steps, since_update, layer };
        let tensors = Tensors { q, k, v };
        let output = match kind {
            StepKind::Update => self.update(&bound, moment, &tensors, state)?,
            StepKind::Dispatch => self.dispatch(&bound, moment, &tensors, state)?,
            StepKind::Dense => self.dense(moment, &tensors)?,
        };
        (state.owner, state.last_step) = (Some(self.id), Some(step));
        Ok(output)
    }

    fn update(
        &self,
        bound: &Bound<'_>,
        moment: Moment,
        tensors: &Tensors<'_>,
        state: &mut AttentionState,
    ) -> Result<StepOutput, Error> {
        let made = self.update_symbols(bound, moment, tensors, state)?;
        let (batch, heads, blocks) = (made.cache.batch(), made.cache.heads(), made.cache.q_blocks());
        let every_row = Symbols { cache: CacheSymbol::ones(batch, heads, blocks), ..made.clone() };
        let output = self.call(bound, moment, StepKind::Update, tensors, &every_row, None)?;
        if self.strategy.caches() {
            let most_order = self.most_order(bound, &moment);
            state.history = Some(History::after_update(state.history.as_ref(), moment.step, &output.o, most_order));
        }
        state.degraded |= bound.degrades(&moment, made.cache.density(), made.skip.density());
        (state.symbols, state.last_update) = (Some(made), Some(moment.step));
        Ok(output)
    }

    fn dispatch(
        &self,
        bound: &Bound<'_>,
        moment: Moment,
        tensors: &Tensors<'_>,
        state: &mut AttentionState,
    ) -> Result<StepOutput, Error> {
        let mut symbols = self.dispatch_symbols(bound, moment, state)?;
        let mut order = bound.taylor_order(&moment);
        if state.degraded {
            let Problem { batch, heads, .. } = self.problem;
            let blocks = self.problem.q_blocks();
            symbols.cache = CacheSymbol::pack(batch, heads, blocks, &vec![0; batch * heads * blocks]);
            order = 0;
        }
        let forecast = state.history.as_ref().map(|history| {
            let coefficients = history.coefficients(moment.step, order);
            Forecast { features: history.features().iter().take(coefficients.len()).collect(), coefficients }
        });
        let output = self.call(bound, moment, StepKind::Dispatch, tensors, &symbols, forecast)?;
        if !state.degraded {
            state.symbols = Some(symbols);
        }
        Ok(output)
    }

    fn dense(&self, moment: Moment, tensors: &Tensors<'_>) -> Result<StepOutput, Error> {
        let bound = Bound::new(&self.mask_only, &self.problem, &self.bindings)?;
        let symbols = match self.mask_only.mask {
            Some(_) => self.device.symbols(&SymbolsCall::without_data(&bound, moment))?,
            None => all_ones(&self.problem),
        };
        self.call(&bound, moment, StepKind::Dense, tensors, &symbols, None)
    }

    fn call(
        &self,
        bound: &Bound<'_>,
        moment: Moment,
        kind: StepKind,
        tensors: &Tensors<'_>,
        symbols: &Symbols,
        forecast: Option<Forecast<'_>>,
    ) -> Result<StepOutput, Error> {
        let order = forecast.as_ref().map(|forecast| forecast.coefficients.len() as u32 - 1);
        let Tensors { q, k, v } = *tensors;
        let call = AttentionCall { bound, moment, q, k, v, symbols, forecast };
        let Measured { value: output, cost } = self.device.measured_attention(&call)?;
        let (density_c, density_s) = (symbols.cache.density(), symbols.density());
        Ok(StepOutput { o: output.o, lse: output.lse, kind, density_c, density_s, order, ms: cost.ms })
    }

    /// The symbols of an Update: kept ones if nothing that they depend on has changed.
    fn update_symbols(
        &self,
        bound: &Bound<'_>,
        moment: Moment,
        tensors: &Tensors<'_>,
        state: &AttentionState,
    ) -> Result<Symbols, Error> {
        match &state.symbols {
            Some(kept) if !self.varying && !self.strategy.reads_data() => Ok(kept.clone()),
            _ => self.device.symbols(&SymbolsCall { bound, moment, data: Some((tensors.q, tensors.k)) }),
        }
    }

    /// The symbols of a Dispatch: those of the last Update, unless static rules say something else of this step.
    fn dispatch_symbols(&self, bound: &Bound<'_>, moment: Moment, state: &AttentionState) -> Result<Symbols, Error> {
        match &state.symbols {
            Some(kept) if !self.varying || self.strategy.reads_data() => Ok(kept.clone()),
            _ => self.device.symbols(&SymbolsCall::without_data(bound, moment)),
        }
    }

    /// Differences worth keeping. An order that changes with the step may rise later, so all are kept for it.
    fn most_order(&self, bound: &Bound<'_>, moment: &Moment) -> u32 {
        match self.strategy.reuse() {
            Some(Reuse::Taylor(order)) if order.any(|e| matches!(e.kind, ExprKind::Global(_) | ExprKind::Table(_))) => {
                3
            }
            _ => bound.taylor_order(moment),
        }
    }

    fn check_order(&self, step: u32, state: &AttentionState) -> Result<(), StepError> {
        if state.owner.is_some_and(|owner| owner != self.id) {
            return Err(StepError::OtherLayer);
        }
        if step >= self.place.steps {
            return Err(StepError::BeyondRun { step, steps: self.place.steps });
        }
        match state.last_step {
            Some(last) if step != last + 1 => Err(StepError::OutOfOrder { step, last }),
            _ => Ok(()),
        }
    }
}

/// Q, K and V of a step.
struct Tensors<'a> {
    q: &'a Tensor,
    k: &'a Tensor,
    v: &'a Tensor,
}

/// Symbols of a problem without a mask, everything computed.
pub(crate) fn all_ones(problem: &Problem) -> Symbols {
    Symbols::dense(problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks())
}

/// Expressions that symbols depend on: the mask and the conditions of block rules.
pub(crate) fn rule_exprs(strategy: &Strategy) -> impl Iterator<Item = &Expr> {
    let conditions = strategy.rules.iter().filter_map(|rule| match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    });
    strategy.mask.iter().map(|mask| &mask.value).chain(conditions)
}

/// Symbols of rules over Q and K are kept from Update to Update, and with them which pairs the mask lets through.
pub(crate) fn check_mask(strategy: &Strategy, schedule: &Schedule) -> Result<(), LayerError> {
    let varies = strategy.mask.iter().any(|mask| reads_step(&mask.value, strategy));
    match varies && strategy.reads_data() && schedule.most_order().is_some() {
        true => Err(LayerError::VaryingMask { strategy: strategy.snake_name() }),
        false => Ok(()),
    }
}

pub(crate) fn reads_step(expr: &Expr, strategy: &Strategy) -> bool {
    expr.any(|e| match e.kind {
        ExprKind::Global(global) => matches!(global, Global::Step | Global::SinceUpdate),
        ExprKind::Table(table) => strategy.tables[table.0].axes.contains(&TableAxis::Step),
        _ => false,
    })
}
