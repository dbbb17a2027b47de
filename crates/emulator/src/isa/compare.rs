//! Comparisons: into predicates (setp), and into registers (set).
//!
//! Five relations serve all words: the others are these with the operands exchanged, the result negated, or both. A
//! comparison with NaN has no exchange that could express it, so `ne` has a loop of its own next to `eq`.

use super::form::operands::{L, P, TO_PP, TO_W, W};
use super::form::{Action, Chosen, Family, Form, Operand, lane_function};
use super::note::{self, Combine};
use crate::decode::Instruction;
use crate::machine::lanes::{Lane, Lanes, WARP, each, spread};
use crate::numeric::half::{self, Bf16, F16, Half};
use crate::numeric::single::flush;

const P_WW: &[Operand] = &[TO_PP, W, W];
const P_WWP: &[Operand] = &[TO_PP, W, W, P];
const P_LL: &[Operand] = &[TO_PP, L, L];
const P_LLP: &[Operand] = &[TO_PP, L, L, P];
const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWP: &[Operand] = &[TO_W, W, W, P];
const W_LL: &[Operand] = &[TO_W, L, L];
const W_LLP: &[Operand] = &[TO_W, L, L, P];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row(
        "setp{.eq|.ne}.b16",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}.u16",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}.s16",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::s16),
    ),
    row(
        "setp{.eq|.ne}.b32",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}.u32",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}.s32",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::s32),
    ),
    row(
        "setp{.eq|.ne}.b64",
        P_LL,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}.u64",
        P_LL,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::u64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}.s64",
        P_LL,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::s64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz].f16",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::f16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}.bf16",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::bf16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz]{.f16x2}",
        P_WW,
        "p = the comparison of the lower halves, q = of the upper",
        Action::Choose(to_predicates::f16x2),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.bf16x2}",
        P_WW,
        "p = the comparison of the lower halves, q = of the upper",
        Action::Choose(to_predicates::bf16x2),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz].f32",
        P_WW,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::f32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}.f64",
        P_LL,
        "p = the comparison of a with b, q = its opposite",
        Action::Choose(to_predicates::f64),
    ),
    row(
        "setp{.eq|.ne}{.and|.or|.xor}.b16",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}.u16",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}.s16",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::s16),
    ),
    row(
        "setp{.eq|.ne}{.and|.or|.xor}.b32",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}.u32",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}.s32",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::s32),
    ),
    row(
        "setp{.eq|.ne}{.and|.or|.xor}.b64",
        P_LLP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}.u64",
        P_LLP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::u64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}.s64",
        P_LLP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::s64),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz].f16",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::f16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}.bf16",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::bf16),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz]{.f16x2}",
        P_WWP,
        "p = the comparison of the lower halves, q = of the upper, each with c",
        Action::Choose(to_predicates::f16x2),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}{.bf16x2}",
        P_WWP,
        "p = the comparison of the lower halves, q = of the upper, each with c",
        Action::Choose(to_predicates::bf16x2),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz].f32",
        P_WWP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::f32),
    ),
    row(
        "setp{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}.f64",
        P_LLP,
        "p = the comparison of a with b, q = its opposite, each with c",
        Action::Choose(to_predicates::f64),
    ),
    row(
        "set{.eq|.ne}{.u32|.s32|.f32|.f16|.bf16}.b16",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.u32|.s32|.f32|.f16|.bf16}.u16",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.u32|.s32|.f32|.f16|.bf16}.s16",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::s16),
    ),
    row(
        "set{.eq|.ne}{.u32|.s32|.f32|.f16|.bf16}.b32",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.u32|.s32|.f32|.f16|.bf16}.u32",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.u32|.s32|.f32|.f16|.bf16}.s32",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::s32),
    ),
    row(
        "set{.eq|.ne}{.u32|.s32|.f32|.f16|.bf16}.b64",
        W_LL,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.u32|.s32|.f32|.f16|.bf16}.u64",
        W_LL,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::u64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.u32|.s32|.f32|.f16|.bf16}.s64",
        W_LL,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::s64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz]{.u16|.s16|.u32|.s32|.f32|.f16|.bf16}.f16",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::f16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.u16|.s16|.u32|.s32|.f32|.f16|.bf16}.bf16",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::bf16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz]{.u32|.s32|.f16x2}{.f16x2}",
        W_WW,
        "each half of d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::f16x2),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.u32|.s32|.bf16x2}{.bf16x2}",
        W_WW,
        "each half of d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::bf16x2),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}[.ftz]{.u32|.s32|.f32|.f16|.bf16}.f32",
        W_WW,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::f32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.u32|.s32|.f32|.f16|.bf16}.f64",
        W_LL,
        "d = ones, or 1.0, where the comparison holds, else 0",
        Action::Choose(to_values::f64),
    ),
    row(
        "set{.eq|.ne}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.b16",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.u16",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.s16",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::s16),
    ),
    row(
        "set{.eq|.ne}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.b32",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.u32",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.s32",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::s32),
    ),
    row(
        "set{.eq|.ne}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.b64",
        W_LLP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.u64",
        W_LLP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::u64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.s64",
        W_LLP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::s64),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz]{.u16|.s16|.u32|.s32|.f32|.f16|.bf16}.f16",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::f16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}{.u16|.s16|.u32|.s32|.f32|.f16|.bf16}.bf16",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::bf16),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz]{.u32|.s32|.f16x2}{.f16x2}",
        W_WWP,
        "each half of d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::f16x2),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}{.u32|.s32|.bf16x2}{.bf16x2}",
        W_WWP,
        "each half of d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::bf16x2),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}[.ftz]{.u32|.s32|.f32|.f16|.bf16}.f32",
        W_WWP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::f32),
    ),
    row(
        "set{.eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan}{.and|.or|.xor}{.u32|.s32|.f32|.f16|.bf16}.f64",
        W_LLP,
        "d = ones, or 1.0, where the comparison holds, else 0; combined with c",
        Action::Choose(to_values::f64),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Compare, meaning, action }
}

