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
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |it: &str, most: usize| {
            !it.is_empty() && it.len() <= most && it.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, WHOLE_DIGITS_MAX) || !is_number(part, SCALE_DIGITS) {
            return None;
        }
        format!("{whole}{part:0<SCALE_DIGITS$}").parse::<i128>().ok().map(|it| Self(sign * it))
    }

    /// The sum; none where it does not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; none where it does not fit.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
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

    #[test]
    fn numbers_compare_by_value_and_not_by_spelling() {
        assert_eq!(Decimal::parse("99.50"), Decimal::parse("99.5"));
        assert_eq!(Decimal::parse("-0"), Decimal::parse("0.000"));
        assert!(Decimal::parse("9.9") < Decimal::parse("10"));
        assert!(Decimal::parse("-2") < Decimal::parse("-1.5"));
    }

    #[test]
    fn sums_are_exact_where_doubles_are_not() {
        let sum = Decimal::parse("0.1").unwrap().plus(Decimal::parse("0.2").unwrap());
        assert_eq!(sum, Decimal::parse("0.3"));
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        let long = "1".repeat(19);
        for text in ["", "-", ".5", "5.", "+1", "1e3", " 1", "1,5", "nan", "0x1", "--1", &long] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("1.0000000000001"), None);
    }

    #[test]
    fn it_is_written_as_short_as_it_can_be() {
        for (text, short) in [("1.50", "1.5"), ("007", "7"), ("-0.050", "-0.05"), ("0", "0")] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), short);
        }
    }
}
