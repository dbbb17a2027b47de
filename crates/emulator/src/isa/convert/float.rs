//! Conversions between floats of 16, 32 and 64 bits, and to whole numbers that stay floats.

use super::{
    WHOLE, clamped, clamped_wide, finished, flagged_types, flushed, half_of, numbers, row, types, whole, whole_wide,
};
use crate::isa::form::operands::{L, TO_L, TO_W, W};
use crate::isa::form::{Action, Form, Operand, lane_function, lanes};
use crate::isa::half::outputs;
use crate::isa::note::{self, flagged};
use crate::machine::lanes::{Lane, WARP, each};
use crate::numeric::exact::{BRAIN, HALF};
use crate::numeric::half::{Bf16, F16, Half};
use crate::numeric::single::{canonical, canonical_wide};

const W_W: &[Operand] = &[TO_W, W];
const W_L: &[Operand] = &[TO_W, L];
const L_W: &[Operand] = &[TO_L, W];
const L_L: &[Operand] = &[TO_L, L];

/// The rows of this family.
pub(in crate::isa) const FORMS: &[Form] = &[
    row("cvt[.ftz][.sat].f32.f16", W_W, "d = a", widen!(F16)),
    row("cvt[.ftz][.sat].f32.bf16", W_W, "d = a", widen!(Bf16)),
    row(
        "cvt[.ftz][.sat].f64.f32",
        L_W,
        "d = a",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let values = flushed(*lanes.words(a), ins.note);
            let mut out = [0.0; WARP];
            for lane in 0..WARP {
                out[lane] = canonical_wide(f64::from(f32::from_bits(values[lane])));
            }
            f64::store(lanes, d, clamped_wide(out, ins.note));
        })),
    ),
    row(
        "cvt[.sat].f64{.f16|.bf16}",
        L_W,
        "d = a",
        flagged_types!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = each(&numbers(lanes.words(a), ins.note), canonical_wide);
            f64::store(lanes, d, clamped_wide(out, ins.note));
        })),
    ),
    row(
        "cvt{.rn|.rz|.rm|.rp}[.ftz][.sat].f32.f64",
        W_L,
        "d = a, rounded",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let rounding = note::rounding(ins.note);
            let values = f64::load(lanes, a);
            let mut out = [0.0; WARP];
            for lane in 0..WARP {
                out[lane] = canonical(crate::numeric::single::narrow(values[lane], rounding));
            }
            let out = flushed(each(&out, f32::to_bits), ins.note);
            lanes.set_words(d, &clamped(out, ins.note));
        })),
    ),
    row("cvt{.rn|.rz|.rm|.rp}[.ftz][.sat].f16.f32", W_W, "d = a, rounded", narrow!(words, HALF, F16, of_f32)),
    row(
        "cvt{.rn|.rz}[.ftz]{.relu}[.satfinite].f16.f32",
        W_W,
        "d = a, rounded, at least 0",
        narrow!(words, HALF, F16, of_f32),
    ),
    row("cvt{.rn|.rz}{.satfinite}.f16.f32", W_W, "d = a, rounded, finite", narrow!(words, HALF, F16, of_f32)),
    row("cvt{.rn|.rz|.rm|.rp}.bf16.f32", W_W, "d = a, rounded", narrow!(words, BRAIN, Bf16, of_f32)),
    row(
        "cvt{.rn|.rz}{.relu}[.satfinite].bf16.f32",
        W_W,
        "d = a, rounded, at least 0",
        narrow!(words, BRAIN, Bf16, of_f32),
    ),
    row("cvt{.rn|.rz}{.satfinite}.bf16.f32", W_W, "d = a, rounded, finite", narrow!(words, BRAIN, Bf16, of_f32)),
    row("cvt{.rn|.rz|.rm|.rp}[.sat].f16.f64", W_L, "d = a, rounded", narrow!(wides, HALF, F16, f64::from_bits)),
    row("cvt{.rn|.rz|.rm|.rp}.bf16.f64", W_L, "d = a, rounded", narrow!(wides, BRAIN, Bf16, f64::from_bits)),
    row("cvt{.rn|.rz|.rm|.rp}.bf16.f16", W_W, "d = a, rounded", narrow!(words, BRAIN, Bf16, of_f16)),
    row("cvt{.rn|.rz|.rm|.rp}[.sat].f16.bf16", W_W, "d = a, rounded", narrow!(words, HALF, F16, of_bf16)),
    row(
        "cvt[.rni|.rzi|.rmi|.rpi][.ftz][.sat].f32.f32",
        W_W,
        "d = a, or the whole number that the rounding gives",
        flagged_types!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let mut out = each(&flushed(*lanes.words(a), ins.note), f32::from_bits);
            if ins.note & WHOLE != 0 {
                let rounding = note::rounding(ins.note);
                out = each(&out, |value| whole(value, rounding));
            }
            let out = flushed(each(&out, |value| canonical(value).to_bits()), ins.note);
            lanes.set_words(d, &clamped(out, ins.note));
        })),
    ),
    row(
        "cvt[.rni|.rzi|.rmi|.rpi][.sat].f64.f64",
        L_L,
        "d = a, or the whole number that the rounding gives",
        flagged_types!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let mut out = f64::load(lanes, a);
            if ins.note & WHOLE != 0 {
                let rounding = note::rounding(ins.note);
                out = each(&out, |value| whole_wide(value, rounding));
            }
            f64::store(lanes, d, clamped_wide(each(&out, canonical_wide), ins.note));
        })),
    ),
    row(
        "cvt[.rni|.rzi|.rmi|.rpi][.sat].f16.f16",
        W_W,
        "d = a, or the whole number that the rounding gives",
        whole_half!(F16),
    ),
    row(
        "cvt[.rni|.rzi|.rmi|.rpi][.sat].bf16.bf16",
        W_W,
        "d = a, or the whole number that the rounding gives",
        whole_half!(Bf16),
    ),
];

