//! Sets of floats: what a float of a mask can be on a cell.
//!
//! Rounding to nearest is monotone, so an operation on the ends gives the ends. Functions that devices round differently are
//! widened, so that no verdict depends on the last places of one.

use crate::expr::{BinaryOp, Function};

use super::interval::order;

/// The floats from `lo` to `hi`, infinities included, and NaN if `nan`; with `lo > hi` no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Floats {
    pub(super) lo: f32,
    pub(super) hi: f32,
    pub(super) nan: bool,
}

impl Floats {
    pub(super) const NONE: Floats = Floats { lo: f32::INFINITY, hi: f32::NEG_INFINITY, nan: false };
    pub(super) const ANY: Floats = Floats { lo: f32::NEG_INFINITY, hi: f32::INFINITY, nan: true };

    pub(super) fn one(value: f32) -> Floats {
        match value.is_nan() {
            true => Floats { nan: true, ..Floats::NONE },
            false => Floats { lo: value, hi: value, nan: false },
        }
    }

    pub(super) fn hull(self, other: Floats) -> Floats {
        Floats { lo: lesser(self.lo, other.lo), hi: greater(self.hi, other.hi), nan: self.nan | other.nan }
    }

    fn has_numbers(self) -> bool {
        self.lo <= self.hi
    }

    /// The only value, if there is one.
    fn single(self) -> Option<f32> {
        match (self.has_numbers(), self.nan) {
            (true, false) => (self.lo.to_bits() == self.hi.to_bits()).then_some(self.lo),
            (false, true) => Some(f32::NAN),
            _ => None,
        }
    }

    pub(super) fn negated(self) -> Floats {
        Floats { lo: -self.hi, hi: -self.lo, nan: self.nan }
    }

    fn absolute(self) -> Floats {
        if !self.has_numbers() {
            return self;
        }
        let (a, b) = (self.lo.abs(), self.hi.abs());
        let lo = if self.lo <= 0.0 && self.hi >= 0.0 { 0.0 } else { a.min(b) };
        Floats { lo, hi: a.max(b), nan: self.nan }
    }

    pub(super) fn binary(op: BinaryOp, a: Floats, b: Floats) -> Floats {
        if let (Some(x), Some(y)) = (a.single(), b.single()) {
            return Floats::one(operation(op, x, y));
        }
        if !a.has_numbers() || !b.has_numbers() {
            return Floats::one(f32::NAN);
        }
        // inf - inf, 0 · inf or 0 / 0 may lie inside.
        let wild = [a.lo, a.hi, b.lo, b.hi].iter().any(|v| v.is_infinite());
        let ends = match op {
            _ if wild => return Floats::ANY,
            BinaryOp::Add => [a.lo + b.lo, a.hi + b.hi],
            BinaryOp::Sub => [a.lo - b.hi, a.hi - b.lo],
            BinaryOp::Mul => corners(a, b, |x, y| x * y),
            BinaryOp::Div if b.lo > 0.0 || b.hi < 0.0 => corners(a, b, |x, y| x / y),
            _ => return Floats::ANY,
        };
        Floats { lo: ends[0], hi: ends[1], nan: a.nan | b.nan }
    }

    /// The verdict of a comparison; one with NaN is false, but for `!=`.
    pub(super) fn compare(op: BinaryOp, a: Floats, b: Floats) -> Option<bool> {
        let of_nan = op == BinaryOp::Ne;
        if !a.has_numbers() || !b.has_numbers() {
            return Some(of_nan);
        }
        let of_numbers = order(op, (a.lo, a.hi), (b.lo, b.hi));
        of_numbers.filter(|&truth| truth == of_nan || !(a.nan | b.nan))
    }

    pub(super) fn call(function: Function, a: Floats, b: Floats, c: Floats) -> Floats {
        match function {
            Function::Abs => a.absolute(),
            Function::Min => a.least(b),
            Function::Max => a.most(b),
            Function::Clamp => a.least(c).most(b),
            Function::Sqrt => a.without_negatives().monotone(f32::sqrt),
            Function::Log => a.without_negatives().monotone(f32::ln).widened(),
            Function::Log2 => a.without_negatives().monotone(f32::log2).widened(),
            Function::Tanh => a.monotone(f32::tanh).widened(),
            Function::Exp => a.monotone(f32::exp).widened(),
            Function::Exp2 => a.monotone(f32::exp2).widened(),
            _ => Floats::ANY,
        }
    }

    /// The lesser of two; of a number and NaN the number.
    fn least(self, other: Floats) -> Floats {
        self.either(other, Floats { lo: lesser(self.lo, other.lo), hi: lesser(self.hi, other.hi), nan: false })
    }

    fn most(self, other: Floats) -> Floats {
        self.either(other, Floats { lo: greater(self.lo, other.lo), hi: greater(self.hi, other.hi), nan: false })
    }

    /// `numbers` where both are numbers, and what is left where one is not.
    fn either(self, other: Floats, numbers: Floats) -> Floats {
        let mut result = Floats { nan: self.nan & other.nan, ..Floats::NONE };
        if self.has_numbers() && other.has_numbers() {
            result = result.hull(numbers);
        }
        if self.nan && other.has_numbers() {
            result = result.hull(Floats { nan: false, ..other });
        }
        if other.nan && self.has_numbers() {
            result = result.hull(Floats { nan: false, ..self });
        }
        result
    }

    /// Negative numbers become NaN, as a root's or a logarithm's.
    fn without_negatives(self) -> Floats {
        match self {
            Floats { lo, hi, .. } if lo > hi || lo >= 0.0 => self,
            Floats { hi, .. } if hi < 0.0 => Floats::one(f32::NAN),
            Floats { hi, .. } => Floats { lo: 0.0, hi, nan: true },
        }
    }

    fn monotone(self, f: fn(f32) -> f32) -> Floats {
        if self.has_numbers() { Floats { lo: f(self.lo), hi: f(self.hi), nan: self.nan } } else { self }
    }

    /// Devices agree on these to a few units in the last place only; on infinities wholly, but not on where they begin.
    fn widened(self) -> Floats {
        const NEARLY_INFINITE: f32 = 3.4e38;
        if !self.has_numbers() {
            return self;
        }
        let lo = if self.lo == f32::INFINITY { NEARLY_INFINITE } else { self.lo - self.lo.abs() * 1e-5 - 1e-30 };
        let hi = if self.hi == f32::NEG_INFINITY { self.hi } else { self.hi + self.hi.abs() * 1e-5 + 1e-30 };
        Floats { lo, hi, nan: self.nan }
    }
}

/// Of two numbers; -0 is less than 0, as on devices.
fn lesser(a: f32, b: f32) -> f32 {
    if a < b || a == b && a.is_sign_negative() { a } else { b }
}

fn greater(a: f32, b: f32) -> f32 {
    if a > b || a == b && a.is_sign_positive() { a } else { b }
}

fn operation(op: BinaryOp, x: f32, y: f32) -> f32 {
    match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div => x / y,
        _ => x % y,
    }
}

fn corners(a: Floats, b: Floats, f: impl Fn(f32, f32) -> f32) -> [f32; 2] {
    let all = [f(a.lo, b.lo), f(a.lo, b.hi), f(a.hi, b.lo), f(a.hi, b.hi)];
    [all.into_iter().fold(f32::INFINITY, lesser), all.into_iter().fold(f32::NEG_INFINITY, greater)]
}
