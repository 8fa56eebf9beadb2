//! Why a step failed: data for the engine and for the operator, not a trap.

use crate::CallError;
use crate::redis::RedisError;
use serde_json::Value as Json;

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The engine may try again, as the workflow's `retry` says.
    Retryable,
    /// Trying again gives the same.
    Permanent,
}

/// Failure of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Whether trying again may help.
    pub kind: FaultKind,
    /// Short, stable, kebab-case.
    pub code: &'static str,
    /// For the operator: what happened, to what, what to do next.
    pub message: String,
    /// More, for machines; `null` if nothing.
    pub details: Json,
}

impl Fault {
    /// A failure that another attempt may not meet.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Retryable, code, message: message.into(), details: Json::Null }
    }

    /// A failure that every attempt would meet.
    pub fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Permanent, code, message: message.into(), details: Json::Null }
    }

    /// Adds details.
    #[must_use]
    pub fn with(mut self, details: Json) -> Self {
        self.details = details;
        self
    }

    /// A call that could not be made or was not answered: refusals and unknown
    /// names stay as they are until a person acts, the rest may pass.
    pub fn from_redis(what: &str, error: &RedisError) -> Self {
        Self::from_call(what, error)
    }

    /// The same of any door.
    pub fn from_call(what: &str, error: &CallError) -> Self {
        let message = format!("{what}: {error}");
        if error.kind.is_lasting() {
            Self::permanent(error.kind.code(), message)
        } else {
            Self::retryable(error.kind.code(), message)
        }
    }
}
