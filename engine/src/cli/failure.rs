//! What a verb could not do.

use super::Exit;
use crate::config::ConfigError;
use crate::engine::StartError;
use crate::library::ReadError;

/// Why a verb ends early: what happened, to what, and what to do.
#[derive(Debug)]
pub(super) struct Failure {
    /// What happened, to what; more lines where there is more to say.
    pub(super) what: String,
    /// What to do.
    pub(super) help: Option<String>,
    /// How the process ends.
    pub(super) exit: Exit,
}

impl Failure {
    /// It did not work.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, exit: Exit::Failed }
    }

    /// A file or an argument is bad.
    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self { exit: Exit::Bad, ..Self::new(what) }
    }

    /// The same, with what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Already said; only the exit code is left.
    pub(super) fn said(exit: Exit) -> Self {
        Self { what: String::new(), help: None, exit }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { help: error.help, ..Self::new(error.message) }
    }
}
