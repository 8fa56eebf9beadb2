//! Conditions and templates: minijinja's expressions, bounded and strict.
//!
//! Scope names: `params`, `steps.<name>` (a settled step's output), `status.<name>`
//! (`succeeded`, `failed`, `skipped`, …), `faults.<name>` (`code`, `message`, `details`),
//! `trigger` (`kind`, `source`, `evidence`), `run` (`id`, `workflow`); in places
//! that say so also `output`, `item`, `index`, `body`.
//!
//! **Invariant:** no text reaches minijinja's parser that is longer than
//! [`crate::limits::EXPRESSION_CHARS_MAX`]: longer chains of operators overflow
//! the stack there. **Invariant:** whatever parsed here fails later only by what
//! the scope holds: filters, tests and functions are known to exist.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::Json;

mod evaluate;
mod partial;
mod scan;
mod template;
#[cfg(test)]
mod tests;

pub use partial::{Known, Partial};
pub(crate) use scan::Reference;
use template::Node;

/// An expression could not be parsed or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong, in words for the author.
    pub message: String,
    /// Byte range within the expression's text, where known; of a template, within
    /// the string that holds the expression.
    pub span: Option<Range<usize>>,
}

impl ExpressionError {
    fn new(message: impl Into<String>, span: Option<Range<usize>>) -> Self {
        Self { message: message.into(), span }
    }

    /// The same, seen from a text in which the expression starts at `offset`.
    fn shifted(mut self, offset: usize) -> Self {
        self.span = self.span.map(|span| span.start + offset..span.end + offset);
        self
    }
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
/// single `${…}` keeps the type of what it gives. `$${` stands for `${` itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    value: Json,
    node: Node,
}

impl Condition {
    /// Checks length and syntax.
    ///
    /// # Errors
    /// If the text is too long or not an expression.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        evaluate::compile(source)?;
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
    pub fn holds(&self, scope: &Scope) -> Result<bool, ExpressionError> {
        let context = evaluate::context(scope, &self.variables());
        let value = evaluate::evaluate(&self.source, &context)?;
        match evaluate::boolean(&value) {
            Some(holds) => Ok(holds),
            None => Err(ExpressionError::new(
                format!(
                    "`{}` gives a {}, but a condition must give true or false",
                    self.source,
                    value.kind()
                ),
                None,
            )),
        }
    }
    /// Dotted names it refers to (`steps.assess.verdict`).
    pub fn variables(&self) -> BTreeSet<String> {
        self.references().into_iter().map(|reference| reference.path).collect()
    }
    /// The same with places, in order of appearance.
    pub(crate) fn references(&self) -> Vec<Reference> {
        scan::scan(&self.source).references
    }
}

impl Template {
    /// Checks every `${…}` in it.
    ///
    /// # Errors
    /// The first that is not an expression.
    pub fn parse(value: Json) -> Result<Self, ExpressionError> {
        let node = Node::parse(&value)?;
        Ok(Self { value, node })
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
    pub fn render(&self, scope: &Scope) -> Result<Json, ExpressionError> {
        let context = evaluate::context(scope, &self.variables());
        self.node.render(&context)
    }
    /// Dotted names it refers to.
    pub fn variables(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.node.each_expression(&mut |source| {
            found.extend(scan::scan(source).references.into_iter().map(|r| r.path));
        });
        found
    }
    /// Whether it is one single `${…}`, so that only a run can tell its type.
    pub(crate) fn is_single_expression(&self) -> bool {
        matches!(self.node, Node::Whole(_))
    }
    /// What the string `text` refers to, with places within `text`.
    pub(crate) fn references_in(text: &str) -> Result<Vec<Reference>, ExpressionError> {
        template::references(text)
    }
}
