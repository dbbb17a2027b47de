//! Affine integers a · q.pos + b · kv.pos + c inside a mask, with factors that are known at run time only.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Side, Type, UnaryOp};

use super::cuda::{Cuda, all_of, call, literal, name};

/// Factors of q.pos and kv.pos, and the constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) q: Number,
    pub(super) kv: Number,
    pub(super) constant: Number,
}

/// A 64-bit number of the text: a sum of products.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number(Vec<(i64, Vec<Cuda>)>);

/// The affine form of an integer expression, if it has one; `uniform` spells what reads no token.
pub(super) fn affine(expr: &Expr, uniform: &dyn Fn(&Expr) -> Number) -> Option<Affine> {
    let number = Number::of;
    if expr.ty != Type::Int {
        return None;
    }
    if !expr.reads_tokens() {
        return Some(Affine { q: number(0), kv: number(0), constant: uniform(expr) });
    }
    let of = |e: &Expr| affine(e, uniform);
    match &expr.value().kind {
        ExprKind::Coordinate(Side::Q, Coordinate::Pos) => {
            Some(Affine { q: number(1), kv: number(0), constant: number(0) })
        }
        ExprKind::Coordinate(Side::Kv, Coordinate::Pos) => {
            Some(Affine { q: number(0), kv: number(1), constant: number(0) })
        }
        ExprKind::Unary(UnaryOp::Neg, a) => Some(of(a)?.times(&number(-1))),
        ExprKind::Binary(BinaryOp::Add, a, b) => Some(of(a)?.plus(&of(b)?)),
        ExprKind::Binary(BinaryOp::Sub, a, b) => Some(of(a)?.minus(&of(b)?)),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !a.reads_tokens() => Some(of(b)?.times(&uniform(a))),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !b.reads_tokens() => Some(of(a)?.times(&uniform(b))),
        _ => None,
    }
}

impl Affine {
    fn plus(&self, other: &Affine) -> Affine {
        Affine { q: self.q.plus(&other.q), kv: self.kv.plus(&other.kv), constant: self.constant.plus(&other.constant) }
    }

    pub(super) fn minus(&self, other: &Affine) -> Affine {
        self.plus(&other.times(&Number::of(-1)))
    }

    fn times(&self, factor: &Number) -> Affine {
        Affine { q: self.q.times(factor), kv: self.kv.times(factor), constant: self.constant.times(factor) }
    }

    /// As an interval over a cell.
    pub(super) fn show(&self) -> Cuda {
        call("affine", [name("cell"), self.q.show(), self.kv.show(), self.constant.show()])
    }
}

impl Number {
    pub(super) fn of(value: i64) -> Number {
        Number(vec![(value, Vec::new())])
    }

    /// What reads no token.
    pub(super) fn uniform(value: Cuda, kind: &ExprKind) -> Number {
        match kind {
            ExprKind::Int(value) => Number::of(*value),
            _ => Number(vec![(1, vec![value.prefixed("(i64)")])]),
        }
    }

    fn plus(&self, other: &Number) -> Number {
        let mut terms = self.0.clone();
        for (factor, names) in &other.0 {
            match terms.iter_mut().find(|(_, known)| known == names) {
                Some((known, _)) => *known = known.saturating_add(*factor),
                None => terms.push((*factor, names.clone())),
            }
        }
        terms.retain(|(factor, _)| *factor != 0);
        Number(terms)
    }

    fn times(&self, other: &Number) -> Number {
        let mut product = Number(Vec::new());
        for (a, left) in &self.0 {
            for (b, right) in &other.0 {
                let names = left.iter().chain(right).cloned().collect();
                // Where a factor leaves 64 bits the mask does not fit, unless the factor meets position 0 alone.
                let factor = a.saturating_mul(*b).max(-i64::MAX);
                product = product.plus(&Number(vec![(factor, names)]));
            }
        }
        product
    }

    fn show(&self) -> Cuda {
        let product = |(factor, names): &(i64, Vec<Cuda>)| {
            let size = factor.unsigned_abs();
            let number = (size != 1 || names.is_empty()).then(|| literal(size));
            (*factor < 0, number.into_iter().chain(names.iter().cloned()).collect::<Vec<Cuda>>())
        };
        sum_of(self.0.iter().map(product))
    }
}

/// A sum of products, each with whether it is subtracted; 0 if there are none.
pub(super) fn sum_of(products: impl IntoIterator<Item = (bool, Vec<Cuda>)>) -> Cuda {
    let mut sum = None;
    for (negative, mut factors) in products {
        if sum.is_none() && negative {
            factors[0] = factors[0].clone().prefixed("-");
        }
        let product = all_of("*", factors).unwrap_or_else(|| literal(1));
        sum = Some(match sum {
            None => product,
            Some(sum) => Cuda::op(sum, if negative { "-" } else { "+" }, product),
        });
    }
    sum.unwrap_or_else(|| literal(0))
}
