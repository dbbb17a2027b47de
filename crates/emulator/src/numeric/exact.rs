//! Numbers with 127 bits and a sticky one: slow, obvious, and rounded once.
//!
//! For what the host cannot do in one rounding, which is f64 with a directed rounding and the small formats, and for tests
//! of what it can.

use super::Rounding;

/// A number other than zero: its magnitude is `significand` · 2^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    negative: bool,
    /// From 2^126 up to 2^127. Its lowest bit also stands for all bits that were lost below it.
    significand: u128,
    exponent: i32,
}

/// A binary format by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the stored fraction.
    pub(crate) fraction: u32,
    /// Bits of the exponent.
    pub(crate) exponent: u32,
    /// The largest finite value.
    pub(crate) largest: u64,
    /// What stands for a value beyond it.
    pub(crate) infinity: u64,
    /// Not a number.
    pub(crate) nan: u64,
}

impl Format {
    /// A format as IEEE 754 makes them, with PTX's NaN: all bits set except the sign.
    const fn ieee(fraction: u32, exponent: u32) -> Format {
        let infinity = ((1 << exponent) - 1) << fraction;
        Format { fraction, exponent, largest: infinity - 1, infinity, nan: infinity | ((1 << fraction) - 1) }
    }

    fn sign(self) -> u64 {
        1 << (self.fraction + self.exponent)
    }

    /// One rounding from an f64, which may be a NaN or infinite.
    pub(crate) fn of(self, value: f64, rounding: Rounding) -> u64 {
        let sign = if value.is_sign_negative() { self.sign() } else { 0 };
        match Exact::of(value) {
            Some(exact) => exact.round(self, rounding),
            None if value.is_nan() => self.nan,
            None if value == 0.0 => sign,
            None => sign | self.infinity,
        }
    }
}

pub(crate) const DOUBLE: Format = Format::ieee(52, 11);
pub(crate) const SINGLE: Format = Format::ieee(23, 8);
pub(crate) const HALF: Format = Format::ieee(10, 5);
pub(crate) const BRAIN: Format = Format::ieee(7, 8);
/// tf32 without the 13 zeros below it.
pub(crate) const TENSOR: Format = Format::ieee(10, 8);
/// e5m2, whose results are always clamped to the finite values.
pub(crate) const E5M2: Format = Format { infinity: 0x7B, nan: 0x7F, ..Format::ieee(2, 5) };
/// e4m3 has no infinity, so the topmost exponent is one of numbers, and a single code is NaN.
pub(crate) const E4M3: Format = Format { fraction: 3, exponent: 4, largest: 0x7E, infinity: 0x7E, nan: 0x7F };

