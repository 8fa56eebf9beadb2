//! Exact decimals: prices and quantities are never doubles.

use std::fmt;

/// Digits kept after the point.
const SCALE_DIGITS: usize = 12;

/// Digits allowed before it; with twelve behind them a sum of a hundred million
/// such numbers still fits `i128`.
const WHOLE_DIGITS_MAX: usize = 18;

/// An exact decimal, in units of 10^-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Reads `-?digits(.digits)?`; none for anything else: no exponent, no sign `+`,
    /// no blanks, at most 18 digits before and 12 after the point.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
        let whole = number(&digits[..point], WHOLE_DIGITS_MAX)?;
        let part = match digits.get(point + 1..) {
            Some(part) => number(part, SCALE_DIGITS)? * TENS[SCALE_DIGITS - part.len()],
            None => 0,
        };
        // What fits 64 bits is worth a way of its own: a guest has no wider registers.
        let units = match whole.checked_mul(TENS[SCALE_DIGITS]).and_then(|it| it.checked_add(part))
        {
            Some(units) => i128::from(units),
            None => i128::from(whole) * i128::from(TENS[SCALE_DIGITS]) + i128::from(part),
        };
        Some(Self(if negative { -units } else { units }))
    }

    /// The double nearest to it, where that is known without reading digits: it has at most
    /// four of them behind the point and 15 in all. Both numbers of the division are
    /// exact, so that its result is the nearest.
    pub fn nearest_double(self) -> Option<f64> {
        let units = u64::try_from(self.0).ok()?;
        let (scaled, rest) = (units / 100_000_000, units % 100_000_000);
        // At most 1.8e11, far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let numerator = scaled as f64;
        (rest == 0).then_some(numerator / 10_000.0)
    }

    /// The sum; none where it does not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// The difference; none where it does not fit.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// Powers of ten, as far as there are digits after the point.
const TENS: [u64; SCALE_DIGITS + 1] = {
    let mut tens = [1; SCALE_DIGITS + 1];
    let mut at = 1;
    while at <= SCALE_DIGITS {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

/// A whole number of at least one digit and at most `most`, which fit 64 bits.
fn number(digits: &[u8], most: usize) -> Option<u64> {
    if digits.is_empty() || digits.len() > most {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(12);
        let (whole, part) = (self.0.unsigned_abs() / unit, self.0.unsigned_abs() % unit);
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = format!("{part:0SCALE_DIGITS$}");
        let digits = digits.trim_end_matches('0');
        let point = if digits.is_empty() { "" } else { "." };
        write!(out, "{sign}{whole}{point}{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Decimal> {
        Decimal::parse(text.as_bytes())
    }

    #[test]
    fn numbers_compare_by_value_and_not_by_spelling() {
        assert_eq!(parse("99.50"), parse("99.5"));
        assert_eq!(parse("-0"), parse("0.000"));
        assert!(parse("9.9") < parse("10"));
        assert!(parse("-2") < parse("-1.5"));
    }

    #[test]
    fn the_nearest_double_is_the_one_that_reading_gives() {
        for text in ["0", "0.1", "99.50", "100.5", "0.3", "9999.9999", "1234567.8901", "18446744"] {
            assert_eq!(parse(text).unwrap().nearest_double(), text.parse().ok(), "{text}");
        }
        for cents in 0..200_000_u32 {
            let text = format!("{}.{:04}", cents / 7, cents % 10_000);
            assert_eq!(parse(&text).unwrap().nearest_double(), text.parse().ok(), "{text}");
        }
        for text in ["-1", "0.00001", "18446745", "1000000000000"] {
            assert_eq!(parse(text).unwrap().nearest_double(), None, "{text}");
        }
    }

    #[test]
    fn sums_are_exact_where_doubles_are_not() {
        let sum = parse("0.1").unwrap().plus(parse("0.2").unwrap());
        assert_eq!(sum, parse("0.3"));
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        let long = "1".repeat(19);
        for text in ["", "-", ".5", "5.", "+1", "1e3", " 1", "1,5", "nan", "0x1", "--1", &long] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1.0000000000001"), None);
    }

    #[test]
    fn it_is_written_as_short_as_it_can_be() {
        for (text, short) in [("1.50", "1.5"), ("007", "7"), ("-0.050", "-0.05"), ("0", "0")] {
            assert_eq!(parse(text).unwrap().to_string(), short);
        }
    }
}
