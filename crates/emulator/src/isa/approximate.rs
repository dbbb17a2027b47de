//! The functions of the multi-function unit.
//!
//! A GPU gives these within documented bounds, not to the bit. So does the emulator, with bounds of its own that are at
//! least as tight; `numeric::approximate` says how.

use super::form::operands::{L, TO_L, TO_W, W};
use super::form::{Action, Chosen, Family, Form, Operand, lanes};
use super::half::halves;
use crate::decode::Instruction;
use crate::numeric::approximate as near;
use crate::numeric::half::{Bf16, F16, Half};
use crate::numeric::single::flush;

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];
const L_L: &[Operand] = &[TO_L, L];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row(
        "ex2.approx[.ftz].f32",
        W_W,
        "d = 2 to the power of a, within 2 units of the last place",
        Action::Choose(|chosen, _| {
            Some(if chosen.words().contains(&"ftz") {
                lanes!(|a: f32| -> f32 { near::exp2_flushed(a) })
            } else {
                lanes!(|a: f32| -> f32 { near::exp2(a) })
            })
        }),
    ),
    row(
        "lg2.approx[.ftz].f32",
        W_W,
        "d = base-2 logarithm of a, within 2^-22 of it, near 1 absolutely",
        function!(near::log2),
    ),
    row("rcp.approx[.ftz].f32", W_W, "d = 1 / a, within 1 unit of the last place", function!(near::reciprocal)),
    row(
        "rsqrt.approx[.ftz].f32",
        W_W,
        "d = 1 / square root of a, within 2^-22.9 of it",
        function!(near::reciprocal_root),
    ),
    row("sqrt.approx[.ftz].f32", W_W, "d = the square root of a, within 2^-23 of it", function!(near::root)),
    row("sin.approx[.ftz].f32", W_W, "d = the sine of a, within 2^-20.5 from -2 pi to 2 pi", function!(near::sine)),
    row("cos.approx[.ftz].f32", W_W, "d = the cosine of a, within 2^-20.5 from -2 pi to 2 pi", function!(near::cosine)),
    row("tanh.approx.f32", W_W, "d = the hyperbolic tangent of a, within 2^-11 of it", function!(near::tanh)),
    row(
        "div.approx[.ftz].f32",
        W_WW,
        "d = a / b, within 2 units of the last place; a * 0 if 2^126 < |b| < infinity",
        quotient!(near::divide),
    ),
    row("div.full[.ftz].f32", W_WW, "d = a / b, within 2 units of the last place", quotient!(near::divide_full)),
    row(
        "ex2.approx{.f16|.f16x2}",
        W_W,
        "d = 2 to the power of a, within 2^-9.9 of it",
        halves!(F16, |a| F16::narrow(near::exp2(F16::wide(a)))),
    ),
    row(
        "ex2.approx.ftz{.bf16|.bf16x2}",
        W_W,
        "d = 2 to the power of a, within 2^-7 of it",
        halves!(Bf16, |a| Bf16::narrow(near::exp2(Bf16::wide(a)))),
    ),
    row(
        "tanh.approx{.f16|.f16x2}",
        W_W,
        "d = the hyperbolic tangent of a, within 2^-10.987",
        halves!(F16, |a| F16::narrow(near::tanh(F16::wide(a)))),
    ),
    row(
        "tanh.approx{.bf16|.bf16x2}",
        W_W,
        "d = the hyperbolic tangent of a, within 2^-8",
        halves!(Bf16, |a| Bf16::narrow(near::tanh(Bf16::wide(a)))),
    ),
    row(
        "rcp.approx.ftz.f64",
        L_L,
        "upper word of d = that of 1 / a, of whose upper word it is made; the lower is 0",
        lanes!(|a: f64| -> f64 { near::reciprocal_wide(a) }),
    ),
    row(
        "rsqrt.approx.ftz.f64",
        L_L,
        "upper word of d = that of 1 / square root of a, of whose upper word it is made; the lower is 0",
        lanes!(|a: f64| -> f64 { near::reciprocal_root_wide(a) }),
    ),
    row(
        "rsqrt.approx.f64",
        L_L,
        "d = 1 / square root of a",
        lanes!(|a: f64| -> f64 { crate::numeric::single::canonical_wide(1.0 / a.sqrt()) }),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Special, meaning, action }
}

/// A function of one f32, with and without flushing.
macro_rules! function {
    ($function:path) => {
        Action::Choose(|chosen: &Chosen<'_>, _: &mut Instruction| {
            Some(if chosen.words().contains(&"ftz") {
                lanes!(|a: f32| -> f32 { flush($function(flush(a))) })
            } else {
                lanes!(|a: f32| -> f32 { $function(a) })
            })
        })
    };
}
use function;

/// A function of two.
macro_rules! quotient {
    ($function:path) => {
        Action::Choose(|chosen: &Chosen<'_>, _: &mut Instruction| {
            Some(if chosen.words().contains(&"ftz") {
                lanes!(|a: f32, b: f32| -> f32 { flush($function(flush(a), flush(b))) })
            } else {
                lanes!(|a: f32, b: f32| -> f32 { $function(a, b) })
            })
        })
    };
}
use quotient;
