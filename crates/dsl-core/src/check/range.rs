//! Do param ranges hold a value, and the default in particular?

use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings};

use super::interval::number;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for param in &strategy.params {
        if let (Some(min), Some(max)) = (param.min, param.max)
            && number(min) > number(max)
        {
            findings.push(Finding::at(
                Code::EmptyRange,
                param.span,
                format!("no value of `{}` lies in {min}..={max}", param.name),
                "write the smaller end first",
            ));
        } else if param.check(param.default).is_err() {
            findings.push(Finding::at(
                Code::DefaultOutOfRange,
                param.span,
                format!("the default {} of `{}` is outside {}", param.default, param.name, param.range()),
                "change the default or the range",
            ));
        }
    }
}
