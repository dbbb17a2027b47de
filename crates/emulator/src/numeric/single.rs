//! f32 and f64 as PTX wants them: one NaN, flushing, clamping, directed roundings.

use super::{NAN_F32, NAN_F64, Rounding};

/// The value itself, or the one NaN. A comparison of bits: LLVM folds `if value.is_nan() { NAN } else { value }` into `value`
/// where that is a square root, because to it one NaN is as good as another.
#[inline(always)]
pub(crate) fn canonical(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits(if bits & 0x7FFF_FFFF > 0x7F80_0000 { NAN_F32.to_bits() } else { bits })
}

/// The value itself, or the one NaN.
#[inline(always)]
pub(crate) fn canonical_wide(value: f64) -> f64 {
    let bits = value.to_bits();
    f64::from_bits(if bits & (u64::MAX >> 1) > 0x7FF0_0000_0000_0000 { NAN_F64.to_bits() } else { bits })
}

/// A zero of the same sign in place of a subnormal.
#[inline(always)]
pub(crate) fn flush(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0f32.copysign(value) } else { value }
}

/// Clamped to 0 to 1; NaN and -0 become +0.
#[inline(always)]
pub(crate) fn saturate(value: f32) -> f32 {
    let above = if value > 0.0 { value } else { 0.0 };
    if above < 1.0 { above } else { 1.0 }
}

/// Clamped to 0 to 1; NaN and -0 become +0.
#[inline(always)]
pub(crate) fn saturate_wide(value: f64) -> f64 {
    let above = if value > 0.0 { value } else { 0.0 };
    if above < 1.0 { above } else { 1.0 }
}

/// Minimum and maximum of one float type: a number beats a NaN, and -0 is less than +0.
macro_rules! extremes {
    ($minimum:ident, $maximum:ident: $type:ty, $canonical:ident) => {
        /// The lesser; a number rather than a NaN.
        #[inline(always)]
        pub(crate) fn $minimum(a: $type, b: $type) -> $type {
            let lesser = if a < b { a } else { b };
            // Equal values differ in the sign of zero at most: the union of their bits is the negative one.
            let lesser = if a == b { <$type>::from_bits(a.to_bits() | b.to_bits()) } else { lesser };
            let lesser = if a.is_nan() { b } else { lesser };
            $canonical(if b.is_nan() { a } else { lesser })
        }

        /// The greater; a number rather than a NaN.
        #[inline(always)]
        pub(crate) fn $maximum(a: $type, b: $type) -> $type {
            let greater = if a > b { a } else { b };
            let greater = if a == b { <$type>::from_bits(a.to_bits() & b.to_bits()) } else { greater };
            let greater = if a.is_nan() { b } else { greater };
            $canonical(if b.is_nan() { a } else { greater })
        }
    };
}

extremes!(minimum, maximum: f32, canonical);
extremes!(minimum_wide, maximum_wide: f64, canonical_wide);

/// a + b rounded to odd: exact if f64 holds the sum, else the neighbour whose last bit is set. A later rounding to at most
/// 51 bits then gives what rounding the exact sum would have given.
#[inline(always)]
pub(crate) fn sum_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    to_odd(sum, error)
}

/// `near` + `error` rounded to odd, where `near` is that sum to the nearest.
#[inline(always)]
fn to_odd(near: f64, error: f64) -> f64 {
    let bits = near.to_bits();
    // Infinities and NaN leave no error that could be told: they are exact.
    let inexact = error.abs() > 0.0;
    let outward = (error > 0.0) == (near > 0.0);
    let neighbour = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact && bits & 1 == 0 { neighbour } else { bits })
}

/// To f32 in one rounding.
#[inline(always)]
pub(crate) fn narrow(value: f64, rounding: Rounding) -> f32 {
    let near = value as f32;
    let back = f64::from(near);
    match rounding {
        Rounding::Nearest => near,
        Rounding::Zero if back.abs() > value.abs() => f32::from_bits(near.to_bits() - 1),
        Rounding::Down if back > value => near.next_down(),
        Rounding::Up if back < value => near.next_up(),
        _ => near,
    }
}

/// To f32, to odd.
#[inline(always)]
pub(crate) fn narrow_to_odd(value: f64) -> f32 {
    let near = value as f32;
    let back = f64::from(near);
    let bits = near.to_bits();
    let neighbour = if back.abs() > value.abs() { bits.wrapping_sub(1) } else { bits.wrapping_add(1) };
    let inexact = back != value;
    f32::from_bits(if inexact && bits & 1 == 0 { neighbour } else { bits })
}

/// An exact zero that is the sum of unlike zeros, or of numbers that cancel, is negative when rounding down.
#[inline(always)]
fn signed_zero(sum: f64, a: f64, b: f64, rounding: Rounding) -> f64 {
    let negative = rounding == Rounding::Down && (a.is_sign_negative() || b.is_sign_negative());
    if sum == 0.0 && negative { -0.0 } else { sum }
}

/// a + b.
#[inline(always)]
pub(crate) fn add(a: f32, b: f32, rounding: Rounding) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    narrow(signed_zero(sum_to_odd(a, b), a, b, rounding), rounding)
}

