//! Is `otherwise` the last rule of its symbol, and is something left for it?

use std::collections::HashSet;

use sparsym_ir::strategy::{BlockRule, Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

use super::same_symbol;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    // The first `otherwise` of S_c and of S_s.
    let mut firsts: [Option<&BlockRule>; 2] = [None; 2];
    for (index, rule) in strategy.rules.iter().enumerate() {
        if rule.when != When::Otherwise {
            continue;
        }
        let first = &mut firsts[usize::from(rule.action.writes_skip_symbol())];
        let (before, after) = (&strategy.rules[..index], &strategy.rules[index + 1..]);
        let same = |other: &&BlockRule| same_symbol(rule.action, other.action);
        let name = rule.action.name();
        if let Some(first) = *first {
            let message = format!("a second `otherwise` for the same symbol: `{name}` covers nothing");
            findings.push(
                Finding::at(Code::UnreachableOtherwise, rule.span, message, "keep one of them")
                    .label(first.span, "this one covers all that is left"),
            );
            continue;
        }
        *first = Some(rule);
        if let Some(later) = after.iter().filter(same).find(|other| other.when != When::Otherwise) {
            let message = format!("`otherwise {name}` is not the last of its rules");
            findings.push(
                Finding::at(Code::UnreachableOtherwise, rule.span, message, "move it below them")
                    .label(later.span, "this rule stands after it"),
            );
        } else if let Some(covering) = nothing_left(strategy, &before.iter().filter(same).collect::<Vec<_>>()) {
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
fn nothing_left<'s>(strategy: &Strategy, rules: &[&'s BlockRule]) -> Option<&'s BlockRule> {
    if !all_matched(strategy, rules) {
        return None;
    }
    // More rules match more, so the first number that is enough can be halved for.
    let (mut few, mut enough) = (0, rules.len());
    while enough - few > 1 {
        let half = few + (enough - few) / 2;
        if all_matched(strategy, &rules[..half]) { enough = half } else { few = half }
    }
    rules.get(enough.checked_sub(1)?).copied()
}

/// Whether rules without condition match every block. Every block belongs to one of the declared ranges.
fn all_matched(strategy: &Strategy, rules: &[&BlockRule]) -> bool {
    let (mut rows, mut columns, mut cells) = (HashSet::new(), HashSet::new(), HashSet::new());
    for rule in rules {
        match rule.when {
            When::Match { q: None, kv: None, condition: None } => return true,
            When::Match { q: Some(q), kv: None, condition: None } => drop(rows.insert(q)),
            When::Match { q: None, kv: Some(kv), condition: None } => drop(columns.insert(kv)),
            When::Match { q: Some(q), kv: Some(kv), condition: None } => drop(cells.insert((q, kv))),
            _ => {}
        }
    }
    let ranges = strategy.tokens.len();
    let left = (ranges - rows.len()) * (ranges - columns.len());
    let alone = cells.iter().filter(|(q, kv)| !rows.contains(q) && !columns.contains(kv)).count();
    ranges > 0 && left == alone
}
