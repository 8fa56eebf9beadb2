//! `{name}` in what is asked and expected, and the values that stand for it.

use crate::Wanted;
use baton_plugin::http;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What is known so far.
pub(crate) struct Values(BTreeMap<String, Json>);

impl Values {
    pub(crate) fn new(run: &str) -> Self {
        Self(BTreeMap::from([("run".to_owned(), Json::from(run))]))
    }

    pub(crate) fn keep(&mut self, name: &str, value: Json) {
        self.0.insert(name.into(), value);
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether every value that `wanted` needs is known.
    pub(crate) fn suffice(&self, wanted: &Wanted) -> bool {
        names(wanted).iter().all(|name| self.0.contains_key(name))
    }

    /// In a path: each value as one segment.
    pub(crate) fn path(&self, path: &str) -> String {
        self.replaced(path, http::segment)
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.replaced(text, str::to_owned)
    }

    /// In JSON; a text that is nothing but `{name}` becomes the value, with its type.
    pub(crate) fn json(&self, json: &Json) -> Json {
        match json {
            Json::String(text) => {
                let whole = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
                let value = whole.and_then(|name| self.0.get(name));
                value.cloned().unwrap_or_else(|| self.text(text).into())
            }
            Json::Array(items) => items.iter().map(|it| self.json(it)).collect(),
            Json::Object(members) => {
                members.iter().map(|(key, it)| (key.clone(), self.json(it))).collect()
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
        }
    }

    fn replaced(&self, text: &str, spell: impl Fn(&str) -> String) -> String {
        let mut whole = String::new();
        for part in parts(text) {
            match part {
                Part::Plain(text) => whole.push_str(text),
                Part::Name(name) => match self.0.get(name) {
                    Some(Json::String(value)) => whole.push_str(&spell(value)),
                    Some(value) => whole.push_str(&spell(&value.to_string())),
                    None => whole.push_str(name),
                },
            }
        }
        whole
    }
}

enum Part<'a> {
    Plain(&'a str),
    Name(&'a str),
}

/// Text and names, in order. A brace that begins no name is text.
fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest, mut from) = (Vec::new(), text, 0);
    while let Some(open) = rest[from..].find('{').map(|at| at + from) {
        let name = rest[open + 1..].split_once('}').map(|(name, _)| name).filter(|it| is_name(it));
        let Some(name) = name else {
            from = open + 1;
            continue;
        };
        parts.extend([Part::Plain(&rest[..open]), Part::Name(name)]);
        rest = &rest[open + name.len() + 2..];
        from = 0;
    }
    parts.push(Part::Plain(rest));
    parts
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(fits)
}

/// Every name that `wanted` uses.
pub(crate) fn names(wanted: &Wanted) -> Vec<String> {
    let mut found = Vec::new();
    let mut texts = |text: &str| {
        found.extend(parts(text).into_iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.to_owned()),
            Part::Plain(_) => None,
        }));
    };
    texts(&wanted.path);
    wanted.headers.values().for_each(|it| texts(it));
    for json in wanted.body.iter().chain(wanted.fields.values()) {
        walk(json, &mut texts);
    }
    found
}

fn walk(json: &Json, texts: &mut impl FnMut(&str)) {
    match json {
        Json::String(text) => texts(text),
        Json::Array(items) => items.iter().for_each(|it| walk(it, texts)),
        Json::Object(members) => members.values().for_each(|it| walk(it, texts)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
