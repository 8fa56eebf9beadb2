//! The host: plugins in, outputs out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_core::Json;
use baton_core::id::{Digest, RunId};
use baton_core::run::event::Call;
use baton_core::run::fault::Fault;
use baton_core::workflow::plan::{Grants, WhenInterrupted};
use futures::future::BoxFuture;

use crate::capability::redis::Cluster;

/// What a host is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Compiled plugins are kept here, by digest and wasmtime version.
    pub cache_dir: PathBuf,
    /// Clusters of baton.toml.
    pub clusters: Vec<Cluster>,
    /// Linear memory of one attempt, in bytes.
    pub memory_bytes_max: usize,
    /// Fuel of one attempt, in wasm instructions.
    pub fuel_max: u64,
    /// Attempts at the same time.
    pub attempts_max: u32,
}

/// Runs plugins.
#[derive(Clone)]
pub struct Host(Arc<()>);

/// A verified, compiled component. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plugin(Arc<Info>);

/// What a plugin says of itself, and what the host saw of it.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of the input.
    pub input_schema: Json,
    /// JSON Schema of the output.
    pub output_schema: Json,
    /// Redis commands it asks for.
    pub redis_commands: Vec<String>,
    /// Its default for interrupted attempts with intents.
    pub when_interrupted: WhenInterrupted,
    /// Interfaces it imports (`baton:plugin/redis`), sorted.
    pub imports: Vec<String>,
    /// Digest of the component's bytes.
    pub digest: Digest,
    /// Size of the component, in bytes.
    pub bytes: u64,
}

/// One try at a step.
pub struct Attempt {
    /// What to run.
    pub plugin: Plugin,
    /// Who asks.
    pub context: Context,
    /// Input: a JSON object.
    pub input: Json,
    /// What it may reach.
    pub grants: Grants,
    /// Wall time, host calls included.
    pub timeout: Duration,
}

/// Who asks, for the guest and for the log.
#[derive(Clone, Debug)]
pub struct Context {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The step.
    pub step: String,
    /// The item, from 0.
    pub item: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Changing calls of earlier, interrupted attempts, oldest first.
    pub done: Vec<Done>,
}

/// A changing call made by an earlier attempt.
#[derive(Clone, Debug)]
pub struct Done {
    /// The attempt that made it.
    pub attempt: u32,
    /// The call.
    pub call: Call,
}

/// What the engine does for a running attempt.
pub trait Wall: Send + Sync + 'static {
    /// A changing call is about to be sent: returns once its intent is on disk.
    fn intend(&self, call: Call) -> BoxFuture<'_, Result<(), WallError>>;
    /// What came of a call that was intended; rides with the next append.
    fn outcome(&self, call: Call);
    /// How far the attempt is.
    fn progress(&self, done: u64, total: Option<u64>, message: String);
}

/// The intent could not be stored, so the call must not be sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct WallError(pub String);

/// A file is no plugin for this host.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct LoadError {
    /// The file, or `<journal>`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Host {
    /// Starts the engine and its epoch ticker.
    ///
    /// # Errors
    /// If the cache folder cannot be used or wasmtime cannot start.
    pub fn new(_options: Options) -> Result<Self, LoadError> {
        todo!("host helper")
    }
    /// Reads, verifies and compiles a plugin, or takes it from the cache.
    ///
    /// # Errors
    /// If it is missing, truncated, foreign, or asks for what this host lacks.
    pub fn load(&self, _path: &Path) -> Result<Plugin, LoadError> {
        todo!("host helper")
    }
    /// The same from bytes already in memory; `origin` is for messages.
    ///
    /// # Errors
    /// As [`Host::load`].
    pub fn load_bytes(&self, _origin: &str, _bytes: &[u8]) -> Result<Plugin, LoadError> {
        todo!("host helper")
    }
    /// Runs one attempt to its end. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// The plugin's own fault, or one of the host's: `timeout`, `trap`, `memory-limit`,
    /// `fuel-limit`, `output-limit`, `bad-output`.
    pub async fn run(&self, _attempt: Attempt, _wall: Arc<dyn Wall>) -> Result<Json, Fault> {
        todo!("host helper")
    }
}

impl Plugin {
    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.0
    }
}
