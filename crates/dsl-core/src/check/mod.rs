//! Checks of the typed IR, one file for each question.

use sparsym_ir::{Findings, Strategy};

/// All mistakes of a strategy that is otherwise well formed.
pub fn check(strategy: &Strategy) -> Findings {
    let mut findings = Findings::new();
    present(strategy, &mut findings);
    absent(strategy, &mut findings);
    findings
}

/// Mistakes in what is there.
pub(crate) fn present(_strategy: &Strategy, _findings: &mut Findings) {
}

/// Mistakes in what is missing: they are known only when every clause could be read.
pub(crate) fn absent(_strategy: &Strategy, _findings: &mut Findings) {
}
