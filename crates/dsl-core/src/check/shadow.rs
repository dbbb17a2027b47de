//! Is a rule wholly overridden by a later one?

use sparsym_ir::strategy::{BlockRule, RangeId, Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::same_symbol;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for (index, rule) in strategy.rules.iter().enumerate() {
        let later = strategy.rules[index + 1..].iter();
        let Some(by) = later.filter(|later| same_symbol(rule.action, later.action)).find(|by| covers(by, rule)) else {
            continue;
        };
        findings.push(
            Finding::at(
                Code::ShadowedRule,
                rule.span,
                format!("this `{}` rule is wholly overridden", rule.action.name()),
                "the last match wins: put the special rule after the general one, or remove it",
            )
            .label(by.span, format!("this `{}` rule matches wherever it does", by.action.name())),
        );
    }
}

/// Whether `by` matches every block that `rule` matches, as far as ranges and equal conditions tell.
fn covers(by: &BlockRule, rule: &BlockRule) -> bool {
    let (When::Match { q, kv, condition }, When::Match { q: of_q, kv: of_kv, condition: of_condition }) =
        (&by.when, &rule.when)
    else {
        return false;
    };
    let wider = |by: &Option<RangeId>, of: &Option<RangeId>| by.is_none() || by == of;
    wider(q, of_q) && wider(kv, of_kv) && (condition.is_none() || condition == of_condition)
}
