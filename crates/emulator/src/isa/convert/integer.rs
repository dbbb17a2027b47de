//! Conversions between integers, and between integers and floats.

use super::{FROM_BF16, FROM_F16, FROM_F32, Integer, Numbers, clamped, clamped_wide, row, types, whole_wide};
use crate::decode::Instruction;
use crate::isa::form::operands::{L, TO_L, TO_W, W};
use crate::isa::form::{Action, Chosen, Form, Operand, lane_function, lanes};
use crate::isa::half::outputs;
use crate::isa::note;
use crate::machine::lanes::{Lane, each};
use crate::numeric::exact::{BRAIN, DOUBLE, Exact, HALF, SINGLE};
use crate::numeric::half::{Bf16, F16};

const W_W: &[Operand] = &[TO_W, W];
const W_L: &[Operand] = &[TO_W, L];
const L_W: &[Operand] = &[TO_L, W];
const L_L: &[Operand] = &[TO_L, L];

/// The rows of this family.
pub(in crate::isa) const FORMS: &[Form] = &[
    row(
        "cvt[.sat]{.u8|.s8|.u16|.s16|.u32|.s32}{.u8|.s8|.u16|.s16|.u32|.s32}",
        W_W,
        TO_INTEGER,
        Action::Choose(|chosen, ins| {
            let clamps = note_integers(chosen, ins);
            Some(if clamps {
                clamp!(words, set_words)
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let (to, from) = (Integer::to(ins.note), Integer::from(ins.note));
                    let values = from.extend(lanes.words(a));
                    lanes.set_words(d, &to.extend(&values));
                })
            })
        }),
    ),
    row(
        "cvt[.sat]{.u64|.s64}{.u8|.s8|.u16|.s16|.u32|.s32}",
        L_W,
        TO_INTEGER,
        Action::Choose(|chosen, ins| {
            let clamps = note_integers(chosen, ins);
            Some(if clamps {
                clamp!(words, set_wides)
            } else if Integer::from(ins.note).signed {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let values = Integer::from(ins.note).extend(lanes.words(a));
                    lanes.set_wides(d, &each(&values, |value| value as i32 as i64 as u64));
                })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let values = Integer::from(ins.note).extend(lanes.words(a));
                    lanes.set_wides(d, &each(&values, u64::from));
                })
            })
        }),
    ),
    row(
        "cvt[.sat]{.u8|.s8|.u16|.s16|.u32|.s32}{.u64|.s64}",
        W_L,
        TO_INTEGER,
        Action::Choose(|chosen, ins| {
            let clamps = note_integers(chosen, ins);
            Some(if clamps {
                clamp!(wides, set_words)
            } else {
                lane_function!(|lanes, ins| {
                    let [d, a, ..] = ins.rows;
                    let values = each(lanes.wides(a), |value| value as u32);
                    lanes.set_words(d, &Integer::to(ins.note).extend(&values));
                })
            })
        }),
    ),
    row(
        "cvt[.sat]{.u64|.s64}{.u64|.s64}",
        L_L,
        TO_INTEGER,
        Action::Choose(|chosen, ins| {
            let clamps = note_integers(chosen, ins);
            Some(if clamps { clamp!(wides, set_wides) } else { lanes!(|a: u64| -> u64 { a }) })
        }),
    ),
    row(
        "cvt{.rn|.rz|.rm|.rp}[.sat].f32{.u8|.s8|.u16|.s16|.u32|.s32}",
        W_W,
        TO_FLOAT,
        from_integer!(
            words, SINGLE, f32, "s32" => lanes!(|a: i32| -> f32 { a as f32 }), "u32" => lanes!(|a: u32| -> f32 { a as f32 })
        ),
    ),
    row(
        "cvt{.rn|.rz|.rm|.rp}[.sat].f32{.u64|.s64}",
        W_L,
        TO_FLOAT,
        from_integer!(
            wides, SINGLE, f32, "s64" => lanes!(|a: i64| -> f32 { a as f32 }), "u64" => lanes!(|a: u64| -> f32 { a as f32 })
        ),
    ),
    row(
        "cvt{.rn|.rz|.rm|.rp}[.sat].f64{.u8|.s8|.u16|.s16|.u32|.s32}",
        L_W,
        TO_FLOAT,
        from_integer!(
            words, DOUBLE, f64, "s32" => lanes!(|a: i32| -> f64 { f64::from(a) }), "u32" => lanes!(|a: u32| -> f64 { f64::from(a) })
        ),
    ),
    row(
        "cvt{.rn|.rz|.rm|.rp}[.sat].f64{.u64|.s64}",
        L_L,
        TO_FLOAT,
        from_integer!(
            wides, DOUBLE, f64, "s64" => lanes!(|a: i64| -> f64 { a as f64 }), "u64" => lanes!(|a: u64| -> f64 { a as f64 })
        ),
    ),
    row("cvt{.rn|.rz|.rm|.rp}[.sat].f16{.u8|.s8|.u16|.s16|.u32|.s32}", W_W, TO_FLOAT, from_integer!(words, HALF, F16)),
    row("cvt{.rn|.rz|.rm|.rp}[.sat].f16{.u64|.s64}", W_L, TO_FLOAT, from_integer!(wides, HALF, F16)),
    row("cvt{.rn|.rz|.rm|.rp}.bf16{.u8|.s8|.u16|.s16|.u32|.s32}", W_W, TO_FLOAT, from_integer!(words, BRAIN, Bf16)),
    row("cvt{.rn|.rz|.rm|.rp}.bf16{.u64|.s64}", W_L, TO_FLOAT, from_integer!(wides, BRAIN, Bf16)),
    row(
        "cvt{.rni|.rzi|.rmi|.rpi}[.ftz][.sat]{.u8|.s8|.u16|.s16|.u32|.s32}{.f32|.f16|.bf16}",
        W_W,
        TO_WHOLE,
        to_integer!(words, set_words, u32,
            ("rzi", "s32") => lanes!(|a: f32| -> i32 { a as i32 }), ("rzi", "u32") => lanes!(|a: f32| -> u32 { a as u32 }),
            ("rni", "s32") => lanes!(|a: f32| -> i32 { a.round_ties_even() as i32 }),
            ("rni", "u32") => lanes!(|a: f32| -> u32 { a.round_ties_even() as u32 }),
            ("rmi", "s32") => lanes!(|a: f32| -> i32 { a.floor() as i32 }),
            ("rpi", "s32") => lanes!(|a: f32| -> i32 { a.ceil() as i32 })),
    ),
    row(
        "cvt{.rni|.rzi|.rmi|.rpi}[.ftz][.sat]{.u64|.s64}{.f32|.f16|.bf16}",
        L_W,
        TO_WHOLE,
        to_integer!(words, set_wides, u64),
    ),
    row(
        "cvt{.rni|.rzi|.rmi|.rpi}[.sat]{.u8|.s8|.u16|.s16|.u32|.s32}.f64",
        W_L,
        TO_WHOLE,
        to_integer!(wides, set_words, u32),
    ),
    row("cvt{.rni|.rzi|.rmi|.rpi}[.sat]{.u64|.s64}.f64", L_L, TO_WHOLE, to_integer!(wides, set_wides, u64)),
];

