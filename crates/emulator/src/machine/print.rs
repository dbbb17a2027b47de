//! What `printf` of a kernel prints: C's conversions, as CUDA's device runtime takes them.

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Printed as it is.
    Text(String),
    /// A value of the arguments, converted.
    Value(Conversion),
}

/// `%[flags][width][.precision][length]kind`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversion {
    flags: String,
    pub(crate) width: Amount,
    pub(crate) precision: Amount,
    /// Bytes of its value among the arguments: 4, or 8.
    pub(crate) bytes: usize,
    /// The letter.
    pub(crate) kind: char,
}

/// A width or a precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Amount {
    /// There is none.
    #[default]
    None,
    /// This one.
    Given(usize),
    /// `*`: an argument before the value.
    Argument,
}

/// Most columns that a value is widened to, and most digits: no text is longer than a kernel may ask for.
const MOST: usize = 1024;

/// Takes a format apart.
///
/// # Errors
/// A conversion that is none of C's, or that takes what a kernel cannot pass.
pub(crate) fn pieces(format: &str) -> Result<Vec<Piece>, &'static str> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push(Piece::Text(rest[..at].to_owned()));
        let (conversion, after) = conversion(&rest[at + 1..])?;
        rest = after;
        out.push(if conversion.kind == '%' { Piece::Text("%".to_owned()) } else { Piece::Value(conversion) });
    }
    out.push(Piece::Text(rest.to_owned()));
    Ok(out)
}

/// A conversion, and what follows it.
fn conversion(text: &str) -> Result<(Conversion, &str), &'static str> {
    let split = |text: &str, is: fn(char) -> bool| text.find(|c| !is(c)).unwrap_or(text.len());
    let (flags, mut rest) = text.split_at(split(text, |c| "-+ #0".contains(c)));
    let amount = |rest: &mut &str| {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return Amount::Argument;
        }
        let (digits, after) = rest.split_at(split(rest, |c| c.is_ascii_digit()));
        *rest = after;
        if digits.is_empty() { Amount::None } else { Amount::Given(digits.parse().unwrap_or(MOST).min(MOST)) }
    };
    let width = amount(&mut rest);
    let mut precision = Amount::None;
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        precision = match amount(&mut rest) {
            Amount::None => Amount::Given(0),
            some => some,
        };
    }
    let (length, rest) = rest.split_at(split(rest, |c| "hlzjtL".contains(c)));
    let kind = rest.chars().next().ok_or("a format of printf that ends inside a conversion")?;
    let wide = matches!(length, "l" | "ll" | "z" | "j" | "t");
    let bytes = match kind {
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => 4 + 4 * usize::from(wide),
        'c' => 4,
        's' | 'p' | 'f' | 'F' | 'e' | 'E' | 'g' | 'G' => 8,
        '%' => 0,
        _ => return Err("a conversion of printf other than d i u x X o c s p f F e E g G"),
    };
    let conversion = Conversion { flags: flags.to_owned(), width, precision, bytes, kind };
    Ok((conversion, &rest[kind.len_utf8()..]))
}

impl Conversion {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    fn given(amount: Amount) -> Option<usize> {
        match amount {
            Amount::Given(amount) => Some(amount),
            _ => None,
        }
    }

    /// A number, by its bits.
    pub(crate) fn number(&self, bits: u64) -> String {
        let precision = Conversion::given(self.precision);
        let signed = if self.bytes == 8 { bits as i64 } else { i64::from(bits as i32) };
        let (negative, digits, prefix) = match self.kind {
            'd' | 'i' => (signed < 0, signed.unsigned_abs().to_string(), ""),
            'u' => (false, bits.to_string(), ""),
            'x' => (false, format!("{bits:x}"), if self.has('#') && bits != 0 { "0x" } else { "" }),
            'X' => (false, format!("{bits:X}"), if self.has('#') && bits != 0 { "0X" } else { "" }),
            'o' => (false, format!("{bits:o}"), if self.has('#') { "0" } else { "" }),
            'p' => (false, format!("{bits:x}"), "0x"),
            'c' => return self.padded("", (bits as u8 as char).to_string(), false),
            _ => return self.float(f64::from_bits(bits), precision.unwrap_or(6)),
        };
        let missing = precision.unwrap_or(0).saturating_sub(digits.len());
        let digits = "0".repeat(missing) + &digits;
        let sign = self.sign(negative, matches!(self.kind, 'd' | 'i'));
        self.padded(&format!("{sign}{prefix}"), digits, precision.is_none())
    }

    /// A text, which the precision cuts.
    pub(crate) fn text(&self, text: &str) -> String {
        let most = Conversion::given(self.precision).unwrap_or(usize::MAX);
        self.padded("", text.chars().take(most).collect(), false)
    }