/// The relations that have a loop.
enum Relation {
    Equal,
    /// Less or greater: false with NaN.
    Unequal,
    Less,
    LessOrEqual,
    /// Neither is NaN.
    Ordered,
}

/// A comparison of integers, and the bits that make another one of it.
fn of_integers(word: &str) -> Option<(Relation, u32)> {
    Some(match word {
        "eq" => (Relation::Equal, 0),
        "ne" => (Relation::Equal, note::NEGATE),
        "lt" | "lo" => (Relation::Less, 0),
        "le" | "ls" => (Relation::Less, note::SWAP | note::NEGATE),
        "gt" | "hi" => (Relation::Less, note::SWAP),
        "ge" | "hs" => (Relation::Less, note::NEGATE),
        _ => return None,
    })
}

/// A comparison of floats, and the bits that make another one of it. `ltu` is true with NaN: it is what `ge` is not.
fn of_floats(word: &str) -> Option<(Relation, u32)> {
    Some(match word {
        "eq" => (Relation::Equal, 0),
        "ne" => (Relation::Unequal, 0),
        "lt" => (Relation::Less, 0),
        "le" => (Relation::LessOrEqual, 0),
        "gt" => (Relation::Less, note::SWAP),
        "ge" => (Relation::LessOrEqual, note::SWAP),
        "equ" => (Relation::Unequal, note::NEGATE),
        "neu" => (Relation::Equal, note::NEGATE),
        "ltu" => (Relation::LessOrEqual, note::SWAP | note::NEGATE),
        "leu" => (Relation::Less, note::SWAP | note::NEGATE),
        "gtu" => (Relation::LessOrEqual, note::NEGATE),
        "geu" => (Relation::Less, note::NEGATE),
        "num" => (Relation::Ordered, 0),
        "nan" => (Relation::Ordered, note::NEGATE),
        _ => return None,
    })
}

/// A function of [`Action::Choose`] for integers.
macro_rules! integers {
    ($name:ident: $type:ty, $first:literal, $finish:path) => {
        pub(super) fn $name(chosen: &Chosen<'_>, ins: &mut Instruction) -> Option<Action> {
            let (relation, bits) = of_integers(chosen.word(0))?;
            ins.note = note::of(chosen) | value_bits(chosen) | bits;
            Some(match relation {
                Relation::Equal => relate!($type, $first, $finish, |a, b| a == b),
                _ => relate!($type, $first, $finish, |a, b| a < b),
            })
        }
    };
}

