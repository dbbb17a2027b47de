//! f16 and bf16 arithmetic, one value or two in a register.
//!
//! A loop treats both halves of a word; for a single value the upper half of the result is dropped.

use super::form::operands::{TO_W, W};
use super::form::{Action, Family, Form, Operand, lane_function};
use super::note;
use crate::machine::lanes::{WARP, Words, each};
use crate::numeric::half::{self, Bf16, F16, Half, add, greatest, least, multiply, subtract};

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("add[.rn][.ftz][.sat]{.f16|.f16x2}", W_WW, "d = a + b", halves!(F16, |a, b| add::<F16>(a, b))),
    row("sub[.rn][.ftz][.sat]{.f16|.f16x2}", W_WW, "d = a - b", halves!(F16, |a, b| subtract::<F16>(a, b))),
    row("mul[.rn][.ftz][.sat]{.f16|.f16x2}", W_WW, "d = a * b", halves!(F16, |a, b| multiply::<F16>(a, b))),
    row("add[.rn]{.bf16|.bf16x2}", W_WW, "d = a + b", halves!(Bf16, |a, b| add::<Bf16>(a, b))),
    row("sub[.rn]{.bf16|.bf16x2}", W_WW, "d = a - b", halves!(Bf16, |a, b| subtract::<Bf16>(a, b))),
    row("mul[.rn]{.bf16|.bf16x2}", W_WW, "d = a * b", halves!(Bf16, |a, b| Bf16::fuse(a, b, 0x8000))),
    row(
        "fma.rn[.ftz][.sat|.relu]{.f16|.f16x2}",
        W_WWW,
        "d = a * b + c, rounded once; .relu: at least 0",
        halves!(F16, |a, b, c| F16::fuse(a, b, c)),
    ),
    row(
        "fma.rn[.relu]{.bf16|.bf16x2}",
        W_WWW,
        "d = a * b + c, rounded once; .relu: at least 0",
        halves!(Bf16, |a, b, c| Bf16::fuse(a, b, c)),
    ),
    row(
        "min[.ftz]{.f16|.f16x2}",
        W_WW,
        "d = the lesser; a number rather than NaN",
        halves!(F16, |a, b| least::<F16>(a, b)),
    ),
    row(
        "max[.ftz]{.f16|.f16x2}",
        W_WW,
        "d = the greater; a number rather than NaN",
        halves!(F16, |a, b| greatest::<F16>(a, b)),
    ),
    row(
        "min{.bf16|.bf16x2}",
        W_WW,
        "d = the lesser; a number rather than NaN",
        halves!(Bf16, |a, b| least::<Bf16>(a, b)),
    ),
    row(
        "max{.bf16|.bf16x2}",
        W_WW,
        "d = the greater; a number rather than NaN",
        halves!(Bf16, |a, b| greatest::<Bf16>(a, b)),
    ),
    row(
        "min[.ftz].NaN{.f16|.f16x2}",
        W_WW,
        "d = the lesser, or NaN",
        halves!(F16, |a, b| strictly::<F16>(a, b, least::<F16>(a, b))),
    ),
    row(
        "max[.ftz].NaN{.f16|.f16x2}",
        W_WW,
        "d = the greater, or NaN",
        halves!(F16, |a, b| strictly::<F16>(a, b, greatest::<F16>(a, b))),
    ),
    row(
        "min.NaN{.bf16|.bf16x2}",
        W_WW,
        "d = the lesser, or NaN",
        halves!(Bf16, |a, b| strictly::<Bf16>(a, b, least::<Bf16>(a, b))),
    ),
    row(
        "max.NaN{.bf16|.bf16x2}",
        W_WW,
        "d = the greater, or NaN",
        halves!(Bf16, |a, b| strictly::<Bf16>(a, b, greatest::<Bf16>(a, b))),
    ),
    row(
        "min[.ftz][.NaN].xorsign.abs{.f16|.f16x2}",
        W_WW,
        "d = the lesser magnitude, with the sign of a * b",
        magnitudes!(F16, least),
    ),
    row(
        "max[.ftz][.NaN].xorsign.abs{.f16|.f16x2}",
        W_WW,
        "d = the greater magnitude, with the sign of a * b",
        magnitudes!(F16, greatest),
    ),
    row(
        "min[.NaN].xorsign.abs{.bf16|.bf16x2}",
        W_WW,
        "d = the lesser magnitude, with the sign of a * b",
        magnitudes!(Bf16, least),
    ),
    row(
        "max[.NaN].xorsign.abs{.bf16|.bf16x2}",
        W_WW,
        "d = the greater magnitude, with the sign of a * b",
        magnitudes!(Bf16, greatest),
    ),
    row("abs[.ftz]{.f16|.f16x2}", W_W, "d = a without its sign", halves!(F16, |a| a & 0x7FFF)),
    row("neg[.ftz]{.f16|.f16x2}", W_W, "d = a with the other sign", halves!(F16, |a| a & 0xFFFF ^ 0x8000)),
    row("abs{.bf16|.bf16x2}", W_W, "d = a without its sign", halves!(Bf16, |a| a & 0x7FFF)),
    row("neg{.bf16|.bf16x2}", W_W, "d = a with the other sign", halves!(Bf16, |a| a & 0xFFFF ^ 0x8000)),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Float, meaning, action }
}

