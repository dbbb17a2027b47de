//! All steps of a run: what kind each is, whose symbols it obeys, what it computes; and the one step that is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use sparsym::device::{Cpu, Device};
use sparsym::engine::StepKind;
use sparsym::ir::expr::{Expr, ExprKind, Global};
use sparsym::ir::strategy::{Strategy, TableAxis};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{Bound, Moment, Symbols, SymbolsCall};

use super::looks::Looks;
use crate::failure::{Failure, Outcome};

/// Steps that are followed; nobody denoises in more.
const MOST_STEPS: u32 = 100_000;
/// Block pairs looked at for the densities of all steps; beyond it some steps are left out and guessed from the others.
const MOST_PAIRS: usize = 1 << 23;
/// Moments that are looked at however many pairs they have.
const LEAST_MOMENTS: usize = 3;

/// The run.
pub(super) struct Timeline {
    /// Every step.
    pub(super) steps: Vec<Step>,
    /// Index of the step that is shown.
    pub(super) shown: usize,
    /// Moment at which the symbols shown were made.
    pub(super) made: Moment,
    /// The symbols that the step shown obeys.
    pub(super) symbols: Symbols,
    /// Moments at which symbols are made, and how many of them were looked at.
    pub(super) moments: [usize; 2],
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    /// Its number, from 0.
    pub(super) step: u32,
    /// What it does.
    #[serde(serialize_with = "kind_name")]
    pub(super) kind: StepKind,
    /// Share of the query blocks that it computes.
    pub(super) rows: f64,
    /// Share of the block pairs that it computes.
    pub(super) pairs: f64,
    /// Whether the layer reuses its whole output at Dispatch steps from here on.
    pub(super) degraded: bool,
    #[serde(skip)]
    made: Option<usize>,
}

/// In lower case, as in JSON.
pub(super) fn name(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Update => "update",
        StepKind::Dispatch => "dispatch",
        StepKind::Dense => "dense",
    }
}

fn kind_name<S: serde::Serializer>(kind: &StepKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name(*kind))
}

/// Follows the schedule from step 0. `shown` is the step to show; None: one that shows what the strategy is about.
pub(super) fn follow(bound: &Bound<'_>, looks: &Looks<'_>, at: Moment, shown: Option<u32>) -> Outcome<Timeline> {
    if at.steps > MOST_STEPS {
        return Err(Failure::usage(format!(
            "a run of {} steps is too long to follow\nhelp: use --set steps=N with N up to {MOST_STEPS}",
            at.steps
        )));
    }
    let (mut steps, moments) = plan(bound, at);
    let mut works = BTreeMap::new();
    let least = (MOST_PAIRS / looks.pairs().max(1)).max(LEAST_MOMENTS).min(moments.len());
    for n in 0..least {
        let index = n * (moments.len() - 1) / (least - 1).max(1);
        works.insert(index, Work::of(looks.at(moments[index])?));
    }
    let mask = MaskAlone::new(bound);
    fill(bound, &mut steps, &moments, &works, mask.density(at)?);
    let shown = shown.map_or_else(|| typical(&steps, bound.strategy), |step| step as usize);
    let step = &steps[shown];
    let (made, mut symbols) = match step.made {
        Some(index) => (moments[index], looks.at(moments[index])?),
        None => (at, mask.symbols(at)?),
    };
    if let Some(index) = step.made.filter(|index| !works.contains_key(index)) {
        works.insert(index, Work::of(symbols.clone()));
        fill(bound, &mut steps, &moments, &works, mask.density(at)?);
    }
    if steps[shown].degraded && steps[shown].kind == StepKind::Dispatch {
        let (batch, heads, blocks) = (symbols.cache.batch(), symbols.cache.heads(), symbols.cache.q_blocks());
        symbols.cache = CacheSymbol::pack(batch, heads, blocks, &vec![0; batch * heads * blocks]);
    }
    let looked_at = works.len();
    Ok(Timeline { steps, shown, made, symbols, moments: [moments.len(), looked_at] })
}

/// The kinds of all steps, and the different moments at which symbols are made.
fn plan(bound: &Bound<'_>, at: Moment) -> (Vec<Step>, Vec<Moment>) {
    let (varies, at_updates) = (varies(bound), bound.strategy.reads_data());
    let (mut steps, mut moments) = (Vec::new(), Vec::<Moment>::new());
    let mut last_update = None;
    for step in 0..at.steps {
        let since_update = last_update.map(|update| step - update);
        let kind = bound.schedule(step, at.steps, since_update, at.layer);
        if kind == StepKind::Update {
            last_update = Some(step);
        }
        let made = (kind != StepKind::Dense).then(|| {
            // Rules over data speak at Updates, and hold until the next one.
            let again = varies && (!at_updates || kind == StepKind::Update);
            if moments.is_empty() || again {
                let since_update = if kind == StepKind::Update { 0 } else { since_update.unwrap_or(0) };
                moments.push(Moment { step, since_update, ..at });
            }
            moments.len() - 1
        });
        steps.push(Step { step, kind, rows: 1.0, pairs: 1.0, degraded: false, made });
    }
    (steps, moments)
}