/// A function of [`Action::Choose`] for floats: how an operand becomes a number, how it is flushed, and, for the 16-bit
/// types, where in a word the values stand.
macro_rules! floats {
    ($name:ident: $type:ty, $first:literal, $finish:path, |$x:ident| $number:expr, |$y:ident| $flush:expr $(, $halves:tt)?) => {
        pub(super) fn $name(chosen: &Chosen<'_>, ins: &mut Instruction) -> Option<Action> {
            let (relation, bits) = of_floats(chosen.word(0))?;
            ins.note = note::of(chosen) | value_bits(chosen) | bits;
            Some(match relation {
                Relation::Equal => floats!(@ $type, $first, $finish, |$x| $number, |$y| $flush, |a, b| a == b $(, $halves)?),
                Relation::Unequal => {
                    floats!(@ $type, $first, $finish, |$x| $number, |$y| $flush, |a, b| (a < b) | (a > b) $(, $halves)?)
                }
                Relation::Less => floats!(@ $type, $first, $finish, |$x| $number, |$y| $flush, |a, b| a < b $(, $halves)?),
                Relation::LessOrEqual => {
                    floats!(@ $type, $first, $finish, |$x| $number, |$y| $flush, |a, b| a <= b $(, $halves)?)
                }
                Relation::Ordered => {
                    floats!(@ $type, $first, $finish, |$x| $number, |$y| $flush, |a, b| !a.is_nan() & !b.is_nan() $(, $halves)?)
                }
            })
        }
    };
    (@ $type:ty, $first:literal, $finish:path, |$x:ident| $number:expr, |$y:ident| $flush:expr, |$a:ident, $b:ident| $holds:expr) => {
        lane_function!(|lanes, ins| {
            let (a, b) = operands::<$type>(lanes, ins, $first);
            let (a, b) = if ins.note & note::FLUSH == 0 { (a, b) } else { (each(&a, |$y| $flush), each(&b, |$y| $flush)) };
            let mut bits = 0;
            for lane in 0..WARP {
                let ($a, $b) = (a[lane], b[lane]);
                bits |= u32::from($holds) << lane;
            }
            $finish(lanes, ins, [bits, !bits]);
        })
    };
    (@ $type:ty, $first:literal, $finish:path, |$x:ident| $number:expr, |$y:ident| $flush:expr, |$a:ident, $b:ident| $holds:expr, $halves:tt) => {
        lane_function!(|lanes, ins| {
            let (a, b) = operands::<$type>(lanes, ins, $first);
            let (a, b) = if ins.note & note::FLUSH == 0 { (a, b) } else { (each(&a, |$y| $flush), each(&b, |$y| $flush)) };
            let mut halves = [0; 2];
            for (at, half) in $halves.into_iter().enumerate() {
                for lane in 0..WARP {
                    let $a = { let $x = a[lane] >> half; $number };
                    let $b = { let $x = b[lane] >> half; $number };
                    halves[at] |= u32::from($holds) << lane;
                }
            }
            let halves = if ins.note & note::PAIR == 0 { [halves[0], !halves[0]] } else { halves };
            $finish(lanes, ins, halves);
        })
    };
}

/// A loop over integers.
macro_rules! relate {
    ($type:ty, $first:literal, $finish:path, |$a:ident, $b:ident| $holds:expr) => {
        lane_function!(|lanes, ins| {
            let (a, b) = operands::<$type>(lanes, ins, $first);
            let mut bits = 0;
            for lane in 0..WARP {
                let ($a, $b) = (a[lane], b[lane]);
                bits |= u32::from($holds) << lane;
            }
            $finish(lanes, ins, [bits, !bits]);
        })
    };
}

