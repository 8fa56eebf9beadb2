//! Puts the rooms together: opens the journal, starts the runner, the watches and
//! the HTTP server, and ends them in the right order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use baton_core::Millis;
use baton_core::workflow::plan::Plan;
use baton_host::{Host, Plugin};

use crate::config::Config;
use crate::runner::view::RunView;
use crate::runner::Handle;

/// What an engine is started with; everything in it is checked.
pub struct Materials {
    /// baton.toml.
    pub config: Config,
    /// Runs the plugins.
    pub host: Host,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Workflows by name.
    pub plans: BTreeMap<String, Arc<Plan>>,
}

/// Who may reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    /// HTTP is served, watches look, triggers start runs.
    Open,
    /// Only the caller, through [`Engine::handle`]: `baton run` without a server.
    Shut,
}

/// A running engine.
pub struct Engine {
    /// Talks to the runner.
    pub handle: Handle,
    /// Where HTTP is served; none behind [`Doors::Shut`].
    pub listening: Option<SocketAddr>,
    /// Runs that were open in the journal and go on by themselves.
    pub resumed: usize,
}

/// The engine could not start, or the journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What happened, to what.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Starts an engine; returns once it accepts triggers.
///
/// # Errors
/// If the journal is locked or unreadable, or the address cannot be listened on.
#[allow(clippy::unused_async, reason = "the rooms that it waits for are assembled here")]
pub async fn start(_materials: Materials, _doors: Doors) -> Result<Engine, StartError> {
    Err(StartError { message: "the engine is not assembled".to_owned(), help: None })
}

/// Every run of the journal, newest first, read without an engine.
///
/// # Errors
/// If the journal is locked or unreadable.
pub fn archive(_config: &Config) -> Result<Vec<RunView>, StartError> {
    Err(StartError { message: "the journal is not assembled".to_owned(), help: None })
}

impl Engine {
    /// Takes no more triggers, lets running attempts end for at most `grace_ms`,
    /// and closes the journal.
    pub async fn stop(self, grace_ms: Millis) {
        self.handle.stop(grace_ms).await;
    }
}
