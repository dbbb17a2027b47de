//! Moves and selections: which value, not what it is.

use super::form::operands::{L, P, TO_L, TO_P, TO_W, W};
use super::form::{Action, Chosen, Class, Family, Form, Operand, effect, lane_function, lanes};
use crate::decode::Instruction;
use crate::machine::lanes::{WARP, each, spread};
use crate::numeric::single::flush;

const TO_2W: Operand = Operand::OutBraces(Class::Word, 2);
const TO_4W: Operand = Operand::OutBraces(Class::Word, 4);
const IN_2W: Operand = Operand::InBraces(Class::Word, 2);
const IN_4W: Operand = Operand::InBraces(Class::Word, 4);

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row(
        "mov.pred",
        &[TO_P, P],
        "d = a",
        lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let bits = lanes.predicate(a);
            lanes.set_predicate(d, bits);
        }),
    ),
    row("mov{.b16|.u16|.s16|.b32|.u32|.s32|.f16|.f32}", &[TO_W, W], "d = a", lanes!(|a: u32| -> u32 { a })),
    row("mov{.b64|.u64|.s64|.f64}", &[TO_L, L], "d = a", lanes!(|a: u64| -> u64 { a })),
    row(
        "mov{.b32|.u32|.s32}",
        &[TO_W, Operand::Clock(Class::Word)],
        "d = as below, its lower or its upper half",
        effect!(Effect, |effect, ins| {
            effect.lanes.set_words(ins.rows[0], &[(effect.clock() >> ins.number) as u32; WARP]);
            Ok(())
        }),
    ),
    row(
        "mov{.b64|.u64|.s64}",
        &[TO_L, Operand::Clock(Class::Wide)],
        "d = four times the instructions that the warp has executed: it rises, and means no time",
        effect!(Effect, |effect, ins| {
            effect.lanes.set_wides(ins.rows[0], &[effect.clock(); WARP]);
            Ok(())
        }),
    ),
    row(
        "mov.b16",
        &[TO_W, IN_2W],
        "d = two bytes, the first lowest",
        lanes!(|a: u32, b: u32| -> u32 { a & 0xFF | (b & 0xFF) << 8 }),
    ),
    row(
        "mov.b32",
        &[TO_W, IN_2W],
        "d = two halves, the first lower",
        lanes!(|a: u32, b: u32| -> u32 { a & 0xFFFF | b << 16 }),
    ),
    row(
        "mov.b32",
        &[TO_W, IN_4W],
        "d = four bytes, the first lowest",
        lanes!(|a: u32, b: u32, c: u32, d: u32| -> u32 { a & 0xFF | (b & 0xFF) << 8 | (c & 0xFF) << 16 | d << 24 }),
    ),
    row(
        "mov.b64",
        &[TO_L, IN_2W],
        "d = two words, the first lower",
        lanes!(|a: u32, b: u32| -> u64 { u64::from(a) | u64::from(b) << 32 }),
    ),
    row(
        "mov.b64",
        &[TO_L, IN_4W],
        "d = four halves, the first lowest",
        lanes!(|a: u32, b: u32, c: u32, d: u32| -> u64 {
            u64::from(a & 0xFFFF | b << 16) | u64::from(c & 0xFFFF | d << 16) << 32
        }),
    ),
    row(
        "mov.b16",
        &[TO_2W, W],
        "two bytes = a, its lowest first",
        lane_function!(|lanes, ins| {
            let [low, high, a, ..] = ins.rows;
            let value = *lanes.words(a);
            lanes.set_words(low, &each(&value, |value| value & 0xFF));
            lanes.set_words(high, &each(&value, |value| value >> 8 & 0xFF));
        }),
    ),
    row(
        "mov.b32",
        &[TO_2W, W],
        "two halves = a, its lower first",
        lane_function!(|lanes, ins| {
            let [low, high, a, ..] = ins.rows;
            let value = *lanes.words(a);
            lanes.set_words(low, &each(&value, |value| value & 0xFFFF));
            lanes.set_words(high, &each(&value, |value| value >> 16));
        }),
    ),
    row(
        "mov.b32",
        &[TO_4W, W],
        "four bytes = a, its lowest first",
        lane_function!(|lanes, ins| {
            let value = *lanes.words(ins.rows[4]);
            for at in 0..4 {
                lanes.set_words(ins.rows[at], &each(&value, |value| value >> (8 * at) & 0xFF));
            }
        }),
    ),
    row(
        "mov.b64",
        &[TO_2W, L],
        "two words = a, its lower first",
        lane_function!(|lanes, ins| {
            let [low, high, a, ..] = ins.rows;
            let value = *lanes.wides(a);
            lanes.set_words(low, &each(&value, |value| value as u32));
            lanes.set_words(high, &each(&value, |value| (value >> 32) as u32));
        }),
    ),
    row(
        "mov.b64",
        &[TO_4W, L],
        "four halves = a, its lowest first",
        lane_function!(|lanes, ins| {
            let value = *lanes.wides(ins.rows[4]);
            for at in 0..4 {
                lanes.set_words(ins.rows[at], &each(&value, |value| (value >> (16 * at)) as u32 & 0xFFFF));
            }
        }),
    ),
    row(
        "selp{.b16|.u16|.s16|.b32|.u32|.s32|.f32}",
        &[TO_W, W, W, P],
        "d = a where p holds, else b",
        lane_function!(|lanes, ins| {
            let [d, a, b, p, ..] = ins.rows;
            let keep = spread(lanes.predicate(p));
            let (a, b) = (lanes.words(a), lanes.words(b));
            let mut out = [0; WARP];
            for lane in 0..WARP {
                out[lane] = a[lane] & keep[lane] | b[lane] & !keep[lane];
            }
            lanes.set_words(d, &out);
        }),
    ),
    row(
        "selp{.b64|.u64|.s64|.f64}",
        &[TO_L, L, L, P],
        "d = a where p holds, else b",
        lane_function!(|lanes, ins| {
            let [d, a, b, p, ..] = ins.rows;
            let keep = spread(lanes.predicate(p));
            let (a, b) = (lanes.wides(a), lanes.wides(b));
            let mut out = [0; WARP];
            for lane in 0..WARP {
                let keep = keep[lane] as i32 as i64 as u64;
                out[lane] = a[lane] & keep | b[lane] & !keep;
            }
            lanes.set_wides(d, &out);
        }),
    ),
    row(
        "slct{.b16|.u16|.s16|.b32|.u32|.s32|.f32}.s32",
        &[TO_W, W, W, W],
        "d = a where c >= 0, else b",
        lanes!(|a: u32, b: u32, c: i32| -> u32 { if c >= 0 { a } else { b } }),
    ),
    row(
        "slct{.b64|.u64|.s64|.f64}.s32",
        &[TO_L, L, L, W],
        "d = a where c >= 0, else b",
        lanes!(|a: u64, b: u64, c: i32| -> u64 { if c >= 0 { a } else { b } }),
    ),
    row(
        "slct[.ftz]{.b16|.u16|.s16|.b32|.u32|.s32|.f32}.f32",
        &[TO_W, W, W, W],
        "d = a where c >= 0, else b, and so for NaN",
        by_float!(u32),
    ),
    row(
        "slct[.ftz]{.b64|.u64|.s64|.f64}.f32",
        &[TO_L, L, L, W],
        "d = a where c >= 0, else b, and so for NaN",
        by_float!(u64),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Integer, meaning, action }
}

/// A selection by the sign of a float. Flushing makes zeros, which count as not negative, of the least negative values.
macro_rules! by_float {
    ($type:ty) => {
        Action::Choose(|chosen: &Chosen<'_>, _: &mut Instruction| {
            Some(if chosen.word(0) == "ftz" {
                lanes!(|a: $type, b: $type, c: f32| -> $type { if flush(c) >= 0.0 { a } else { b } })
            } else {
                lanes!(|a: $type, b: $type, c: f32| -> $type { if c >= 0.0 { a } else { b } })
            })
        })
    };
}
use by_float;