/// Defines the functions of one kind of destination, one for each type compared, as a module.
macro_rules! comparisons {
    ($name:ident: $first:literal, $finish:path) => {
        mod $name {
            use super::*;

            integers! { u16: u16, $first, $finish }
            integers! { s16: i16, $first, $finish }
            integers! { u32: u32, $first, $finish }
            integers! { s32: i32, $first, $finish }
            integers! { u64: u64, $first, $finish }
            integers! { s64: i64, $first, $finish }
            floats! { f16: u32, $first, $finish, |bits| F16::wide(bits), |bits| half::flush::<F16>(bits), [0] }
            floats! { bf16: u32, $first, $finish, |bits| Bf16::wide(bits), |bits| bits, [0] }
            floats! { f16x2: u32, $first, $finish, |bits| F16::wide(bits), |bits| half::flush::<F16>(bits), [0, 16] }
            floats! { bf16x2: u32, $first, $finish, |bits| Bf16::wide(bits), |bits| bits, [0, 16] }
            floats! { f32: f32, $first, $finish, |value| value, |value| flush(value) }
            floats! { f64: f64, $first, $finish, |value| value, |value| value }
        }
    };
}

comparisons! { to_predicates: 2, finish_predicates }
comparisons! { to_values: 1, finish_values }

/// The two rows compared, exchanged if the note says so. They follow the outputs.
#[inline(always)]
fn operands<T: Lane>(lanes: &Lanes, ins: &Instruction, first: usize) -> ([T; WARP], [T; WARP]) {
    let (a, b) = (ins.rows[first], ins.rows[first + 1]);
    let (a, b) = if ins.note & note::SWAP == 0 { (a, b) } else { (b, a) };
    (T::load(lanes, a), T::load(lanes, b))
}

/// What a comparison gave, negated and combined as the note says; the third predicate is read only if there is one.
#[inline(always)]
fn combined(lanes: &Lanes, ins: &Instruction, bits: [u32; 2], third: usize) -> [u32; 2] {
    let bits = if ins.note & note::NEGATE == 0 { bits } else { bits.map(|bits| !bits) };
    match note::combine(ins.note) {
        Combine::Alone => bits,
        Combine::And => bits.map(|bits| bits & lanes.predicate(ins.rows[third])),
        Combine::Or => bits.map(|bits| bits | lanes.predicate(ins.rows[third])),
        Combine::Xor => bits.map(|bits| bits ^ lanes.predicate(ins.rows[third])),
    }
}

#[inline(always)]
fn finish_predicates(lanes: &mut Lanes, ins: &Instruction, bits: [u32; 2]) {
    let [p, q] = combined(lanes, ins, bits, 4);
    lanes.set_predicate(ins.rows[0], p);
    lanes.set_predicate(ins.rows[1], q);
}

/// Where `set` notes what stands for true.
const VALUE_AT: u32 = note::OWN_AT;
/// All ones, and 1.0 of each type; halves of pairs first, then of single values.
const VALUES: [u32; 8] = [0xFFFF, 0x3C00, 0x3F80, 0, u32::MAX, 0x3C00, 0x3F80, 0x3F80_0000];

/// The place in [`VALUES`] for the destination that `set` names last; nothing that `setp` would look at.
fn value_bits(chosen: &Chosen<'_>) -> u32 {
    let at = match chosen.words() {
        // All ones in each half.
        [.., "u32" | "s32", "f16x2" | "bf16x2"] | [.., "u16" | "s16"] => 0,
        [.., "f16x2"] => 1,
        [.., "bf16x2"] => 2,
        [.., "f16"] => 5,
        [.., "bf16"] => 6,
        [.., "f32"] => 7,
        _ => 4,
    };
    at << VALUE_AT
}

#[inline(always)]
fn finish_values(lanes: &mut Lanes, ins: &Instruction, bits: [u32; 2]) {
    let [lower, upper] = combined(lanes, ins, bits, 3);
    let one = VALUES[(ins.note >> VALUE_AT & 7) as usize];
    let mut out = each(&spread(lower), |holds| holds & one);
    if ins.note & note::PAIR != 0 {
        let upper = spread(upper);
        for lane in 0..WARP {
            out[lane] = out[lane] & 0xFFFF | (upper[lane] & one) << 16;
        }
    }
    lanes.set_words(ins.rows[0], &out);
}
