//! Conversions.
//!
//! The pairs that kernels spend time on have loops of their own. All others go through f64, which holds every value of the
//! smaller types, or through exact integers, lane by lane.

pub(super) mod float;
pub(super) mod integer;
pub(super) mod packed;

use super::form::{Action, Chosen, Family, Form, Operand};
use super::half::outputs;
use super::note;
use crate::machine::lanes::{WARP, Wides, Words, each};
use crate::numeric::Rounding;
use crate::numeric::exact::Format;
use crate::numeric::half::{Bf16, F16, Half};
use crate::numeric::single::{flush, saturate, saturate_wide};

pub(super) const fn row(
    spelling: &'static str,
    operands: &'static [Operand],
    meaning: &'static str,
    action: Action,
) -> Form {
    Form { spelling, operands, family: Family::Convert, meaning, action }
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    pub(super) bits: u32,
    pub(super) signed: bool,
}

/// The type written to, four bits, below the type read from.
pub(super) const TO_AT: u32 = note::OWN_AT;
pub(super) const FROM_AT: u32 = note::OWN_AT + 4;
/// A source of f16, of bf16, of f32; none of these bits is one of f64.
pub(super) const FROM_F16: u32 = 1 << (note::OWN_AT + 8);
pub(super) const FROM_BF16: u32 = 1 << (note::OWN_AT + 9);
pub(super) const FROM_F32: u32 = 1 << (note::OWN_AT + 10);
/// The result is a whole number.
pub(super) const WHOLE: u32 = 1 << (note::OWN_AT + 11);

/// What the types of a conversion add to its note.
pub(super) fn types(chosen: &Chosen<'_>) -> u32 {
    let mut note = 0;
    let mut at = TO_AT;
    for word in chosen.words() {
        match *word {
            "rni" | "rzi" | "rmi" | "rpi" => note |= WHOLE,
            "f16" => note |= FROM_F16,
            "bf16" => note |= FROM_BF16,
            "f32" => note |= FROM_F32,
            word => {
                if let Some(integer) = Integer::named(word) {
                    note |= ((integer.bits.trailing_zeros() - 3) | (u32::from(integer.signed) << 2)) << at;
                    at = FROM_AT;
                }
            }
        }
    }
    note
}

impl Integer {
    pub(super) fn named(word: &str) -> Option<Integer> {
        let signed = word.starts_with('s');
        let bits = word.strip_prefix(['u', 's'])?.parse().ok()?;
        matches!(bits, 8 | 16 | 32 | 64).then_some(Integer { bits, signed })
    }

    #[inline(always)]
    pub(super) fn noted(bits: u32) -> Integer {
        Integer { bits: 8 << (bits & 3), signed: bits >> 2 & 1 == 1 }
    }

    /// The type written to.
    #[inline(always)]
    pub(super) fn to(note: u32) -> Integer {
        Integer::noted(note >> TO_AT)
    }

    /// The type read from.
    #[inline(always)]
    pub(super) fn from(note: u32) -> Integer {
        Integer::noted(note >> FROM_AT)
    }

    #[inline(always)]
    pub(super) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// Words of this type with the bits above it as its sign says.
    #[inline(always)]
    pub(super) fn extend(self, row: &Words) -> Words {
        let unused = 32 - self.bits.min(32);
        if self.signed {
            each(row, |value| ((value << unused) as i32 >> unused) as u32)
        } else {
            each(row, |value| value << unused >> unused)
        }
    }

    /// Bits of the type, extended to a register that is wider: with its sign if it has one (PTX ISA, "Operand Size Exceeding
    /// Instruction-Type Size").
    #[inline(always)]
    pub(super) fn widened(self, bits: u64) -> u64 {
        let unused = 64 - self.bits;
        if self.signed { ((bits << unused) as i64 >> unused) as u64 } else { bits & self.mask() }
    }

    /// The number that the bits of a register stand for.
    #[inline(always)]
    pub(super) fn number(self, bits: u64) -> i128 {
        let unused = 64 - self.bits;
        if self.signed { i128::from((bits << unused) as i64 >> unused) } else { i128::from(bits << unused >> unused) }
    }

    pub(super) fn least(self) -> i128 {
        if self.signed { -1 << (self.bits - 1) } else { 0 }
    }

    pub(super) fn greatest(self) -> i128 {
        (1 << (self.bits - u32::from(self.signed))) - 1
    }

    /// The nearest value of the type, as bits.
    #[inline(always)]
    pub(super) fn nearest(self, value: i128) -> u64 {
        value.clamp(self.least(), self.greatest()) as u64 & self.mask()
    }

    #[inline(always)]
    pub(super) fn nearest_word(self, value: i32) -> u32 {
        self.nearest(i128::from(value)) as u32
    }
}

macro_rules! flagged_types {
    ($action:expr) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen) | types(chosen);
            Some($action)
        })
    };
}
pub(super) use flagged_types;

/// Rows of float operands as f64, which holds them all exactly.
pub(super) trait Numbers {
    /// The values, of the type that the note names; f32 flushed if it says so.
    fn numbers(&self, note: u32) -> [f64; WARP];
}

impl Numbers for Words {
    #[inline(always)]
    fn numbers(&self, note: u32) -> [f64; WARP] {
        numbers(self, note)
    }
}

impl Numbers for Wides {
    #[inline(always)]
    fn numbers(&self, _: u32) -> [f64; WARP] {
        each(self, f64::from_bits)
    }
}

#[inline(always)]
pub(super) fn numbers(row: &Words, note: u32) -> [f64; WARP] {
    if note & FROM_F16 != 0 {
        each(row, |bits| f64::from(F16::wide(bits)))
    } else if note & FROM_BF16 != 0 {
        each(row, |bits| f64::from(Bf16::wide(bits)))
    } else {
        each(&flushed(*row, note), |bits| f64::from(f32::from_bits(bits)))
    }
}

/// f32 values, flushed if the note says so.
#[inline(always)]
pub(super) fn flushed(row: Words, note: u32) -> Words {
    if note & note::FLUSH == 0 { row } else { each(&row, |bits| flush(f32::from_bits(bits)).to_bits()) }
}

/// f32 results, clamped to 0 to 1 if the note says so.
#[inline(always)]
pub(super) fn clamped(row: Words, note: u32) -> Words {
    if note & note::SATURATE == 0 { row } else { each(&row, |bits| saturate(f32::from_bits(bits)).to_bits()) }
}

/// f64 results, clamped to 0 to 1 if the note says so.
#[inline(always)]
pub(super) fn clamped_wide(row: [f64; WARP], note: u32) -> [f64; WARP] {
    if note & note::SATURATE == 0 { row } else { each(&row, saturate_wide) }
}

/// Half results with what the note says done to them, except flushing: a conversion flushes only what is f32.
#[inline(always)]
pub(super) fn finished<H: Half>(row: Words, note: u32) -> Words {
    outputs::<H>(row, note & !note::FLUSH)
}

#[inline(always)]
pub(super) fn whole(value: f32, rounding: Rounding) -> f32 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

#[inline(always)]
pub(super) fn whole_wide(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

/// A half float, finite if the note says so.
pub(super) fn half_of(format: Format, value: f64, rounding: Rounding, note: u32) -> u32 {
    let bits = format.of(value, rounding) as u32;
    if note & note::FINITE != 0 && bits & 0x7FFF == format.infinity as u32 { bits - 1 } else { bits }
}