/// An operation on the lower 16 bits of words, as an action that applies it to one half or to both. The passes that the
/// modifiers ask for go over whole rows before and after it.
macro_rules! halves {
    ($half:ty, |$($x:ident),+| $value:expr) => {
        $crate::isa::note::flagged!($crate::isa::form::lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            $(let $x = $crate::isa::half::inputs::<$half>(lanes.words($x), ins.note);)+
            let mut out = [0u32; $crate::machine::lanes::WARP];
            for lane in 0..$crate::machine::lanes::WARP {
                let lower = { $(let $x = $x[lane];)+ $value };
                let upper = { $(let $x = $x[lane] >> 16;)+ $value };
                out[lane] = lower | upper << 16;
            }
            let out = $crate::isa::half::outputs::<$half>(out, ins.note);
            lanes.set_words(d, &out);
        }))
    };
}
pub(super) use halves;

/// A minimum or maximum of magnitudes, with the sign of the product.
macro_rules! magnitudes {
    ($half:ty, $extreme:ident) => {
        note::flagged!(lane_function!(|lanes, ins| {
            let [d, a, b, ..] = ins.rows;
            let a = inputs::<$half>(lanes.words(a), ins.note);
            let b = inputs::<$half>(lanes.words(b), ins.note);
            let strict = ins.note & note::NAN != 0;
            let mut out = [0; WARP];
            for lane in 0..WARP {
                let extreme = |a: u32, b: u32| -> u32 {
                    let magnitude = $extreme::<$half>(a & 0x7FFF, b & 0x7FFF);
                    let unknown = strict & (half::is_nan::<$half>(a) | half::is_nan::<$half>(b));
                    let magnitude = if unknown { 0x7FFF } else { magnitude };
                    magnitude | if magnitude == 0x7FFF { 0 } else { (a ^ b) & 0x8000 }
                };
                out[lane] = extreme(a[lane], b[lane]) | extreme(a[lane] >> 16, b[lane] >> 16) << 16;
            }
            let out = outputs::<$half>(out, ins.note);
            lanes.set_words(d, &out);
        }))
    };
}
use magnitudes;

/// NaN in place of a value if one of its sources is NaN.
#[inline(always)]
fn strictly<H: Half>(a: u32, b: u32, value: u32) -> u32 {
    if half::is_nan::<H>(a) | half::is_nan::<H>(b) { 0x7FFF } else { value }
}

/// The operands, flushed if the note says so.
#[inline(always)]
pub(super) fn inputs<H: Half>(row: &Words, note: u32) -> Words {
    if note & note::FLUSH == 0 { *row } else { each(row, |pair| half::flush::<H>(pair)) }
}

/// The results, with what the note says done to them.
#[inline(always)]
pub(super) fn outputs<H: Half>(row: Words, note: u32) -> Words {
    let mut row = inputs::<H>(&row, note);
    if note & note::SATURATE != 0 {
        row = each(&row, |pair| half::saturate::<H>(pair) | half::saturate::<H>(pair >> 16) << 16);
    }
    if note & note::RELU != 0 {
        row = each(&row, |pair| half::rectify(pair) | half::rectify(pair >> 16) << 16);
    }
    if note & note::PAIR == 0 { each(&row, |pair| pair & 0xFFFF) } else { row }
}
