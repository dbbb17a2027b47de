//! f32 arithmetic on operands of 16 bits, which are widened first: exact, so that the result is rounded once.

use super::float::subtract;
use super::form::operands::{TO_W, W};
use super::form::{Action, Family, Form, Operand, lane_function};
use super::note::{self, flagged};
use crate::machine::lanes::{Lane, WARP, each};
use crate::numeric::half::{Bf16, F16, Half};
use crate::numeric::single::{self, canonical};

const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("add[.rn|.rz|.rm|.rp][.sat].f32.f16", W_WW, "d = a + b; a is f16", mixed!(F16, |a; b| single::add)),
    row("add[.rn|.rz|.rm|.rp][.sat].f32.bf16", W_WW, "d = a + b; a is bf16", mixed!(Bf16, |a; b| single::add)),
    row("sub[.rn|.rz|.rm|.rp][.sat].f32.f16", W_WW, "d = a - b; a is f16", mixed!(F16, |a; b| subtract)),
    row("sub[.rn|.rz|.rm|.rp][.sat].f32.bf16", W_WW, "d = a - b; a is bf16", mixed!(Bf16, |a; b| subtract)),
    row(
        "fma{.rn|.rz|.rm|.rp}[.sat].f32.f16",
        W_WWW,
        "d = a * b + c; a, b are f16",
        mixed!(F16, |a, b; c| single::fuse),
    ),
    row(
        "fma{.rn|.rz|.rm|.rp}[.sat].f32.bf16",
        W_WWW,
        "d = a * b + c; a, b are bf16",
        mixed!(Bf16, |a, b; c| single::fuse),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Float, meaning, action }
}

/// An operation whose operands are half floats, but for the last.
macro_rules! mixed {
    ($half:ty, |$($x:ident),+; $last:ident| $function:path) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, $($x,)+ $last, ..] = ins.rows;
            let rounding = note::rounding(ins.note);
            $(let $x = each(lanes.words($x), <$half>::wide);)+
            let $last = f32::load(lanes, $last);
            let mut out = [0.0f32; WARP];
            for lane in 0..WARP {
                let value = canonical($function($($x[lane],)+ $last[lane], rounding));
                out[lane] = if ins.note & note::SATURATE == 0 { value } else { single::saturate(value) };
            }
            f32::store(lanes, d, out);
        }))
    };
}
use mixed;
