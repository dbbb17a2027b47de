//! f16 and bf16, in the lower 16 bits of a word.

use super::single::{maximum, minimum, narrow_to_odd, sum_to_odd};

/// What a 16-bit float type is: how it becomes an f32, how it comes back, and where its fields are. All functions read the
/// lower 16 bits of a word only.
pub(crate) trait Half {
    /// Every bit of the exponent.
    const EXPONENT: u32;
    /// The number one.
    const ONE: u32;
    /// The value as an f32.
    fn wide(bits: u32) -> f32;
    /// The nearest value, from the middle the even one; every NaN becomes 0x7FFF.
    fn narrow(value: f32) -> u32;
    /// a · b + c in one rounding.
    fn fuse(a: u32, b: u32, c: u32) -> u32;
}

/// IEEE half precision.
pub(crate) enum F16 {}
/// The upper half of an f32.
pub(crate) enum Bf16 {}

impl Half for F16 {
    const EXPONENT: u32 = 0x7C00;
    const ONE: u32 = 0x3C00;

    #[inline(always)]
    fn wide(bits: u32) -> f32 {
        let shifted = (bits & 0x7FFF) << 13;
        // The exponents differ by 112 in their bias. A multiplication also normalises what was subnormal.
        let finite = (f32::from_bits(shifted) * f32::from_bits((127 + 112) << 23)).to_bits();
        let magnitude = if bits & 0x7C00 == 0x7C00 { shifted | 0x7F80_0000 } else { finite };
        f32::from_bits(magnitude | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> u32 {
        let bits = value.to_bits();
        let magnitude = bits & 0x7FFF_FFFF;
        // Half to even: add a little less than one half of the last kept bit, and the rest of it if that bit is set.
        let rounded = magnitude.wrapping_sub((112 << 23) - 0xFFF).wrapping_add(magnitude >> 13 & 1) >> 13;
        // Below 2^-14 the host rounds: 0.5 has its last bit at 2^-24, as f16's subnormals have theirs.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3F00_0000);
        let finite = if magnitude < 113 << 23 { subnormal } else { rounded };
        let out = if magnitude >= 143 << 23 { 0x7C00 } else { finite } | bits >> 16 & 0x8000;
        if value.is_nan() { 0x7FFF } else { out }
    }

    #[inline(always)]
    fn fuse(a: u32, b: u32, c: u32) -> u32 {
        // 11 bits times 11 bits are 22, so f32 holds the product; the sum is made odd where it is inexact, because f32 has
        // more than two bits beyond f16 and the second rounding then does no harm.
        let product = F16::wide(a) * F16::wide(b);
        let c = F16::wide(c);
        let sum = product + c;
        let part = sum - product;
        let error = (product - (sum - part)) + (c - part);
        let bits = sum.to_bits();
        let neighbour = if (error > 0.0) == (sum > 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
        // Of an infinite sum the error is NaN, which is neither.
        let inexact = error.abs() > 0.0;
        F16::narrow(f32::from_bits(if inexact && bits & 1 == 0 { neighbour } else { bits }))
    }
}

impl Half for Bf16 {
    const EXPONENT: u32 = 0x7F80;
    const ONE: u32 = 0x3F80;

    #[inline(always)]
    fn wide(bits: u32) -> f32 {
        f32::from_bits(bits << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> u32 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7FFF).wrapping_add(bits >> 16 & 1) >> 16;
        if value.is_nan() { 0x7FFF } else { rounded }
    }

    #[inline(always)]
    fn fuse(a: u32, b: u32, c: u32) -> u32 {
        // A product of two bf16 can leave the range of f32, not that of f64.
        let product = f64::from(Bf16::wide(a)) * f64::from(Bf16::wide(b));
        Bf16::narrow(narrow_to_odd(sum_to_odd(product, f64::from(Bf16::wide(c)))))
    }
}

/// a + b. f32 has more than twice the bits of either type and two to spare, so two roundings give what one would.
#[inline(always)]
pub(crate) fn add<H: Half>(a: u32, b: u32) -> u32 {
    H::narrow(H::wide(a) + H::wide(b))
}

/// a - b.
#[inline(always)]
pub(crate) fn subtract<H: Half>(a: u32, b: u32) -> u32 {
    H::narrow(H::wide(a) - H::wide(b))
}

/// a · b. Exact in f32 for f16; bf16 wants `fuse` with -0, because f32 rounds a subnormal product before bf16 does.
#[inline(always)]
pub(crate) fn multiply<H: Half>(a: u32, b: u32) -> u32 {
    H::narrow(H::wide(a) * H::wide(b))
}

/// The lesser; a number rather than a NaN.
#[inline(always)]
pub(crate) fn least<H: Half>(a: u32, b: u32) -> u32 {
    H::narrow(minimum(H::wide(a), H::wide(b)))
}

/// The greater; a number rather than a NaN.
#[inline(always)]
pub(crate) fn greatest<H: Half>(a: u32, b: u32) -> u32 {
    H::narrow(maximum(H::wide(a), H::wide(b)))
}

/// Whether the lower 16 bits are a NaN.
#[inline(always)]
pub(crate) fn is_nan<H: Half>(bits: u32) -> bool {
    bits & 0x7FFF > H::EXPONENT
}

/// A zero of the same sign in place of a subnormal, in each half of a word.
#[inline(always)]
pub(crate) fn flush<H: Half>(pair: u32) -> u32 {
    let lower = if pair & H::EXPONENT == 0 { 0x8000 } else { 0xFFFF };
    let upper = if pair >> 16 & H::EXPONENT == 0 { 0x8000 } else { 0xFFFF };
    pair & (lower | upper << 16)
}

/// Clamped to 0 to 1, NaN to 0. The bits of positive values ascend with them.
#[inline(always)]
pub(crate) fn saturate<H: Half>(bits: u32) -> u32 {
    let bits = bits & 0xFFFF;
    let clamped = if bits < H::ONE { bits } else { H::ONE };
    if bits > H::EXPONENT { 0 } else { clamped }
}

/// +0 in place of what is negative; NaN has no sign here.
#[inline(always)]
pub(crate) fn rectify(bits: u32) -> u32 {
    if bits & 0x8000 == 0 { bits & 0xFFFF } else { 0 }
}

/// An e4m3, in the lowest byte, as an f16.
#[inline(always)]
pub(crate) fn wide_e4m3(byte: u32) -> u32 {
    let magnitude = byte & 0x7F;
    // The exponents of e4m3 and f32 differ by 120 in their bias.
    let value = f32::from_bits(magnitude << 20) * f32::from_bits((127 + 120) << 23);
    if magnitude == 0x7F { 0x7FFF } else { F16::narrow(value) | (byte & 0x80) << 8 }
}

/// An e5m2, in the lowest byte, as an f16, of which it is the upper half.
#[inline(always)]
pub(crate) fn wide_e5m2(byte: u32) -> u32 {
    if byte & 0x7F > 0x7C { 0x7FFF } else { (byte & 0xFF) << 8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Rounding;
    use crate::numeric::exact::{BRAIN, Exact, Format, HALF};

    #[test]
    fn every_f16_becomes_an_f32_and_comes_back() {
        for bits in 0..=0xFFFFu32 {
            let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f64::from(bits & 0x3FF));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1024.0 + fraction) * 2f64.powi(exponent as i32 - 25),
            };
            let expected = if sign == 1 { -magnitude } else { magnitude };
            let wide = F16::wide(bits);
            assert!(
                f64::from(wide) == expected && wide.is_sign_negative() == (sign == 1)
                    || wide.is_nan() && expected.is_nan()
            );
            assert_eq!(F16::narrow(wide), if wide.is_nan() { 0x7FFF } else { bits });
            let wide = Bf16::wide(bits);
            assert_eq!(Bf16::narrow(wide), if wide.is_nan() { 0x7FFF } else { bits });
        }
    }

    #[test]
    fn narrowing_agrees_with_exact_integers() {
        for upper in 0..=0xFFFFu32 {
            for lower in [0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
                let value = f32::from_bits(upper << 16 | lower);
                let exact = |format: Format| format.of(f64::from(value), Rounding::Nearest) as u32;
                assert_eq!(F16::narrow(value), exact(HALF), "{value:e}");
                assert_eq!(Bf16::narrow(value), exact(BRAIN), "{value:e}");
            }
        }
    }

    fn fused_once<H: Half>(format: Format) {
        let edges = [
            0u32, 1, 2, 0x3FF, 0x400, 0x401, 0x7F, 0x80, 0x81, 0x3BFF, 0x3C00, 0x3C01, 0x3F80, 0x3F81, 0x4248, 0x7BFF,
            0x7F7F, 0x0FFF, 0x5555, 0x6B3D, 0x1003,
        ];
        let values: Vec<_> = edges.into_iter().flat_map(|bits| [bits, bits | 0x8000]).collect();
        for &a in &values {
            for &b in &values {
                for &c in &values {
                    let [x, y, z] = [a, b, c].map(|bits| f64::from(H::wide(bits)));
                    if !(x.is_finite() && y.is_finite() && z.is_finite()) {
                        continue;
                    }
                    let product = Exact::of(x).zip(Exact::of(y)).map(|(x, y)| x.times(y));
                    let expected = Exact::sum(product, Exact::of(z)).map(|sum| sum.round(format, Rounding::Nearest));
                    let got = H::fuse(a, b, c);
                    assert_eq!(
                        u64::from(got & if expected.is_none() { 0x7FFF } else { 0xFFFF }),
                        expected.unwrap_or(0),
                        "{a:x} {b:x} {c:x}"
                    );
                }
            }
        }
    }

    #[test]
    fn fused_products_are_rounded_once() {
        fused_once::<F16>(HALF);
        fused_once::<Bf16>(BRAIN);
    }

    #[test]
    fn passes_over_pairs() {
        assert_eq!(flush::<F16>(0x83FF_0400), 0x8000_0400);
        assert_eq!(flush::<Bf16>(0x0080_807F), 0x0080_8000);
        assert_eq!([0x8000, 0x7FFF, 0x3C01, 0x3BFF].map(saturate::<F16>), [0, 0, 0x3C00, 0x3BFF]);
        assert_eq!([0x8000, 0xBC00, 0x7FFF, 0x3C00].map(rectify), [0, 0, 0x7FFF, 0x3C00]);
    }
}
