//! Can the divisor of an integer division be zero?

use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Type};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings};

use super::expressions;
use super::interval::Known;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for value in expressions(strategy) {
        value.walk(&mut |e| {
            if let ExprKind::BlockSum(sum) = &e.kind
                && Known::anywhere(strategy).int(&sum.stride).lo < 1
            {
                let message = "this stride may be less than 1";
                let help = "give the param a range: `param stride: u32 in 1.. = 8;`";
                findings.push(Finding::at(Code::ZeroDivisor, sum.stride.span, message, help));
            }
            let ExprKind::Binary(op @ (BinaryOp::Div | BinaryOp::Rem), _, divisor) = &e.kind else { return };
            if divisor.ty == Type::Int && may_be_zero(strategy, divisor) {
                findings.push(Finding::at(
                    Code::ZeroDivisor,
                    divisor.span,
                    format!("this divisor of an integer `{}` may be 0", op.symbol()),
                    help(divisor),
                ));
            }
        });
    }
}

fn may_be_zero(strategy: &Strategy, divisor: &Expr) -> bool {
    Known::anywhere(strategy).int(divisor).contains(0)
}

fn help(divisor: &Expr) -> &'static str {
    match divisor.kind {
        ExprKind::Param(_) => "give the param a range without 0, for instance `in 1..`",
        ExprKind::Int(_) => "divide by another number",
        _ => "write `max(x, 1)`",
    }
}
