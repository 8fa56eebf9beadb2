//! Reads fields of TOML tables into typed values, and notes everything that does
//! not fit instead of stopping at it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text::{Literal, Text};
use crate::Millis;
use crate::limits::WAIT_MS_MAX;
use crate::workflow::flaw::{Flaw, did_you_mean};

/// Where something stands in the source, in bytes.
pub(in crate::workflow) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(in crate::workflow) struct At<T> {
    pub(in crate::workflow) value: T,
    pub(in crate::workflow) span: Span,
}

/// The source, and the flaws found so far.
pub(in crate::workflow) struct Reader<'s> {
    pub(super) source: &'s str,
    pub(in crate::workflow) flaws: Vec<Flaw>,
}

impl Reader<'_> {
    pub(super) fn flaw(&mut self, flaw: Flaw) {
        self.flaws.push(flaw);
    }

    fn wrong_type(&mut self, expected: &str, name: &str, found: &Spanned<DeValue<'_>>) {
        let kind = kind(found.get_ref());
        let message = format!("`{name}` must be {expected}, not {kind}");
        self.flaw(Flaw::at("wrong-type", found.span(), message));
    }

    /// A duration: a whole number and one unit.
    pub(super) fn duration_of(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        ms_min: Millis,
    ) -> Option<At<Millis>> {
        let DeValue::String(text) = value.get_ref() else {
            let help =
                "write a number and a unit in quotes: \"250ms\", \"5s\", \"10m\", \"2h\", \"7d\"";
            let kind = kind(value.get_ref());
            let message = format!("`{name}` must be a duration, not {kind}");
            self.flaw(Flaw::at("wrong-type", value.span(), message).help(help));
            return None;
        };
        match parse_duration(text) {
            Some(ms) if (ms_min..=WAIT_MS_MAX).contains(&ms) => {
                Some(At { value: ms, span: value.span() })
            }
            Some(_) => {
                let message = format!("`{name}` must be from {ms_min}ms to 7d, not {text}");
                self.flaw(Flaw::at("out-of-bounds", value.span(), message));
                None
            }
            None => {
                let help = "write one whole number and one unit: \"250ms\", \"5s\", \"10m\", \"2h\", \"7d\"";
                let message = format!("`{name}` is no duration: \"{text}\"");
                self.flaw(Flaw::at("bad-duration", value.span(), message).help(help));
                None
            }
        }
    }

    /// A text.
    pub(super) fn text_of(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(Text::new(self.source, value.span(), text));
        }
        self.wrong_type("a string", name, value);
        None
    }

    /// The items of a list.
    pub(super) fn items_of<'t, 'i>(
        &mut self,
        name: &str,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Vec<&'t Spanned<DeValue<'i>>> {
        if let DeValue::Array(items) = value.get_ref() {
            return items.iter().collect();
        }
        self.wrong_type("a list", name, value);
        Vec::new()
    }
}

/// A table that is being read: it knows which keys were asked for.
pub(super) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    /// What the table is, for messages: `a step`.
    what: &'static str,
    /// Where a missing key is reported.
    pub(super) span: Span,
    asked: Vec<&'static str>,
}

