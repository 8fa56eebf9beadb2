//! `baton replay`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_core::run::Taping;
use baton_core::workflow::plan::Grants;
use baton_host::capability::Outside;
use baton_host::{Attempt, End, Host, Plugin};
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::out::{Out, Output};
use super::tape::{Of, Store, Which, fetch};
use super::{Exit, Format, Global, Server, load, render};
use crate::config::Config;
use crate::runner::tape::{EndView, TapeView};

/// No world answers late here; a guest that computes longer than this hangs.
const REPLAY_TIMEOUT: Duration = Duration::from_mins(2);

/// Run a step's plugin again on its tape, with no world behind it
///
/// Without --plugin the build that the run began with is used: it must do the same
/// again. With --plugin another build hears the same answers; the first call that it
/// makes otherwise is shown beside the tape's. Nothing is sent and nothing is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton replay 01932b5e promote
  baton replay 01932b5e promote --plugin target/plugins/promote.wasm
  baton replay --tape promote.json --plugin target/plugins/promote.wasm

Exit codes: 0 the same, 1 it diverged or ended otherwise, 2 bad file or usage.")]
pub(super) struct Replay {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN", required_unless_present = "tape", conflicts_with = "tape")]
    run: Option<String>,
    /// The step
    #[arg(value_name = "STEP", required_unless_present = "tape", conflicts_with = "tape")]
    step: Option<String>,
    #[command(flatten)]
    of: Of,
    /// An exported tape, instead of a run's
    #[arg(long, value_name = "FILE")]
    tape: Option<PathBuf>,
    /// Another build of the plugin
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Replayed {
    /// The tape that was played.
    pub(super) tape: TapeView,
    /// The build that played it.
    pub(super) build: Played,
    /// How many of its calls were made again, the same.
    pub(super) same: usize,
    /// Where the build left the tape, if it did.
    pub(super) divergence: Option<Left>,
    /// How it ended; of a build that left its tape nothing is known.
    pub(super) end: Option<EndView>,
    /// Whether nothing differs.
    pub(super) is_same: bool,
}

/// The build that played a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Played {
    /// Its version.
    pub(super) version: String,
    /// Its digest.
    pub(super) digest: String,
}

/// The first call that is not as on the tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    /// Its number.
    pub(super) index: u32,
    /// What the tape has there; null: it ends before.
    pub(super) taped: Option<String>,
    /// What the build asked; null: it had ended.
    pub(super) asked: Option<String>,
    /// All of it in a sentence.
    pub(super) why: String,
}

impl Replay {
    /// Plays the tape.
    ///
    /// # Errors
    /// If there is no such tape or plugin.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let (tape, store) = self.fetch(&config).await?;
        let host = load::host(&config, Vec::new(), Outside::default())?;
        let plugin = self.build(&config, &host, &tape, store, out).await?;
        let info = plugin.info();
        let build = Played { version: info.version.clone(), digest: info.digest.to_string() };
        let bad = |why: String| Failure::bad(format!("the tape cannot be played: {why}"));
        let attempt = Attempt {
            plugin,
            context: tape.context().map_err(bad)?,
            input: Arc::new(tape.input.clone()),
            grants: Grants::default(),
            timeout: REPLAY_TIMEOUT,
            taping: Taping::Off,
        };
        let ended = host.rehearse(attempt, tape.entries().map_err(bad)?).await;
        let replayed = Replayed::of(tape, build, ended.end);
        match self.format.output {
            Output::Text => out.print(&render::replay::replay(&replayed, out.look()))?,
            Output::Json => out.json(&replayed)?,
        }
        Ok(if replayed.is_same { Exit::Good } else { Exit::Failed })
    }

    async fn fetch(&self, config: &Config) -> Result<(TapeView, Option<Store>), Failure> {
        if let Some(file) = &self.tape {
            let bad = |why: String| Failure::bad(format!("{}: {why}", file.display()));
            let text = fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
            return Ok((TapeView::read(&text).map_err(bad)?, None));
        }
        let (Some(run), Some(step)) = (self.run.clone(), self.step.clone()) else {
            return Err(Failure::bad("name a run and a step, or a file with --tape"));
        };
        let which = Which { run, step, of: self.of.clone() };
        let (tape, store) = fetch(&self.server, config, &which).await?;
        Ok((tape, Some(store)))
    }

    /// The build to play on: the one that was named, else the tape's own.
    async fn build(
        &self,
        config: &Config,
        host: &Host,
        tape: &TapeView,
        store: Option<Store>,
        out: &Out,
    ) -> Result<Plugin, Failure> {
        let bad = |error: baton_host::LoadError| Failure::bad(error.to_string());
        if let Some(file) = &self.plugin {
            return host.load(file).map_err(bad);
        }
        let wanted = &tape.plugin;
        if let Some(store) = &store
            && let Some(bytes) = store.build(config, &wanted.digest).await?
        {
            return host.load_bytes("<journal>", &bytes).map_err(bad);
        }
        let loaded = load::plugins(config, host, out).loaded;
        let same = |plugin: &&Plugin| plugin.info().digest.to_string() == wanted.digest;
        loaded.values().find(same).cloned().ok_or_else(|| {
            let short: String = wanted.digest.chars().take(12).collect();
            Failure::bad(format!(
                "the build that was recorded, {} ({short}), is not here",
                wanted.name
            ))
            .help("name a build with --plugin; or replay from the journal of the run")
        })
    }
}

impl Replayed {
    fn of(tape: TapeView, build: Played, end: End) -> Self {
        let (divergence, end) = match end {
            End::Output(output) => (None, Some(EndView::Output(output))),
            End::Fault(fault) => (None, Some(EndView::of_fault(&fault))),
            End::Diverged(how) => {
                let why = how.to_string();
                let left = Left { index: how.index, taped: how.taped, asked: how.asked, why };
                return Self::left(tape, build, how.same, left);
            }
        };
        let is_same = match (&tape.end, &end) {
            (EndView::Output(then), Some(EndView::Output(now))) => then == now,
            // Where a trap happened differs from build to build.
            (EndView::Fault(then), Some(EndView::Fault(now))) => {
                (&then.kind, &then.code, &then.message) == (&now.kind, &now.code, &now.message)
            }
            _ => false,
        };
        Self { same: tape.calls.len(), tape, build, divergence, end, is_same }
    }

    fn left(tape: TapeView, build: Played, same: usize, left: Left) -> Self {
        // An attempt that was cut off has no more tape than that.
        let cut = matches!(tape.end, EndView::Open) && left.taped.is_none();
        Self { tape, build, same, divergence: Some(left), end: None, is_same: cut }
    }
}
