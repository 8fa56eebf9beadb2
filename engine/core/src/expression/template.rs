//! Strings with `${…}` in them, nested in JSON.

use minijinja::value::Value;

use super::evaluate::{self, Budget, to_json};
use super::scan::{self, Reference, after_string};
use super::{ExpressionError, Range};
use crate::Json;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Stays as it is.
    Fixed(Json),
    /// One single `${…}`: keeps its type.
    Whole(String),
    /// Text with `${…}` in it.
    Mixed(Vec<Piece>),
    /// A list.
    List(Vec<Node>),
    /// A table; its keys are never templates.
    Table(Vec<(String, Node)>),
}

/// A part of a string.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Plain text, `$${` already read as `${`.
    Text(String),
    /// The inside of a `${…}`, and where it stands in the string.
    Expression { source: String, span: Range<usize> },
}

impl Node {
    /// Parses every string in `value`.
    pub(super) fn parse(value: &Json) -> Result<Self, ExpressionError> {
        match value {
            Json::String(text) => Self::parse_text(text),
            Json::Array(items) => {
                items.iter().map(Self::parse).collect::<Result<_, _>>().map(Self::List)
            }
            Json::Object(fields) => {
                let parse =
                    |(name, value): (&String, &Json)| Ok((name.clone(), Self::parse(value)?));
                fields.iter().map(parse).collect::<Result<_, _>>().map(Self::Table)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => Ok(Self::Fixed(value.clone())),
        }
    }

    fn parse_text(text: &str) -> Result<Self, ExpressionError> {
        let mut pieces = pieces(text)?;
        Ok(match pieces.as_mut_slice() {
            [] => Self::Fixed(Json::String(String::new())),
            [Piece::Text(text)] => Self::Fixed(Json::String(std::mem::take(text))),
            [Piece::Expression { source, .. }] => Self::Whole(std::mem::take(source)),
            _ => Self::Mixed(pieces),
        })
    }

    /// Shows every expression to `see`.
    pub(super) fn each_expression(&self, see: &mut impl FnMut(&str)) {
        match self {
            Self::Fixed(_) => {}
            Self::Whole(source) => see(source),
            Self::Mixed(pieces) => {
                for piece in pieces {
                    if let Piece::Expression { source, .. } = piece {
                        see(source);
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.each_expression(see)),
            Self::Table(fields) => fields.iter().for_each(|(_, item)| item.each_expression(see)),
        }
    }

    /// Fills it in.
    pub(super) fn render(&self, context: &Value) -> Result<Json, ExpressionError> {
        self.fill(context, &mut Budget::new())
    }

    fn fill(&self, context: &Value, budget: &mut Budget) -> Result<Json, ExpressionError> {
        match self {
            Self::Fixed(value) => {
                budget.spend(2 + value.as_str().map_or(4, str::len))?;
                Ok(value.clone())
            }
            Self::Whole(source) => {
                let value = evaluate::evaluate(source, context)?;
                to_json(&value, budget).map_err(|error| blame(&error, source))
            }
            Self::Mixed(pieces) => fill_text(pieces, context, budget).map(Json::String),
            Self::List(items) => {
                let fill = |item: &Self| item.fill(context, budget);
                items.iter().map(fill).collect::<Result<_, _>>().map(Json::Array)
            }
            Self::Table(fields) => {
                let mut table = serde_json::Map::new();
                for (name, item) in fields {
                    budget.spend(name.len() + 4)?;
                    table.insert(name.clone(), item.fill(context, budget)?);
                }
                Ok(Json::Object(table))
            }
        }
    }
}

fn fill_text(
    pieces: &[Piece],
    context: &Value,
    budget: &mut Budget,
) -> Result<String, ExpressionError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(plain) => {
                budget.spend(plain.len())?;
                text.push_str(plain);
            }
            Piece::Expression { source, .. } => {
                let value = evaluate::evaluate(source, context)?;
                push(&mut text, &to_json(&value, budget).map_err(|error| blame(&error, source))?);
            }
        }
    }
    Ok(text)
}

/// A value within a text: text as it is, all else as JSON.
pub(super) fn push(text: &mut String, value: &Json) {
    match value {
        Json::String(part) => text.push_str(part),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            text.push_str(&value.to_string());
        }
    }
}

fn blame(error: &ExpressionError, source: &str) -> ExpressionError {
    ExpressionError::new(format!("`{}` {}", source.trim(), error.message), None)
}

/// Names in the `${…}` of one string, with places in it.
pub(super) fn references(text: &str) -> Result<Vec<Reference>, ExpressionError> {
    let mut found = Vec::new();
    for piece in pieces(text)? {
        if let Piece::Expression { source, span } = piece {
            found.extend(scan::scan(&source).references.into_iter().map(|reference| Reference {
                span: reference.span.start + span.start..reference.span.end + span.start,
                path: reference.path,
            }));
        }
    }
    Ok(found)
}

/// Cuts a string at its `${…}` and checks each.
fn pieces(text: &str) -> Result<Vec<Piece>, ExpressionError> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            plain.push_str(&rest[..dollar - 1]);
            plain.push_str("${");
            rest = &rest[dollar + 2..];
            continue;
        }
        plain.push_str(&rest[..dollar]);
        let start = text.len() - rest.len() + dollar + 2;
        let end = closing_brace(text, start).ok_or_else(|| {
            let message =
                "`${` is never closed by `}`; for the two characters themselves write `$${`";
            ExpressionError::new(message, Some(start - 2..text.len()))
        })?;
        let source = text[start..end].to_owned();
        evaluate::compile(&source).map_err(|error| {
            let whole = error.span.is_none();
            let error = error.shifted(start);
            if whole { ExpressionError { span: Some(start - 2..end + 1), ..error } } else { error }
        })?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Expression { source, span: start..end });
        rest = &text[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Where the `}` stands that ends the expression starting at `start`.
fn closing_brace(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => {
                at = after_string(text, at);
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}
