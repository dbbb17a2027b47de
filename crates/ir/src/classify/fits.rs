//! Whether a call keeps the affine integers of its mask inside 32 bits, so that they may be judged in 64. If one may leave
//! them, no block pair of the call is judged.

use crate::bind::{Bound, Moment};
use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Type, UnaryOp};

use super::atoms::stays_in_32_bits;
use super::{Atoms, Formula};

/// Whether no affine integer of the mask leaves 32 bits in this call. If one may, every block pair is partial.
pub fn mask_fits(bound: &Bound<'_>, moment: &Moment) -> bool {
    let mask = bound.strategy.mask.as_ref();
    mask.is_none_or(|mask| fits(bound, moment, &Atoms::of(bound.strategy, &mask.value).formula))
}

/// Whether the answer of [`mask_fits`] may be no for some legal call of the strategy.
pub fn may_not_fit(formula: &Formula) -> bool {
    let most = i32::MAX as usize;
    let any = |e: &Expr| match e.value().kind {
        ExprKind::Int(value) => [value; 2],
        _ => [i64::from(i32::MIN), i64::from(i32::MAX)],
    };
    questions(formula).iter().any(|expr| !stays_in_32_bits(expr, [most, most], &any))
}

pub(super) fn fits(bound: &Bound<'_>, moment: &Moment, formula: &Formula) -> bool {
    let problem = bound.problem;
    let tokens = [problem.n_q, problem.n_kv];
    let places = || (0..problem.batch).flat_map(|b| (0..problem.heads).map(move |h| (b, h)));
    questions(formula).iter().all(|expr| {
        places().all(|(b, h)| {
            let value = |e: &Expr| i64::from(bound.integer_at(moment, b, h, e));
            stays_in_32_bits(expr, tokens, &|e| [value(e); 2])
        })
    })
}

/// The integers that must stay in 32 bits: sides of guarded comparisons, and affine parts of opaque ones.
fn questions(formula: &Formula) -> Vec<&Expr> {
    match formula {
        Formula::Guarded { comparison, .. } => comparison.children(),
        Formula::Opaque(expr) => affine_parts(expr),
        Formula::Not(inner) => questions(inner),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().flat_map(questions).collect(),
        Formula::Uniform(_) | Formula::NotPositive(_) | Formula::Reached(..) => Vec::new(),
    }
}

/// The largest subexpressions that read tokens and are affine in their positions.
fn affine_parts(expr: &Expr) -> Vec<&Expr> {
    if !expr.reads_tokens() {
        return Vec::new();
    }
    if is_affine(expr) {
        return vec![expr];
    }
    expr.children().into_iter().flat_map(affine_parts).collect()
}

/// Whether an integer is affine in q.pos and kv.pos.
pub(super) fn is_affine(expr: &Expr) -> bool {
    if expr.ty != Type::Int {
        return false;
    }
    match &expr.value().kind {
        _ if !expr.reads_tokens() => true,
        ExprKind::Coordinate(_, Coordinate::Pos) => true,
        ExprKind::Unary(UnaryOp::Neg, a) => is_affine(a),
        ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => is_affine(a) && is_affine(b),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !a.reads_tokens() => is_affine(b),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !b.reads_tokens() => is_affine(a),
        _ => false,
    }
}
