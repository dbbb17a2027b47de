//! Products of matrix fragments: mma.
//!
//! Where an element of a fragment lives: with g = lane / 4 and t = lane % 4, packed elements low half first (PTX ISA,
//! "Matrix fragments for mma"). A, row-major: register r holds row g + 8·(r odd), and of each half of the depth the
//! elements that t owns. B, column-major: column g. C and D: row g + 8·(r / 2), columns 2t and 2t + 1.

use super::form::{Action, Class, Family, Form, Operand, effect};
use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::machine::lanes::{WARP, Words, each};
use crate::numeric::NAN_F32;
use crate::numeric::half::{Bf16, F16, Half, wide_e4m3, wide_e5m2};
use crate::numeric::single::canonical_wide;

/// Rows of the product.
const M: usize = 16;
/// Columns of the product.
const N: usize = 8;

/// D, A, B and C, of so many registers each; D has as many as C.
const fn fragments(c: u8, a: u8, b: u8) -> [Operand; 4] {
    [
        Operand::OutBraces(Class::Word, c),
        Operand::InBraces(Class::Word, a),
        Operand::InBraces(Class::Word, b),
        Operand::InBraces(Class::Word, c),
    ]
}

/// A matrix product in which A and B hold halves, and C and D floats or halves.
macro_rules! product {
    ($spelling:literal, $depth:literal, $half:ty, $result:ident) => {
        Form {
            spelling: $spelling,
            operands: &fragments($result::REGISTERS as u8, $depth / 4, $depth / 8),
            family: Family::Tensor,
            meaning: "D = A B + C: exact products, summed in f32 in the order of the depth",
            action: effect!(Aligned, |effect, ins| {
                const STEPS: usize = $depth / 8;
                let first = $result::REGISTERS;
                let mut b = [[[[0.0; 4]; 2]; 8]; STEPS];
                for (step, b) in b.iter_mut().enumerate() {
                    *b = eight_of_b::<$half>(effect.words(ins, first + 2 * STEPS + step));
                }
                let mut sums = [[[0.0; WARP]; 2]; 2];
                for (half, sums) in sums.iter_mut().enumerate() {
                    *sums = $result::load(effect, ins, first + 3 * STEPS, half);
                    for (step, b) in b.iter().enumerate() {
                        multiply_eight::<$half>(sums, effect.words(ins, first + 2 * step + half), b);
                    }
                }
                $result::store(effect, ins, &sums);
                Ok(())
            }),
        }
    };
}

/// A matrix product of tf32 values: floats of which the low 13 bits are ignored.
macro_rules! product_tf32 {
    ($spelling:literal, $depth:literal) => {
        Form {
            spelling: $spelling,
            operands: &fragments(4, $depth / 2, $depth / 4),
            family: Family::Tensor,
            meaning: "D = A B + C: products of the upper 19 bits of A and B, summed in f32 in the order of the depth",
            action: effect!(Aligned, |effect, ins| {
                const A: usize = $depth / 2;
                const B: usize = $depth / 4;
                let mut sums = [[[0.0; WARP]; 2]; 2];
                for (half, sums) in sums.iter_mut().enumerate() {
                    *sums = Floats::load(effect, ins, 4 + A + B, half);
                    for register in 0..B {
                        let a = each(effect.words(ins, 4 + 2 * register + half), from_tf32);
                        let b = each(effect.words(ins, 4 + A + register), from_tf32);
                        for t in 0..4 {
                            add_products(sums, &a, t, &columns(&b, t));
                        }
                    }
                }
                Floats::store(effect, ins, &sums);
                Ok(())
            }),
        }
    };
}

