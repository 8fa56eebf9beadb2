//! The way back: lines of JSON into an empty journal.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_core::id::{Digest, RunId};
use baton_core::run::event::Event;
use serde::Deserialize;
use serde_json::Value;

use super::{Exported, FORMAT};
use crate::journal::{AppendError, Batch, Closed, Entry, Journal, JournalError, record};

/// A line has one record or one plugin: longer ones are none of ours.
const LINE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There are runs already.
    #[error("the journal is not empty: import into a data folder of its own, and serve from there")]
    NotEmpty,
    /// A line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The lines end too early.
    #[error("it ends at line {line}, without its last one: it was cut short; export it again")]
    CutShort {
        /// The last one.
        line: u64,
    },
    /// The lines cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The journal did not take a run.
    #[error("line {line}: the journal did not take the run that ends here: {why}")]
    Append {
        /// The last one of the run.
        line: u64,
        /// Why.
        why: AppendError,
    },
    /// The journal did not answer.
    #[error("{0}")]
    Journal(#[from] JournalError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "baton-journal-export")]
    format: Option<u32>,
    plugin: Option<String>,
    base64: Option<String>,
    run: Option<RunText>,
    seq: Option<u64>,
    record: Option<Value>,
    closed: Option<Value>,
    end: Option<End>,
}

type RunText = String;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    plugins: u64,
    runs: u64,
    records: u64,
}

/// Reads what [`super::export`] wrote into an empty journal. Each run is stored in one
/// batch, and all of it is on disk when this returns.
///
/// # Errors
/// See [`ImportError`]. Runs before the line that it names may have been stored.
pub fn import(journal: &dyn Journal, input: &mut impl BufRead) -> Result<Exported, ImportError> {
    if !journal.open_runs()?.is_empty() || !journal.closed_runs(None, 1)?.is_empty() {
        return Err(ImportError::NotEmpty);
    }
    let mut reader = Reader { journal, line: 0, run: Vec::new(), done: Exported::default() };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        reader.line += 1;
        input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') {
            if bytes.len() as u64 == LINE_BYTES_MAX {
                return Err(reader.bad(format!("it has more than {LINE_BYTES_MAX} bytes")));
            }
            return Err(ImportError::CutShort { line: reader.line });
        }
        if reader.take(&bytes)? == Progress::Ended {
            break;
        }
    }
    if !input.fill_buf()?.is_empty() {
        return Err(reader.bad("something follows the last line".to_owned()));
    }
    Ok(reader.done)
}

#[derive(PartialEq, Eq)]
enum Progress {
    GoesOn,
    Ended,
}

struct Reader<'j> {
    journal: &'j dyn Journal,
    line: u64,
    /// The run that is being read.
    run: Vec<Entry>,
    done: Exported,
}

impl Reader<'_> {
    fn bad(&self, why: String) -> ImportError {
        ImportError::Line { line: self.line, why }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Progress, ImportError> {
        let line: Line = serde_json::from_slice(bytes)
            .map_err(|error| self.bad(format!("it is no line of an export: {error}")))?;
        if self.line == 1 {
            return match line.format {
                Some(FORMAT) => Ok(Progress::GoesOn),
                Some(other) => Err(self.bad(format!(
                    "it was exported in format {other}, this Baton knows {FORMAT}: use the \
                     Baton that wrote it, or a newer one"
                ))),
                None => Err(self.bad("it does not begin as an export does".to_owned())),
            };
        }
        match line {
            Line { plugin: Some(digest), base64: Some(text), .. } => self.plugin(&digest, &text)?,
            Line { run: Some(run), seq: Some(seq), record: Some(record), .. } => {
                let run = self.run_id(&run)?;
                self.record(run, seq, &record)?;
            }
            Line { run: Some(run), closed: Some(closed), .. } => {
                let run = self.run_id(&run)?;
                self.closed(&run, &closed)?;
            }
            Line { end: Some(end), .. } => {
                self.store()?;
                let done = &self.done;
                if (done.plugins, done.runs, done.records) != (end.plugins, end.runs, end.records) {
                    return Err(self.bad(format!(
                        "it promises {} plugins, {} runs and {} records; {}, {} and {} were found",
                        end.plugins, end.runs, end.records, done.plugins, done.runs, done.records
                    )));
                }
                return Ok(Progress::Ended);
            }
            _ => return Err(self.bad("it says nothing that belongs here".to_owned())),
        }
        Ok(Progress::GoesOn)
    }

    fn run_id(&self, text: &str) -> Result<RunId, ImportError> {
        text.parse().map_err(|error| self.bad(format!("{error}")))
    }

    fn plugin(&mut self, digest: &str, text: &str) -> Result<(), ImportError> {
        let digest: Digest = digest.parse().map_err(|error| self.bad(format!("{error}")))?;
        let bytes = BASE64.decode(text).map_err(|error| self.bad(format!("base64: {error}")))?;
        self.journal.put_plugin(digest, &bytes).map_err(|error| self.bad(error.to_string()))?;
        self.done.plugins += 1;
        Ok(())
    }

    fn record(&mut self, run: RunId, seq: u64, record: &Value) -> Result<(), ImportError> {
        if self.run.last().is_some_and(|last| last.run != run || last.closed.is_some()) {
            self.line -= 1;
            self.store()?;
            self.line += 1;
        }
        if seq != self.run.len() as u64 {
            return Err(self.bad(format!(
                "record {seq} of run {run} stands where its record {} should",
                self.run.len()
            )));
        }
        let event = record::decode(record.to_string().as_bytes())
            .map_err(|why| self.bad(format!("record {seq} of run {run}: {why}")))?;
        self.run.push(Entry { run, seq, event, closed: None });
        Ok(())
    }

    fn closed(&mut self, run: &RunId, closed: &Value) -> Result<(), ImportError> {
        let closed: Closed = record::decode_closed(closed.to_string().as_bytes())
            .map_err(|why| self.bad(format!("the summary of run {run}: {why}")))?;
        match self.run.last_mut() {
            Some(Entry { event: Event::Closed { .. }, run: of, closed: summary, .. })
                if of == run =>
            {
                *summary = Some(closed);
                Ok(())
            }
            _ => Err(self.bad(format!("the summary of run {run} does not follow its end"))),
        }
    }

    /// Stores the run that was read.
    fn store(&mut self) -> Result<(), ImportError> {
        let entries = std::mem::take(&mut self.run);
        if entries.is_empty() {
            return Ok(());
        }
        self.done.runs += 1;
        self.done.records += entries.len() as u64;
        let (told, answer) = mpsc::channel();
        let done = Box::new(move |end| drop(told.send(end)));
        self.journal.append(Batch { entries }, done);
        let gone = || AppendError::Stopped("the journal's writer is gone".to_owned());
        answer
            .recv()
            .unwrap_or_else(|_| Err(gone()))
            .map_err(|why| ImportError::Append { line: self.line, why })
    }
}