    fn float(&self, value: f64, precision: usize) -> String {
        let sign = self.sign(value.is_sign_negative() && !value.is_nan(), true);
        let magnitude = value.abs();
        let mut digits = if !value.is_finite() {
            if value.is_nan() { "nan".to_owned() } else { "inf".to_owned() }
        } else {
            match self.kind.to_ascii_lowercase() {
                'f' => format!("{magnitude:.precision$}"),
                'e' => scientific(magnitude, precision),
                _ => self.shortest(magnitude, precision.max(1)),
            }
        };
        if self.kind.is_ascii_uppercase() {
            digits.make_ascii_uppercase();
        }
        self.padded(sign, digits, value.is_finite())
    }

    /// `%g`: as `%e` or `%f`, whichever is shorter by C's rule, without zeros at the end.
    fn shortest(&self, magnitude: f64, precision: usize) -> String {
        let by_exponent = scientific(magnitude, precision - 1);
        let (mantissa, exponent) = by_exponent.split_once('e').unwrap_or((&by_exponent, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let trim = |digits: &str| match digits.contains('.') && !self.has('#') {
            true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => digits.to_owned(),
        };
        if (-4..precision as i32).contains(&exponent) {
            let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
            return trim(&format!("{magnitude:.decimals$}"));
        }
        format!("{}{}", trim(mantissa), &by_exponent[mantissa.len()..])
    }

    fn sign(&self, negative: bool, signed: bool) -> &'static str {
        match (negative, signed) {
            (true, _) => "-",
            (false, true) if self.has('+') => "+",
            (false, true) if self.has(' ') => " ",
            _ => "",
        }
    }

    fn padded(&self, prefix: &str, digits: String, zeros: bool) -> String {
        let width = Conversion::given(self.width).unwrap_or(0);
        let missing = width.saturating_sub(prefix.chars().count() + digits.chars().count());
        if self.has('-') {
            format!("{prefix}{digits}{}", " ".repeat(missing))
        } else if self.has('0') && zeros {
            format!("{prefix}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{prefix}{digits}", " ".repeat(missing))
        }
    }

    /// Sets what `*` stands for: a negative width is one to the left, a negative precision is none.
    pub(crate) fn set(&mut self, width: Option<i32>, precision: Option<i32>) {
        if let Some(width) = width {
            if width < 0 {
                self.flags.push('-');
            }
            self.width = Amount::Given((width.unsigned_abs() as usize).min(MOST));
        }
        if let Some(precision) = precision {
            self.precision = usize::try_from(precision).map_or(Amount::None, |one| Amount::Given(one.min(MOST)));
        }
    }
}

/// As C: a sign and at least two digits of the exponent.
fn scientific(magnitude: f64, precision: usize) -> String {
    let rust = format!("{magnitude:.precision$e}");
    let (mantissa, exponent) = rust.split_once('e').unwrap_or((&rust, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: &str, bits: u64) -> String {
        let print = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Value(value) if value.kind == 's' => value.text("text"),
            Piece::Value(value) => value.number(bits),
        };
        pieces(format).unwrap().into_iter().map(print).collect()
    }

    #[test]
    fn conversions_are_those_of_c() {
        for (format, bits, wanted) in [
            ("a%db", 5, "a5b"),
            ("%d", u64::from(u32::MAX), "-1"),
            ("%u", u64::from(u32::MAX), "4294967295"),
            ("%lld", u64::MAX, "-1"),
            ("[%5d|%-5d|%05d]", 42, "[   42|42   |00042]"),
            ("%+d % d %.3d", 7, "+7  7 007"),
            ("%x %#X %o", 255, "ff 0XFF 377"),
            ("%c%%", 65, "A%"),
            ("%6.2s|", 0, "    te|"),
            ("%p", 4096, "0x1000"),
        ] {
            assert_eq!(printed(format, bits), wanted, "{format}");
        }
    }

    #[test]
    fn floats_are_those_of_c() {
        for (format, value, wanted) in [
            ("%f", 1.5, "1.500000"),
            ("%.3f", -2.0005, "-2.001"),
            ("%8.2f|", 3.456, "    3.46|"),
            ("%e", 12345.678, "1.234568e+04"),
            ("%.1E", 0.00025, "2.5E-04"),
            ("%g", 100000.0, "100000"),
            ("%g", 1_000_000.0, "1e+06"),
            ("%g", 0.0001, "0.0001"),
            ("%g", 0.00001, "1e-05"),
            ("%g", 0.5, "0.5"),
            ("%08.1f", -1.25, "-00001.2"),
            ("%5f", f64::INFINITY, "  inf"),
            ("%G", f64::NAN, "NAN"),
        ] {
            assert_eq!(printed(format, value.to_bits()), wanted, "{format}");
        }
    }

    #[test]
    fn what_is_no_conversion_is_refused() {
        assert!(pieces("%").is_err());
        assert!(pieces("%n").is_err());
        assert!(pieces("%-*.*lld%s").is_ok());
    }
}
