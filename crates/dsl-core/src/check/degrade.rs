//! Does `degrade when` ask for the density of a symbol that rules write?

use sparsym_ir::expr::{ExprKind, SymbolKind};
use sparsym_ir::strategy::{Action, Strategy};
use sparsym_ir::{Code, Finding, Findings, Span};

/// The densities that are asked for.
fn densities(strategy: &Strategy) -> Vec<(SymbolKind, Span)> {
    let mut densities = Vec::new();
    if let Some(degrade) = &strategy.schedule.degrade {
        degrade.walk(&mut |e| {
            if let ExprKind::Density(symbol) = e.kind {
                densities.push((symbol, e.span));
            }
        });
    }
    densities
}

/// Mistakes in the clause that is there.
pub(super) fn check_present(strategy: &Strategy, findings: &mut Findings) {
    let Some(degrade) = &strategy.schedule.degrade else { return };
    let densities = densities(strategy);
    let Some(&(first, place)) = densities.first() else {
        findings.push(Finding::at(
            Code::DegradeCondition,
            degrade.span,
            "this condition asks for no density",
            "write `degrade when density(cache) <= 0.3;`, or `dense when` for a condition on steps and layers",
        ));
        return;
    };
    if let Some((second, span)) = densities.iter().find(|(symbol, _)| *symbol != first) {
        let message = format!("this asks for `{}` after `{}`", second.name(), first.name());
        findings.push(
            Finding::at(Code::DegradeCondition, *span, message, "ask for the density of one symbol")
                .label(place, "the first density"),
        );
    }
}

/// Mistakes in rules that are missing.
pub(super) fn check_absent(strategy: &Strategy, findings: &mut Findings) {
    for (symbol, span) in densities(strategy) {
        let written = strategy.rules.iter().any(|rule| match symbol {
            SymbolKind::Cache => rule.action == Action::Cache,
            SymbolKind::Skip => rule.action == Action::Skip,
        });
        // A mask clears bits of S_s too.
        if written || (symbol == SymbolKind::Skip && strategy.mask.is_some()) {
            continue;
        }
        let name = symbol.name();
        findings.push(Finding::at(
            Code::DegradeWithoutRule,
            span,
            format!("no `{name}` rule is there, so this density is always 1"),
            format!("write a `{name}` rule, or remove `degrade`"),
        ));
        return;
    }
}
