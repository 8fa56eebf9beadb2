//! Strings and free values of a document, each string with its place.

use toml::Spanned;
use toml::de::DeValue;

use super::read::{Reader, Span};
use crate::Json;
use crate::workflow::flaw::Flaw;

/// A string, or a key.
#[derive(Clone, Debug)]
pub(in crate::workflow) struct Text {
    pub(in crate::workflow) value: String,
    /// Where it stands, quotes included.
    pub(in crate::workflow) span: Span,
    /// Where its first character stands, if the source spells it letter by letter.
    inner: Option<usize>,
}

impl Text {
    pub(super) fn new(source: &str, span: Span, value: &str) -> Self {
        let raw = source.get(span.clone()).unwrap_or_default();
        Self {
            value: value.to_owned(),
            inner: verbatim(raw, value).map(|at| at + span.start),
            span,
        }
    }

    pub(super) fn key(span: Span, value: &str) -> Self {
        Self { value: value.to_owned(), span, inner: None }
    }

    /// Where a part of it stands; the whole of it if there are escapes between.
    pub(in crate::workflow) fn place(&self, part: Option<Span>) -> Span {
        match (self.inner, part) {
            (Some(inner), Some(part)) => inner + part.start..inner + part.end,
            _ => self.span.clone(),
        }
    }
}

/// Where `value` begins in the string literal `raw`, if nothing in it is escaped.
fn verbatim(raw: &str, value: &str) -> Option<usize> {
    for quote in ["\"\"\"", "'''"] {
        if let Some(inside) = raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote)) {
            // A line break right after the opening quotes is no part of the string.
            let trimmed =
                inside.strip_prefix("\r\n").or(inside.strip_prefix('\n')).unwrap_or(inside);
            return (trimmed == value).then_some(quote.len() + inside.len() - trimmed.len());
        }
    }
    let inside = raw.get(1..raw.len().checked_sub(1)?)?;
    (inside == value).then_some(1)
}

/// Any value as JSON, with the places of the strings and keys in it.
#[derive(Clone, Debug)]
pub(in crate::workflow) struct Literal {
    pub(in crate::workflow) json: Json,
    pub(in crate::workflow) span: Span,
    /// Every string in it, at any depth.
    pub(in crate::workflow) strings: Vec<Text>,
    /// Keys of the outermost table with the places of their values.
    pub(in crate::workflow) keys: Vec<(Text, Span)>,
}

impl Literal {
    pub(super) fn read(
        name: &str,
        value: &Spanned<DeValue<'_>>,
        reader: &mut Reader<'_>,
    ) -> Option<Self> {
        let mut strings = Vec::new();
        let json = to_json(name, value, &mut strings, reader)?;
        let keys = match value.get_ref() {
            DeValue::Table(table) => table
                .iter()
                .map(|(key, value)| (Text::key(key.span(), key.get_ref()), value.span()))
                .collect(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => Vec::new(),
        };
        Some(Self { json, span: value.span(), strings, keys })
    }

    /// A table with nothing in it.
    pub(in crate::workflow) fn empty_table(span: Span) -> Self {
        Self { json: Json::Object(serde_json::Map::new()), span, strings: vec![], keys: vec![] }
    }
}

impl From<Text> for Literal {
    fn from(text: Text) -> Self {
        Self {
            json: Json::String(text.value.clone()),
            span: text.span.clone(),
            strings: vec![text],
            keys: Vec::new(),
        }
    }
}

fn to_json(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    strings: &mut Vec<Text>,
    reader: &mut Reader<'_>,
) -> Option<Json> {
    let beyond = |what: &str| {
        let message = format!("`{name}` holds {what}, which JSON cannot hold");
        Some(Flaw::at("bad-number", value.span(), message))
    };
    let flaw = match value.get_ref() {
        DeValue::String(text) => {
            strings.push(Text::new(reader.source, value.span(), text));
            return Some(Json::String(text.clone().into_owned()));
        }
        DeValue::Boolean(flag) => return Some(Json::Bool(*flag)),
        DeValue::Datetime(date) => return Some(Json::String(date.to_string())),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => return Some(number.into()),
            Err(_) => beyond("an integer beyond 64 bits"),
        },
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            match number {
                Some(number) => return Some(Json::Number(number)),
                None => beyond("no finite number"),
            }
        }
        DeValue::Array(items) => {
            let items: Vec<_> =
                items.iter().map(|item| to_json(name, item, strings, reader)).collect();
            return items.into_iter().collect::<Option<Vec<_>>>().map(Json::Array);
        }
        DeValue::Table(table) => {
            let mut fields: Vec<_> = table.iter().collect();
            fields.sort_by_key(|(key, _)| key.span().start);
            let read = |(key, item): (&Spanned<std::borrow::Cow<'_, str>>, _)| {
                (key.get_ref().clone().into_owned(), to_json(name, item, strings, reader))
            };
            let fields: Vec<_> = fields.into_iter().map(read).collect();
            let fields = fields.into_iter().map(|(key, item)| Some((key, item?)));
            return fields.collect::<Option<serde_json::Map<_, _>>>().map(Json::Object);
        }
    };
    reader.flaws.extend(flaw);
    None
}
