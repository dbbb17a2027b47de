//! Conversions to and from several values in a register, and to the formats of tensor cores.

use super::{Integer, finished, half_of, row, types};
use crate::isa::form::operands::{TO_W, W};
use crate::isa::form::{Action, Form, Operand, lane_function, lanes};
use crate::isa::half::outputs;
use crate::isa::note::{self, flagged};
use crate::machine::lanes::{Lane, WARP, each};
use crate::numeric::exact::{BRAIN, E4M3, E5M2, Format, HALF, TENSOR};
use crate::numeric::half::{Bf16, F16, Half, wide_e4m3, wide_e5m2};
use crate::numeric::{NAN_F32, Rounding};

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];

/// The rows of this family.
pub(in crate::isa) const FORMS: &[Form] = &[
    row(
        "cvt{.rn|.rz}[.relu][.satfinite].f16x2.f32",
        W_WW,
        "upper half of d = a, lower half = b, rounded",
        pack!(HALF, F16),
    ),
    row(
        "cvt{.rn|.rz}[.relu][.satfinite].bf16x2.f32",
        W_WW,
        "upper half of d = a, lower half = b, rounded",
        pack!(BRAIN, Bf16),
    ),
    row(
        "cvt.rna[.satfinite].tf32.f32",
        W_W,
        "d = a, rounded to 10 bits of fraction, from the middle away from 0",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = each(lanes.words(a), |bits| {
                let value = f32::from_bits(bits);
                // The half of the last kept bit carries as it should, even into the exponent.
                let rounded = bits.wrapping_add(0x1000) & 0xFFFF_E000;
                let out = if value.is_finite() { rounded } else { bits };
                if value.is_nan() { NAN_F32.to_bits() } else { limited_tensor(out, ins.note) }
            });
            lanes.set_words(d, &out);
        })),
    ),
    row(
        "cvt{.rn|.rz}[.relu][.satfinite].tf32.f32",
        W_W,
        "d = a, rounded to 10 bits of fraction",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let rounding = note::rounding(ins.note);
            let out = each(&f32::load(lanes, a), |value| {
                let bits = (TENSOR.of(f64::from(value), rounding) as u32) << 13;
                let bits = limited_tensor(bits, ins.note);
                let negative = ins.note & note::RELU != 0 && bits >> 31 == 1;
                if value.is_nan() {
                    NAN_F32.to_bits()
                } else if negative {
                    0
                } else {
                    bits
                }
            });
            lanes.set_words(d, &out);
        })),
    ),
    row(
        "cvt.rn.satfinite[.relu].e4m3x2.f32",
        W_WW,
        "upper byte of d = a, lower byte = b, rounded, finite",
        eighths!(E4M3),
    ),
    row(
        "cvt.rn.satfinite[.relu].e5m2x2.f32",
        W_WW,
        "upper byte of d = a, lower byte = b, rounded, finite",
        eighths!(E5M2),
    ),
    row(
        "cvt.rn.satfinite[.relu].e4m3x2.f16x2",
        W_W,
        "each byte of d = a half of a, rounded, finite",
        eighths_of_halves!(E4M3),
    ),
    row(
        "cvt.rn.satfinite[.relu].e5m2x2.f16x2",
        W_W,
        "each byte of d = a half of a, rounded, finite",
        eighths_of_halves!(E5M2),
    ),
    row(
        "cvt.rn[.relu].f16x2.e4m3x2",
        W_W,
        "each half of d = a byte of a",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = each(lanes.words(a), |pair| wide_e4m3(pair) | wide_e4m3(pair >> 8) << 16);
            lanes.set_words(d, &outputs::<F16>(out, ins.note | note::PAIR));
        })),
    ),
    row(
        "cvt.rn[.relu].f16x2.e5m2x2",
        W_W,
        "each half of d = a byte of a",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = each(lanes.words(a), |pair| wide_e5m2(pair) | wide_e5m2(pair >> 8) << 16);
            lanes.set_words(d, &outputs::<F16>(out, ins.note | note::PAIR));
        })),
    ),
    row(
        "cvt.pack.sat{.u16|.s16}.s32",
        W_WW,
        "upper half of d = a, lower half = b, clamped",
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | types(chosen);
            Some(lane_function!(|lanes, ins| {
                let [d, a, b, ..] = ins.rows;
                let to = Integer::to(ins.note);
                let (a, b) = (i32::load(lanes, a), i32::load(lanes, b));
                let mut out = [0; WARP];
                for lane in 0..WARP {
                    out[lane] = to.nearest_word(a[lane]) << 16 | to.nearest_word(b[lane]);
                }
                lanes.set_words(d, &out);
            }))
        }),
    ),
    row(
        "cvt.pack.sat{.u8|.s8}.s32.b32",
        &[TO_W, W, W, W],
        "bytes of d, from the top = the lower half of c, a, b, a and b clamped",
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | types(chosen);
            Some(lane_function!(|lanes, ins| {
                let [d, a, b, c, ..] = ins.rows;
                let to = Integer::to(ins.note);
                let (a, b, c) = (i32::load(lanes, a), i32::load(lanes, b), u32::load(lanes, c));
                let mut out = [0; WARP];
                for lane in 0..WARP {
                    out[lane] = c[lane] << 16 | to.nearest_word(a[lane]) << 8 | to.nearest_word(b[lane]);
                }
                lanes.set_words(d, &out);
            }))
        }),
    ),
];

