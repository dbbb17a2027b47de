//! Checks of the typed IR, one file for each question.

mod always;
mod dead;
mod degrade;
mod effect;
mod granularity;
mod grid;
mod interval;
mod otherwise;
mod range;
mod reuse;
mod schedule;
mod shadow;
mod unused;
mod zero;

use sparsym_ir::expr::Expr;
use sparsym_ir::strategy::{Action, BlockRule, Reuse, Strategy, When};
use sparsym_ir::{Finding, Findings};

/// All mistakes of a strategy that is otherwise well formed, warnings included: names resolve and types fit.
pub fn check(strategy: &Strategy) -> Findings {
    let mut findings = Findings::new();
    present(strategy, &mut findings);
    if !findings.has_errors() {
        absent(strategy, &mut findings);
    }
    findings
}

/// Mistakes in what is there.
pub(crate) fn present(strategy: &Strategy, findings: &mut Findings) {
    // What a name stands for is looked at where it is read.
    let strategy = &strategy.inlined();
    range::check(strategy, findings);
    granularity::check(strategy, findings);
    grid::check_single(strategy, findings);
    zero::check(strategy, findings);
    dead::check(strategy, findings);
    always::check(strategy, findings);
    shadow::check(strategy, findings);
    otherwise::check(strategy, findings);
    reuse::check(strategy, findings);
    schedule::check_present(strategy, findings);
    degrade::check_present(strategy, findings);
}

/// Mistakes in what is missing: they are known only when every clause could be read.
pub(crate) fn absent(strategy: &Strategy, findings: &mut Findings) {
    unused::check(strategy, findings);
    let strategy = &strategy.inlined();
    grid::check_declared(strategy, findings);
    effect::check(strategy, findings);
    schedule::check_absent(strategy, findings);
    degrade::check_absent(strategy, findings);
}

/// Every expression of a strategy.
fn expressions(strategy: &Strategy) -> impl Iterator<Item = &Expr> {
    let tokens = strategy.mask.iter().chain(&strategy.score).map(|rule| &rule.value);
    let conditions = strategy.rules.iter().filter_map(condition);
    let orders = strategy.rules.iter().filter_map(|rule| match &rule.reuse {
        Some(Reuse::Taylor(order)) => Some(order),
        _ => None,
    });
    let schedule = &strategy.schedule;
    let schedule = schedule.update.iter().chain(&schedule.dense).chain(&schedule.degrade);
    let maps = strategy.maps.iter().map(|map| &map.value);
    tokens.chain(maps).chain(conditions).chain(orders).chain(schedule)
}

/// The condition of a block rule.
fn condition(rule: &BlockRule) -> Option<&Expr> {
    match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    }
}

/// One mistake made at several places is one finding: the first one, with the others as further places.
fn push_joined(mistakes: Vec<Finding>, findings: &mut Findings) {
    let mut mistakes = mistakes.into_iter();
    let Some(first) = mistakes.next() else { return };
    let places = mistakes.filter_map(|mistake| mistake.span);
    findings.push(first.also_at(places));
}

/// Whether two actions write the same symbol.
fn same_symbol(a: Action, b: Action) -> bool {
    a.writes_skip_symbol() == b.writes_skip_symbol()
}
