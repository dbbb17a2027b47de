//! Affine integers a · q.pos + b · kv.pos + c inside a mask, with factors that are known at run time only.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Side, Type, UnaryOp};

/// Factors of q.pos and kv.pos, and the constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) q: Number,
    pub(super) kv: Number,
    pub(super) constant: Number,
}

/// A 64-bit number of the text: a sum of products.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number(Vec<(i64, Vec<String>)>);

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
    match &expr.kind {
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
    pub(super) fn show(&self) -> String {
        format!("affine(cell, {}, {}, {})", self.q.show(), self.kv.show(), self.constant.show())
    }
}

impl Number {
    pub(super) fn of(value: i64) -> Number {
        Number(vec![(value, Vec::new())])
    }

    /// What reads no token, in these words.
    pub(super) fn uniform(text: String, kind: &ExprKind) -> Number {
        match kind {
            ExprKind::Int(value) => Number::of(*value),
            _ => Number(vec![(1, vec![format!("(i64){text}")])]),
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

    fn show(&self) -> String {
        let mut out = String::new();
        for (factor, names) in &self.0 {
            let mut product: Vec<String> = names.clone();
            let size = factor.unsigned_abs();
            if size != 1 || product.is_empty() {
                product.insert(0, size.to_string());
            }
            match (out.is_empty(), *factor < 0) {
                (true, false) => {}
                (true, true) => out.push('-'),
                (false, false) => out.push_str(" + "),
                (false, true) => out.push_str(" - "),
            }
            out.push_str(&product.join(" * "));
        }
        if out.is_empty() { "0".to_owned() } else { out }
    }
}
