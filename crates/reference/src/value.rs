//! Values of the language and what operators do with them: 32-bit integers that wrap, f32, nothing in between.

use sparsym_ir::expr::BinaryOp;
use sparsym_ir::strategy::Scalar;

/// A value of the language. The name of a table's entry is its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum V {
    B(bool),
    I(i32),
    F(f32),
    T([i32; 3]),
}

pub(crate) fn operate(op: BinaryOp, a: V, b: V) -> V {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Rem, Sub};
    match (op, a, b) {
        (And, a, b) => V::B(a == V::B(true) && b == V::B(true)),
        (Or, a, b) => V::B(a == V::B(true) || b == V::B(true)),
        (Eq, a, b) => V::B(a == b),
        (Ne, a, b) => V::B(a != b),
        (Lt, V::F(a), V::F(b)) => V::B(a < b),
        (Le, V::F(a), V::F(b)) => V::B(a <= b),
        (Gt, V::F(a), V::F(b)) => V::B(a > b),
        (Ge, V::F(a), V::F(b)) => V::B(a >= b),
        (Add, V::F(a), V::F(b)) => V::F(a + b),
        (Sub, V::F(a), V::F(b)) => V::F(a - b),
        (Mul, V::F(a), V::F(b)) => V::F(a * b),
        (Div, V::F(a), V::F(b)) => V::F(a / b),
        (Rem, V::F(a), V::F(b)) => V::F(a % b),
        (op, a, b) => {
            let (a, b) = (i64::from(int(a)), i64::from(int(b)));
            let low_32_bits = |v: i64| V::I(v as i32);
            match op {
                Lt => V::B(a < b),
                Le => V::B(a <= b),
                Gt => V::B(a > b),
                Ge => V::B(a >= b),
                Add => low_32_bits(a + b),
                Sub => low_32_bits(a - b),
                Mul => low_32_bits(a * b),
                Div => low_32_bits(if b == 0 { 0 } else { a / b }),
                _ => low_32_bits(if b == 0 { 0 } else { a % b }),
            }
        }
    }
}

pub(crate) fn least(a: V, b: V) -> V {
    match (a, b) {
        (V::F(a), V::F(b)) => V::F(if a < b || b.is_nan() { a } else { b }),
        (a, b) => V::I(if int(a) < int(b) { int(a) } else { int(b) }),
    }
}

pub(crate) fn most(a: V, b: V) -> V {
    match (a, b) {
        (V::F(a), V::F(b)) => V::F(if a > b || b.is_nan() { a } else { b }),
        (a, b) => V::I(if int(a) > int(b) { int(a) } else { int(b) }),
    }
}

pub(crate) fn typed(scalar: Scalar, value: f32) -> V {
    match scalar {
        Scalar::F32 => V::F(value),
        Scalar::Bool => V::B(value != 0.0),
        Scalar::U32 | Scalar::I32 => V::I(value as i32),
    }
}

pub(crate) fn int(v: V) -> i32 {
    match v {
        V::I(v) => v,
        V::B(v) => i32::from(v),
        V::F(v) => v as i32,
        V::T(v) => v[0],
    }
}

pub(crate) fn float(v: V) -> f32 {
    match v {
        V::F(v) => v,
        v => int(v) as f32,
    }
}
