//! What a number token means.

use super::ast::{InitValue, Operand};

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// A decimal, hexadecimal, octal or binary integer: 64 bits and a sign.
    Integer(i128),
    /// The bits of `0f…`.
    Float32(u32),
    /// The bits of `0d…` or of a decimal number.
    Float64(u64),
}

impl Number {
    pub(super) fn negated(self) -> Number {
        match self {
            Number::Integer(value) => Number::Integer(-value),
            Number::Float32(bits) => Number::Float32(bits ^ 1 << 31),
            Number::Float64(bits) => Number::Float64(bits ^ 1 << 63),
        }
    }
}

impl From<Number> for Operand {
    fn from(number: Number) -> Operand {
        match number {
            Number::Integer(value) => Operand::Integer(value),
            Number::Float32(bits) => Operand::Float32(bits),
            Number::Float64(bits) => Operand::Float64(bits),
        }
    }
}

impl From<Number> for InitValue {
    fn from(number: Number) -> InitValue {
        match number {
            Number::Integer(value) => InitValue::Integer(value),
            Number::Float32(bits) => InitValue::Float32(bits),
            Number::Float64(bits) => InitValue::Float64(bits),
        }
    }
}

/// The number that a token means, if it is one.
pub(super) fn number(text: &str) -> Option<Number> {
    match text.get(..2) {
        Some("0f" | "0F") => bits(&text[2..], 8).map(|bits| Number::Float32(bits as u32)),
        Some("0d" | "0D") => bits(&text[2..], 16).map(Number::Float64),
        Some("0x" | "0X") => integer(&text[2..], 16),
        Some("0b" | "0B") => integer(&text[2..], 2),
        _ if text.contains(['.', 'e', 'E']) => decimal(text),
        Some(_) if text.starts_with('0') && text != "0U" => integer(&text[1..], 8),
        _ => integer(text, 10),
    }
}

/// Exactly so many hexadecimal digits.
fn bits(digits: &str, count: usize) -> Option<u64> {
    let exact = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    exact.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn integer(digits: &str, radix: u32) -> Option<Number> {
    u64::from_str_radix(digits.strip_suffix('U').unwrap_or(digits), radix)
        .ok()
        .map(|value| Number::Integer(value.into()))
}

fn decimal(text: &str) -> Option<Number> {
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| Number::Float64(value.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_four_bases_and_a_suffix() {
        for (text, value) in [
            ("0", 0),
            ("0U", 0),
            ("16U", 16),
            ("0x1fU", 31),
            ("0b101", 5),
            ("017", 15),
            ("00", 0),
            ("18446744073709551615", i128::from(u64::MAX)),
        ] {
            assert_eq!(number(text), Some(Number::Integer(value)), "{text}");
        }
    }

    #[test]
    fn floats_are_bits_or_decimals() {
        assert_eq!(number("0f3F800000"), Some(Number::Float32(0x3F80_0000)));
        assert_eq!(number("0D3ff0000000000000"), Some(Number::Float64(1f64.to_bits())));
        assert_eq!(number("1.5"), Some(Number::Float64(1.5f64.to_bits())));
        assert_eq!(number("2."), Some(Number::Float64(2f64.to_bits())));
        assert_eq!(number("1e-3"), Some(Number::Float64(1e-3f64.to_bits())));
    }

    #[test]
    fn others_are_no_numbers() {
        for text in ["", "08", "0x", "0b2", "0f3F8", "0f+F800000", "12ab", "18446744073709551616", "1e999", "U", "1_0"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
