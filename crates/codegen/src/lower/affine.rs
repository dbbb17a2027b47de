//! Affine integers a · q.pos + b · kv.pos + c inside a mask, with factors that may be known at run time only; and the
//! question that the host answers for the device: can any of them leave 32 bits?

use sparsym_ir::Expr;
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::classify::atoms::stays_in_32_bits;
use sparsym_ir::classify::{Atoms, Formula};
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Side, Type, UnaryOp};

/// Factors of q.pos and kv.pos, and the constant, as 64-bit numbers or text of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine<N> {
    pub(super) q: N,
    pub(super) kv: N,
    pub(super) constant: N,
}

/// Numbers that an affine form is made of.
pub(super) trait Number: Clone {
    fn of(value: i64) -> Self;
    fn plus(&self, other: &Self) -> Self;
    fn times(&self, other: &Self) -> Self;
}

/// The affine form of an integer expression, if it has one; `uniform` gives the value of what reads no token.
pub(super) fn affine<N: Number>(expr: &Expr, uniform: &dyn Fn(&Expr) -> N) -> Option<Affine<N>> {
    let number = N::of;
    if expr.ty != Type::Int {
        return None;
    }
    if !expr.reads_tokens() {
        return Some(Affine { q: number(0), kv: number(0), constant: uniform(expr) });
    }
    let of = |e: &Expr| affine(e, uniform);
    match &expr.kind {
        ExprKind::Coordinate(Side::Q, Coordinate::Pos) => {
            Some(Affine { q: number(1), kv: number(0), constant: number(0) })
        }
        ExprKind::Coordinate(Side::Kv, Coordinate::Pos) => {
            Some(Affine { q: number(0), kv: number(1), constant: number(0) })
        }
        ExprKind::Unary(UnaryOp::Neg, a) => Some(of(a)?.times(&number(-1))),
        ExprKind::Binary(BinaryOp::Add, a, b) => Some(of(a)?.plus(&of(b)?)),
        ExprKind::Binary(BinaryOp::Sub, a, b) => Some(of(a)?.plus(&of(b)?.times(&number(-1)))),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !a.reads_tokens() => Some(of(b)?.times(&uniform(a))),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !b.reads_tokens() => Some(of(a)?.times(&uniform(b))),
        _ => None,
    }
}

impl<N: Number> Affine<N> {
    fn plus(&self, other: &Self) -> Self {
        Affine { q: self.q.plus(&other.q), kv: self.kv.plus(&other.kv), constant: self.constant.plus(&other.constant) }
    }

    fn times(&self, factor: &N) -> Self {
        Affine { q: self.q.times(factor), kv: self.kv.times(factor), constant: self.constant.times(factor) }
    }
}

impl Number for i64 {
    fn of(value: i64) -> i64 {
        value
    }

    fn plus(&self, other: &i64) -> i64 {
        self.saturating_add(*other)
    }

    fn times(&self, other: &i64) -> i64 {
        self.saturating_mul(*other)
    }
}

/// Whether no affine integer of the mask leaves 32 bits in this call, so that it may be judged in 64. If one does, the
/// device calls every block pair partial.
pub(crate) fn mask_fits(bound: &Bound<'_>, moment: &Moment) -> bool {
    let Some(mask) = &bound.strategy.mask else { return true };
    let atoms = Atoms::of(bound.strategy, &mask.value);
    let problem = bound.problem;
    let tokens = [problem.n_q, problem.n_kv];
    let places = || (0..problem.batch).flat_map(|b| (0..problem.heads).map(move |h| (b, h)));
    questions(&atoms.formula).iter().all(|expr| {
        places().all(|(b, h)| {
            let value = |e: &Expr| i64::from(bound.integer_at(moment, b, h, e));
            stays_in_32_bits(expr, tokens, &|e| [value(e); 2])
        })
    })
}

/// Whether the answer of [`mask_fits`] may be no for some legal call of the strategy.
pub(super) fn may_not_fit(formula: &Formula) -> bool {
    let most = i32::MAX as usize;
    let any = |e: &Expr| match e.kind {
        ExprKind::Int(value) => [value; 2],
        _ => [i64::from(i32::MIN), i64::from(i32::MAX)],
    };
    questions(formula).iter().any(|expr| !stays_in_32_bits(expr, [most, most], &any))
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

/// The largest subexpressions that read tokens and are affine.
fn affine_parts(expr: &Expr) -> Vec<&Expr> {
    if !expr.reads_tokens() {
        return Vec::new();
    }
    if affine(expr, &|_| 1i64).is_some() {
        return vec![expr];
    }
    expr.children().into_iter().flat_map(affine_parts).collect()
}
