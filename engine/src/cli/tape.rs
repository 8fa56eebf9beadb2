//! `baton tape`.

use std::fs;
use std::path::PathBuf;

use baton_core::id::{Digest, Side};
use clap::{Args, Subcommand};

use super::failure::Failure;
use super::out::Out;
use super::runs::Runbook;
use super::{Exit, Global, Server, load};
use crate::config::Config;
use crate::engine;
use crate::runner::tape::{TapeError, TapeView, Wanted, tape};

/// Take out the tape of a step: what its plugin asked, heard and gave
///
/// A tape is kept of every attempt that changed something, and of others where the
/// step says `record = true`. Secrets are not on it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton tape export 01932b5e promote -o promote.json
  baton tape export 01932b5e promote | jq '.calls[].request[]'")]
pub(super) struct Tape {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Export(Export),
}

/// Write the tape of a step as one JSON document
///
/// `baton replay --tape` plays it on another build of the plugin, and so does
/// `baton_plugin::testing::Tape` in a test of the plugin's own. Asks the server where
/// one runs, else reads the journal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton tape export 01932b5e promote -o plugins/promote/tests/failover.json
  baton tape export 01932b5e promote --attempt 1

Exit codes: 0 written, 1 no server and no journal answers, 2 no such tape.")]
struct Export {
    #[command(flatten)]
    which: Which,
    /// The file to write [default: standard output]
    #[arg(long = "to", short = 'o', value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// Which attempt.
#[derive(Clone, Debug, Args)]
pub(super) struct Which {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// The step
    #[arg(value_name = "STEP")]
    pub(super) step: String,
    #[command(flatten)]
    pub(super) of: Of,
}

/// Which of a step's attempts.
#[derive(Clone, Debug, Args)]
pub(super) struct Of {
    /// The attempt, from 1 [default: the latest that has a tape]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// The `for_each` item, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    item: u32,
    /// An attempt to undo the step, not to do it
    #[arg(long)]
    undo: bool,
}

impl Tape {
    /// Does it.
    ///
    /// # Errors
    /// If there is no such tape, or it cannot be written.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let Verb::Export(export) = self.verb;
        let config = load::config(global)?;
        let (tape, _) = fetch(&export.server, &config, &export.which).await?;
        let Some(file) = export.to else {
            out.json(&tape)?;
            return Ok(Exit::Good);
        };
        let text = serde_json::to_string_pretty(&tape)
            .map_err(|error| Failure::new(format!("cannot write as JSON: {error}")))?;
        fs::write(&file, format!("{text}\n"))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
        Ok(Exit::Good)
    }
}

/// Where the build of a tape is looked for.
pub(super) enum Store {
    /// A server.
    Server(super::client::Client),
    /// The journal: nobody serves it.
    Journal,
}

/// A tape, and where its build is.
///
/// # Errors
/// If there is none, or neither server nor journal answers.
pub(super) async fn fetch(
    server: &Server,
    config: &Config,
    which: &Which,
) -> Result<(TapeView, Store), Failure> {
    let runbook = Runbook::open(server, config.clone()).await?;
    let run = runbook.resolve(&which.run).await?;
    let Of { attempt, item, undo } = which.of;
    let side = if undo { Side::Undo } else { Side::Do };
    let wanted = Wanted { step: which.step.clone(), item, side, attempt };
    match runbook {
        Runbook::Server(client) => {
            let tape = client.tape(run.as_str(), &wanted).await.map_err(|error| {
                let failure = Failure::from(error);
                Failure { exit: Exit::Bad, ..failure }
            })?;
            Ok((tape, Store::Server(client)))
        }
        Runbook::Journal(_) => {
            let journal =
                engine::journal(config)?.ok_or_else(|| Failure::bad("there is no journal yet"))?;
            match tape(&*journal, &run, &wanted) {
                Ok(tape) => Ok((tape, Store::Journal)),
                Err(TapeError::Missing(why)) => Err(Failure::bad(why)),
                Err(TapeError::Unreadable(why)) => Err(Failure::new(why)),
            }
        }
    }
}

impl Store {
    /// The component of a build that a run began with.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) async fn build(
        &self,
        config: &Config,
        digest: &str,
    ) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Server(client) => Ok(client.build(digest).await?.map(Into::into)),
            Self::Journal => {
                let digest: Digest =
                    digest.parse().map_err(|error| Failure::bad(format!("{error}")))?;
                let Some(journal) = engine::journal(config)? else { return Ok(None) };
                journal.plugin(digest).map_err(|error| Failure::new(error.to_string()))
            }
        }
    }
}
