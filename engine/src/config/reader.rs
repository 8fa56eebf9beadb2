//! Reads tables of a TOML document by hand: every mistake keeps its place, and
//! none hides another.

use std::ops::{Range, RangeInclusive};

use baton_core::Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flaw::{Flaws, did_you_mean};

/// One table, and which of its keys were asked for.
pub(super) struct Section<'a> {
    /// Dotted path; empty for the root.
    pub(super) name: String,
    /// Where it stands.
    pub(super) span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<String>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a DeTable<'a>) -> Self {
        Self { name: String::new(), span: 0..0, table: Some(table), asked: Vec::new() }
    }

    /// Whether the file has it.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether `key` holds a string.
    pub(super) fn is_string(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_str())
    }

    /// Names of all keys, with their places.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'a str, Range<usize>)> + use<'a> {
        self.table
            .into_iter()
            .flat_map(|table| table.keys().map(|k| (k.get_ref().as_ref(), k.span())))
    }

    /// The table under `key`; an absent one reads as empty.
    pub(super) fn section(&mut self, key: &str, flaws: &mut Flaws) -> Section<'a> {
        let name =
            if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let value = self.value(key);
        let span = value.map_or(0..0, Spanned::span);
        let table = value.and_then(|value| match value.get_ref().as_table() {
            Some(table) => Some(table),
            None => self.mistyped(key, value, "a table", flaws),
        });
        Section { name, span, table, asked: Vec::new() }
    }

    /// The string under `key`.
    pub(super) fn string(&mut self, key: &str, flaws: &mut Flaws) -> Option<Spanned<String>> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Spanned::new(value.span(), text.to_owned())),
            None => self.mistyped(key, value, "a string", flaws),
        }
    }

    /// The string under `key`, which must be there.
    pub(super) fn required(
        &mut self,
        key: &str,
        example: &str,
        flaws: &mut Flaws,
    ) -> Option<Spanned<String>> {
        self.demand(key, example, flaws)?;
        self.string(key, flaws)
    }

    /// The list of strings under `key`; an absent one is empty.
    pub(super) fn list(&mut self, key: &str, flaws: &mut Flaws) -> Vec<Spanned<String>> {
        if self.table.is_none_or(|table| table.get(key).is_none()) {
            self.asked.push(key.to_owned());
            return Vec::new();
        }
        self.required_list(key, "", flaws).map(Spanned::into_inner).unwrap_or_default()
    }

    /// The list of strings under `key`, which must be there.
    pub(super) fn required_list(
        &mut self,
        key: &str,
        example: &str,
        flaws: &mut Flaws,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.demand(key, example, flaws)?;
        let Some(items) = value.get_ref().as_array() else {
            return self.mistyped(key, value, "a list of strings", flaws);
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push(Spanned::new(item.span(), text.to_owned())),
                None => self.mistyped(key, item, "a list of strings", flaws).unwrap_or_default(),
            }
        }
        Some(Spanned::new(value.span(), texts))
    }

    /// The whole number under `key`.
    pub(super) fn integer(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        flaws: &mut Flaws,
    ) -> Option<Spanned<u64>> {
        let value = self.value(key)?;
        self.number(key, value, range, flaws)
    }

    /// The whole numbers of the list under `key`; an absent one is empty.
    pub(super) fn integers(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        flaws: &mut Flaws,
    ) -> Vec<u64> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            return self.mistyped(key, value, "a list of whole numbers", flaws).unwrap_or_default();
        };
        let number = |item| self.number(key, item, range.clone(), flaws).map(Spanned::into_inner);
        items.iter().filter_map(number).collect()
    }

    /// The texts, numbers and booleans of the table under `key`, by name; an absent one is
    /// empty.
    pub(super) fn plain_values(
        &mut self,
        key: &str,
        flaws: &mut Flaws,
    ) -> Vec<(Spanned<String>, Json)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            return self.mistyped(key, value, "a table", flaws).unwrap_or_default();
        };
        let mut values = Vec::new();
        for (name, value) in table {
            let name = Spanned::new(name.span(), name.get_ref().as_ref().to_owned());
            if let Some(plain) = plain(value.get_ref()) {
                values.push((name, plain));
            } else {
                let wanted = "a table of texts, numbers and booleans";
                self.mistyped::<()>(key, value, wanted, flaws);
            }
        }
        values
    }

    fn number(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: RangeInclusive<u64>,
        flaws: &mut Flaws,
    ) -> Option<Spanned<u64>> {
        let Some(written) = value.get_ref().as_integer() else {
            return self.mistyped(key, value, "a whole number", flaws);
        };
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(Spanned::new(value.span(), number));
        }
        let (low, high) = (range.start(), range.end());
        flaws.add(value.span(), format!("`{key}` must be from {low} to {high}"));
        None
    }

    /// The boolean under `key`.
    pub(super) fn boolean(&mut self, key: &str, flaws: &mut Flaws) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref().as_bool() {
            Some(truth) => Some(truth),
            None => self.mistyped(key, value, "true or false", flaws),
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, flaws: &mut Flaws) {
        for (key, span) in self.keys() {
            if self.asked.iter().any(|asked| asked == key) {
                continue;
            }
            let place =
                if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            let hint = did_you_mean(key, self.asked.iter().map(String::as_str));
            let known = if hint.is_empty() {
                format!("; known are {}", self.asked.join(", "))
            } else {
                hint
            };
            flaws.add(span, format!("unknown key `{key}`{place}{known}"));
        }
    }

    fn value(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.table?.get(key)
    }

    fn demand(
        &mut self,
        key: &str,
        example: &str,
        flaws: &mut Flaws,
    ) -> Option<&'a Spanned<DeValue<'a>>> {
        let value = self.value(key);
        if value.is_none() {
            flaws
                .add(self.span.clone(), format!("[{}] has no `{key}`; write {example}", self.name));
        }
        value
    }

    fn mistyped<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        flaws: &mut Flaws,
    ) -> Option<T> {
        let place =
            if self.name.is_empty() { String::new() } else { format!(" of [{}]", self.name) };
        let found = value.get_ref().type_str();
        flaws.add(value.span(), format!("`{key}`{place} must be {wanted}, not of type {found}"));
        None
    }
}

/// A value that holds no others.
fn plain(value: &DeValue<'_>) -> Option<Json> {
    match value {
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix()).ok().map(Json::from),
        DeValue::Float(it) => it.as_str().parse::<f64>().ok().map(Json::from),
        DeValue::Boolean(it) => Some(Json::from(*it)),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
