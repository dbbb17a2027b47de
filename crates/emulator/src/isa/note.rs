//! What modifiers of an instruction its function wants to know while it runs, as bits of `Instruction.note`.
//!
//! A modifier that changes the whole loop over the lanes chooses another function; one that adds a pass before or after it
//! is a bit here.

use super::form::Chosen;
use crate::numeric::Rounding;

/// The bits that hold the rounding.
const ROUNDING: u32 = 3;
/// Subnormal inputs and results become zeros of the same sign.
pub(super) const FLUSH: u32 = 1 << 2;
/// Clamp to 0 to 1, or to the range of the destination.
pub(super) const SATURATE: u32 = 1 << 3;
/// Negative results become +0.
pub(super) const RELU: u32 = 1 << 4;
/// A NaN among the inputs gives NaN.
pub(super) const NAN: u32 = 1 << 5;
/// Both halves of a word are operands.
pub(super) const PAIR: u32 = 1 << 7;
/// Results that are too large become the largest finite value.
pub(super) const FINITE: u32 = 1 << 8;
/// Writes the carry.
pub(super) const CARRY: u32 = 1 << 9;
/// Combines with a third predicate: the two bits of [`Combine`].
const COMBINE_AT: u32 = 10;
/// The result of a comparison is negated.
pub(super) const NEGATE: u32 = 1 << 12;
/// The operands of a comparison change places.
pub(super) const SWAP: u32 = 1 << 13;
/// First bit that a family may use as it likes.
pub(super) const OWN_AT: u32 = 16;

/// How a comparison meets its third predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combine {
    Alone,
    And,
    Or,
    Xor,
}

/// The bits for the modifiers of an instruction; words that mean nothing here are for the family to read.
pub(super) fn of(chosen: &Chosen<'_>) -> u32 {
    chosen.words().iter().map(|word| bits(word)).fold(0, |all, bits| all | bits)
}

fn bits(word: &str) -> u32 {
    match word {
        "rz" | "rzi" => Rounding::Zero as u32,
        "rm" | "rmi" => Rounding::Down as u32,
        "rp" | "rpi" => Rounding::Up as u32,
        "ftz" => FLUSH,
        "sat" => SATURATE,
        "relu" => RELU,
        "NaN" => NAN,
        "f16x2" | "bf16x2" => PAIR,
        "satfinite" => FINITE,
        "cc" => CARRY,
        "and" => (Combine::And as u32) << COMBINE_AT,
        "or" => (Combine::Or as u32) << COMBINE_AT,
        "xor" => (Combine::Xor as u32) << COMBINE_AT,
        _ => 0,
    }
}

/// The rounding in a note.
#[inline(always)]
pub(super) fn rounding(note: u32) -> Rounding {
    match note & ROUNDING {
        1 => Rounding::Zero,
        2 => Rounding::Down,
        3 => Rounding::Up,
        _ => Rounding::Nearest,
    }
}

/// The combination in a note.
#[inline(always)]
pub(super) fn combine(note: u32) -> Combine {
    match note >> COMBINE_AT & 3 {
        1 => Combine::And,
        2 => Combine::Or,
        3 => Combine::Xor,
        _ => Combine::Alone,
    }
}

/// An action whose function reads the note: `flagged!(action)`, and `flagged!(action, BITS)` to add some.
macro_rules! flagged {
    ($action:expr $(, $more:expr)?) => {
        $crate::isa::form::Action::Choose(|chosen, ins| {
            ins.note = $crate::isa::note::of(chosen) $(| $more)?;
            Some($action)
        })
    };
}
pub(super) use flagged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundings_and_combinations_survive_the_note() {
        for (word, expected) in
            [("rz", Rounding::Zero), ("rmi", Rounding::Down), ("rp", Rounding::Up), ("rn", Rounding::Nearest)]
        {
            assert_eq!(rounding(bits(word) | FLUSH | NEGATE), expected);
        }
        for (word, expected) in
            [("and", Combine::And), ("or", Combine::Or), ("xor", Combine::Xor), ("lt", Combine::Alone)]
        {
            assert_eq!(combine(bits(word) | SATURATE | SWAP), expected);
        }
    }
}
