//! Bytes and bits put together from several registers: prmt, lop3, and the products of packed bytes.

use super::form::operands::{P, TO_W, TO_WP, W};
use super::form::{Action, Chosen, Family, Form, Operand, lane_function};
use super::note::{self, Combine, flagged};
use crate::decode::Instruction;
use crate::machine::lanes::{WARP, Words};

const W_WWW: &[Operand] = &[TO_W, W, W, W];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row(
        "prmt.b32",
        W_WWW,
        "byte i of d = byte n of b:a, or its sign, as the i-th nibble of c says",
        permute!(|a, b, c| { bytes(a, b, c & 0xFFFF) }),
    ),
    row(
        "prmt.b32.f4e",
        W_WWW,
        "d = four bytes of b:a from byte c mod 4 on, upwards",
        permute!(|a, b, c| { bytes(a, b, 0x3210 + 0x1111 * (c & 3)) }),
    ),
    row(
        "prmt.b32.b4e",
        W_WWW,
        "d = four bytes of b:a from byte c mod 4 on, downwards and around",
        permute!(|a, b, c| { bytes(a, b, (0x5670 + 0x1111 * (c & 3)) & 0x7777) }),
    ),
    row(
        "prmt.b32.rc8",
        W_WWW,
        "d = four times byte c mod 4 of a",
        permute!(|a, b, c| { bytes(a, b, 0x1111 * (c & 3)) }),
    ),
    row(
        "prmt.b32.ecl",
        W_WWW,
        "byte i of d = byte max(i, c mod 4) of a",
        permute!(|a, b, c| { bytes(a, b, limited(|at| at.max(c & 3))) }),
    ),
    row(
        "prmt.b32.ecr",
        W_WWW,
        "byte i of d = byte min(i, c mod 4) of a",
        permute!(|a, b, c| { bytes(a, b, limited(|at| at.min(c & 3))) }),
    ),
    row(
        "prmt.b32.rc16",
        W_WWW,
        "d = twice half c mod 2 of a",
        permute!(|a, b, c| { bytes(a, b, 0x1010 + 0x2222 * (c & 1)) }),
    ),
    row(
        "lop3.b32",
        &[TO_W, W, W, W, Operand::Number],
        "each bit of d = bit 4a + 2b + c of the number",
        lane_function!(|lanes, ins| {
            let [d, a, b, c, ..] = ins.rows;
            let out = table(lanes.words(a), lanes.words(b), lanes.words(c), ins.number);
            lanes.set_words(d, &out);
        }),
    ),
    row(
        "lop3{.or|.and}.b32",
        &[TO_WP, W, W, W, Operand::Number, P],
        "each bit of d = bit 4a + 2b + c of the number; p = (d != 0) with q",
        flagged!(lane_function!(|lanes, ins| {
            let [d, p, a, b, c, q, ..] = ins.rows;
            let out = table(lanes.words(a), lanes.words(b), lanes.words(c), ins.number);
            let mut some = 0;
            for (lane, &value) in out.iter().enumerate() {
                some |= u32::from(value != 0) << lane;
            }
            let q = lanes.predicate(q);
            let bits = if note::combine(ins.note) == Combine::And { some & q } else { some | q };
            lanes.set_words(d, &out);
            lanes.set_predicate(p, bits);
        })),
    ),
    row(
        "dp4a{.u32|.s32}{.u32|.s32}",
        W_WWW,
        "d = c + the products of the four bytes of a and of b",
        products!(|a, b, c| {
            let mut sum = c;
            for at in [0, 8, 16, 24] {
                sum = sum.wrapping_add(a.part(at, 8).wrapping_mul(b.part(at, 8)));
            }
            sum
        }),
    ),
    row(
        "dp2a.lo{.u32|.s32}{.u32|.s32}",
        W_WWW,
        "d = c + the products of the halves of a and bytes 0 and 1 of b",
        products!(|a, b, c| {
            let first = a.part(0, 16).wrapping_mul(b.part(0, 8));
            c.wrapping_add(first).wrapping_add(a.part(16, 16).wrapping_mul(b.part(8, 8)))
        }),
    ),
    row(
        "dp2a.hi{.u32|.s32}{.u32|.s32}",
        W_WWW,
        "d = c + the products of the halves of a and bytes 2 and 3 of b",
        products!(|a, b, c| {
            let first = a.part(0, 16).wrapping_mul(b.part(16, 8));
            c.wrapping_add(first).wrapping_add(a.part(16, 16).wrapping_mul(b.part(24, 8)))
        }),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Integer, meaning, action }
}