/// Two f32 to a pair of half floats.
macro_rules! pack {
    ($format:expr, $half:ty) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | note::PAIR;
            Some(if ins.note == note::PAIR {
                lanes!(|a: f32, b: f32| -> u32 { <$half>::narrow(a) << 16 | <$half>::narrow(b) })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, b, ..] = ins.rows;
                    let rounding = note::rounding(ins.note);
                    let (a, b) = (f32::load(lanes, a), f32::load(lanes, b));
                    let mut out = [0; WARP];
                    for lane in 0..WARP {
                        out[lane] = half_of($format, f64::from(a[lane]), rounding, ins.note) << 16
                            | half_of($format, f64::from(b[lane]), rounding, ins.note);
                    }
                    lanes.set_words(d, &finished::<$half>(out, ins.note));
                })
            })
        })
    };
}
use pack;

/// Two f32 to a pair of 8-bit floats.
macro_rules! eighths {
    ($format:expr) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, b, ..] = ins.rows;
            let (a, b) = (f32::load(lanes, a), f32::load(lanes, b));
            let mut out = [0; WARP];
            for lane in 0..WARP {
                out[lane] = eighth($format, a[lane], ins.note) << 8 | eighth($format, b[lane], ins.note);
            }
            lanes.set_words(d, &out);
        }))
    };
}
use eighths;

/// A pair of f16 to a pair of 8-bit floats.
macro_rules! eighths_of_halves {
    ($format:expr) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = each(lanes.words(a), |pair| {
                eighth($format, F16::wide(pair >> 16), ins.note) << 8 | eighth($format, F16::wide(pair), ins.note)
            });
            lanes.set_words(d, &out);
        }))
    };
}
use eighths_of_halves;

/// A tf32, finite if the note says so.
#[inline(always)]
fn limited_tensor(bits: u32, note: u32) -> u32 {
    let infinite = bits & 0x7FFF_FFFF == 0x7F80_0000;
    if note & note::FINITE != 0 && infinite { bits - 0x2000 } else { bits }
}

/// An 8-bit float.
fn eighth(format: Format, value: f32, note: u32) -> u32 {
    let bits = format.of(f64::from(value), Rounding::Nearest) as u32;
    if note & note::RELU != 0 && bits & 0x80 != 0 { 0 } else { bits }
}