/// Writes what each step computes.
fn fill(bound: &Bound<'_>, steps: &mut [Step], moments: &[Moment], works: &BTreeMap<usize, Work>, dense: f64) {
    let mut degraded = false;
    for step in steps {
        let Some(index) = step.made else {
            (step.rows, step.pairs) = (1.0, dense);
            continue;
        };
        let work = between(works, index);
        (step.rows, step.pairs) = match step.kind {
            StepKind::Dispatch if degraded => (0.0, 0.0),
            StepKind::Dispatch => (work.rows, work.dispatch),
            _ => (1.0, work.update),
        };
        if step.kind == StepKind::Update {
            let moment = Moment { step: step.step, ..moments[index] };
            degraded |= bound.degrades(&moment, work.rows, work.pairs);
        }
        step.degraded = degraded;
    }
}

/// The work at a moment, on the line between its neighbours that were looked at.
fn between(works: &BTreeMap<usize, Work>, index: usize) -> Work {
    let (before, after) = (works.range(..=index).next_back(), works.range(index..).next());
    match (before, after) {
        (Some((&from, a)), Some((&to, b))) if from < to => {
            let share = (index - from) as f64 / (to - from) as f64;
            let mix = |of: fn(&Work) -> f64| of(a) + share * (of(b) - of(a));
            Work {
                update: mix(|w| w.update),
                dispatch: mix(|w| w.dispatch),
                rows: mix(|w| w.rows),
                pairs: mix(|w| w.pairs),
            }
        }
        (Some((_, work)), _) | (None, Some((_, work))) => *work,
        (None, None) => Work { update: 1.0, dispatch: 1.0, rows: 1.0, pairs: 1.0 },
    }
}

/// A step that shows what the strategy is about: near the middle of the run, obeying its symbols.
fn typical(steps: &[Step], strategy: &Strategy) -> usize {
    let middle = steps.len() / 2;
    let unlike = |step: &Step| match step.kind {
        StepKind::Dense => 3,
        StepKind::Dispatch if step.degraded => 2,
        StepKind::Update if strategy.caches() => 1,
        _ => 0,
    };
    let order = |&(index, step): &(usize, &Step)| (unlike(step), index.abs_diff(middle));
    steps.iter().enumerate().min_by_key(order).map_or(0, |(index, _)| index)
}

/// Shares of what a dense step computes.
#[derive(Clone, Copy)]
struct Work {
    /// Block pairs of an Update step, which computes every row.
    update: f64,
    /// Block pairs of a Dispatch step.
    dispatch: f64,
    /// Query blocks of a Dispatch step: the density of S_c.
    rows: f64,
    /// The density of S_s.
    pairs: f64,
}

impl Work {
    fn of(mut symbols: Symbols) -> Work {
        let (dispatch, rows, pairs) = (symbols.density(), symbols.cache.density(), symbols.skip.density());
        let (batch, heads, blocks) = (symbols.cache.batch(), symbols.cache.heads(), symbols.cache.q_blocks());
        symbols.cache = CacheSymbol::ones(batch, heads, blocks);
        Work { update: symbols.density(), dispatch, rows, pairs }
    }
}

/// What a dense step computes: all that the mask leaves.
struct MaskAlone<'a> {
    bound: &'a Bound<'a>,
    strategy: Strategy,
}

impl<'a> MaskAlone<'a> {
    fn new(bound: &'a Bound<'a>) -> MaskAlone<'a> {
        MaskAlone { bound, strategy: Strategy { rules: Vec::new(), ..bound.strategy.clone() } }
    }

    fn symbols(&self, at: Moment) -> Outcome<Symbols> {
        let bound = Bound { strategy: &self.strategy, geometry: self.bound.geometry.clone(), ..*self.bound };
        Ok(Cpu.symbols(&SymbolsCall::without_data(&bound, at))?)
    }

    fn density(&self, at: Moment) -> Outcome<f64> {
        if self.bound.strategy.schedule.dense.is_none() || self.strategy.mask.is_none() {
            return Ok(1.0);
        }
        Ok(self.symbols(at)?.density())
    }
}

/// Whether symbols may differ from step to step.
pub(super) fn varies(bound: &Bound<'_>) -> bool {
    let strategy = bound.strategy;
    let reads_step = |expr: &Expr| {
        expr.any(|e| match e.kind {
            ExprKind::Global(global) => matches!(global, Global::Step | Global::SinceUpdate),
            // A table with one entry along an axis says the same everywhere on it.
            ExprKind::Table(table) => {
                let axis = strategy.tables[table.0].axes.iter().position(|axis| *axis == TableAxis::Step);
                axis.is_some_and(|axis| bound.bindings.tables[table.0].shape[axis] > 1)
            }
            _ => false,
        })
    };
    let maps = strategy.maps.iter().map(|map| &map.value);
    strategy.mask.iter().map(|mask| &mask.value).chain(strategy.conditions()).chain(maps).any(reads_step)
}
