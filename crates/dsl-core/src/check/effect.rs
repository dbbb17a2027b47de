//! Does a `keep` or `compute` rule change anything?

use sparsym_ir::strategy::{BlockRule, Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::same_symbol;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for (index, rule) in strategy.rules.iter().enumerate() {
        // A rule that is wrong in another way has been reported.
        let reported = findings.iter().any(|finding| finding.span.is_some_and(|s| s.start == rule.span.start));
        if !rule.action.bit() || reported {
            continue;
        }
        // A rule under which the block would not be computed: one above, or the `otherwise` below.
        let clears = |other: &BlockRule| same_symbol(rule.action, other.action) && !other.action.bit();
        let above = strategy.rules[..index].iter().any(clears);
        let below = strategy.rules[index..].iter().any(|other| clears(other) && other.when == When::Otherwise);
        if rule.when != When::Otherwise && (above || below) {
            continue;
        }
        let (name, undone) = match rule.action.writes_skip_symbol() {
            true => ("keep", "skip"),
            false => ("compute", "cache"),
        };
        findings.push(Finding::at(
            Code::NoEffect,
            rule.span,
            format!("this `{name}` rule changes nothing: every block is computed already"),
            format!("write `otherwise {undone};` after it, or a `{undone}` rule before it"),
        ));
    }
}
