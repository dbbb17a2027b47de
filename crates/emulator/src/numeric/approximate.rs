//! Functions that a GPU approximates, within bounds at least as tight as the documented ones.
//!
//! All are f32 polynomials after a range reduction that is exact or done in f64, without branches: eight lanes at a time.
//! Conversions between float and integer use the trick of adding 1.5 · 2^23 (2^52 for f64), after which the integer stands
//! in the lowest bits, because a saturating `as` costs several instructions.

use super::single::{canonical, canonical_wide};
use super::{NAN_F32, NAN_F64};

/// 2^x within one unit of the last place.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    // Far enough out for zero and infinity; NaN passes, as no comparison with it holds.
    let x = if x > 130.0 { 130.0 } else { x };
    let x = if x < -160.0 { -160.0 } else { x };
    let shifted = x + MAGIC;
    let whole = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let part = x - (shifted - MAGIC);
    // ln(2)^k / k!: at ±1/2 the eighth term is a tenth of a unit of the last place.
    let sum = 1.525_273_4e-5f32;
    let sum = sum.mul_add(part, 1.540_353e-4);
    let sum = sum.mul_add(part, 1.333_355_8e-3);
    let sum = sum.mul_add(part, 9.618_129e-3);
    let sum = sum.mul_add(part, 5.550_411e-2);
    let sum = sum.mul_add(part, 2.402_265e-1);
    let sum = sum.mul_add(part, 6.931_472e-1);
    let sum = sum.mul_add(part, 1.0);
    // Two steps, because one factor alone cannot reach the subnormals; only the second of them can round.
    let half = whole >> 1;
    canonical(sum * power(half) * power(whole.wrapping_sub(half)))
}

/// 2^x, +0 in place of a subnormal. A subnormal x gives one, as zero does.
#[inline(always)]
pub(crate) fn exp2_flushed(x: f32) -> f32 {
    let value = exp2(x);
    if x < -126.0 { 0.0 } else { value }
}

/// 2^n for the exponents of normal numbers.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The base-2 logarithm, within 2^-23 of it, or absolutely where it is less than one.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3F35_04F3;
    let subnormal = x < f32::MIN_POSITIVE;
    let normal = if subnormal { x * 16_777_216.0 } else { x };
    let bits = normal.to_bits();
    let whole = (bits.wrapping_sub(ROOT_HALF) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((whole as u32) << 23));
    let whole = whole as f32 - if subnormal { 24.0 } else { 0.0 };
    // log(m) = 2 artanh((m - 1) / (m + 1)), and the argument is at most 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let t = s * s;
    let sum = 2.0 / 9.0 * std::f32::consts::LOG2_E;
    let sum = sum.mul_add(t, 2.0 / 7.0 * std::f32::consts::LOG2_E);
    let sum = sum.mul_add(t, 2.0 / 5.0 * std::f32::consts::LOG2_E);
    let sum = sum.mul_add(t, 2.0 / 3.0 * std::f32::consts::LOG2_E);
    let sum = sum.mul_add(t, 2.0 * std::f32::consts::LOG2_E);
    let value = sum.mul_add(s, whole);
    let value = if x > f32::MAX { f32::INFINITY } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x >= 0.0 { value } else { NAN_F32 }
}

/// 1 / x.
#[inline(always)]
pub(crate) fn reciprocal(x: f32) -> f32 {
    canonical(1.0 / x)
}

/// The square root.
#[inline(always)]
pub(crate) fn root(x: f32) -> f32 {
    canonical(x.sqrt())
}

/// 1 / the square root. Two roundings of 2^-24 each stay below the bound of 2^-22.9.
#[inline(always)]
pub(crate) fn reciprocal_root(x: f32) -> f32 {
    canonical(1.0 / x.sqrt())
}

/// a / b by way of a reciprocal that flushes: a divisor above 2^126 counts as infinite.
#[inline(always)]
pub(crate) fn divide(a: f32, b: f32) -> f32 {
    const LARGE: f32 = f32::from_bits((127 + 126) << 23);
    let quotient = if b.abs() > LARGE { a * 0f32.copysign(b) } else { a / b };
    // An infinite divisor is one in any case, except under an infinite dividend, where both ways give NaN.
    canonical(quotient)
}

