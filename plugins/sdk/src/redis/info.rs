//! The reply of INFO.

use super::Value;
use std::collections::BTreeMap;

/// Fields of an INFO reply. Values keep their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    /// Reads `name:value` lines; headings and rubbish are passed over.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.trim_end().split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// From a reply; none where it is an error or no text.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.text().map(|text| Self::parse(&text))
    }

    /// A field's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A field's number.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Whether a 0/1 field is 1.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// Takes in the fields of another reply.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Fields in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_headings_passed_over() {
        let info = Info::parse(
            "# Replication\r\nrole:slave\r\nslave_repl_offset:42\r\nmaster_host:::1\r\n\r\nrubbish",
        );
        assert_eq!(info.get("role"), Some("slave"));
        assert_eq!(info.int("slave_repl_offset"), Some(42));
        assert_eq!(info.get("master_host"), Some("::1"));
        assert_eq!(info.iter().count(), 3);
    }
}
