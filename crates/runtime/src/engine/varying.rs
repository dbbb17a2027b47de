//! What of a strategy changes from step to step.

use sparsym_ir::expr::{Expr, ExprKind, Global};
use sparsym_ir::strategy::{Strategy, TableAxis, When};

use super::error::LayerError;
use super::schedule::Schedule;

/// Symbols of rules over Q and K are kept from Update to Update, and with them which pairs the mask lets through.
pub(super) fn check_mask(strategy: &Strategy, schedule: &Schedule) -> Result<(), LayerError> {
    let varies = strategy.mask.iter().any(|mask| reads_step(&mask.value, strategy));
    match varies && strategy.reads_data() && schedule.most_order().is_some() {
        true => Err(LayerError::VaryingMask { strategy: strategy.snake_name() }),
        false => Ok(()),
    }
}

/// Whether rules over S_c read the step; or those over S_s, and the mask.
pub(super) fn reads_steps(strategy: &Strategy, skips: bool) -> bool {
    let rules = strategy.rules.iter().filter(|rule| rule.action.writes_skip_symbol() == skips).cloned().collect();
    let mask = strategy.mask.clone().filter(|_| skips);
    let part = Strategy { rules, mask, ..strategy.clone() };
    rule_exprs(&part).any(|expr| reads_step(expr, strategy))
}

/// Expressions that symbols depend on: the mask and the conditions of block rules.
fn rule_exprs(strategy: &Strategy) -> impl Iterator<Item = &Expr> {
    let conditions = strategy.rules.iter().filter_map(|rule| match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    });
    strategy.mask.iter().map(|mask| &mask.value).chain(conditions)
}

fn reads_step(expr: &Expr, strategy: &Strategy) -> bool {
    expr.any(|e| match e.kind {
        ExprKind::Global(global) => matches!(global, Global::Step | Global::SinceUpdate),
        ExprKind::Table(table) => strategy.tables[table.0].axes.contains(&TableAxis::Step),
        _ => false,
    })
}
