//! The host: plugins in, outputs out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

use baton_core::Json;
use baton_core::id::{Digest, RunId};
use baton_core::run::Taping;
use baton_core::run::event::{Call, TapeEntry};
use baton_core::run::fault::Fault;
use baton_core::workflow::Asks;
use baton_core::workflow::plan::{Grants, WhenInterrupted};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::capability::redis::{self, Cluster, Clusters, Hints, Keeper};
use crate::capability::{Outside, exec, http, probe};
use crate::guest::Reachable;
use crate::plugin::{self, Cache, Plugin};
use crate::tape::{Divergence, Tape};
use crate::{call, engine, limits};

/// Version of the tapes that this host writes, and the only one it plays. Another
/// meaning of a host call, or another way to write its answer, is another version.
pub const TAPE_VERSION: u32 = 1;

/// What a host is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Compiled plugins are kept here, by digest and wasmtime version.
    pub cache_dir: PathBuf,
    /// What Redis nodes said of themselves is kept here; none: in memory only.
    pub lineage_dir: Option<PathBuf>,
    /// Clusters of baton.toml.
    pub clusters: Vec<Cluster>,
    /// What else of baton.toml plugins may be let reach.
    pub outside: Outside,
    /// Linear memory of one attempt, in bytes.
    pub memory_bytes_max: usize,
    /// Fuel of one attempt, in wasm instructions.
    pub fuel_max: u64,
    /// Attempts at the same time.
    pub attempts_max: u32,
}

/// Runs plugins.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

/// Connections that outlive an attempt. Whoever looks over and over keeps one.
#[derive(Clone, Default)]
pub struct Kept(Arc<redis::Kept>);

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
    /// What it asks for besides.
    pub asks: Asks,
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
    pub input: Arc<Json>,
    /// What it may reach.
    pub grants: Grants,
    /// Wall time, host calls included.
    pub timeout: Duration,
    /// What becomes of what it hears.
    pub taping: Taping,
}

/// How an attempt ended, and what it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What it heard since its last change: not on disk yet.
    pub heard: Vec<Arc<TapeEntry>>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this output: a JSON object.
    Output(Json),
    /// The plugin's own fault, or one of the host's: `timeout` (retryable), `trap`,
    /// `memory-limit`, `fuel-limit`, `call-limit`, `sleep-limit`, `tape-limit`,
    /// `output-limit`, `bad-output`, `internal`.
    Fault(Fault),
    /// Replayed, it did not do again what its tape says. Nothing was sent since.
    Diverged(Divergence),
}

impl End {
    /// The output or why there is none; a divergence, which only a replayed attempt
    /// can have, as the permanent fault `diverged`.
    ///
    /// # Errors
    /// The fault.
    pub fn into_result(self) -> Result<Json, Fault> {
        match self {
            Self::Output(output) => Ok(output),
            Self::Fault(fault) => Err(fault),
            Self::Diverged(how) => Err(Fault::permanent("diverged", how.to_string())),
        }
    }
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
    /// Changing calls are about to be sent. Resolves once the engine has taken them,
    /// in the order of their coming; what it resolves to, once they are on disk, all in
    /// one append and behind `heard`: what the attempt heard since the last time.
    fn intend(
        &self,
        calls: Vec<Call>,
        heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>>;
    /// What came of calls that were intended; rides with the next append.
    fn outcome(&self, calls: Vec<Call>);
    /// How far the attempt is.
    fn progress(&self, done: u64, total: Option<u64>, message: String);
}

/// Resolves once something is on disk.
pub type Durable = BoxFuture<'static, Result<(), WallError>>;

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

/// What all attempts share.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) outside: Arc<Reachable>,
    /// Attempts at the same time; more wait for their turn, before their time counts.
    pub(crate) places: Semaphore,
    pub(crate) memory_bytes_max: usize,
    pub(crate) fuel_max: u64,
    cache: Cache,
    /// One `describe` at a time: the pool has one place for it.
    describing: Mutex<()>,
}