impl Exact {
    /// A value that is finite and not zero.
    pub(crate) fn of(value: f64) -> Option<Exact> {
        if !value.is_finite() || value == 0.0 {
            return None;
        }
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let exponent = (bits >> 52 & 0x7FF) as i32;
        let (significand, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
        Some(Exact::normal(value < 0.0, u128::from(significand), exponent - 1075))
    }

    /// An integer other than zero.
    pub(crate) fn of_integer(value: i128) -> Option<Exact> {
        (value != 0).then(|| Exact::normal(value < 0, value.unsigned_abs(), 0))
    }

    fn normal(negative: bool, significand: u128, exponent: i32) -> Exact {
        if significand >> 127 == 1 {
            return Exact { negative, significand: significand >> 1 | significand & 1, exponent: exponent + 1 };
        }
        let up = significand.leading_zeros() - 1;
        Exact { negative, significand: significand << up, exponent: exponent - up as i32 }
    }

    /// The product of two numbers of at most 53 bits.
    pub(crate) fn times(self, other: Exact) -> Exact {
        let product = (self.significand >> 74) * (other.significand >> 74);
        Exact::normal(self.negative != other.negative, product, self.exponent + other.exponent + 148)
    }

    /// The quotient of two numbers of at most 53 bits.
    pub(crate) fn over(self, other: Exact) -> Exact {
        let (dividend, divisor) = (self.significand, other.significand >> 74);
        let quotient = (dividend / divisor) << 1 | u128::from(dividend % divisor != 0);
        Exact::normal(self.negative != other.negative, quotient, self.exponent - other.exponent - 75)
    }

    /// The square root of the magnitude of a number of at most 53 bits.
    pub(crate) fn root(self) -> Exact {
        // Half of an exponent must be whole; 53 bits leave room for the step.
        let odd = self.exponent & 1;
        let (square, exponent) = (self.significand >> odd, self.exponent + odd);
        let root = square.isqrt();
        Exact::normal(false, root << 1 | u128::from(root * root != square), exponent / 2 - 1)
    }

    /// The sum; `None` is zero.
    pub(crate) fn sum(a: Option<Exact>, b: Option<Exact>) -> Option<Exact> {
        let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
        let (high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
        let by = high.exponent.abs_diff(low.exponent);
        let shifted = match by {
            0..128 => low.significand >> by | u128::from(low.significand & ((1 << by) - 1) != 0),
            _ => 1,
        };
        if high.negative == low.negative {
            return Some(Exact::normal(high.negative, high.significand + shifted, high.exponent));
        }
        let less = high.significand < shifted;
        let difference = high.significand.abs_diff(shifted);
        (difference != 0).then(|| Exact::normal(high.negative != less, difference, high.exponent))
    }

    /// The bits of the nearest value of a format, as the rounding says.
    pub(crate) fn round(self, format: Format, rounding: Rounding) -> u64 {
        self.round_by(format, |odd, rest, half| match rounding {
            Rounding::Nearest => rest > half || rest == half && odd,
            Rounding::Zero => false,
            Rounding::Down => self.negative && rest != 0,
            Rounding::Up => !self.negative && rest != 0,
        })
    }

    /// Rounds the magnitude up where the function says so, from whether its last kept bit is set, what is dropped, and one
    /// half of the last kept bit.
    fn round_by(self, format: Format, up: impl Fn(bool, u128, u128) -> bool) -> u64 {
        let sign = if self.negative { format.sign() } else { 0 };
        let bias = (1 << (format.exponent - 1)) - 1;
        let power = self.exponent + 126;
        let least = 1 - bias;
        if power > bias + 1 {
            // Beyond every format's range by a factor of two or more: as good as the value just beyond the largest.
            let away = up(true, 3, 2);
            return sign | if away { format.infinity } else { format.largest };
        }
        let drop = 126 - format.fraction + (least - power).max(0).unsigned_abs();
        let (kept, rest, half) = match drop {
            0..128 => (self.significand >> drop, self.significand & ((1 << drop) - 1), 1 << (drop - 1)),
            _ => (0, 1, 2),
        };
        let kept = kept as u64 + u64::from(up(kept & 1 == 1, rest, half));
        // The leading one of a normal number adds the first step of its exponent, and so does a carry out of the fraction.
        let magnitude = ((power - least).max(0) as u64) * (1 << format.fraction) + kept;
        sign | if magnitude <= format.largest {
            magnitude
        } else if up(true, 3, 2) {
            format.infinity
        } else {
            format.largest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_f64_agrees_with_the_host() {
        let bits = [
            1u64,
            2,
            0xF_FFFF_FFFF_FFFF,
            1 << 52,
            0x3FF0_0000_0000_0000,
            0x3FF0_0000_0000_0001,
            0x4340_0000_0000_0001,
            0x7FEF_FFFF_FFFF_FFFF,
            0x7FE0_0000_0000_0000,
            0x3CA0_0000_0000_0001,
            0x1234_5678_9ABC_DEF1,
            0x0029_8765_4321_0FED,
        ];
        let values: Vec<_> = bits.into_iter().map(f64::from_bits).flat_map(|value| [value, -value]).collect();
        let exact = |value| Exact::of(value);
        let round =
            |value: Option<Exact>| value.map_or(0.0, |value| f64::from_bits(value.round(DOUBLE, Rounding::Nearest)));
        for &a in &values {
            for &b in &values {
                assert_eq!(round(Exact::sum(exact(a), exact(b))), a + b, "{a:e} + {b:e}");
                let product = exact(a).zip(exact(b)).map(|(a, b)| a.times(b));
                assert_eq!(round(product), a * b, "{a:e} * {b:e}");
                assert_eq!(round(exact(a).zip(exact(b)).map(|(a, b)| a.over(b))), a / b, "{a:e} / {b:e}");
                for &c in &values {
                    assert_eq!(round(Exact::sum(product, exact(c))), a.mul_add(b, c), "{a:e} * {b:e} + {c:e}");
                }
            }
            assert_eq!(round(exact(a).map(Exact::root)), a.abs().sqrt(), "{a:e}");
        }
        for value in [1i128, -1, i128::from(u64::MAX), i128::from(i64::MIN), (1 << 53) + 1, 0x12_3456_789A_BCDE_F123] {
            assert_eq!(round(Exact::of_integer(value)), value as f64);
        }
    }

    #[test]
    fn small_formats_round_clamp_and_keep_subnormals() {
        let nearest = |format: Format, value| format.of(value, Rounding::Nearest);
        for (value, expected) in [
            (1.0, 0x38),
            (448.0, 0x7E),
            (464.0, 0x7E),
            (1e9, 0x7E),
            (f64::INFINITY, 0x7E),
            (-500.0, 0xFE),
            (0.001953125, 1),
            (0.0009765625, 0),
            (0.0029296875, 2),
            (0.015625, 8),
            (-0.0, 0x80),
            (f64::NAN, 0x7F),
            (1.0625, 0x38),
            (1.1875, 0x3A),
        ] {
            assert_eq!(nearest(E4M3, value), expected, "{value}");
        }
        for (value, expected) in [
            (1.0, 0x3C),
            (57344.0, 0x7B),
            (61440.0, 0x7B),
            (f64::INFINITY, 0x7B),
            (-1.0, 0xBC),
            (1.125, 0x3C),
            (1.375, 0x3E),
        ] {
            assert_eq!(nearest(E5M2, value), expected, "{value}");
        }
        for (value, expected) in
            [(65504.0, 0x7BFF), (65519.0, 0x7BFF), (65520.0, 0x7C00), (2f64.powi(-24), 1), (2f64.powi(-25), 0)]
        {
            assert_eq!(nearest(HALF, value), expected, "{value}");
        }
        assert_eq!(HALF.of(65520.0, Rounding::Zero), 0x7BFF);
        assert_eq!(HALF.of(-1e-30, Rounding::Down), 0x8001);
        assert_eq!(BRAIN.of(f64::from(f32::MAX), Rounding::Nearest), 0x7F80);
    }
}