/// a / b over the whole range.
#[inline(always)]
pub(crate) fn divide_full(a: f32, b: f32) -> f32 {
    canonical(a / b)
}

/// The sine, within 2^-22 in ±100 pi and in ±1 everywhere.
#[inline(always)]
pub(crate) fn sine(x: f32) -> f32 {
    let value = circular(x, 0);
    // A zero keeps its sign.
    if x == 0.0 { x } else { value }
}

/// The cosine, as the sine.
#[inline(always)]
pub(crate) fn cosine(x: f32) -> f32 {
    circular(x, 1)
}

/// The sine of x + `quarters` · pi / 2.
#[inline(always)]
fn circular(x: f32, quarters: u32) -> f32 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let wide = f64::from(x);
    let shifted = wide.mul_add(std::f64::consts::FRAC_2_PI, MAGIC);
    let quadrant = (shifted.to_bits() as u32).wrapping_add(quarters);
    let rest = (shifted - MAGIC).mul_add(-std::f64::consts::FRAC_PI_2, wide) as f32;
    // Arguments so large that their quadrant is unknown have no meaningful sine; they must not leave ±1.
    let rest = if rest.abs() < 1.0 { rest } else { 0.0 };
    let t = rest * rest;
    let sine = 2.755_732e-6f32.mul_add(t, -1.984_127e-4).mul_add(t, 8.333_333e-3).mul_add(t, -0.166_666_67);
    let sine = (sine * t).mul_add(rest, rest);
    let cosine =
        2.480_158_7e-5f32.mul_add(t, -1.388_888_9e-3).mul_add(t, 4.166_666_8e-2).mul_add(t, -0.5).mul_add(t, 1.0);
    let value = if quadrant & 1 == 0 { sine } else { cosine };
    let value = if quadrant & 2 == 0 { value } else { -value };
    if x.abs() <= f32::MAX { value } else { NAN_F32 }
}

/// The hyperbolic tangent, within 2^-19 of it.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let decay = exp2(size * (-2.0 * std::f32::consts::LOG2_E));
    let far = (1.0 - decay) / (1.0 + decay);
    // Near zero the difference above loses its bits. The series keeps them, and subnormals as they are.
    let t = size * size;
    let near = (-17.0 / 315.0f32).mul_add(t, 2.0 / 15.0).mul_add(t, -1.0 / 3.0);
    let near = (near * t).mul_add(size, size);
    canonical((if size < 0.3 { near } else { far }).copysign(x))
}

/// The upper word of an f64, with zeros below, and subnormals flushed.
#[inline(always)]
fn upper(value: f64) -> f64 {
    let bits = value.to_bits() & 0xFFFF_FFFF_0000_0000;
    f64::from_bits(if bits << 1 < 1 << 53 { bits & 1 << 63 } else { bits })
}

/// 1 / x from and to the upper words alone.
#[inline(always)]
pub(crate) fn reciprocal_wide(x: f64) -> f64 {
    upper(canonical_wide(1.0 / upper(x)))
}