impl Host {
    /// Starts the engine and its epoch ticker.
    ///
    /// # Errors
    /// If the cache folder cannot be used, a certificate cannot be read, or
    /// wasmtime cannot start.
    pub fn new(options: Options) -> Result<Self, LoadError> {
        let at = |path: &str, message: String| LoadError { path: path.to_owned(), message };
        let engine = engine::start(options.attempts_max)
            .map_err(|error| at("wasmtime", format!("it cannot start: {error:#}")))?;
        let cache = Cache::new(&options.cache_dir, &engine).map_err(|error| {
            at(
                &options.cache_dir.display().to_string(),
                format!("compiled plugins cannot be kept here ({error}): make it a folder of ours, or set `data` under [paths]"),
            )
        })?;
        let clusters = Clusters::new(options.clusters, &Keeper::new(options.lineage_dir))
            .map_err(|(cluster, message)| at(&format!("clusters.{cluster}"), message))?;
        let Outside { http, exec, probe } = options.outside;
        let outside = Reachable {
            endpoints: http::Endpoints::new(http)
                .map_err(|(name, message)| at(&format!("http.{name}"), message))?,
            commands: exec::Commands::new(exec),
            targets: probe::Targets::new(probe)
                .map_err(|(name, message)| at(&format!("probe.{name}"), message))?,
        };
        Ok(Self(Arc::new(Inner {
            engine,
            clusters: Arc::new(clusters),
            outside: Arc::new(outside),
            places: Semaphore::new(options.attempts_max as usize),
            memory_bytes_max: options.memory_bytes_max,
            fuel_max: options.fuel_max,
            cache,
            describing: Mutex::new(()),
        })))
    }

    /// Reads, verifies and compiles a plugin, or takes it from the cache. Blocks
    /// while it compiles.
    ///
    /// # Errors
    /// If it is missing, truncated, foreign, or asks for what this host lacks.
    pub fn load(&self, path: &Path) -> Result<Plugin, LoadError> {
        let origin = path.display().to_string();
        let at = |message: String| LoadError { path: origin.clone(), message };
        let size = fs::metadata(path).map_err(|error| at(unread(&error)))?.len();
        if size > limits::COMPONENT_BYTES_MAX {
            return Err(at(format!(
                "it has {size} bytes, more than {}: that is no plugin",
                limits::COMPONENT_BYTES_MAX
            )));
        }
        let bytes = fs::read(path).map_err(|error| at(unread(&error)))?;
        self.load_bytes(&origin, &bytes)
    }

    /// The same from bytes already in memory; `origin` is for messages.
    ///
    /// # Errors
    /// As [`Host::load`].
    pub fn load_bytes(&self, origin: &str, bytes: &[u8]) -> Result<Plugin, LoadError> {
        let host = &*self.0;
        plugin::load(&host.engine, &host.cache, &host.describing, host.memory_bytes_max, bytes)
            .map_err(|message| LoadError { path: origin.to_owned(), message })
    }

    /// Runs one attempt to its end. Dropping the future ends the attempt.
    pub async fn run(&self, mut attempt: Attempt, wall: Arc<dyn Wall>) -> Ended {
        let taping = std::mem::replace(&mut attempt.taping, Taping::Off);
        call::run(&self.0, attempt, Tape::new(taping), wall, None).await
    }

    /// The same for one of many that only look: connections are taken from `kept`, and
    /// go back there where nothing but plain reads was said on them.
    pub async fn look(&self, attempt: Attempt, wall: Arc<dyn Wall>, kept: &Kept) -> Ended {
        call::run(&self.0, attempt, Tape::new(Taping::Off), wall, Some(Arc::clone(&kept.0))).await
    }

    /// Whether baton.toml has such a cluster.
    pub fn knows_cluster(&self, cluster: &str) -> bool {
        self.0.clusters.knows(cluster)
    }

    /// Listens to the Sentinels of a cluster for as long as what it gives lives; none if
    /// baton.toml has no such cluster. Needs a tokio runtime.
    pub fn hints(&self, cluster: &str) -> Option<Hints> {
        self.0.clusters.hints(cluster)
    }

    /// Runs one attempt on a tape and nothing else: no world is behind it. A guest that
    /// asks for more than the tape holds ends with a [`Divergence`].
    pub async fn rehearse(&self, attempt: Attempt, entries: Vec<Arc<TapeEntry>>) -> Ended {
        call::run(&self.0, attempt, Tape::rehearsal(entries), Arc::new(Nowhere), None).await
    }
}

/// The wall of a rehearsal. No call gets so far.
struct Nowhere;

impl Wall for Nowhere {
    fn intend(
        &self,
        _calls: Vec<Call>,
        _heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        Box::pin(async { Err(WallError("a rehearsal changes nothing".to_owned())) })
    }
    fn outcome(&self, _calls: Vec<Call>) {}
    fn progress(&self, _done: u64, _total: Option<u64>, _message: String) {}
}

fn unread(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return "there is no such plugin file: build it, or correct `plugins` under [paths]"
            .to_owned();
    }
    format!("it cannot be read ({error})")
}
