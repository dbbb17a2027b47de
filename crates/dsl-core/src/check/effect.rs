//! Does a `keep` or `compute` rule change anything?

use std::collections::HashSet;

use sparsym_ir::span::Place;
use sparsym_ir::strategy::{Strategy, When};
use sparsym_ir::{Code, Finding, Findings};

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    // A rule that is wrong in another way has been reported.
    let reported: HashSet<Place> = findings.iter().filter_map(|finding| finding.span.map(|span| span.start)).collect();
    // Where the last `otherwise` stands that clears a symbol: of S_c, of S_s.
    let mut otherwise = [None; 2];
    for (index, rule) in strategy.rules.iter().enumerate() {
        if !rule.action.bit() && rule.when == When::Otherwise {
            otherwise[usize::from(rule.action.writes_skip_symbol())] = Some(index);
        }
    }
    let mut above = [false; 2];
    for (index, rule) in strategy.rules.iter().enumerate() {
        let symbol = usize::from(rule.action.writes_skip_symbol());
        if !rule.action.bit() {
            above[symbol] = true;
            continue;
        }
        // A rule under which the block would not be computed: one above, or the `otherwise` below.
        let cleared = above[symbol] || otherwise[symbol].is_some_and(|below| below > index);
        if reported.contains(&rule.span.start) || (rule.when != When::Otherwise && cleared) {
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
