//! `baton journal check|export|import|compact`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use baton_core::id::RunId;
use clap::{Args, Subcommand};

use super::failure::Failure;
use super::out::{Out, Output};
use super::{Exit, Format, Global, load, render};
use crate::journal::{
    self, CompactError, ExportError, Exported, IntoError, OpenError, SledJournal,
};

/// Look at the journal, move it, make it smaller
///
/// All of these need the journal for themselves: stop `baton serve` first. Every
/// unfinished run goes on at its next start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton journal check
  baton journal export --to runs.jsonl
  baton journal import runs.jsonl
  baton journal compact")]
pub(super) struct Journal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(Check),
    Export(Export),
    Import(Import),
    Compact(Compact),
}

/// Read every record of every run, the log and all files, and say what is damaged
///
/// Opening a journal mends what can be mended, as `baton serve` does at its start:
/// what was mended is listed too. What no run refers to is no damage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton journal check
  baton journal check --output json

Exit codes: 0 sound, 1 something is damaged or the journal cannot be opened, 2 bad
configuration.")]
struct Check {
    #[command(flatten)]
    format: Format,
}

/// Write runs as lines of JSON, with the plugins that they began with
///
/// The first line says the format, the last how much there is; each of the others is a
/// plugin, a record, or the summary of a closed run. Without RUN all runs are written.
/// The same journal gives the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton journal export --to runs.jsonl
  baton journal export 0193f1c2-7d1e-7000-8000-000000000000 | less

Exit codes: 0 all is written, 1 some of it cannot be read (it is named, the rest is
written), 2 no such run.")]
struct Export {
    /// Ids of runs
    #[arg(value_name = "RUN")]
    runs: Vec<RunId>,
    /// Write here [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Read an export into a journal that has no runs
///
/// All of it or nothing. A run that was open when it was exported goes on here at the
/// next `baton serve`: see to it that it does not go on where it came from as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton journal import runs.jsonl
  BATON_PATHS_DATA=elsewhere baton journal import runs.jsonl

Exit codes: 0 imported, 1 the journal has runs or cannot be written, 2 it is no whole
export.")]
struct Import {
    /// What `baton journal export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Remove what may go, and write the journal anew, as small as it can be
///
/// Closed runs go by [retention] of baton.toml, then large records and plugins that no
/// run refers to. A running server does the same, a little at a time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton journal compact
  BATON_RETENTION_CLOSED_FOR=7d baton journal compact

Exit codes: 0 done, 1 it could not be; nothing is lost then.")]
struct Compact {
    #[command(flatten)]
    format: Format,
}

impl Journal {
    /// Does it.
    ///
    /// # Errors
    /// If the journal is in use or cannot be read.
    pub(super) fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let folder = config.journal();
        match self.verb {
            Verb::Check(check) => check.run(&folder, out),
            Verb::Export(export) => export.run(&folder, out),
            Verb::Import(import) => import.run(&folder, out),
            Verb::Compact(compact) => {
                existing(&folder)?;
                let done = journal::compact(&folder, config.retention)?;
                match compact.format.output {
                    Output::Text => out.print(&render::journal::compacted(&done))?,
                    Output::Json => out.json(&done)?,
                }
                Ok(Exit::Good)
            }
        }
    }
}

impl Check {
    fn run(&self, folder: &Path, out: &Out) -> Result<Exit, Failure> {
        existing(folder)?;
        let journal = SledJournal::open(folder)?;
        let findings = journal::check(&journal).map_err(|error| Failure::new(error.to_string()))?;
        match self.format.output {
            Output::Text => out.print(&render::journal::findings(&findings, out.look()))?,
            Output::Json => out.json(&findings)?,
        }
        Ok(if findings.is_sound() { Exit::Good } else { Exit::Failed })
    }
}

impl Export {
    fn run(&self, folder: &Path, out: &Out) -> Result<Exit, Failure> {
        existing(folder)?;
        let journal = SledJournal::open(folder)?;
        let done = match &self.to {
            None => {
                let mut to = BufWriter::new(io::stdout().lock());
                journal::export(&journal, &self.runs, &mut to)
            }
            Some(path) => {
                let failed = |error: io::Error| {
                    Failure::new(format!("cannot write {}: {error}", path.display()))
                };
                let file = File::create(path).map_err(failed)?;
                let mut to = BufWriter::new(file);
                let done = journal::export(&journal, &self.runs, &mut to);
                to.flush().and_then(|()| to.get_ref().sync_all()).map_err(failed)?;
                done
            }
        };
        let done = match done {
            // `baton journal export | head` has had enough.
            Err(ExportError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Exit::Good);
            }
            Err(error @ ExportError::NoRun(_)) => {
                return Err(Failure::bad(error.to_string()).help("`baton runs` lists them"));
            }
            Err(error) => return Err(Failure::new(error.to_string())),
            Ok(done) => done,
        };
        out.note(&render::journal::moved("exported", &done));
        Ok(warn(&done, out))
    }
}

/// Names what is missing in an export.
fn warn(done: &Exported, out: &Out) -> Exit {
    for (run, why) in &done.unreadable {
        out.warn(&format!("run {run} is left out, as it cannot be read: {why}"));
    }
    for digest in &done.missing_plugins {
        out.warn(&format!("plugin {digest} is left out, as the journal does not have it whole"));
    }
    if done.unreadable.is_empty() { Exit::Good } else { Exit::Failed }
}

impl Import {
    fn run(&self, folder: &Path, out: &Out) -> Result<Exit, Failure> {
        let done = if self.file.as_os_str() == "-" {
            journal::import_into(folder, &mut io::stdin().lock())
        } else {
            let file = File::open(&self.file).map_err(|error| {
                Failure::bad(format!("cannot read {}: {error}", self.file.display()))
            })?;
            journal::import_into(folder, &mut BufReader::new(file))
        };
        let done = done.map_err(|error| self.failure(error))?;
        out.note(&render::journal::moved("imported", &done));
        Ok(Exit::Good)
    }

    fn failure(&self, error: IntoError) -> Failure {
        use journal::ImportError as E;
        let name = self.file.display();
        match error {
            IntoError::Open(error) => error.into(),
            IntoError::Io(_) | IntoError::Import(E::NotEmpty | E::Journal(_)) => {
                Failure::new(error.to_string())
            }
            IntoError::Import(_) => Failure::bad(format!("{name}: {error}"))
                .help("nothing was imported; export it again with `baton journal export`"),
        }
    }
}

fn existing(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::new(format!("there is no journal in {}", folder.display()))
        .help("it is made by the first run; [paths] data of baton.toml says where"))
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::new(error.to_string());
        if matches!(error, OpenError::Locked { .. }) {
            return failure.help("stop `baton serve` first; open runs go on at its next start");
        }
        failure
    }
}

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        if let CompactError::Open(error) = error {
            return error.into();
        }
        Self::new(error.to_string())
    }
}
