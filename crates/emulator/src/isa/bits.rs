//! Logic, shifts, and bit fields.

use super::form::operands::{L, P, TO_L, TO_P, TO_W, W};
use super::form::{Action, Family, Form, Operand, lane_function, lanes};

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];
const L_L: &[Operand] = &[TO_L, L];
const L_LL: &[Operand] = &[TO_L, L, L];
const L_LW: &[Operand] = &[TO_L, L, W];
const P_PP: &[Operand] = &[TO_P, P, P];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("and.pred", P_PP, "d = a and b", predicates!(|a, b| a & b)),
    row("or.pred", P_PP, "d = a or b", predicates!(|a, b| a | b)),
    row("xor.pred", P_PP, "d = a exclusive-or b", predicates!(|a, b| a ^ b)),
    row("not.pred", &[TO_P, P], "d = not a", predicates!(|a| !a)),
    row("and{.b16|.b32}", W_WW, "d = a and b, bit by bit", lanes!(|a: u32, b: u32| -> u32 { a & b })),
    row("and.b64", L_LL, "d = a and b, bit by bit", lanes!(|a: u64, b: u64| -> u64 { a & b })),
    row("or{.b16|.b32}", W_WW, "d = a or b, bit by bit", lanes!(|a: u32, b: u32| -> u32 { a | b })),
    row("or.b64", L_LL, "d = a or b, bit by bit", lanes!(|a: u64, b: u64| -> u64 { a | b })),
    row("xor{.b16|.b32}", W_WW, "d = a exclusive-or b, bit by bit", lanes!(|a: u32, b: u32| -> u32 { a ^ b })),
    row("xor.b64", L_LL, "d = a exclusive-or b, bit by bit", lanes!(|a: u64, b: u64| -> u64 { a ^ b })),
    row("not.b16", W_W, "d = not a, bit by bit", lanes!(|a: u16| -> u16 { !a })),
    row("not.b32", W_W, "d = not a, bit by bit", lanes!(|a: u32| -> u32 { !a })),
    row("not.b64", L_L, "d = not a, bit by bit", lanes!(|a: u64| -> u64 { !a })),
    row("cnot.b16", W_W, "d = 1 if a = 0, else 0", lanes!(|a: u16| -> u16 { u16::from(a == 0) })),
    row("cnot.b32", W_W, "d = 1 if a = 0, else 0", lanes!(|a: u32| -> u32 { u32::from(a == 0) })),
    row("cnot.b64", L_L, "d = 1 if a = 0, else 0", lanes!(|a: u64| -> u64 { u64::from(a == 0) })),
    row(
        "shl.b16",
        W_WW,
        "d = a moved up by b, 0 if b > 15",
        lanes!(|a: u16, b: u32| -> u16 { if b < 16 { a << (b & 15) } else { 0 } }),
    ),
    row("shl.b32", W_WW, "d = a moved up by b, 0 if b > 31", lanes!(|a: u32, b: u32| -> u32 { left(a, b) })),
    row("shl.b64", L_LW, "d = a moved up by b, 0 if b > 63", lanes!(|a: u64, b: u32| -> u64 { left_wide(a, b) })),
    row(
        "shr{.b16|.u16}",
        W_WW,
        "d = a moved down by b, 0 if b > 15",
        lanes!(|a: u16, b: u32| -> u16 { if b < 16 { a >> (b & 15) } else { 0 } }),
    ),
    row(
        "shr.s16",
        W_WW,
        "d = a moved down by b, at most 15, filled with its sign",
        lanes!(|a: i16, b: u32| -> i16 { a >> b.min(15) }),
    ),
    row("shr{.b32|.u32}", W_WW, "d = a moved down by b, 0 if b > 31", lanes!(|a: u32, b: u32| -> u32 { right(a, b) })),
    row(
        "shr.s32",
        W_WW,
        "d = a moved down by b, at most 31, filled with its sign",
        lanes!(|a: i32, b: u32| -> i32 { a >> b.min(31) }),
    ),
    row(
        "shr{.b64|.u64}",
        L_LW,
        "d = a moved down by b, 0 if b > 63",
        lanes!(|a: u64, b: u32| -> u64 { right_wide(a, b) }),
    ),
    row(
        "shr.s64",
        L_LW,
        "d = a moved down by b, at most 63, filled with its sign",
        lanes!(|a: i64, b: u32| -> i64 { a >> b.min(63) }),
    ),
    row(
        "shf.l.wrap.b32",
        W_WWW,
        "d = upper word of b:a moved up by c mod 32",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { left(b, c & 31) | right(a, 32 - (c & 31)) }),
    ),
    row(
        "shf.l.clamp.b32",
        W_WWW,
        "d = upper word of b:a moved up by c, at most 32",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { left(b, c.min(32)) | right(a, 32 - c.min(32)) }),
    ),
    row(
        "shf.r.wrap.b32",
        W_WWW,
        "d = lower word of b:a moved down by c mod 32",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { right(a, c & 31) | left(b, 32 - (c & 31)) }),
    ),
    row(
        "shf.r.clamp.b32",
        W_WWW,
        "d = lower word of b:a moved down by c, at most 32",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { right(a, c.min(32)) | left(b, 32 - c.min(32)) }),
    ),
    row(
        "bfe.u32",
        W_WWW,
        "d = c mod 256 bits of a from bit b mod 256 on",
        lanes!(|a: u32, b: u32, c: u32| -> u32 { right(a, b & 0xFF) & low_bits(c & 0xFF) }),
    ),
    row(
        "bfe.s32",
        W_WWW,
        "d = c mod 256 bits of a from bit b mod 256 on, filled with the last of them",
        lanes!(|a: i32, b: u32, c: u32| -> i32 { field(a, b & 0xFF, c & 0xFF) }),
    ),
    row(
        "bfe.u64",
        &[TO_L, L, W, W],
        "d = c mod 256 bits of a from bit b mod 256 on",
        lanes!(|a: u64, b: u32, c: u32| -> u64 { right_wide(a, b & 0xFF) & low_bits_wide(c & 0xFF) }),
    ),
    row(
        "bfe.s64",
        &[TO_L, L, W, W],
        "d = c mod 256 bits of a from bit b mod 256 on, filled with the last of them",
        lanes!(|a: i64, b: u32, c: u32| -> i64 { field_wide(a, b & 0xFF, c & 0xFF) }),
    ),
    row(
        "bfi.b32",
        &[TO_W, W, W, W, W],
        "f = b with d mod 256 bits from bit c mod 256 on replaced by the lowest of a",
        lanes!(|a: u32, b: u32, c: u32, length: u32| -> u32 {
            let place = left(low_bits(length & 0xFF), c & 0xFF);
            b & !place | left(a, c & 0xFF) & place
        }),
    ),
    row(
        "bfi.b64",
        &[TO_L, L, L, W, W],
        "f = b with d mod 256 bits from bit c mod 256 on replaced by the lowest of a",
        lanes!(|a: u64, b: u64, c: u32, length: u32| -> u64 {
            let place = left_wide(low_bits_wide(length & 0xFF), c & 0xFF);
            b & !place | left_wide(a, c & 0xFF) & place
        }),
    ),
    row(
        "bfind.u32",
        W_W,
        "d = the place of the highest bit set, else all ones",
        lanes!(|a: u32| -> u32 { 31u32.wrapping_sub(a.leading_zeros()) }),
    ),
    row(
        "bfind.s32",
        W_W,
        "d = the place of the highest bit unlike the sign, else all ones",
        lanes!(|a: i32| -> u32 { 31u32.wrapping_sub((a ^ a >> 31).leading_zeros()) }),
    ),
    row(
        "bfind.u64",
        &[TO_W, L],
        "d = the place of the highest bit set, else all ones",
        lanes!(|a: u64| -> u32 { 63u32.wrapping_sub(a.leading_zeros()) }),
    ),
    row(
        "bfind.s64",
        &[TO_W, L],
        "d = the place of the highest bit unlike the sign, else all ones",
        lanes!(|a: i64| -> u32 { 63u32.wrapping_sub((a ^ a >> 63).leading_zeros()) }),
    ),
    row(
        "bfind.shiftamt.u32",
        W_W,
        "d = how far up the highest bit set can move, else all ones",
        lanes!(|a: u32| -> u32 { found(a.leading_zeros(), 32) }),
    ),
    row(
        "bfind.shiftamt.s32",
        W_W,
        "d = how far up the highest bit unlike the sign can move, else all ones",
        lanes!(|a: i32| -> u32 { found((a ^ a >> 31).leading_zeros(), 32) }),
    ),
    row(
        "bfind.shiftamt.u64",
        &[TO_W, L],
        "d = how far up the highest bit set can move, else all ones",
        lanes!(|a: u64| -> u32 { found(a.leading_zeros(), 64) }),
    ),
    row(
        "bfind.shiftamt.s64",
        &[TO_W, L],
        "d = how far up the highest bit unlike the sign can move, else all ones",
        lanes!(|a: i64| -> u32 { found((a ^ a >> 63).leading_zeros(), 64) }),
    ),
    row("clz.b32", W_W, "d = zeros above the highest bit set", lanes!(|a: u32| -> u32 { a.leading_zeros() })),
    row("clz.b64", &[TO_W, L], "d = zeros above the highest bit set", lanes!(|a: u64| -> u32 { a.leading_zeros() })),
    row("popc.b32", W_W, "d = bits set in a", lanes!(|a: u32| -> u32 { a.count_ones() })),
    row("popc.b64", &[TO_W, L], "d = bits set in a", lanes!(|a: u64| -> u32 { a.count_ones() })),
    row("brev.b32", W_W, "d = the bits of a in reverse", lanes!(|a: u32| -> u32 { a.reverse_bits() })),
    row("brev.b64", L_L, "d = the bits of a in reverse", lanes!(|a: u64| -> u64 { a.reverse_bits() })),
    row(
        "fns.b32",
        W_WWW,
        "d = the place of the c-th bit set of a, counted from bit b up or, if c < 0, down",
        lanes!(|a: u32, b: u32, c: i32| -> u32 { nth_bit(a, b, c) }),
    ),
    row(
        "bmsk.clamp.b32",
        W_WW,
        "d = b ones from bit a on, a and b at most 32",
        lanes!(|a: u32, b: u32| -> u32 { left(low_bits(b.min(32)), a.min(32)) }),
    ),
    row(
        "bmsk.wrap.b32",
        W_WW,
        "d = b mod 32 ones from bit a mod 32 on",
        lanes!(|a: u32, b: u32| -> u32 { left(low_bits(b & 31), a & 31) }),
    ),
    row(
        "szext.clamp.u32",
        W_WW,
        "d = the lower b bits of a, all of them if b > 31",
        lanes!(|a: u32, b: u32| -> u32 { a & low_bits(b.min(32)) }),
    ),
    row(
        "szext.clamp.s32",
        W_WW,
        "d = the lower b bits of a as a signed number, all of them if b > 31",
        lanes!(|a: i32, b: u32| -> i32 { field(a, 0, b.min(32)) }),
    ),
    row(
        "szext.wrap.u32",
        W_WW,
        "d = the lower b mod 32 bits of a",
        lanes!(|a: u32, b: u32| -> u32 { a & low_bits(b & 31) }),
    ),
    row(
        "szext.wrap.s32",
        W_WW,
        "d = the lower b mod 32 bits of a as a signed number",
        lanes!(|a: i32, b: u32| -> i32 { field(a, 0, b & 31) }),
    ),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Integer, meaning, action }
}

