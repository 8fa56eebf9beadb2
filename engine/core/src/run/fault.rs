//! Failure of a step: data, journaled.

use crate::Json;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether trying again may help.
    pub kind: FaultKind,
    /// Short, stable, kebab-case: `timeout`, `trap`, `denied`, or the plugin's own.
    pub code: String,
    /// For the operator: what happened, to what, what to do next.
    pub message: String,
    /// Whatever else is known (a guest's backtrace, a list of violations); null if nothing.
    pub details: Json,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The next attempt may succeed.
    Retryable,
    /// It will not.
    Permanent,
}

impl Fault {
    /// A fault that the next attempt may not meet.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Retryable,
            code: code.to_owned(),
            message: message.into(),
            details: Json::Null,
        }
    }
    /// A fault that will come again.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Permanent,
            code: code.to_owned(),
            message: message.into(),
            details: Json::Null,
        }
    }
}