impl<'t, 'i> Fields<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, what: &'static str, span: Span) -> Self {
        Self { table, what, span, asked: Vec::new() }
    }

    /// The fields of `value` if that is a table.
    pub(super) fn of(
        value: &'t Spanned<DeValue<'i>>,
        name: &str,
        what: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Self> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Self::new(table, what, value.span()));
        }
        reader.wrong_type("a table", name, value);
        None
    }

    /// The raw value of `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Where `key` itself stands, if it is there.
    pub(super) fn key_span(&self, key: &str) -> Option<Span> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    pub(super) fn text(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<Text> {
        self.take(key).and_then(|value| reader.text_of(key, value))
    }

    pub(super) fn texts(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<Text>> {
        let value = self.take(key)?;
        let items = reader.items_of(key, value);
        Some(items.into_iter().filter_map(|item| reader.text_of(key, item)).collect())
    }

    pub(super) fn flag(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<At<bool>> {
        let value = self.take(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(At { value: *flag, span: value.span() });
        }
        reader.wrong_type("true or false", key, value);
        None
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        ms_min: Millis,
        reader: &mut Reader<'_>,
    ) -> Option<At<Millis>> {
        self.take(key).and_then(|value| reader.duration_of(key, value, ms_min))
    }

    /// A whole number within bounds.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
        reader: &mut Reader<'_>,
    ) -> Option<At<u32>> {
        let value = self.take(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            reader.wrong_type("a whole number", key, value);
            return None;
        };
        let count = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let fits = count.filter(|count| bounds.contains(count));
        if fits.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            let message = format!("`{key}` must be from {low} to {high}, not {number}");
            reader.flaw(Flaw::at("out-of-bounds", value.span(), message));
        }
        fits.map(|count| At { value: count, span: value.span() })
    }

    /// A number within bounds.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<f64>,
        reader: &mut Reader<'_>,
    ) -> Option<f64> {
        let value = self.take(key)?;
        let written = value.get_ref();
        let integer = written.as_integer().filter(|number| number.radix() == 10);
        let float = written.as_float().map(toml::de::DeFloat::as_str);
        let Some(digits) = integer.map(toml::de::DeInteger::as_str).or(float) else {
            reader.wrong_type("a number", key, value);
            return None;
        };
        let number = digits.parse::<f64>().ok();
        let fits = number.filter(|number| bounds.contains(number));
        if fits.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            let message = format!("`{key}` must be from {low:?} to {high:?}");
            reader.flaw(Flaw::at("out-of-bounds", value.span(), message));
        }
        fits
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        reader: &mut Reader<'_>,
    ) -> Option<At<T>> {
        let text = self.text(key, reader)?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            let message = format!("`{key}` cannot be \"{}\"", text.value);
            let all: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
            let help = format!("write one of {}", all.join(", "));
            reader.flaw(Flaw::at("bad-choice", text.span.clone(), message).help(help));
        }
        found.map(|(_, value)| At { value: *value, span: text.span })
    }

    /// Any value, as JSON.
    pub(super) fn literal(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Literal> {
        self.take(key).and_then(|value| Literal::read(key, value, reader))
    }

    /// A table, as JSON.
    pub(super) fn table(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<Literal> {
        let value = self.take(key)?;
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            reader.wrong_type("a table", key, value);
            return None;
        }
        Literal::read(key, value, reader)
    }

    /// Every key with its value, in the order of the file; for tables whose keys
    /// are names of the author's choice.
    pub(super) fn named(&self) -> Vec<(Text, &'t Spanned<DeValue<'i>>)> {
        let mut all: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| (Text::key(key.span(), key.get_ref()), value))
            .collect();
        all.sort_by_key(|(key, _)| key.span.start);
        all
    }

    /// Notes a required key that is absent.
    pub(super) fn require(&self, key: &str, line: &str, reader: &mut Reader<'_>) {
        if self.table.get(key).is_none() {
            let message = format!("{} needs `{key}`", self.what);
            let flaw = Flaw::at("missing-key", self.span.clone(), message);
            reader.flaw(flaw.help(format!("add {line}")));
        }
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for key in self.table.keys() {
            let name = key.get_ref();
            if self.asked.contains(&name.as_ref()) {
                continue;
            }
            let message = format!("{} has no key `{name}`", self.what);
            let help = did_you_mean(name, self.asked.iter().copied());
            reader.flaw(Flaw::at("unknown-key", key.span(), message).maybe_help(help));
        }
    }
}

/// `250ms`, `5s`, `10m`, `2h`, `7d`: milliseconds.
pub fn parse_duration(text: &str) -> Option<Millis> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // Saturating: a number that is too large is out of bounds, not unreadable.
    let number = if number.is_empty() { return None } else { number.parse().unwrap_or(u64::MAX) };
    Some(u64::saturating_mul(number, unit_ms))
}

/// What a TOML value is, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
