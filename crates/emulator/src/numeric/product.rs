//! Products of `wgmma`: elements become f32 or i32, and are multiplied in the order of the depth.
//!
//! A row of a matrix is 32 bytes deep, whatever its elements: eight words. Everything here is laid out for vectors of the
//! host: a lane of a sum's register stands next to the others, as in the registers of a warp.

use super::NAN_F32;
use super::half::{Bf16, F16, Half, wide_e4m3, wide_e5m2};
use crate::machine::lanes::{WARP, Words, each};

/// Words of a row of a matrix, along the depth.
pub(crate) const DEPTH_WORDS: usize = 8;
/// Most elements of a row.
pub(crate) const MOST_DEPTH: usize = 32;

/// What A or B holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Bf16,
    F16,
    Tf32,
    E4m3,
    E5m2,
    S8,
    U8,
}

/// What D holds, and how it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// f32.
    Single,
    /// Pairs of f16, rounded once from an f32.
    Halves,
    /// s32, modulo 2^32.
    Integer,
    /// s32, clamped.
    ClampedInteger,
}

impl Element {
    /// Elements of a word.
    pub(crate) fn per_word(self) -> usize {
        match self {
            Element::Tf32 => 1,
            Element::Bf16 | Element::F16 => 2,
            Element::E4m3 | Element::E5m2 | Element::S8 | Element::U8 => 4,
        }
    }
}

impl Sum {
    /// Columns of D that a register of a lane holds.
    pub(crate) fn per_word(self) -> usize {
        if self == Sum::Halves { 2 } else { 1 }
    }
}

/// The bit that negates a float.
const SIGN: u32 = 1 << 31;

/// Eight rows of A, or eight columns of B, at one step or word of the depth.
pub(crate) type Eight = [u32; 8];

/// Elements of eight rows as the bits of f32 or i32, step after step, from their words. Floats change their sign if
/// `negated` says so.
#[inline(always)]
pub(crate) fn widen(element: Element, negated: bool, words: &[Eight], out: &mut [Eight]) {
    let sign = if negated { SIGN } else { 0 };
    match element {
        Element::Bf16 => {
            parts::<2>(words, out, |word, part| (if part == 0 { word << 16 } else { word & 0xFFFF_0000 }) ^ sign);
        }
        Element::F16 => parts::<2>(words, out, |word, part| F16::wide(word >> (16 * part)).to_bits() ^ sign),
        // The low 13 bits do not count.
        Element::Tf32 => parts::<1>(words, out, |word, _| word & 0xFFFF_E000 ^ sign),
        Element::E4m3 => {
            parts::<4>(words, out, |word, part| F16::wide(wide_e4m3(word >> (8 * part) & 0xFF)).to_bits() ^ sign);
        }
        Element::E5m2 => {
            parts::<4>(words, out, |word, part| F16::wide(wide_e5m2(word >> (8 * part) & 0xFF)).to_bits() ^ sign);
        }
        Element::S8 => parts::<4>(words, out, |word, part| (word >> (8 * part)) as i8 as u32),
        Element::U8 => parts::<4>(words, out, |word, part| word >> (8 * part) & 0xFF),
    }
}

#[inline(always)]
fn parts<const PARTS: usize>(words: &[Eight], out: &mut [Eight], part: impl Fn(u32, usize) -> u32) {
    for (from, to) in words.iter().zip(out.chunks_exact_mut(PARTS)) {
        for (number, to) in to.iter_mut().enumerate() {
            for lane in 0..8 {
                to[lane] = part(from[lane], number);
            }
        }
    }
}

/// The halves of a line that runs along the rows: eight of them at one step.
#[inline(always)]
pub(crate) fn widen_line(element: Element, negated: bool, line: &[u32; 4]) -> Eight {
    let sign = if negated { SIGN } else { 0 };
    std::array::from_fn(|at| {
        let half = line[at / 2] >> (at % 2 * 16);
        sign ^ if element == Element::F16 { F16::wide(half).to_bits() } else { Bf16::wide(half).to_bits() }
    })
}

/// Sums of eight rows and eight columns, in four vectors of the host: lane 4·row + t holds column 2t, and in the second
/// array column 2t + 1.
pub(crate) type Sums = [[Eight; 4]; 2];

/// A row of words as four vectors.
#[inline(always)]
pub(crate) fn vectors(row: &Words) -> [Eight; 4] {
    let (eights, _) = row.as_chunks::<8>();
    std::array::from_fn(|at| eights[at])
}

/// Adds the products of all steps. `a` holds of each the value of lane 4·row + t in all four t; `b` the even ones of eight
/// columns, and then the odd ones.
#[inline(always)]
fn accumulate(sums: &mut Sums, a: &[[Eight; 4]], b: &[Eight], step: impl Fn(u32, u32, u32) -> u32) {
    let mut own = *sums;
    for (a, b) in a.iter().zip(b) {
        for (parity, sums) in own.iter_mut().enumerate() {
            let columns: Eight = std::array::from_fn(|lane| b[4 * parity + lane % 4]);
            for (sums, a) in sums.iter_mut().zip(a) {
                for lane in 0..8 {
                    sums[lane] = step(a[lane], columns[lane], sums[lane]);
                }
            }
        }
    }
    *sums = own;
}

/// Adds the products of floats, each exact, one after the other.
#[inline(always)]
pub(crate) fn accumulate_floats(sums: &mut Sums, a: &[[Eight; 4]], b: &[Eight]) {
    accumulate(sums, a, b, |a, b, sum| f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(sum)).to_bits());
}

/// Adds the products of integers, modulo 2^32.
#[inline(always)]
pub(crate) fn accumulate_integers(sums: &mut Sums, a: &[[Eight; 4]], b: &[Eight]) {
    accumulate(sums, a, b, |a, b, sum| a.wrapping_mul(b).wrapping_add(sum));
}

/// Vectors as a row of words.
#[inline(always)]
pub(crate) fn row(vectors: &[Eight; 4]) -> Words {
    let mut out = [0; WARP];
    for (at, vector) in vectors.iter().enumerate() {
        for lane in 0..8 {
            out[8 * at + lane] = vector[lane];
        }
    }
    out
}

/// A NaN that comes out of arithmetic is always the same one.
#[inline(always)]
pub(crate) fn canonical(row: &Words) -> Words {
    each(row, |bits| if f32::from_bits(bits).is_nan() { NAN_F32.to_bits() } else { bits })
}

/// Pairs of f16 as sums.
#[inline(always)]
pub(crate) fn unpack(pairs: &Words) -> Sums {
    let [even, odd] = [each(pairs, F16::wide), each(pairs, |pair| F16::wide(pair >> 16))];
    [vectors(&each(&even, f32::to_bits)), vectors(&each(&odd, f32::to_bits))]
}

/// Sums as pairs of f16.
#[inline(always)]
pub(crate) fn pack([even, odd]: &Sums) -> Words {
    let [mut pairs, odd] = [even, odd].map(|sums| each(&row(sums), |bits| F16::narrow(f32::from_bits(bits))));
    for lane in 0..WARP {
        pairs[lane] |= odd[lane] << 16;
    }
    pairs
}