/// a · b.
#[inline(always)]
pub(crate) fn multiply(a: f32, b: f32, rounding: Rounding) -> f32 {
    narrow(f64::from(a) * f64::from(b), rounding)
}

/// a · b + c.
#[inline(always)]
pub(crate) fn fuse(a: f32, b: f32, c: f32, rounding: Rounding) -> f32 {
    // 24 bits times 24 bits are 48: the product is exact, and far from the ends of f64's range.
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    narrow(signed_zero(sum_to_odd(product, c), product, c, rounding), rounding)
}

/// a / b.
#[inline(always)]
pub(crate) fn divide(a: f32, b: f32, rounding: Rounding) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    let quotient = a / b;
    // The remainder a - quotient · b is exact; its sign and the divisor's say on which side the exact quotient lies.
    let rest = (-quotient).mul_add(b, a);
    let error = if b < 0.0 { -rest } else { rest };
    narrow(to_odd(quotient, error), rounding)
}

/// The square root.
#[inline(always)]
pub(crate) fn root(a: f32, rounding: Rounding) -> f32 {
    let a = f64::from(a);
    let root = a.sqrt();
    narrow(to_odd(root, (-root).mul_add(root, a)), rounding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::exact::{Exact, SINGLE};

    /// Values at every edge of f32, and some ordinary ones.
    fn values() -> Vec<f32> {
        let bits = [
            0u32,
            1,
            2,
            0x0000_0FFF,
            0x007F_FFFF,
            0x0080_0000,
            0x0080_0001,
            0x3F7F_FFFF,
            0x3F80_0000,
            0x3F80_0001,
            0x3FFF_FFFF,
            0x4000_0001,
            0x4049_0FDB,
            0x4B80_0001,
            0x33FF_FFFF,
            0x7F00_0000,
            0x7F7F_FFFF,
            0x1234_5678,
            0x5EAD_BEEF,
            0x2222_2223,
        ];
        bits.into_iter().flat_map(|bits| [f32::from_bits(bits), f32::from_bits(bits | 0x8000_0000)]).collect()
    }

    const ROUNDINGS: [Rounding; 4] = [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up];

    fn exact(value: f32) -> Option<Exact> {
        Exact::of(f64::from(value))
    }

    #[test]
    fn directed_roundings_agree_with_exact_integers() {
        for a in values() {
            for b in values() {
                for rounding in ROUNDINGS {
                    let product = exact(a).zip(exact(b)).map(|(a, b)| a.times(b));
                    check(multiply(a, b, rounding), product, rounding, "multiply", &[a, b]);
                    let sum = Exact::sum(exact(a), exact(b));
                    check(add(a, b, rounding), sum, rounding, "add", &[a, b]);
                    if b != 0.0 {
                        let quotient = exact(a).zip(exact(b)).map(|(a, b)| a.over(b));
                        check(divide(a, b, rounding), quotient, rounding, "divide", &[a, b]);
                    }
                    for c in [0.0, 1.0, -1.0, f32::MAX, f32::from_bits(1), -3.0e-39, 1.0e-20] {
                        let sum = Exact::sum(product, exact(c));
                        check(fuse(a, b, c, rounding), sum, rounding, "fuse", &[a, b, c]);
                    }
                }
            }
            if a >= 0.0 {
                for rounding in ROUNDINGS {
                    check(root(a, rounding), exact(a).map(Exact::root), rounding, "root", &[a]);
                }
            }
        }
    }

    fn check(got: f32, expected: Option<Exact>, rounding: Rounding, name: &str, inputs: &[f32]) {
        match expected {
            Some(expected) => {
                let bits = expected.round(SINGLE, rounding);
                assert_eq!(u64::from(got.to_bits()), bits, "{name} {inputs:?} {rounding:?}: {got:e}");
            }
            None => assert_eq!(got, 0.0, "{name} {inputs:?} {rounding:?}"),
        }
    }

    #[test]
    fn zeros_have_the_sign_of_ieee() {
        let negative = |value: f32| value.to_bits() == 0x8000_0000;
        assert!(negative(add(1.0, -1.0, Rounding::Down)) && !negative(add(1.0, -1.0, Rounding::Up)));
        assert!(negative(add(0.0, -0.0, Rounding::Down)) && !negative(add(0.0, 0.0, Rounding::Down)));
        assert!(negative(add(-0.0, -0.0, Rounding::Up)) && negative(fuse(2.0, 3.0, -6.0, Rounding::Down)));
        assert!(negative(minimum(0.0, -0.0)) && !negative(maximum(-0.0, 0.0)) && negative(maximum(-0.0, -0.0)));
        assert!(!negative(saturate(-0.0)));
    }

    #[test]
    fn a_number_beats_a_nan() {
        let nan = -f32::NAN;
        assert_eq!(
            [minimum(nan, 1.0), minimum(1.0, nan), maximum(nan, -1.0), maximum(-1.0, nan)],
            [1.0, 1.0, -1.0, -1.0]
        );
        assert_eq!(maximum(nan, nan).to_bits(), 0x7FFF_FFFF);
        assert_eq!(minimum_wide(f64::NAN, 1.0), 1.0);
    }
}
