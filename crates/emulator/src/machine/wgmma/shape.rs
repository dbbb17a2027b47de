//! What one `wgmma` multiplies.

use crate::decode::Instruction;
use crate::machine::descriptor::Major;
use crate::numeric::product::{DEPTH_WORDS, Element, Sum};

/// Rows of D of a warpgroup, and of a warp.
pub(super) const ROWS: usize = 64;
pub(crate) const WARP_ROWS: usize = 16;

/// What the modifiers and numbers of a product say, in its note and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Columns of D.
    pub(crate) columns: usize,
    pub(crate) a: Element,
    pub(crate) b: Element,
    pub(crate) sum: Sum,
    /// Whether A stands in registers.
    pub(crate) in_registers: bool,
}

const ELEMENTS: [Element; 7] =
    [Element::Bf16, Element::F16, Element::Tf32, Element::E4m3, Element::E5m2, Element::S8, Element::U8];
const SUMS: [Sum; 4] = [Sum::Single, Sum::Halves, Sum::Integer, Sum::ClampedInteger];

impl Shape {
    /// As a number.
    pub(crate) fn note(self) -> u32 {
        let element = |element| ELEMENTS.iter().position(|known| *known == element).unwrap_or(0);
        let sum = SUMS.iter().position(|known| *known == self.sum).unwrap_or(0);
        let fields = self.columns | element(self.a) << 9 | element(self.b) << 12 | sum << 15;
        fields as u32 | u32::from(self.in_registers) << 17
    }

    /// From the note of an instruction.
    #[inline(always)]
    pub(crate) fn of(note: u32) -> Shape {
        let element = |at: u32| ELEMENTS[(note >> at & 7) as usize % ELEMENTS.len()];
        Shape {
            columns: (note & 0x1FF) as usize,
            a: element(9),
            b: element(12),
            sum: SUMS[(note >> 15 & 3) as usize],
            in_registers: note >> 17 & 1 == 1,
        }
    }

    /// Steps of the depth.
    pub(crate) fn depth(self) -> usize {
        DEPTH_WORDS * self.a.per_word()
    }
}

/// Signs and transpositions of a product: the bits of its number.
pub(super) struct Turns {
    pub(super) negates_a: bool,
    pub(super) negates_b: bool,
    pub(super) a: Major,
    pub(super) b: Major,
}

impl Turns {
    pub(super) fn of(ins: &Instruction, shape: Shape) -> Turns {
        let bit = |at: u32| ins.number >> at & 1 == 1;
        let major = |at: u32| if bit(at) { Major::Other } else { Major::Depth };
        let (a, b) = if shape.in_registers { (Major::Depth, major(2)) } else { (major(2), major(3)) };
        Turns { negates_a: bit(0), negates_b: bit(1), a, b }
    }
}

const _: () = assert!(WARP_ROWS * crate::machine::registers::WARPGROUP == ROWS);
