//! What kills an engine, and when.

use std::fmt;
use std::time::Duration;

use baton_crash::Passing;

/// One death of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// By itself, at a point in its code.
    At(Passing),
    /// From outside, so long after it was ready.
    After(Duration),
}

impl fmt::Display for Blow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(passing) => write!(out, "{passing}"),
            Self::After(time) => write!(out, "from outside after {} ms", time.as_millis()),
        }
    }
}
