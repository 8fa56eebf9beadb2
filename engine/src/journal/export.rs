//! A journal as lines of JSON, and back: for moving it, keeping it, or reading it with
//! common tools.
//!
//! ```text
//! {"baton-journal-export":1}
//! {"plugin":"<digest>","base64":"…"}                     every plugin that a run began with
//! {"run":"<id>","seq":0,"record":{"begun":{…}}}          every record, as it is on disk
//! {"run":"<id>","closed":{…}}                            after the records of a closed run
//! {"end":{"plugins":1,"runs":1,"records":9}}             nothing is missing
//! ```
//! Runs are in the order of their ids, plugins in that of their digests, so that the same
//! journal gives the same bytes. Large records stand in their place: a file of their own
//! is the store's affair.
//!
//! It knows the [`Journal`] only, not where one is kept: whoever has a journal open can
//! export it.

mod import;
mod into;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_core::id::{Digest, RunId};
use baton_core::run::event::Event;

use super::{Closed, History, Journal, JournalError, record};
pub use import::{ImportError, import};
pub use into::{IntoError, import_into};

/// Version of the format that this Baton writes, and the only one it reads.
const FORMAT: u32 = 1;
/// Summaries read at a time.
const PAGE_RUNS: usize = 1_000;

/// What was exported or imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Plugins.
    pub plugins: u64,
    /// Runs.
    pub runs: u64,
    /// Records of those runs.
    pub records: u64,
    /// Runs that were left out, as they cannot be read, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Plugins that runs began with and the journal does not have.
    pub missing_plugins: BTreeSet<String>,
}

/// Why a journal was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// It has no such run.
    #[error("the journal has no run {0}")]
    NoRun(RunId),
    /// The lines cannot be written.
    #[error("the export cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes the runs of a journal, or those of them that are `wanted`; all if none is.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    journal: &dyn Journal,
    wanted: &[RunId],
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let mut runs = all(journal)?;
    if let Some(missing) = wanted.iter().find(|run| !runs.contains_key(*run)) {
        return Err(ExportError::NoRun(missing.clone()));
    }
    runs.retain(|run, _| wanted.is_empty() || wanted.contains(run));
    let mut exported = Exported::default();
    writeln!(out, "{{\"baton-journal-export\":{FORMAT}}}")?;
    for digest in plugins(journal, &runs)? {
        match journal.plugin(digest) {
            Ok(Some(bytes)) => {
                let text = BASE64.encode(bytes);
                writeln!(out, "{{\"plugin\":\"{digest}\",\"base64\":\"{text}\"}}")?;
                exported.plugins += 1;
            }
            Ok(None) | Err(_) => {
                exported.missing_plugins.insert(digest.to_string());
            }
        }
    }
    for (run, closed) in &runs {
        match history(journal, run)? {
            Ok(events) => {
                let closed = closed.as_ref();
                exported.records += write_run(run, &events, closed, out)?;
                exported.runs += 1;
            }
            Err(why) => {
                exported.unreadable.insert(run.to_string(), why.to_string());
            }
        }
    }
    let Exported { plugins, runs, records, .. } = exported;
    writeln!(out, "{{\"end\":{{\"plugins\":{plugins},\"runs\":{runs},\"records\":{records}}}}}")?;
    out.flush()?;
    Ok(exported)
}

/// Every run, with its summary if it is closed.
fn all(journal: &dyn Journal) -> Result<BTreeMap<RunId, Option<Closed>>, JournalError> {
    let open = journal.open_runs()?;
    let mut runs: BTreeMap<RunId, Option<Closed>> =
        open.into_iter().map(|(run, _)| (run, None)).collect();
    let mut before = None;
    loop {
        let page = journal.closed_runs(before.as_ref(), PAGE_RUNS)?;
        let Some(last) = page.last() else { return Ok(runs) };
        before = Some(match last {
            Ok(closed) => closed.run.clone(),
            Err((run, _)) => run.clone(),
        });
        runs.extend(page.into_iter().map(|short| match short {
            Ok(closed) => (closed.run.clone(), Some(closed)),
            Err((run, _)) => (run, None),
        }));
    }
}

/// What the runs began with.
fn plugins(
    journal: &dyn Journal,
    runs: &BTreeMap<RunId, Option<Closed>>,
) -> Result<BTreeSet<Digest>, JournalError> {
    let mut plugins = BTreeSet::new();
    for run in runs.keys() {
        if let Ok(events) = history(journal, run)?
            && let Some(Event::Begun { begun, .. }) = events.first()
        {
            plugins.extend(begun.plugins.values().map(|pin| pin.digest));
        }
    }
    Ok(plugins)
}

fn history(journal: &dyn Journal, run: &RunId) -> Result<History, JournalError> {
    // One that was there a moment ago and is not any more has no events to tell.
    Ok(journal.events(run)?.unwrap_or_else(|| Ok(Vec::new())))
}

fn write_run(
    run: &RunId,
    events: &[Event],
    closed: Option<&Closed>,
    out: &mut impl Write,
) -> Result<u64, io::Error> {
    for (seq, event) in events.iter().enumerate() {
        let record = record::encode(event).map_err(io::Error::other)?;
        write!(out, "{{\"run\":\"{run}\",\"seq\":{seq},\"record\":")?;
        out.write_all(&record)?;
        out.write_all(b"}\n")?;
    }
    if let Some(closed) = closed {
        write!(out, "{{\"run\":\"{run}\",\"closed\":")?;
        out.write_all(&record::encode_closed(closed))?;
        out.write_all(b"}\n")?;
    }
    Ok(events.len() as u64)
}
