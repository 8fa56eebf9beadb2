//! Puts the rooms together: opens the journal, starts the runner, the watches and
//! the HTTP server, and ends them in the right order.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_core::Millis;
use baton_core::id::Digest;
use baton_core::workflow::plan::Plan;
use baton_host::{Host, Plugin};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::http::{self, BrokenView, Catalog};
use crate::journal::{Journal, SledJournal};
use crate::library::versions;
use crate::runner::view::RunView;
use crate::runner::{self, Bounds, Handle, Loaded};
use crate::trigger::webhook::Hooks;

/// What an engine is started with; everything in it is checked.
///
/// What is broken is left out and named: an engine that does not start because of a
/// bad file would hold up every unfinished run (docs/decisions/0012).
pub struct Materials {
    /// baton.toml.
    pub config: Config,
    /// Runs the plugins.
    pub host: Host,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Workflows by name.
    pub plans: BTreeMap<String, Arc<Plan>>,
    /// What is in the folders and cannot be served.
    pub broken: Vec<BrokenView>,
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
    /// What is there and not served, all told.
    pub broken: Vec<BrokenView>,
    /// What begins runs by itself: watches and schedules.
    watches: Vec<JoinHandle<()>>,
    server: Option<Server>,
}

struct Server {
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// `<data>/listening`, taken away at the end.
    sign: PathBuf,
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

impl StartError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Starts an engine; returns once it accepts triggers.
///
/// # Errors
/// If the journal is locked or unreadable, or the address cannot be listened on.
pub async fn start(materials: Materials, doors: Doors) -> Result<Engine, StartError> {
    let Materials { config, host, mut plugins, mut plans, mut broken } = materials;
    // What can be refused is refused before anything is resumed.
    let listener = match doors {
        Doors::Open => Some(listen(&config).await?),
        Doors::Shut => None,
    };
    let (journal, unkept) = open(&config, &plugins).await?;
    for plugin in unkept {
        // A run could not end on a build that is not in the journal.
        plugins.remove(&plugin.name);
        let uses = |plan: &Arc<Plan>| plan.plugins().contains(&plugin.name.as_str());
        for name in plans.iter().filter(|(_, plan)| uses(plan)).map(|(name, _)| name) {
            let why = format!("plugin `{}`: {}", plugin.name, plugin.why);
            broken.push(BrokenView { kind: "workflow".to_owned(), name: name.clone(), why });
        }
        plans.retain(|_, plan| !uses(plan));
        broken.push(plugin);
    }
    let hooks = Hooks::new(&plans, &config.secrets, config.server.bind);
    if doors == Doors::Open {
        broken.extend(hooks.refused().iter().map(|(path, why)| BrokenView {
            kind: "webhook".to_owned(),
            name: path.clone(),
            why: why.clone(),
        }));
    }
    for one in &broken {
        let BrokenView { kind, name, why } = one;
        tracing::error!(kind, name, why, "not served; what is sound is, and unfinished runs go on");
    }
    let bounds = Bounds {
        attempts_max: usize::try_from(config.limits.attempts_max).unwrap_or(usize::MAX),
        open_runs_max: usize::try_from(config.limits.open_runs_max).unwrap_or(usize::MAX),
    };
    let loaded = Loaded { plans: plans.clone(), plugins: plugins.clone() };
    let switches = Some(config.paths.data.join("switches.json"));
    let (handle, resumed) = runner::start(journal, host.clone(), loaded, bounds, switches)
        .await
        .map_err(|error| StartError::new(error.to_string()))?;
    let mut engine = Engine {
        handle,
        listening: None,
        resumed,
        broken: broken.clone(),
        watches: Vec::new(),
        server: None,
    };
    if let Some(listener) = listener {
        let catalog = Catalog::of(&plans, &plugins, broken);
        engine.serve(listener, hooks, catalog, &config)?;
        engine.watches = runner::watch::start(&engine.handle, &host, &plans, &plugins);
        engine.watches.extend(runner::schedule::start(&engine.handle, &plans));
    }
    Ok(engine)
}

async fn listen(config: &Config) -> Result<TcpListener, StartError> {
    let bind = config.server.bind;
    TcpListener::bind(bind).await.map_err(|error| {
        StartError::new(format!("cannot listen on {bind}: {error}"))
            .help("stop what listens there, or set [server] bind (or BATON_SERVER_BIND) to another address")
    })
}

/// Opens the journal and keeps every plugin in it, so that a run can end on the
/// build it began with whatever happens to the files. Gives those that could not be
/// kept.
async fn open(
    config: &Config,
    plugins: &BTreeMap<String, Plugin>,
) -> Result<(Arc<dyn Journal>, Vec<BrokenView>), StartError> {
    let (folder, retention) = (config.journal(), config.retention);
    let files: Vec<(String, PathBuf, Digest)> = plugins
        .iter()
        .map(|(name, plugin)| {
            let file = config.paths.plugins.join(format!("{name}.wasm"));
            (name.clone(), file, plugin.info().digest)
        })
        .collect();
    let open = move || -> Result<(Arc<dyn Journal>, Vec<BrokenView>), StartError> {
        fs::create_dir_all(&folder).map_err(|error| {
            StartError::new(format!("cannot create {}: {error}", folder.display()))
                .help("give the user that runs Baton the folder, or set [paths] data")
        })?;
        let journal = SledJournal::open_with(&folder, retention)
            .map_err(|error| StartError::new(error.to_string()))?;
        let kept = files.into_iter().filter_map(|(name, file, digest)| {
            let why = keep(&journal, &file, digest).err()?;
            Some(BrokenView { kind: "plugin".to_owned(), name, why })
        });
        let unkept = kept.collect();
        Ok((Arc::new(journal), unkept))
    };
    tokio::task::spawn_blocking(open)
        .await
        .unwrap_or_else(|error| Err(StartError::new(error.to_string())))
}

fn keep(journal: &SledJournal, file: &Path, digest: Digest) -> Result<(), String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if Digest::of(&bytes) != digest {
        let file = file.display();
        return Err(format!(
            "{file} changed while it was being loaded; start again once it is at rest"
        ));
    }
    journal.put_plugin(digest, &bytes).map_err(|error| error.to_string())
}