/// A matrix product of bytes, exact in 32 bits.
macro_rules! product_bytes {
    ($spelling:literal, $depth:literal) => {
        Form {
            spelling: $spelling,
            operands: &fragments(4, $depth / 8, $depth / 16),
            family: Family::Tensor,
            meaning: "D = A B + C over bytes, modulo 2^32, or clamped with satfinite",
            action: Action::Choose(|chosen, ins| {
                let [saturates, a, b] = [chosen.word(0) != "", chosen.word(1) == "s8", chosen.word(2) == "s8"];
                ins.note = u32::from(saturates) | u32::from(a) << 1 | u32::from(b) << 2;
                Some(effect!(Aligned, |effect, ins| {
                    const A: usize = $depth / 8;
                    const B: usize = $depth / 16;
                    let a = bytes_of_a::<A>(effect, ins, ins.note >> 1 & 1 == 1);
                    let b = bytes_of_b::<B>(effect, ins, 4 + A, ins.note >> 2 & 1 == 1);
                    for register in 0..4 {
                        let mut out = *effect.words(ins, 4 + A + B + register);
                        for (lane, value) in out.iter_mut().enumerate() {
                            let (row, column) = place_of_result(register, lane);
                            let product: i64 =
                                (0..$depth).map(|k| i64::from(a[row][k]) * i64::from(b[k][column])).sum();
                            let sum = i64::from(*value as i32) + product;
                            *value = if ins.note & 1 == 1 {
                                sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32
                            } else {
                                sum as u32
                            };
                        }
                        effect.lanes.set_words(ins.rows[register], &out);
                    }
                    Ok(())
                }))
            }),
        }
    };
}

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    product!("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, Bf16, Floats),
    product!("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, F16, Floats),
    product!("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 16, F16, Halves),
    product!("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 8, Bf16, Floats),
    product!("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 8, F16, Floats),
    product!("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16", 8, F16, Halves),
    product_tf32!("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8),
    product_tf32!("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", 4),
    product_bytes!("mma.sync.aligned.m16n8k32.row.col[.satfinite].s32{.s8|.u8}{.s8|.u8}.s32", 32),
    product_bytes!("mma.sync.aligned.m16n8k16.row.col[.satfinite].s32{.s8|.u8}{.s8|.u8}.s32", 16),
    Form {
        spelling: "mma.sync.aligned.m16n8k32.row.col.f32{.e4m3|.e5m2}{.e4m3|.e5m2}.f32",
        operands: &fragments(4, 4, 2),
        family: Family::Tensor,
        meaning: "D = A B + C: exact products, summed in f32 in the order of the depth",
        action: Action::Choose(|chosen, ins| {
            ins.note = u32::from(chosen.word(0) == "e5m2") | u32::from(chosen.word(1) == "e5m2") << 1;
            Some(effect!(Aligned, |effect, ins| {
                let a = bytes_of_a::<4>(effect, ins, false).map(|row| row.map(|byte| from_fp8(byte, ins.note & 1)));
                let b = bytes_of_b::<2>(effect, ins, 8, false);
                let b = b.map(|row| row.map(|byte| from_fp8(byte, ins.note >> 1)));
                for register in 0..4 {
                    let mut out = *effect.words(ins, 10 + register);
                    for (lane, value) in out.iter_mut().enumerate() {
                        let (row, column) = place_of_result(register, lane);
                        let sum = (0..32).fold(f32::from_bits(*value), |sum, k| a[row][k].mul_add(b[k][column], sum));
                        *value = canonical(sum);
                    }
                    effect.lanes.set_words(ins.rows[register], &out);
                }
                Ok(())
            }))
        }),
    },
    Form {
        spelling: "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
        operands: &[
            Operand::OutBraces(Class::Wide, 2),
            Operand::InBraces(Class::Wide, 1),
            Operand::InBraces(Class::Wide, 1),
            Operand::InBraces(Class::Wide, 2),
        ],
        family: Family::Tensor,
        meaning: "D = A B + C in f64, in the order of the depth",
        action: effect!(Aligned, |effect, ins| {
            // Lane 4g + t holds A at row g and depth t, B at depth t and column g, and D at row g, columns 2t and 2t + 1.
            let [a, b] = [2, 3].map(|at| each(effect.lanes.wides(ins.rows[at]), f64::from_bits));
            for part in 0..2 {
                let mut out = *effect.lanes.wides(ins.rows[4 + part]);
                for (lane, value) in out.iter_mut().enumerate() {
                    let (row, column) = (lane / 4, lane % 4 * 2 + part);
                    let term = |sum: f64, k: usize| a[4 * row + k].mul_add(b[4 * column + k], sum);
                    *value = canonical_wide((0..4).fold(f64::from_bits(*value), term)).to_bits();
                }
                effect.lanes.set_wides(ins.rows[part], &out);
            }
            Ok(())
        }),
    },
];

/// Multiplications and additions of a form of this family, for one warp; 0 for one that multiplies nothing.
pub(crate) fn flops(form: &Form) -> u64 {
    let depth = |shape: &str| {
        form.spelling.split('.').find_map(|word| word.strip_prefix(shape)).and_then(|k| k.parse::<u64>().ok())
    };
    let products = |shape: &str, rows: usize| depth(shape).map(|depth| 2 * (rows * N) as u64 * depth);
    products("m16n8k", M).or_else(|| products("m8n8k", 8)).unwrap_or(0)
}

/// The sums of eight rows, laid out as C is: lane 4·row + t holds column 2t, and in the second array column 2t + 1.
type Sums = [[f32; WARP]; 2];
/// A step of the depth of B: its even columns, then its odd ones.
type Columns = [[f32; 4]; 2];

/// Adds the products of one step of the depth, whose values of A are in the lanes 4·row + t.
#[inline(always)]
fn add_products(sums: &mut Sums, a: &[f32; WARP], t: usize, b: &Columns) {
    // Eight lanes at a time are one host vector: of A two values, each four times, of B four values twice.
    for first in (0..WARP).step_by(8) {
        for (sums, b) in sums.iter_mut().zip(b) {
            for lane in first..first + 8 {
                sums[lane] = a[lane / 4 * 4 + t].mul_add(b[lane % 4], sums[lane]);
            }
        }
    }
}

/// Adds the products of eight steps of the depth. A register holds steps 2t and 2t + 1 in lane 4·row + t of A, and in lane
/// 4·column + t of B.
#[inline(always)]
fn multiply_eight<H: Half>(sums: &mut Sums, a: &Words, b: &[Columns; 8]) {
    let a = [each(a, H::wide), each(a, |pair| H::wide(pair >> 16))];
    for (k, b) in b.iter().enumerate() {
        add_products(sums, &a[k % 2], k / 2, b);
    }
}

/// The eight steps of the depth that a register of B holds.
#[inline(always)]
fn eight_of_b<H: Half>(words: &Words) -> [Columns; 8] {
    let mut out = [[[0.0; 4]; 2]; 8];
    for t in 0..4 {
        for (parity, pairs) in columns(words, t).iter().enumerate() {
            for (column, pair) in pairs.iter().enumerate() {
                out[2 * t][parity][column] = H::wide(*pair);
                out[2 * t + 1][parity][column] = H::wide(pair >> 16);
            }
        }
    }
    out
}

/// What the lanes 4·column + t hold: of even columns, then of odd ones.
#[inline(always)]
fn columns<T: Copy + Default>(row: &[T; WARP], t: usize) -> [[T; 4]; 2] {
    let mut out = [[T::default(); 4]; 2];
    for column in 0..N {
        out[column % 2][column / 2] = row[4 * column + t];
    }
    out
}

/// Row and column of a register of C or D, for results of 32 bits.
#[inline(always)]
fn place_of_result(register: usize, lane: usize) -> (usize, usize) {
    (lane / 4 + register / 2 * 8, lane % 4 * 2 + register % 2)
}

/// C and D in f32: for eight rows a register of even columns and one of odd ones.
struct Floats;

impl Floats {
    const REGISTERS: usize = 4;

    #[inline(always)]
    fn load(effect: &Effect<'_>, ins: &Instruction, first: usize, half: usize) -> Sums {
        let [even, odd] = [effect.words(ins, first + 2 * half), effect.words(ins, first + 2 * half + 1)];
        [each(even, f32::from_bits), each(odd, f32::from_bits)]
    }

    #[inline(always)]
    fn store(effect: &mut Effect<'_>, ins: &Instruction, from: &[Sums; 2]) {
        for (register, row) in from.as_flattened().iter().enumerate() {
            effect.lanes.set_words(ins.rows[register], &each(row, canonical));
        }
    }
}

/// C and D in f16: for eight rows a register of pairs of columns. The sum is rounded once.
struct Halves;

impl Halves {
    const REGISTERS: usize = 2;

    #[inline(always)]
    fn load(effect: &Effect<'_>, ins: &Instruction, first: usize, half: usize) -> Sums {
        let pairs = effect.words(ins, first + half);
        [each(pairs, F16::wide), each(pairs, |pair| F16::wide(pair >> 16))]
    }

    #[inline(always)]
    fn store(effect: &mut Effect<'_>, ins: &Instruction, from: &[Sums; 2]) {
        for (half, [even, odd]) in from.iter().enumerate() {
            let mut pairs = each(even, F16::narrow);
            for (pair, odd) in pairs.iter_mut().zip(odd) {
                *pair |= F16::narrow(*odd) << 16;
            }
            effect.lanes.set_words(ins.rows[half], &pairs);
        }
    }
}

/// A NaN that comes out of arithmetic is always the same one.
#[inline(always)]
fn canonical(value: f32) -> u32 {
    if value.is_nan() { NAN_F32.to_bits() } else { value.to_bits() }
}

/// A of bytes: row, then depth.
#[inline(always)]
fn bytes_of_a<const REGISTERS: usize>(effect: &Effect<'_>, ins: &Instruction, signed: bool) -> [[i32; 32]; M] {
    let mut out = [[0; 32]; M];
    for register in 0..REGISTERS {
        let words = effect.words(ins, 4 + register);
        for (lane, word) in words.iter().enumerate() {
            for (byte, value) in word.to_le_bytes().into_iter().enumerate() {
                out[lane / 4 + register % 2 * 8][lane % 4 * 4 + register / 2 * 16 + byte] = widen(value, signed);
            }
        }
    }
    out
}

/// B of bytes: depth, then column.
#[inline(always)]
fn bytes_of_b<const REGISTERS: usize>(
    effect: &Effect<'_>,
    ins: &Instruction,
    first: usize,
    signed: bool,
) -> [[i32; N]; 32] {
    let mut out = [[0; N]; 32];
    for register in 0..REGISTERS {
        let words = effect.words(ins, first + register);
        for (lane, word) in words.iter().enumerate() {
            for (byte, value) in word.to_le_bytes().into_iter().enumerate() {
                out[lane % 4 * 4 + register * 16 + byte][lane / 4] = widen(value, signed);
            }
        }
    }
    out
}

fn widen(byte: u8, signed: bool) -> i32 {
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

/// The value of an e4m3, or of an e5m2.
fn from_fp8(byte: i32, is_e5m2: u32) -> f32 {
    F16::wide(if is_e5m2 == 1 { wide_e5m2(byte as u32) } else { wide_e4m3(byte as u32) })
}

/// The value of a tf32: the low 13 bits do not count.
#[inline(always)]
fn from_tf32(bits: u32) -> f32 {
    f32::from_bits(bits & 0xFFFF_E000)
}