/// 1 / the square root from and to the upper words alone.
#[inline(always)]
pub(crate) fn reciprocal_root_wide(x: f64) -> f64 {
    let value = 1.0 / upper(x).sqrt();
    upper(if value.is_nan() { NAN_F64 } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some values of every exponent and both signs.
    fn samples() -> impl Iterator<Item = f32> {
        (0..0x1_0000u32).flat_map(|upper| [0, 0x1234, 0x8001, 0xFFFF].map(|lower| f32::from_bits(upper << 16 | lower)))
    }

    /// The distance in units of the last place of the expected value, subnormals included.
    fn units(got: f32, expected: f64) -> f64 {
        if f64::from(got) == expected || got == expected as f32 {
            return 0.0;
        }
        let place = 2f64.powi((expected.abs().log2().floor() as i32).max(-126) - 23);
        (f64::from(got) - expected).abs() / place
    }

    fn within(name: &str, bound: f64, error: impl Fn(f32) -> f64) {
        let worst =
            samples().filter(|x| !x.is_nan()).map(|x| (error(x), x)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert!(worst.0 <= bound, "{name}({:e}) is off by {:e}, more than {bound:e}", worst.1, worst.0);
    }

    #[test]
    fn errors_stay_below_the_documented_bounds() {
        within("exp2", 1.0, |x| units(exp2(x), f64::from(x).exp2()));
        within("log2", 2f64.powi(-22), |x| {
            let exact = f64::from(x).log2();
            if x <= 0.0 || exact.is_infinite() || exact == 0.0 {
                return 0.0;
            }
            (f64::from(log2(x)) - exact).abs() / if x > 0.5 && x < 2.0 { 1.0 } else { exact.abs() }
        });
        within("reciprocal_root", 2f64.powf(-22.9), |x| {
            let exact = 1.0 / f64::from(x).sqrt();
            if x > 0.0 && x.is_finite() { (f64::from(reciprocal_root(x)) / exact - 1.0).abs() } else { 0.0 }
        });
        for (name, limit, bound) in
            [("circle", std::f32::consts::TAU, 2f64.powf(-20.5)), ("hundred", 314.16, 2f64.powf(-14.7))]
        {
            let inside = move |x: f32| if x.abs() <= limit { f64::from(x) } else { 0.0 };
            within(name, bound, |x| (f64::from(sine(inside(x) as f32)) - inside(x).sin()).abs());
            within(name, bound, |x| (f64::from(cosine(inside(x) as f32)) - inside(x).cos()).abs());
        }
        within("tanh", 2f64.powi(-19), |x| {
            let exact = f64::from(x).tanh();
            if exact == 0.0 { f64::from(tanh(x)) } else { (f64::from(tanh(x)) / exact - 1.0).abs() }
        });
        within(
            "everywhere",
            1.0,
            |x| if x.is_infinite() { 0.0 } else { f64::from(sine(x).abs().max(cosine(x).abs())) },
        );
    }

    #[test]
    fn special_values() {
        let infinity = f32::INFINITY;
        assert_eq!(
            [exp2(-infinity), exp2(-0.0), exp2(infinity), exp2(128.0), exp2(-149.0)],
            [0.0, 1.0, infinity, infinity, 1e-45]
        );
        assert_eq!(
            [log2(0.0), log2(-0.0), log2(1.0), log2(infinity), log2(1e-45)],
            [-infinity, -infinity, 0.0, infinity, -149.0]
        );
        for nan in [
            exp2(f32::NAN),
            log2(-1.0),
            log2(f32::NAN),
            sine(infinity),
            cosine(f32::NAN),
            tanh(-f32::NAN),
            reciprocal_root(-1.0),
            divide(infinity, f32::MAX),
            divide(infinity, infinity),
            divide(0.0, 0.0),
        ] {
            assert_eq!(nan.to_bits(), NAN_F32.to_bits());
        }
        assert_eq!(
            [reciprocal_root(-0.0), reciprocal_root(0.0), reciprocal(-0.0), tanh(-infinity)],
            [-infinity, infinity, -infinity, -1.0]
        );
        assert_eq!([divide(1.0, f32::MAX), divide(1.0, infinity), divide(6.0, 3.0)], [0.0, 0.0, 2.0]);
        assert_eq!([sine(-0.0).to_bits(), tanh(f32::from_bits(3)).to_bits()], [0x8000_0000, 3]);
        assert_eq!(reciprocal_wide(3.0).to_bits(), (1.0f64 / 3.0).to_bits() & 0xFFFF_FFFF_0000_0000);
        assert_eq!(
            [reciprocal_wide(1e-310), reciprocal_wide(f64::INFINITY), reciprocal_root_wide(4.0)],
            [f64::INFINITY, 0.0, 0.5]
        );
    }
}