/// Every run of the journal, newest first, read without an engine.
///
/// # Errors
/// If the journal is locked or unreadable.
pub fn archive(config: &Config) -> Result<Vec<RunView>, StartError> {
    let folder = config.journal();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let journal = SledJournal::open(&folder).map_err(|error| StartError::new(error.to_string()))?;
    runner::archive(&journal, &versions(config)).map_err(|error| StartError::new(error.to_string()))
}

/// The journal itself, while no engine has it open; none if there is none yet.
///
/// # Errors
/// If it is locked or unreadable.
pub fn journal(config: &Config) -> Result<Option<Arc<dyn Journal>>, StartError> {
    let folder = config.journal();
    if !folder.exists() {
        return Ok(None);
    }
    let journal = SledJournal::open(&folder).map_err(|error| StartError::new(error.to_string()))?;
    Ok(Some(Arc::new(journal)))
}

impl Engine {
    fn serve(
        &mut self,
        listener: TcpListener,
        hooks: Hooks,
        catalog: Catalog,
        config: &Config,
    ) -> Result<(), StartError> {
        let secret = |name: &String| config.secrets.get(name);
        let token = config.server.token.as_ref().map(secret).transpose();
        let token = token.map_err(|error| StartError::new(format!("[server] token: {error}")))?;
        let address = listener.local_addr().map_err(|error| StartError::new(error.to_string()))?;
        let sign = config.paths.data.join("listening");
        hang_out(&sign, address).map_err(|error| {
            StartError::new(format!("cannot write {}: {error}", sign.display()))
        })?;
        let state = http::State::new(self.handle.clone(), hooks, catalog, token);
        let (shutdown, end) = oneshot::channel();
        let server = http::serve(listener, http::router(state), async {
            // Dropping the sender ends the server as well.
            let _ = end.await;
        });
        self.server = Some(Server { shutdown, task: tokio::spawn(server), sign });
        self.listening = Some(address);
        Ok(())
    }

    /// Ends when the engine cannot go on: its journal has stopped. What is on disk
    /// goes on at the next start.
    pub async fn halted(&self) {
        self.handle.ended().await;
    }

    /// Takes no more triggers, lets running attempts end for at most `grace_ms`,
    /// and closes the journal.
    pub async fn stop(self, grace_ms: Millis) {
        for watch in &self.watches {
            watch.abort();
        }
        self.handle.stop(grace_ms).await;
        if let Some(server) = self.server {
            // A sign that is gone already needs no taking down.
            let _ = fs::remove_file(&server.sign);
            let _ = server.shutdown.send(());
            let _ = server.task.await;
        }
    }
}

/// Writes the address where others find it, whole or not at all.
fn hang_out(sign: &Path, address: SocketAddr) -> std::io::Result<()> {
    let fresh = sign.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    writeln!(file, "{address}")?;
    fs::rename(fresh, sign)
}
