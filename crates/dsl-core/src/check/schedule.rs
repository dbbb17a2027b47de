//! Does the schedule give Update and Dispatch steps a meaning?

use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Global};
use sparsym_ir::strategy::{Action, Strategy};
use sparsym_ir::{Code, Finding, Findings};

use super::interval::Known;
use super::{expressions, push_joined};

/// Mistakes in the schedule that is there.
pub(super) fn check_present(strategy: &Strategy, findings: &mut Findings) {
    let (update, dense) = (strategy.schedule.update.as_ref(), strategy.schedule.dense.as_ref());
    if let Some(update) = update {
        // An interval of 0 is the reason more often than the whole condition, so it is looked for first.
        if !zero_interval(strategy, update, findings) {
            constant_update(strategy, update, findings);
        }
    }
    if let Some(dense) = dense {
        dense_hides_update(strategy, update, dense, findings);
    }
}

/// Mistakes in a schedule that is missing.
pub(super) fn check_absent(strategy: &Strategy, findings: &mut Findings) {
    if strategy.schedule.update.is_some() {
        return;
    }
    if let Some(cache) = strategy.rules.iter().find(|rule| rule.action == Action::Cache) {
        findings.push(Finding::at(
            Code::MissingUpdate,
            cache.span,
            "blocks are cached but every step is an Update",
            "say when caches are refreshed, for instance `update when since_update == interval;`",
        ));
        return;
    }
    let mut mistakes = Vec::new();
    for value in expressions(strategy) {
        value.walk(&mut |e| {
            if is_since_update(e) {
                mistakes.push(Finding::at(
                    Code::SinceUpdateWithoutUpdate,
                    e.span,
                    "`since_update` is always 0: every step is an Update",
                    "add `update when …;`, or read `step`",
                ));
            }
        });
    }
    push_joined(mistakes, findings);
}

fn constant_update(strategy: &Strategy, update: &Expr, findings: &mut Findings) {
    let (message, help) = match Known::after_first_step(strategy).truth(update) {
        Some(true) => ("every step is an Update", "remove the clause, or let some steps be Dispatch"),
        Some(false) => ("no step after the first is an Update", "let the condition hold at some step after 0"),
        None => return,
    };
    findings.push(Finding::at(Code::ConstantUpdate, update.span, message, help));
}

/// `since_update == interval` with an interval that may be 0.
fn zero_interval(strategy: &Strategy, update: &Expr, findings: &mut Findings) -> bool {
    let mut found = false;
    let known = Known::after_first_step(strategy);
    for value in subexpressions(update) {
        let ExprKind::Binary(BinaryOp::Eq, left, right) = &value.kind else { continue };
        let interval = match (is_since_update(left), is_since_update(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => continue,
        };
        if known.int(interval).lo > 0 {
            continue;
        }
        found = true;
        findings.push(Finding::at(
            Code::ZeroInterval,
            interval.span,
            "this interval may be 0, and then the step is never an Update",
            "give the param a range that starts at 1: `param interval: u32 in 1.. = 5;`",
        ));
    }
    found
}

fn dense_hides_update(strategy: &Strategy, update: Option<&Expr>, dense: &Expr, findings: &mut Findings) {
    let truth = Known::anywhere(strategy).truth(dense);
    if truth == Some(false) {
        let message = "no step is dense under this condition";
        findings.push(Finding::at(Code::DeadRule, dense.span, message, "correct the condition, or remove it"));
        return;
    }
    let hidden = truth == Some(true) || update.is_some_and(|update| implies(update, dense));
    if !hidden {
        return;
    }
    let finding = Finding::at(
        Code::DenseHidesUpdate,
        dense.span,
        "every Update step is dense, so the rules never make symbols",
        "leave some Update steps to the rules",
    );
    findings.push(match update {
        Some(update) => finding.label(update.span, "Update steps"),
        None => finding,
    });
}

/// Whether each alternative of `a` is an alternative of `b`.
fn implies(a: &Expr, b: &Expr) -> bool {
    let of_b = alternatives(b);
    alternatives(a).iter().all(|alternative| of_b.contains(alternative))
}

fn alternatives(value: &Expr) -> Vec<&Expr> {
    match &value.kind {
        ExprKind::Binary(BinaryOp::Or, left, right) => {
            let mut all = alternatives(left);
            all.extend(alternatives(right));
            all
        }
        _ => vec![value],
    }
}

fn subexpressions(value: &Expr) -> Vec<&Expr> {
    let mut all = vec![value];
    all.extend(value.children().into_iter().flat_map(subexpressions));
    all
}

fn is_since_update(value: &Expr) -> bool {
    value.kind == ExprKind::Global(Global::SinceUpdate)
}
