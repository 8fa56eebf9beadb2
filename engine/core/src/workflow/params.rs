//! Params of a run: what was given, against what is declared.

use std::collections::BTreeMap;

use super::flaw::did_you_mean;
use super::plan::{Param, ParamKind, Plan};
use crate::Json;

impl Plan {
    /// Checks `given` (an object, or null for nothing) against the declared params
    /// and fills in defaults. The result is an object of every declared param.
    ///
    /// # Errors
    /// One line for each param that is unknown, missing or of the wrong type.
    pub fn bind(&self, given: &Json) -> Result<Json, Vec<String>> {
        let nothing = serde_json::Map::new();
        let given = match given {
            Json::Object(given) => given,
            Json::Null => &nothing,
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                return Err(vec![format!("params are {}, not a table", describe(given))]);
            }
        };
        let mut errors: Vec<String> = given
            .keys()
            .filter(|name| !self.params.contains_key(*name))
            .map(|name| self.unknown(name))
            .collect();
        let mut bound = serde_json::Map::new();
        for (name, param) in &self.params {
            match (given.get(name), &param.default) {
                (Some(value), _) => {
                    errors.extend(mismatch(param.kind, value).map(|why| format!("`{name}` {why}")));
                    bound.insert(name.clone(), value.clone());
                }
                (None, Some(default)) => _ = bound.insert(name.clone(), default.clone()),
                (None, None) => {
                    errors.push(format!("`{name}` ({}) is missing", param.kind.as_str()));
                }
            }
        }
        if errors.is_empty() { Ok(Json::Object(bound)) } else { Err(errors) }
    }

    /// The same for text from a command line: each value is read as its declared
    /// type says; lists and tables are JSON.
    ///
    /// # Errors
    /// As [`Plan::bind`], and for text that is not of its type or given twice.
    pub fn bind_text(&self, pairs: &[(String, String)]) -> Result<Json, Vec<String>> {
        let mut errors = Vec::new();
        let mut given = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (name, text) in pairs {
            let Some(param) = self.params.get(name) else {
                errors.push(self.unknown(name));
                continue;
            };
            if given.contains_key(name) || unreadable.contains(name) {
                errors.push(format!("`{name}` is given twice"));
                continue;
            }
            if let Some(value) = read(param.kind, text) {
                given.insert(name.clone(), value);
            } else {
                errors.push(format!("`{name}` must be {}, not `{text}`", param.kind.article()));
                unreadable.push(name.clone());
            }
        }
        let bound = self.bind(&given.into_iter().collect());
        if let Err(more) = &bound {
            let reported = |line: &String| {
                unreadable.iter().any(|name| line.starts_with(&format!("`{name}` ")))
            };
            errors.extend(more.iter().filter(|line| !reported(line)).cloned());
        }
        if errors.is_empty() { bound } else { Err(errors) }
    }

    fn unknown(&self, name: &str) -> String {
        let hint = did_you_mean(name, self.params.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        format!("workflow `{}` has no param `{name}`{hint}", self.name)
    }
}

fn read(kind: ParamKind, text: &str) -> Option<Json> {
    let json = || serde_json::from_str::<Json>(text).ok();
    let value = match kind {
        ParamKind::String => return Some(text.into()),
        ParamKind::Integer => text.trim().parse::<i64>().ok()?.into(),
        ParamKind::Number | ParamKind::Boolean | ParamKind::List | ParamKind::Table => json()?,
    };
    mismatch(kind, &value).is_none().then_some(value)
}

/// Why `value` is not of `kind`, as the end of a sentence.
pub(super) fn mismatch(kind: ParamKind, value: &Json) -> Option<String> {
    let fits = match kind {
        ParamKind::String => value.is_string(),
        ParamKind::Integer => value.is_i64() || value.is_u64(),
        ParamKind::Number => value.is_number(),
        ParamKind::Boolean => value.is_boolean(),
        ParamKind::List => value.is_array(),
        ParamKind::Table => value.is_object(),
    };
    (!fits).then(|| format!("must be {}, not {}", kind.article(), describe(value)))
}

/// What kind of thing a value is, with its article.
fn describe(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_f64() => "a number with a fraction",
        Json::Number(_) => "an integer",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a table",
    }
}

impl Param {
    /// Whether a run cannot begin without it.
    pub fn is_required(&self) -> bool {
        self.default.is_none()
    }
}

impl ParamKind {
    /// Every kind, as a workflow spells it.
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("list", Self::List),
        ("table", Self::Table),
    ];

    /// As a workflow spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Table => "table",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}