/// A half float to f32.
macro_rules! widen {
    ($half:ty) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen);
            Some(if ins.note == 0 {
                lanes!(|a: u32| -> f32 { canonical(<$half>::wide(a)) })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let out = each(lanes.words(a), |bits| canonical(<$half>::wide(bits)).to_bits());
                    let out = flushed(out, ins.note);
                    lanes.set_words(d, &clamped(out, ins.note));
                })
            })
        })
    };
}
use widen;

/// To a half float: through f64, unless it is from f32 to the nearest.
macro_rules! narrow {
    (words, $format:expr, $half:ty, of_f32) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen);
            Some(if ins.note == 0 {
                lanes!(|a: f32| -> u32 { <$half>::narrow(a) })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let rounding = note::rounding(ins.note);
                    let values = flushed(*lanes.words(a), ins.note);
                    let out = each(&values, |bits| half_of($format, of_f32(bits), rounding, ins.note));
                    lanes.set_words(d, &finished::<$half>(out, ins.note));
                })
            })
        })
    };
    ($load:ident, $format:expr, $half:ty, $source:path) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen);
            Some(lane_function!(|lanes, ins| {
                let [d, a, ..] = ins.rows;
                let rounding = note::rounding(ins.note);
                let out = each(lanes.$load(a), |bits| half_of($format, $source(bits), rounding, ins.note));
                lanes.set_words(d, &finished::<$half>(out, ins.note));
            }))
        })
    };
}
use narrow;

/// A half float to a whole half float.
macro_rules! whole_half {
    ($half:ty) => {
        flagged_types!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let rounding = note::rounding(ins.note);
            let out = each(lanes.words(a), |bits| {
                let value = <$half>::wide(bits);
                <$half>::narrow(if ins.note & WHOLE == 0 { value } else { whole(value, rounding) })
            });
            lanes.set_words(d, &outputs::<$half>(out, ins.note));
        }))
    };
}
use whole_half;

fn of_f32(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits))
}

fn of_f16(bits: u32) -> f64 {
    f64::from(F16::wide(bits))
}

fn of_bf16(bits: u32) -> f64 {
    f64::from(Bf16::wide(bits))
}