/// Predicates are masks already: one operation serves all lanes.
macro_rules! predicates {
    (|$($x:ident),+| $value:expr) => {
        lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            $(let $x = lanes.predicate($x);)+
            lanes.set_predicate(d, $value);
        })
    };
}
use predicates;

/// A shift up that leaves nothing from 32 on. A shift by the width itself is no shift for a host.
#[inline(always)]
fn left(value: u32, by: u32) -> u32 {
    if by < 32 { value << (by & 31) } else { 0 }
}

#[inline(always)]
fn right(value: u32, by: u32) -> u32 {
    if by < 32 { value >> (by & 31) } else { 0 }
}

#[inline(always)]
fn left_wide(value: u64, by: u32) -> u64 {
    if by < 64 { value << (by & 63) } else { 0 }
}

#[inline(always)]
fn right_wide(value: u64, by: u32) -> u64 {
    if by < 64 { value >> (by & 63) } else { 0 }
}

/// So many ones at the lower end, at most 32.
#[inline(always)]
fn low_bits(count: u32) -> u32 {
    !left(u32::MAX, count)
}

#[inline(always)]
fn low_bits_wide(count: u32) -> u64 {
    !left_wide(u64::MAX, count)
}

/// A signed bit field. Its sign is its last bit, or the topmost bit of the value if the field ends beyond it.
#[inline(always)]
fn field(value: i32, from: u32, length: u32) -> i32 {
    let last = (from + length).wrapping_sub(1).min(31);
    let fill = if length == 0 { 0 } else { value << (31 - last) >> 31 };
    let kept = low_bits(length.min(32u32.saturating_sub(from))) as i32;
    right(value as u32, from) as i32 & kept | fill & !kept
}

