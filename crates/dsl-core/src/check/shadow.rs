//! Is a rule wholly overridden by a later one?

use std::collections::HashMap;

use sparsym_ir::strategy::{RangeId, Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    // From the last rule to the first, so that what was seen stands below. By what a rule asks for: the nearest rule below
    // that asks for just that.
    let mut below: HashMap<Asked, usize> = HashMap::new();
    let mut covered = Vec::new();
    for (index, rule) in strategy.rules.iter().enumerate().rev() {
        let When::Match { q, kv, condition } = &rule.when else { continue };
        let condition = condition.as_ref().map(|condition| format!("{:?}", condition.without_spans().kind));
        let skips = rule.action.writes_skip_symbol();
        let by = wider(*q)
            .flat_map(|q| wider(*kv).map(move |kv| (q, kv)))
            .flat_map(|(q, kv)| [None, condition.clone()].map(|condition| Asked { skips, q, kv, condition }))
            .filter_map(|asked| below.get(&asked).copied())
            .min();
        covered.extend(by.map(|by| (rule, &strategy.rules[by])));
        below.insert(Asked { skips, q: *q, kv: *kv, condition }, index);
    }
    for (rule, by) in covered.into_iter().rev() {
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

/// What a rule asks of a block: a rule below covers it if it asks for less, as far as ranges and equal conditions tell.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    skips: bool,
    q: Option<RangeId>,
    kv: Option<RangeId>,
    condition: Option<String>,
}

/// A range, and all of the sequence.
fn wider(range: Option<RangeId>) -> impl Iterator<Item = Option<RangeId>> {
    std::iter::once(None).chain(range.map(Some))
}