macro_rules! permute {
    (|$a:ident, $b:ident, $c:ident| $value:block) => {
        crate::isa::form::lanes!(|$a: u32, $b: u32, $c: u32| -> u32 { $value })
    };
}
use permute;

/// A dot product in the four combinations of signed and unsigned; `part` of an operand is a field of it as its type says.
macro_rules! products {
    (|$a:ident, $b:ident, $c:ident| $value:block) => {
        Action::Choose(|chosen: &Chosen<'_>, _: &mut Instruction| {
            Some(match (chosen.word(0), chosen.word(1)) {
                ("u32", "u32") => products!(u32, u32, |$a, $b, $c| $value),
                ("u32", _) => products!(u32, i32, |$a, $b, $c| $value),
                (_, "u32") => products!(i32, u32, |$a, $b, $c| $value),
                _ => products!(i32, i32, |$a, $b, $c| $value),
            })
        })
    };
    ($first:ty, $second:ty, |$a:ident, $b:ident, $c:ident| $value:block) => {
        crate::isa::form::lanes!(|$a: $first, $b: $second, $c: i32| -> i32 { $value })
    };
}
use products;

/// Fields of a packed operand.
trait Part {
    fn part(self, at: u32, bits: u32) -> i32;
}

impl Part for u32 {
    #[inline(always)]
    fn part(self, at: u32, bits: u32) -> i32 {
        (self << (32 - bits - at) >> (32 - bits)) as i32
    }
}

impl Part for i32 {
    #[inline(always)]
    fn part(self, at: u32, bits: u32) -> i32 {
        self << (32 - bits - at) >> (32 - bits)
    }
}

/// Four bytes of b:a, each chosen by a nibble: three bits of place, and one that asks for the sign alone.
#[inline(always)]
fn bytes(a: u32, b: u32, selector: u32) -> u32 {
    let mut out = 0;
    for at in 0..4 {
        let nibble = selector >> (4 * at) & 15;
        let source = if nibble & 4 == 0 { a } else { b };
        let byte = source >> (8 * (nibble & 3)) & 0xFF;
        let sign = 0u32.wrapping_sub(byte >> 7) & 0xFF;
        out |= (if nibble & 8 == 0 { byte } else { sign }) << (8 * at);
    }
    out
}

/// The selector whose nibble i is a function of i.
#[inline(always)]
fn limited(place: impl Fn(u32) -> u32) -> u32 {
    place(0) | place(1) << 4 | place(2) << 8 | place(3) << 12
}

/// A truth table over three rows: the union of those of its eight cases whose bit is set.
#[inline(always)]
fn table(a: &Words, b: &Words, c: &Words, table: i64) -> Words {
    let mut cases = [0; 8];
    for (at, case) in cases.iter_mut().enumerate() {
        *case = 0u32.wrapping_sub((table >> at) as u32 & 1);
    }
    let mut out = [0; WARP];
    for lane in 0..WARP {
        let (a, b, c) = (a[lane], b[lane], c[lane]);
        let without_a = !b & (!c & cases[0] | c & cases[1]) | b & (!c & cases[2] | c & cases[3]);
        let with_a = !b & (!c & cases[4] | c & cases[5]) | b & (!c & cases[6] | c & cases[7]);
        out[lane] = !a & without_a | a & with_a;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_tables_of_the_manual() {
        let (a, b, c) = ([0xF0F0_F0F0; WARP], [0xCCCC_CCCC; WARP], [0xAAAA_AAAA; WARP]);
        for (number, expected) in [
            (0x80, a[0] & b[0] & c[0]),
            (0xFE, a[0] | b[0] | c[0]),
            (0x40, a[0] & b[0] & !c[0]),
            (0x06, !a[0] & (b[0] ^ c[0])),
            (0x1A, (a[0] & b[0] | c[0]) ^ a[0]),
            (0, 0),
            (0xFF, u32::MAX),
        ] {
            assert_eq!(table(&a, &b, &c, number)[7], expected, "{number:x}");
        }
    }
}