const TO_INTEGER: &str = "d = a, its upper bits dropped or filled as its type says; .sat: clamped to the type of d";
const TO_FLOAT: &str = "d = a, rounded";
const TO_WHOLE: &str =
    "d = a, rounded and clamped to the type of d; NaN gives 0, or the highest bit alone if a or d has 64";

/// Notes the two types of an integer conversion; the answer is whether it clamps.
fn note_integers(chosen: &Chosen<'_>, ins: &mut Instruction) -> bool {
    ins.note = note::of(chosen) | types(chosen);
    ins.note & note::SATURATE != 0
}

/// An integer conversion that clamps.
macro_rules! clamp {
    ($load:ident, $store:ident) => {
        lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let (to, from) = (Integer::to(ins.note), Integer::from(ins.note));
            let values = each(lanes.$load(a), |bits| to.widened(to.nearest(from.number(u64::from(bits)))));
            lanes.$store(d, &each(&values, |value| value as _));
        })
    };
}
use clamp;

/// An integer to a float: through exact numbers unless the host has the conversion, which `$fast` names by its source.
macro_rules! from_integer {
    ($load:ident, $format:expr, $kind:tt $(, $word:literal => $fast:expr)*) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | types(chosen);
            if note::of(chosen) == 0 {
                match *chosen.words().last()? {
                    $($word => return Some($fast),)*
                    _ => {}
                }
            }
            Some(lane_function!(|lanes, ins| {
                let [d, a, ..] = ins.rows;
                let from = Integer::to(ins.note);
                let rounding = note::rounding(ins.note);
                let values = each(lanes.$load(a), |bits| from.number(u64::from(bits)));
                let values = each(&values, |value| Exact::of_integer(value).map_or(0, |value| value.round($format, rounding)));
                from_integer!(@$kind lanes, d, values, ins.note);
            }))
        })
    };
    (@f32 $lanes:ident, $d:ident, $values:ident, $note:expr) => {
        $lanes.set_words($d, &clamped(each(&$values, |bits| bits as u32), $note))
    };
    (@f64 $lanes:ident, $d:ident, $values:ident, $note:expr) => {
        f64::store($lanes, $d, clamped_wide(each(&$values, f64::from_bits), $note))
    };
    (@$half:ident $lanes:ident, $d:ident, $values:ident, $note:expr) => {
        $lanes.set_words($d, &outputs::<$half>(each(&$values, |bits| bits as u32), $note))
    };
}
use from_integer;

/// A float to an integer: through f64, unless the host has the conversion from f32, which `$fast` names by rounding and
/// destination.
macro_rules! to_integer {
    ($load:ident, $store:ident, $type:ty $(, $words:pat => $fast:expr)*) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | types(chosen);
            // Flushing changes nothing here unless a subnormal would be rounded away from zero.
            let flushes = ins.note & note::FLUSH != 0 && !matches!(chosen.word(0), "rzi" | "rni");
            if ins.note & FROM_F32 != 0 && !flushes {
                match (chosen.word(0), chosen.word(3)) {
                    $($words => return Some($fast),)*
                    _ => {}
                }
            }
            Some(lane_function!(|lanes, ins| {
                let [d, a, ..] = ins.rows;
                let to = Integer::to(ins.note);
                let rounding = note::rounding(ins.note);
                let values = lanes.$load(a).numbers(ins.note);
                let double = ins.note & (FROM_F16 | FROM_BF16 | FROM_F32) == 0;
                let unknown = if double || to.bits == 64 { 1 << (to.bits - 1) } else { 0 };
                let out = each(&values, |value| {
                    // `as` clamps to more than any type of PTX holds.
                    let bits = to.widened(to.nearest(whole_wide(value, rounding) as i128));
                    (if value.is_nan() { unknown } else { bits }) as $type
                });
                lanes.$store(d, &out);
            }))
        })
    };
}
use to_integer;
