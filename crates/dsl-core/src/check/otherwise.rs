//! Is `otherwise` the last rule of its symbol, and is something left for it?

use sparsym_ir::strategy::{BlockRule, RangeId, Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::same_symbol;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for (index, rule) in strategy.rules.iter().enumerate() {
        if rule.when != When::Otherwise {
            continue;
        }
        let (before, after) = (&strategy.rules[..index], &strategy.rules[index + 1..]);
        let same = |other: &&BlockRule| same_symbol(rule.action, other.action);
        let name = rule.action.name();
        if let Some(first) = before.iter().filter(same).find(|other| other.when == When::Otherwise) {
            let message = format!("a second `otherwise` for the same symbol: `{name}` covers nothing");
            findings.push(
                Finding::at(Code::UnreachableOtherwise, rule.span, message, "keep one of them")
                    .label(first.span, "this one covers all that is left"),
            );
        } else if let Some(later) = after.iter().filter(same).find(|other| other.when != When::Otherwise) {
            let message = format!("`otherwise {name}` is not the last of its rules");
            findings.push(
                Finding::at(Code::UnreachableOtherwise, rule.span, message, "move it below them")
                    .label(later.span, "this rule stands after it"),
            );
        } else if let Some(covering) = nothing_left(strategy, before.iter().filter(same)) {
            let message = format!("`otherwise {name}` has nothing to cover: other rules match every block");
            findings.push(
                Finding::at(
                    Code::UnreachableOtherwise,
                    rule.span,
                    message,
                    "remove it, or give those rules a condition",
                )
                .label(covering.span, "this rule matches all that the others leave"),
            );
        }
    }
}

/// The last rule that is needed so that rules without condition match every block.
fn nothing_left<'s>(strategy: &Strategy, rules: impl Iterator<Item = &'s BlockRule>) -> Option<&'s BlockRule> {
    // Every block belongs to one of the declared ranges.
    let ranges: Vec<Option<RangeId>> = match strategy.tokens.len() {
        0 => vec![None],
        n => (0..n).map(|id| Some(RangeId(id))).collect(),
    };
    let mut left: Vec<_> = ranges.iter().flat_map(|&q| ranges.iter().map(move |&kv| (q, kv))).collect();
    for rule in rules {
        let When::Match { q, kv, condition: None } = rule.when else { continue };
        left.retain(|&(of_q, of_kv)| !((q.is_none() || q == of_q) && (kv.is_none() || kv == of_kv)));
        if left.is_empty() {
            return Some(rule);
        }
    }
    None
}
