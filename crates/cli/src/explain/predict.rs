//! The share of dense attention's block pairs that a whole run computes.

use serde::Serialize;
use sparsym::ir::expr::{Expr, ExprKind, Global};
use sparsym::ir::static_symbols::static_symbols;
use sparsym::ir::strategy::{Strategy, TableAxis, When};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{Bound, Moment, Symbols};
use sparsym::runtime::StepKind;

use crate::failure::Outcome;

/// Work of a run. Time follows it as far as attention is bound by arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Prediction {
    /// Steps of the run.
    pub(super) steps: u32,
    /// Steps that refresh symbols and caches.
    pub(super) updates: u32,
    /// Steps that `dense when` asks for.
    pub(super) dense: u32,
    /// Block pairs computed over all steps, as a share of all pairs of all steps.
    pub(super) work: f64,
}

/// Follows the schedule from step 0.
pub(super) fn predict(bound: &Bound<'_>, at: &Moment) -> Outcome<Prediction> {
    let mask_only = Strategy { rules: Vec::new(), ..bound.strategy.clone() };
    let mask_only = Bound::new(&mask_only, bound.problem, bound.bindings)?;
    let varies = varies(bound.strategy);
    let mut kept: Option<[f64; 2]> = None;
    let mut dense_work: Option<f64> = None;
    let mut last_update = None;
    let mut prediction = Prediction { steps: at.steps, updates: 0, dense: 0, work: 0.0 };
    for step in 0..at.steps {
        let since_update = last_update.map(|update| step - update);
        let kind = bound.schedule(step, at.steps, since_update, at.layer);
        let moment = Moment { step, steps: at.steps, since_update: since_update.unwrap_or(0), layer: at.layer };
        let work = if kind == StepKind::Dense {
            prediction.dense += 1;
            *dense_work.get_or_insert_with(|| static_symbols(&mask_only, &moment).density())
        } else {
            let [update, dispatch] = match kept.filter(|_| !varies) {
                Some(work) => work,
                None => *kept.insert(works(static_symbols(bound, &moment))),
            };
            if kind == StepKind::Update { update } else { dispatch }
        };
        if kind == StepKind::Update {
            prediction.updates += 1;
            last_update = Some(step);
        }
        prediction.work += work / f64::from(at.steps);
    }
    Ok(prediction)
}

/// Work of an Update step, which computes every row, and of a Dispatch step.
fn works(mut symbols: Symbols) -> [f64; 2] {
    let dispatch = symbols.density();
    let (batch, heads, blocks) = (symbols.cache.batch(), symbols.cache.heads(), symbols.cache.q_blocks());
    symbols.cache = CacheSymbol::ones(batch, heads, blocks);
    [symbols.density(), dispatch]
}

/// Whether symbols may differ from step to step.
pub(super) fn varies(strategy: &Strategy) -> bool {
    let reads_step = |expr: &Expr| {
        expr.any(|e| match e.kind {
            ExprKind::Global(global) => matches!(global, Global::Step | Global::SinceUpdate),
            ExprKind::Table(table) => strategy.tables[table.0].axes.contains(&TableAxis::Step),
            _ => false,
        })
    };
    let conditions = strategy.rules.iter().filter_map(|rule| match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    });
    strategy.mask.iter().map(|mask| &mask.value).chain(conditions).any(reads_step)
}
