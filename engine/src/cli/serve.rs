//! `baton serve`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use baton_host::LoadError;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::out::Out;
use super::render::look::Tone;
use super::render::words::count;
use super::{Exit, Global, load};
use crate::config::Config;
use crate::engine::{self, Doors, Engine, Materials};
use crate::http::BrokenView;
use crate::library::Library;

/// Serve: take webhooks, watch, run, and go on with every unfinished run
///
/// Loads the configured workflows and plugins, resumes what the journal holds, and
/// writes the address it listens on to <data>/listening. A file that is broken is named
/// and not served; the rest is, and unfinished runs go on with what they began with.
///
/// SIGTERM or Ctrl-C drains: no new triggers, running attempts may end within
/// --drain; what is cut off goes on at the next start. A second signal ends at once,
/// which is safe as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton serve --config /etc/baton/baton.toml
  BATON_SERVER_BIND=127.0.0.1:0 baton serve --log-format json

Exit codes: 0 drained, 1 it could not start, 2 bad configuration.")]
pub(super) struct Serve {
    /// How the log on stderr is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged, as `info` or `baton=debug,warn`
    #[arg(long, value_name = "FILTER", env = "BATON_LOG", default_value = "info")]
    log: String,
    /// How long running attempts may take once the end has come, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(0..=3600))]
    drain: u64,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

impl Serve {
    /// Serves until a signal comes.
    ///
    /// # Errors
    /// If anything that it needs is not sound.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        log(self.log_format, &self.log);
        let config = load::config(global)?;
        let mut signals = Signals::listen()?;
        let materials = materials(config, out)?;
        let (workflows, plugins) = (materials.plans.len(), materials.plugins.len());
        let engine = tokio::select! {
            engine = engine::start(materials, Doors::Open) => engine?,
            // Nothing is lost: what was read is still on disk.
            () = signals.next() => return Ok(Exit::Good),
        };
        out.print(&banner(&engine, workflows, plugins, out))?;
        if !engine.broken.is_empty() {
            let names = engine.broken.iter().map(|one| format!("{} {}", one.kind, one.name));
            let names: Vec<String> = names.collect();
            out.warn(&format!(
                "not served: {}\nwhat they would start is not started until they are mended and this is started again; \
                 `baton check` shows what is wrong with a workflow, `baton plugins` with a plugin",
                names.join(", ")
            ));
        }
        tokio::select! {
            () = signals.next() => {}
            () = engine.halted() => {
                return Err(Failure::new("the journal has stopped: the log above says why")
                    .help("mend the disk and start again; every unfinished run goes on by itself"));
            }
        }
        out.note(&format!(
            "draining for at most {} s; what is cut off goes on at the next start",
            self.drain
        ));
        tokio::select! {
            () = engine.stop(self.drain * 1000) => Ok(Exit::Good),
            () = signals.next() => {
                out.note("ended at once");
                Ok(Exit::Good)
            }
        }
    }
}

/// Everything that is sound, and the names of what is not.
fn materials(config: Config, out: &Out) -> Result<Materials, Failure> {
    load::data_folder(&config)?;
    let host = load::host(&config, config.clusters()?, config.outside()?)?;
    let plugins = Arc::new(load::plugins(&config, &host, out));
    let mut broken: Vec<BrokenView> = plugins.broken.iter().map(foreign).collect();
    let mut library = Library::new(Arc::clone(&plugins));
    // A folder that cannot be read is told like a file that cannot: what the journal
    // holds needs neither.
    let unread = library.add_folder(&config.paths.workflows).unwrap_or_else(|error| vec![error]);
    for error in unread {
        let name = error.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        broken.push(BrokenView { kind: "workflow".to_owned(), name, why: error.to_string() });
        out.fail(&error.into());
    }
    let mut plans = BTreeMap::new();
    for name in library.sources.keys() {
        match library.check(name) {
            Ok(plan) => {
                plans.insert(name.clone(), plan);
            }
            Err(flaws) => {
                out.complain(&library.render(name, &flaws));
                load::explain_plugins(&library, flaws.flaws.iter().map(|flaw| flaw.code), out);
                let first = flaws.flaws.first().map_or("", |flaw| flaw.message.as_str());
                let why = format!("{}: {first}", count(flaws.flaws.len(), "flaw"));
                broken.push(BrokenView { kind: "workflow".to_owned(), name: name.clone(), why });
            }
        }
    }
    if plans.is_empty() {
        let folder = config.paths.workflows.display();
        out.warn(&format!("there is no sound workflow in {folder}: nothing can be started"));
    }
    Ok(Materials { config, host, plugins: plugins.loaded.clone(), plans, broken })
}

fn foreign(error: &LoadError) -> BrokenView {
    let name = Path::new(&error.path).file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    BrokenView { kind: "plugin".to_owned(), name, why: error.message.clone() }
}

fn banner(engine: &Engine, workflows: usize, plugins: usize, out: &Out) -> String {
    let where_ = engine.listening.map_or_else(String::new, |at| format!(" on http://{at}"));
    let resumed = match engine.resumed {
        0 => String::new(),
        open => format!(", {} resumed", count(open, "open run")),
    };
    format!(
        "{} serving{where_}: {}, {}{resumed}\n",
        out.look().tint(Tone::Good, "●"),
        count(workflows, "workflow"),
        count(plugins, "plugin"),
    )
}

/// Starts the log on stderr; where one is started already, that stays.
pub(super) fn log(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start is refused, and the first log is as good.
    let _ = match format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
