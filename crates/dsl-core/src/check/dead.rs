//! Can the rule ever fire?

use sparsym_ir::strategy::{Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::interval::Known;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    if let Some(mask) = &strategy.mask
        && Known::anywhere(strategy).truth(&mask.value) == Some(false)
    {
        findings.push(Finding::at(
            Code::DeadRule,
            mask.value.span,
            "no token pair can pass this mask",
            "correct the condition: no value of the params and coordinates makes it true",
        ));
    }
    for rule in &strategy.rules {
        let When::Match { q, kv, condition: Some(condition) } = &rule.when else { continue };
        if Known::within(strategy, *q, *kv).truth(condition) == Some(false) {
            findings.push(Finding::at(
                Code::DeadRule,
                condition.span,
                format!("this `{}` rule can never fire", rule.action.name()),
                "correct the condition, or remove the rule: no value of the params and coordinates makes it true",
            ));
        }
    }
}
