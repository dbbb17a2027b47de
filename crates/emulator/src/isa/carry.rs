//! Integer arithmetic that hands a carry on, for numbers of more than one register.
//!
//! Each lane has one carry. `.cc` writes it; `addc`, `subc` and `madc` add or subtract it. After a subtraction it is the
//! borrow, as PTX defines `subc` by it.

use super::form::operands::{L, TO_L, TO_W, W};
use super::form::{Action, Family, Form, Operand, lane_function};
use super::note::{self, flagged};
use crate::machine::lanes::{Lane, WARP};

const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];
const L_LL: &[Operand] = &[TO_L, L, L];
const L_LLL: &[Operand] = &[TO_L, L, L, L];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("add.cc{.u32|.s32}", W_WW, "d = a + b; carry = its carry out", add!(u32, false)),
    row("add.cc{.u64|.s64}", L_LL, "d = a + b; carry = its carry out", add!(u64, false)),
    row("addc[.cc]{.u32|.s32}", W_WW, "d = a + b + carry; .cc: carry = its carry out", add!(u32, true)),
    row("addc[.cc]{.u64|.s64}", L_LL, "d = a + b + carry; .cc: carry = its carry out", add!(u64, true)),
    row("sub.cc{.u32|.s32}", W_WW, "d = a - b; carry = its borrow", subtract!(u32, false)),
    row("sub.cc{.u64|.s64}", L_LL, "d = a - b; carry = its borrow", subtract!(u64, false)),
    row("subc[.cc]{.u32|.s32}", W_WW, "d = a - (b + carry); .cc: carry = its borrow", subtract!(u32, true)),
    row("subc[.cc]{.u64|.s64}", L_LL, "d = a - (b + carry); .cc: carry = its borrow", subtract!(u64, true)),
    row(
        "mad.lo.cc{.u32|.s32}",
        W_WWW,
        "d = lower half of a * b, + c; carry = its carry out",
        multiply!(u32, |a, b| { a.wrapping_mul(b) }, false),
    ),
    row(
        "mad.lo.cc{.u64|.s64}",
        L_LLL,
        "d = lower half of a * b, + c; carry = its carry out",
        multiply!(u64, |a, b| { a.wrapping_mul(b) }, false),
    ),
    row(
        "mad.hi.cc.u32",
        W_WWW,
        "d = upper half of a * b, + c; carry = its carry out",
        multiply!(u32, |a, b| { ((u64::from(a) * u64::from(b)) >> 32) as u32 }, false),
    ),
    row(
        "mad.hi.cc.s32",
        W_WWW,
        "d = upper half of a * b, + c; carry = its carry out",
        multiply!(u32, |a, b| { ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32 }, false),
    ),
    row(
        "mad.hi.cc.u64",
        L_LLL,
        "d = upper half of a * b, + c; carry = its carry out",
        multiply!(u64, |a, b| { ((u128::from(a) * u128::from(b)) >> 64) as u64 }, false),
    ),
    row(
        "mad.hi.cc.s64",
        L_LLL,
        "d = upper half of a * b, + c; carry = its carry out",
        multiply!(u64, |a, b| { ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64 }, false),
    ),
    row(
        "madc.lo[.cc]{.u32|.s32}",
        W_WWW,
        "d = lower half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u32, |a, b| { a.wrapping_mul(b) }, true),
    ),
    row(
        "madc.lo[.cc]{.u64|.s64}",
        L_LLL,
        "d = lower half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u64, |a, b| { a.wrapping_mul(b) }, true),
    ),
    row(
        "madc.hi[.cc].u32",
        W_WWW,
        "d = upper half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u32, |a, b| { ((u64::from(a) * u64::from(b)) >> 32) as u32 }, true),
    ),
    row(
        "madc.hi[.cc].s32",
        W_WWW,
        "d = upper half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u32, |a, b| { ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32 }, true),
    ),
    row(
        "madc.hi[.cc].u64",
        L_LLL,
        "d = upper half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u64, |a, b| { ((u128::from(a) * u128::from(b)) >> 64) as u64 }, true),
    ),
    row(
        "madc.hi[.cc].s64",
        L_LLL,
        "d = upper half of a * b, + c + carry; .cc: carry = its carry out",
        multiply!(u64, |a, b| { ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64 }, true),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Integer, meaning, action }
}

/// The loop that all of them share: `$step` gives a lane's value and carry from its operands and the carry in. Forms that
/// read no carry always write one, the others only with `.cc`.
macro_rules! chain {
    ($type:ty, $reads:literal, |$carry:ident, $($x:ident),+| $step:block) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            let carry_in = if $reads { lanes.carry() } else { 0 };
            $(let $x = <$type>::load(lanes, $x);)+
            let mut out = [0; WARP];
            let mut carry_out = 0;
            for lane in 0..WARP {
                let $carry = carry_in >> lane & 1 == 1;
                $(let $x = $x[lane];)+
                let (value, carry) = $step;
                out[lane] = value;
                carry_out |= u32::from(carry) << lane;
            }
            <$type>::store(lanes, d, out);
            if !$reads || ins.note & note::CARRY != 0 {
                lanes.set_carry(carry_out);
            }
        }))
    };
}
use chain;

macro_rules! add {
    ($type:ty, $reads:literal) => {
        chain!($type, $reads, |carry, a, b| { a.carrying_add(b, carry) })
    };
}
use add;

macro_rules! subtract {
    ($type:ty, $reads:literal) => {
        chain!($type, $reads, |carry, a, b| { a.borrowing_sub(b, carry) })
    };
}
use subtract;

macro_rules! multiply {
    ($type:ty, |$a:ident, $b:ident| $product:block, $reads:literal) => {
        chain!($type, $reads, |carry, $a, $b, c| {
            let product: $type = $product;
            product.carrying_add(c, carry)
        })
    };
}
use multiply;