#[inline(always)]
fn field_wide(value: i64, from: u32, length: u32) -> i64 {
    let last = (from + length).wrapping_sub(1).min(63);
    let fill = if length == 0 { 0 } else { value << (63 - last) >> 63 };
    let kept = low_bits_wide(length.min(64u32.saturating_sub(from))) as i64;
    right_wide(value as u64, from) as i64 & kept | fill & !kept
}

/// All ones where there was no bit to find.
#[inline(always)]
fn found(zeros: u32, width: u32) -> u32 {
    if zeros == width { u32::MAX } else { zeros }
}

/// `fns`: zero asks for the bit at the base itself, a positive count for bits from the base up, a negative one for bits
/// from the base down.
#[inline(always)]
fn nth_bit(mask: u32, base: u32, count: i32) -> u32 {
    let (mut left, up) = match count {
        0 => return if right(mask, base) & 1 == 1 { base } else { u32::MAX },
        1.. => (count.unsigned_abs(), true),
        _ => (count.unsigned_abs(), false),
    };
    let mut at = base;
    while at < 32 {
        if mask >> at & 1 == 1 {
            left -= 1;
            if left == 0 {
                return at;
            }
        }
        at = if up { at + 1 } else { at.wrapping_sub(1) };
    }
    u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop by which the PTX manual defines `bfe`.
    fn field_by_the_manual(value: i64, from: u32, length: u32, signed: bool, width: u32) -> u64 {
        let bit = |at: u32| value as u64 >> at & 1;
        let sign = if !signed || length == 0 { 0 } else { bit((from + length - 1).min(width - 1)) };
        (0..width).fold(0, |all, at| {
            let inside = at < length && from + at < width;
            all | (if inside { bit(from + at) } else { sign }) << at
        })
    }

    #[test]
    fn fields_are_what_the_manual_says() {
        for value in [0i64, -1, 0x8000_0000, 0x7FFF_FFFF, 0x1234_5678_9ABC_DEF0, i64::MIN] {
            for from in [0, 1, 7, 30, 31, 32, 33, 63, 64, 255] {
                for length in [0, 1, 8, 31, 32, 33, 63, 64, 255] {
                    let narrow = i64::from(value as u32);
                    let expected = |signed| field_by_the_manual(narrow, from, length, signed, 32) as u32;
                    assert_eq!(field(value as i32, from, length) as u32, expected(true), "{value:x} {from} {length}");
                    assert_eq!(right(value as u32, from) & low_bits(length), expected(false));
                    let expected = |signed| field_by_the_manual(value, from, length, signed, 64);
                    assert_eq!(field_wide(value, from, length) as u64, expected(true), "{value:x} {from} {length}");
                    assert_eq!(right_wide(value as u64, from) & low_bits_wide(length), expected(false));
                }
            }
        }
    }

    #[test]
    fn nth_bits_are_counted_from_the_base_either_way() {
        let mask = 0b1011_0000;
        assert_eq!([nth_bit(mask, 0, 1), nth_bit(mask, 0, 3), nth_bit(mask, 5, 1), nth_bit(mask, 5, 2)], [4, 7, 5, 7]);
        assert_eq!([nth_bit(mask, 6, -1), nth_bit(mask, 31, -3), nth_bit(mask, 5, 0)], [5, 4, 5]);
        for (base, count) in [(6, 0), (0, 4), (3, -1), (32, 1), (0, i32::MIN), (40, 0)] {
            assert_eq!(nth_bit(mask, base, count), u32::MAX);
        }
    }
}
