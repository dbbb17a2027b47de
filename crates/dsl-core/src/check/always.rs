//! Does a condition decide anything?

use sparsym_ir::strategy::{Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::interval::Known;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    if let Some(mask) = &strategy.mask
        && Known::anywhere(strategy).truth(&mask.value) == Some(true)
    {
        findings.push(Finding::at(
            Code::AlwaysTrue,
            mask.value.span,
            "every token pair passes this mask",
            "remove the mask, or correct the condition",
        ));
    }
    for rule in &strategy.rules {
        let When::Match { q, kv, condition: Some(condition) } = &rule.when else { continue };
        if Known::within(strategy, *q, *kv).truth(condition) == Some(true) {
            findings.push(Finding::at(
                Code::AlwaysTrue,
                condition.span,
                "this condition is always true",
                "remove `where`, or correct the condition",
            ));
        }
    }
}
