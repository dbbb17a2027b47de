//! Integer arithmetic.

use super::form::operands::{L, TO_L, TO_W, W};
use super::form::{Action, Family, Form, Operand, effect, lanes};
use crate::machine::lanes::{Lane, WARP};
use crate::trap::Fault;

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];
const L_L: &[Operand] = &[TO_L, L];
const L_LL: &[Operand] = &[TO_L, L, L];
const L_LLL: &[Operand] = &[TO_L, L, L, L];
const L_WW: &[Operand] = &[TO_L, W, W];
const L_WWL: &[Operand] = &[TO_L, W, W, L];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("add{.u16|.s16}", W_WW, "d = a + b, modulo 2^16", lanes!(|a: u16, b: u16| -> u16 { a.wrapping_add(b) })),
    row("add{.u32|.s32}", W_WW, "d = a + b, modulo 2^32", lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) })),
    row("add{.u64|.s64}", L_LL, "d = a + b, modulo 2^64", lanes!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) })),
    row("add.sat.s32", W_WW, "d = a + b, clamped to s32", lanes!(|a: i32, b: i32| -> i32 { a.saturating_add(b) })),
    row(
        "add{.u16x2|.s16x2}",
        W_WW,
        "each half of d = a + b, modulo 2^16",
        lanes!(|a: u32, b: u32| -> u32 { pair(a.wrapping_add(b), (a >> 16).wrapping_add(b >> 16)) }),
    ),
    row("sub{.u16|.s16}", W_WW, "d = a - b, modulo 2^16", lanes!(|a: u16, b: u16| -> u16 { a.wrapping_sub(b) })),
    row("sub{.u32|.s32}", W_WW, "d = a - b, modulo 2^32", lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) })),
    row("sub{.u64|.s64}", L_LL, "d = a - b, modulo 2^64", lanes!(|a: u64, b: u64| -> u64 { a.wrapping_sub(b) })),
    row("sub.sat.s32", W_WW, "d = a - b, clamped to s32", lanes!(|a: i32, b: i32| -> i32 { a.saturating_sub(b) })),
    row("mul.lo{.u16|.s16}", W_WW, "d = lower half of a * b", lanes!(|a: u16, b: u16| -> u16 { a.wrapping_mul(b) })),
    row("mul.lo{.u32|.s32}", W_WW, "d = lower half of a * b", lanes!(|a: u32, b: u32| -> u32 { a.wrapping_mul(b) })),
    row("mul.lo{.u64|.s64}", L_LL, "d = lower half of a * b", lanes!(|a: u64, b: u64| -> u64 { a.wrapping_mul(b) })),
    row(
        "mul.hi.u16",
        W_WW,
        "d = upper half of a * b",
        lanes!(|a: u16, b: u16| -> u16 { ((u32::from(a) * u32::from(b)) >> 16) as u16 }),
    ),
    row(
        "mul.hi.s16",
        W_WW,
        "d = upper half of a * b",
        lanes!(|a: i16, b: i16| -> i16 { ((i32::from(a) * i32::from(b)) >> 16) as i16 }),
    ),
    row("mul.hi.u32", W_WW, "d = upper half of a * b", lanes!(|a: u32, b: u32| -> u32 { high_u32(a, b) })),
    row("mul.hi.s32", W_WW, "d = upper half of a * b", lanes!(|a: i32, b: i32| -> i32 { high_s32(a, b) })),
    row("mul.hi.u64", L_LL, "d = upper half of a * b", lanes!(|a: u64, b: u64| -> u64 { high_u64(a, b) })),
    row("mul.hi.s64", L_LL, "d = upper half of a * b", lanes!(|a: i64, b: i64| -> i64 { high_s64(a, b) })),
    row("mul.wide.u16", W_WW, "d = a * b, 32 bits", lanes!(|a: u16, b: u16| -> u32 { u32::from(a) * u32::from(b) })),
    row("mul.wide.s16", W_WW, "d = a * b, 32 bits", lanes!(|a: i16, b: i16| -> i32 { i32::from(a) * i32::from(b) })),
    row("mul.wide.u32", L_WW, "d = a * b, 64 bits", lanes!(|a: u32, b: u32| -> u64 { u64::from(a) * u64::from(b) })),
    row("mul.wide.s32", L_WW, "d = a * b, 64 bits", lanes!(|a: i32, b: i32| -> i64 { i64::from(a) * i64::from(b) })),
    row(
        "mad.lo{.u16|.s16}",
        W_WWW,
        "d = lower half of a * b, + c",
        lanes!(|a: u16, b: u16, c: u16| -> u16 { a.wrapping_mul(b).wrapping_add(c) }),
    ),
    row(
        "mad.lo{.u32|.s32}",
        W_WWW,
        "d = lower half of a * b, + c",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { a.wrapping_mul(b).wrapping_add(c) }),
    ),
    row(
        "mad.lo{.u64|.s64}",
        L_LLL,
        "d = lower half of a * b, + c",
        lanes!(|a: u64, b: u64, c: u64| -> u64 { a.wrapping_mul(b).wrapping_add(c) }),
    ),
    row(
        "mad.hi.u16",
        W_WWW,
        "d = upper half of a * b, + c",
        lanes!(|a: u16, b: u16, c: u16| -> u16 { (((u32::from(a) * u32::from(b)) >> 16) as u16).wrapping_add(c) }),
    ),
    row(
        "mad.hi.s16",
        W_WWW,
        "d = upper half of a * b, + c",
        lanes!(|a: i16, b: i16, c: i16| -> i16 { (((i32::from(a) * i32::from(b)) >> 16) as i16).wrapping_add(c) }),
    ),
    row(
        "mad.hi.u32",
        W_WWW,
        "d = upper half of a * b, + c",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { high_u32(a, b).wrapping_add(c) }),
    ),
    row(
        "mad.hi.s32",
        W_WWW,
        "d = upper half of a * b, + c",
        lanes!(|a: i32, b: i32, c: i32| -> i32 { high_s32(a, b).wrapping_add(c) }),
    ),
    row(
        "mad.hi.u64",
        L_LLL,
        "d = upper half of a * b, + c",
        lanes!(|a: u64, b: u64, c: u64| -> u64 { high_u64(a, b).wrapping_add(c) }),
    ),
    row(
        "mad.hi.s64",
        L_LLL,
        "d = upper half of a * b, + c",
        lanes!(|a: i64, b: i64, c: i64| -> i64 { high_s64(a, b).wrapping_add(c) }),
    ),
    row(
        "mad.hi.sat.s32",
        W_WWW,
        "d = upper half of a * b, + c, clamped to s32",
        lanes!(|a: i32, b: i32, c: i32| -> i32 { high_s32(a, b).saturating_add(c) }),
    ),
    row(
        "mad.wide.u16",
        W_WWW,
        "d = a * b + c, 32 bits",
        lanes!(|a: u16, b: u16, c: u32| -> u32 { (u32::from(a) * u32::from(b)).wrapping_add(c) }),
    ),
    row(
        "mad.wide.s16",
        W_WWW,
        "d = a * b + c, 32 bits",
        lanes!(|a: i16, b: i16, c: i32| -> i32 { (i32::from(a) * i32::from(b)).wrapping_add(c) }),
    ),
    row(
        "mad.wide.u32",
        L_WWL,
        "d = a * b + c, 64 bits",
        lanes!(|a: u32, b: u32, c: u64| -> u64 { (u64::from(a) * u64::from(b)).wrapping_add(c) }),
    ),
    row(
        "mad.wide.s32",
        L_WWL,
        "d = a * b + c, 64 bits",
        lanes!(|a: i32, b: i32, c: i64| -> i64 { (i64::from(a) * i64::from(b)).wrapping_add(c) }),
    ),
    row(
        "mul24.lo.u32",
        W_WW,
        "d = bits 0 to 31 of the product of the lower 24 bits",
        lanes!(|a: u32, b: u32| -> u32 { product_u24(a, b) as u32 }),
    ),
    row(
        "mul24.lo.s32",
        W_WW,
        "d = bits 0 to 31 of the product of the lower 24 bits",
        lanes!(|a: i32, b: i32| -> i32 { product_s24(a, b) as i32 }),
    ),
    row(
        "mul24.hi.u32",
        W_WW,
        "d = bits 16 to 47 of the product of the lower 24 bits",
        lanes!(|a: u32, b: u32| -> u32 { (product_u24(a, b) >> 16) as u32 }),
    ),
    row(
        "mul24.hi.s32",
        W_WW,
        "d = bits 16 to 47 of the product of the lower 24 bits",
        lanes!(|a: i32, b: i32| -> i32 { (product_s24(a, b) >> 16) as i32 }),
    ),
    row(
        "mad24.lo.u32",
        W_WWW,
        "d = mul24.lo of a and b, + c",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { (product_u24(a, b) as u32).wrapping_add(c) }),
    ),
    row(
        "mad24.lo.s32",
        W_WWW,
        "d = mul24.lo of a and b, + c",
        lanes!(|a: i32, b: i32, c: i32| -> i32 { (product_s24(a, b) as i32).wrapping_add(c) }),
    ),
    row(
        "mad24.hi.u32",
        W_WWW,
        "d = mul24.hi of a and b, + c",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { ((product_u24(a, b) >> 16) as u32).wrapping_add(c) }),
    ),
    row(
        "mad24.hi.s32",
        W_WWW,
        "d = mul24.hi of a and b, + c",
        lanes!(|a: i32, b: i32, c: i32| -> i32 { ((product_s24(a, b) >> 16) as i32).wrapping_add(c) }),
    ),
    row(
        "mad24.hi.sat.s32",
        W_WWW,
        "d = mul24.hi of a and b, + c, clamped to s32",
        lanes!(|a: i32, b: i32, c: i32| -> i32 { ((product_s24(a, b) >> 16) as i32).saturating_add(c) }),
    ),
    row("sad.u16", W_WWW, "d = c + |a - b|", lanes!(|a: u16, b: u16, c: u16| -> u16 { c.wrapping_add(a.abs_diff(b)) })),
    row("sad.s16", W_WWW, "d = c + |a - b|", lanes!(|a: i16, b: i16, c: u16| -> u16 { c.wrapping_add(a.abs_diff(b)) })),
    row("sad.u32", W_WWW, "d = c + |a - b|", lanes!(|a: u32, b: u32, c: u32| -> u32 { c.wrapping_add(a.abs_diff(b)) })),
    row("sad.s32", W_WWW, "d = c + |a - b|", lanes!(|a: i32, b: i32, c: u32| -> u32 { c.wrapping_add(a.abs_diff(b)) })),
    row("sad.u64", L_LLL, "d = c + |a - b|", lanes!(|a: u64, b: u64, c: u64| -> u64 { c.wrapping_add(a.abs_diff(b)) })),
    row("sad.s64", L_LLL, "d = c + |a - b|", lanes!(|a: i64, b: i64, c: u64| -> u64 { c.wrapping_add(a.abs_diff(b)) })),
    row("div.u16", W_WW, "d = a / b, toward zero; b = 0 stops", divide!(u16, wrapping_div)),
    row("div.s16", W_WW, "d = a / b, toward zero, least / -1 = least; b = 0 stops", divide!(i16, wrapping_div)),
    row("div.u32", W_WW, "d = a / b, toward zero; b = 0 stops", divide!(u32, wrapping_div)),
    row("div.s32", W_WW, "d = a / b, toward zero, least / -1 = least; b = 0 stops", divide!(i32, wrapping_div)),
    row("div.u64", L_LL, "d = a / b, toward zero; b = 0 stops", divide!(u64, wrapping_div)),
    row("div.s64", L_LL, "d = a / b, toward zero, least / -1 = least; b = 0 stops", divide!(i64, wrapping_div)),
    row("rem.u16", W_WW, "d = a - (a / b) * b; b = 0 stops", divide!(u16, wrapping_rem)),
    row("rem.s16", W_WW, "d = a - (a / b) * b, with the sign of a; b = 0 stops", divide!(i16, wrapping_rem)),
    row("rem.u32", W_WW, "d = a - (a / b) * b; b = 0 stops", divide!(u32, wrapping_rem)),
    row("rem.s32", W_WW, "d = a - (a / b) * b, with the sign of a; b = 0 stops", divide!(i32, wrapping_rem)),
    row("rem.u64", L_LL, "d = a - (a / b) * b; b = 0 stops", divide!(u64, wrapping_rem)),
    row("rem.s64", L_LL, "d = a - (a / b) * b, with the sign of a; b = 0 stops", divide!(i64, wrapping_rem)),
    row("abs.s16", W_W, "d = |a|, and the least value stays", lanes!(|a: i16| -> i16 { a.wrapping_abs() })),
    row("abs.s32", W_W, "d = |a|, and the least value stays", lanes!(|a: i32| -> i32 { a.wrapping_abs() })),
    row("abs.s64", L_L, "d = |a|, and the least value stays", lanes!(|a: i64| -> i64 { a.wrapping_abs() })),
    row("neg.s16", W_W, "d = -a, and the least value stays", lanes!(|a: i16| -> i16 { a.wrapping_neg() })),
    row("neg.s32", W_W, "d = -a, and the least value stays", lanes!(|a: i32| -> i32 { a.wrapping_neg() })),
    row("neg.s64", L_L, "d = -a, and the least value stays", lanes!(|a: i64| -> i64 { a.wrapping_neg() })),
    row("min.u16", W_WW, "d = the lesser", lanes!(|a: u16, b: u16| -> u16 { a.min(b) })),
    row("min.s16", W_WW, "d = the lesser", lanes!(|a: i16, b: i16| -> i16 { a.min(b) })),
    row("min.u32", W_WW, "d = the lesser", lanes!(|a: u32, b: u32| -> u32 { a.min(b) })),
    row("min.s32", W_WW, "d = the lesser", lanes!(|a: i32, b: i32| -> i32 { a.min(b) })),
    row("min.u64", L_LL, "d = the lesser", lanes!(|a: u64, b: u64| -> u64 { a.min(b) })),
    row("min.s64", L_LL, "d = the lesser", lanes!(|a: i64, b: i64| -> i64 { a.min(b) })),
    row("min.relu.s32", W_WW, "d = the lesser, at least 0", lanes!(|a: i32, b: i32| -> i32 { a.min(b).max(0) })),
    row(
        "min.u16x2",
        W_WW,
        "each half of d = the lesser",
        lanes!(|a: u32, b: u32| -> u32 { pair((a & 0xFFFF).min(b & 0xFFFF), (a >> 16).min(b >> 16)) }),
    ),
    row(
        "min.s16x2",
        W_WW,
        "each half of d = the lesser",
        lanes!(|a: i32, b: i32| -> u32 { pair(low(a).min(low(b)) as u32, (a >> 16).min(b >> 16) as u32) }),
    ),
    row(
        "min.relu.s16x2",
        W_WW,
        "each half of d = the lesser, at least 0",
        lanes!(|a: i32, b: i32| -> u32 {
            pair(low(a).min(low(b)).max(0) as u32, (a >> 16).min(b >> 16).max(0) as u32)
        }),
    ),
    row("max.u16", W_WW, "d = the greater", lanes!(|a: u16, b: u16| -> u16 { a.max(b) })),
    row("max.s16", W_WW, "d = the greater", lanes!(|a: i16, b: i16| -> i16 { a.max(b) })),
    row("max.u32", W_WW, "d = the greater", lanes!(|a: u32, b: u32| -> u32 { a.max(b) })),
    row("max.s32", W_WW, "d = the greater", lanes!(|a: i32, b: i32| -> i32 { a.max(b) })),
    row("max.u64", L_LL, "d = the greater", lanes!(|a: u64, b: u64| -> u64 { a.max(b) })),
    row("max.s64", L_LL, "d = the greater", lanes!(|a: i64, b: i64| -> i64 { a.max(b) })),
    row("max.relu.s32", W_WW, "d = the greater, at least 0", lanes!(|a: i32, b: i32| -> i32 { a.max(b).max(0) })),
    row(
        "max.u16x2",
        W_WW,
        "each half of d = the greater",
        lanes!(|a: u32, b: u32| -> u32 { pair((a & 0xFFFF).max(b & 0xFFFF), (a >> 16).max(b >> 16)) }),
    ),
    row(
        "max.s16x2",
        W_WW,
        "each half of d = the greater",
        lanes!(|a: i32, b: i32| -> u32 { pair(low(a).max(low(b)) as u32, (a >> 16).max(b >> 16) as u32) }),
    ),
    row(
        "max.relu.s16x2",
        W_WW,
        "each half of d = the greater, at least 0",
        lanes!(|a: i32, b: i32| -> u32 {
            pair(low(a).max(low(b)).max(0) as u32, (a >> 16).max(b >> 16).max(0) as u32)
        }),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Integer, meaning, action }
}

