//! The reply of INFO.

use super::Value;
use std::ops::Range;

/// Fields of an INFO reply. Values keep their text.
///
/// The text stays whole and fields are places in it: a plugin that looks many times a
/// second reads a few of two hundred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    text: String,
    /// Name and value, in the order of their coming.
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Info {
    /// Reads `name:value` lines; headings and rubbish are passed over.
    pub fn parse(text: &str) -> Self {
        let mut info = Self { text: text.to_owned(), fields: Vec::new() };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let field = line.trim_end();
            if let Some(colon) = field.find(':').filter(|_| !field.starts_with('#')) {
                let end = start + field.len();
                info.fields.push((start..start + colon, start + colon + 1..end));
            }
            start += line.len();
        }
        info
    }

    /// From a reply; none where it is an error or no text.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.text().map(|text| Self::parse(&text))
    }

    /// A field's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        // The last one counts, as where a later reply says it again.
        let mut fields = self.fields.iter().rev();
        fields.find(|(it, _)| self.text[it.clone()] == *name).map(|(_, it)| &self.text[it.clone()])
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
        let behind = self.text.len();
        let moved = |it: Range<usize>| it.start + behind..it.end + behind;
        self.text.push_str(&other.text);
        self.fields.extend(other.fields.into_iter().map(|(name, it)| (moved(name), moved(it))));
    }

    /// Fields in the order of their coming.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, it)| (&self.text[name.clone()], &self.text[it.clone()]))
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
        let mut both = Info::parse("no newline at the end:é");
        both.extend(info);
        both.extend(Info::parse("role:master\n:nameless\n"));
        assert_eq!(
            (both.get("role"), both.get("no newline at the end")),
            (Some("master"), Some("é"))
        );
        assert_eq!((both.get(""), both.get("slave_repl_offset")), (Some("nameless"), Some("42")));
    }
}
