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

/// Elements of a matrix, as the bits of f32 or i32: `words` holds word w of row r at `w * rows + r`, `out` then element k
/// of row r at `k * rows + r`. Floats change their sign if `negated` says so.
#[inline(always)]
pub(crate) fn widen(element: Element, negated: bool, words: &[u32], rows: usize, out: &mut [u32]) {
    let sign = if negated { SIGN } else { 0 };
    match element {
        Element::Bf16 => {
            parts::<2>(words, rows, out, |word, part| (if part == 0 { word << 16 } else { word & 0xFFFF_0000 }) ^ sign)
        }
        Element::F16 => {
            parts::<2>(words, rows, out, |word, part| F16::wide(word >> (16 * part)).to_bits() ^ sign);
        }
        // The low 13 bits do not count.
        Element::Tf32 => parts::<1>(words, rows, out, |word, _| word & 0xFFFF_E000 ^ sign),
        Element::E4m3 => {
            parts::<4>(words, rows, out, |word, part| F16::wide(wide_e4m3(word >> (8 * part) & 0xFF)).to_bits() ^ sign)
        }
        Element::E5m2 => {
            parts::<4>(words, rows, out, |word, part| F16::wide(wide_e5m2(word >> (8 * part) & 0xFF)).to_bits() ^ sign)
        }
        Element::S8 => parts::<4>(words, rows, out, |word, part| (word >> (8 * part)) as i8 as u32),
        Element::U8 => parts::<4>(words, rows, out, |word, part| word >> (8 * part) & 0xFF),
    }
}

#[inline(always)]
fn parts<const PARTS: usize>(words: &[u32], rows: usize, out: &mut [u32], part: impl Fn(u32, usize) -> u32) {
    for (at, from) in words.chunks_exact(rows).enumerate() {
        for number in 0..PARTS {
            let to = &mut out[(PARTS * at + number) * rows..][..rows];
            for (to, word) in to.iter_mut().zip(from) {
                *to = part(*word, number);
            }
        }
    }
}

/// The element in the lower half of a word, for matrices that are stored along their rows or columns.
#[inline(always)]
pub(crate) fn widen_half(element: Element, negated: bool, word: u32) -> u32 {
    let value = if element == Element::F16 { F16::wide(word) } else { Bf16::wide(word) };
    value.to_bits() ^ if negated { SIGN } else { 0 }
}

/// Sums of eight rows and eight columns: lane 4·row + t holds column 2t, and in the second array column 2t + 1.
pub(crate) type Sums = [Words; 2];

/// Adds products of `depth` steps. `a` holds of each step the value of lane 4·row + t in all four t; `b` of each, for eight
/// columns, the even ones and then the odd ones, `pitch` words apart.
#[inline(always)]
fn accumulate(
    sums: &mut Sums,
    a: &[Words; MOST_DEPTH],
    b: &[u32],
    pitch: usize,
    depth: usize,
    step: impl Fn(u32, u32, u32) -> u32,
) {
    let mut vectors = [[[0u32; 8]; 4]; 2];
    for (parity, vectors) in vectors.iter_mut().enumerate() {
        for (at, vector) in vectors.iter_mut().enumerate() {
            vector.copy_from_slice(&sums[parity][8 * at..8 * at + 8]);
        }
    }
    for (a, b) in a[..depth].iter().zip(b.chunks(pitch)) {
        let Some((b, _)) = b.split_first_chunk::<8>() else { break };
        for (parity, vectors) in vectors.iter_mut().enumerate() {
            let columns: [u32; 8] = std::array::from_fn(|lane| b[4 * parity + lane % 4]);
            for (at, vector) in vectors.iter_mut().enumerate() {
                for lane in 0..8 {
                    vector[lane] = step(a[8 * at + lane], columns[lane], vector[lane]);
                }
            }
        }
    }
    for (parity, vectors) in vectors.iter().enumerate() {
        for (at, vector) in vectors.iter().enumerate() {
            sums[parity][8 * at..8 * at + 8].copy_from_slice(vector);
        }
    }
}

/// Adds the products of floats, each exact, one after the other.
#[inline(always)]
pub(crate) fn accumulate_floats(sums: &mut Sums, a: &[Words; MOST_DEPTH], b: &[u32], pitch: usize, depth: usize) {
    accumulate(sums, a, b, pitch, depth, |a, b, sum| {
        f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(sum)).to_bits()
    });
}

/// Adds the products of integers, modulo 2^32.
#[inline(always)]
pub(crate) fn accumulate_integers(sums: &mut Sums, a: &[Words; MOST_DEPTH], b: &[u32], pitch: usize, depth: usize) {
    accumulate(sums, a, b, pitch, depth, |a, b, sum| a.wrapping_mul(b).wrapping_add(sum));
}

/// A NaN that comes out of arithmetic is always the same one.
#[inline(always)]
pub(crate) fn canonical(row: &Words) -> Words {
    each(row, |bits| if f32::from_bits(bits).is_nan() { NAN_F32.to_bits() } else { bits })
}

/// Pairs of f16 as sums.
#[inline(always)]
pub(crate) fn unpack(pairs: &Words) -> Sums {
    [each(pairs, |pair| F16::wide(pair).to_bits()), each(pairs, |pair| F16::wide(pair >> 16).to_bits())]
}

/// Sums as pairs of f16.
#[inline(always)]
pub(crate) fn pack([even, odd]: &Sums) -> Words {
    let mut pairs = each(even, |bits| F16::narrow(f32::from_bits(bits)));
    for lane in 0..WARP {
        pairs[lane] |= F16::narrow(f32::from_bits(odd[lane])) << 16;
    }
    pairs
}