/// A division that stops at the first executing lane whose divisor is zero, before anything is written.
macro_rules! divide {
    ($type:ty, $divide:ident) => {
        effect!(Effect, |effect, ins| {
            let [d, a, b, ..] = ins.rows;
            let (a, b) = (<$type>::load(effect.lanes, a), <$type>::load(effect.lanes, b));
            let mask = effect.lanes.mask();
            let mut out = [0; WARP];
            for lane in 0..WARP {
                if b[lane] != 0 {
                    out[lane] = a[lane].$divide(b[lane]);
                } else if mask >> lane & 1 == 1 {
                    return Err(Box::new(Fault::DivisionByZero { lane }));
                }
            }
            <$type>::store(effect.lanes, d, out);
            Ok(())
        })
    };
}
use divide;

#[inline(always)]
fn high_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

#[inline(always)]
fn high_s32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

#[inline(always)]
fn high_u64(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

#[inline(always)]
fn high_s64(a: i64, b: i64) -> i64 {
    ((i128::from(a) * i128::from(b)) >> 64) as i64
}

#[inline(always)]
fn product_u24(a: u32, b: u32) -> u64 {
    u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)
}

#[inline(always)]
fn product_s24(a: i32, b: i32) -> i64 {
    i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)
}

/// Two 16-bit values in a word.
#[inline(always)]
fn pair(low: u32, high: u32) -> u32 {
    low & 0xFFFF | high << 16
}

/// The lower half of a word, signed.
#[inline(always)]
fn low(pair: i32) -> i32 {
    pair << 16 >> 16
}
