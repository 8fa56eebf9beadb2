//! Looks at everything that a journal holds, and says what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use baton_core::id::{Digest, RunId};
use baton_core::run::event::Event;

use super::disk::Count;
use super::ledger::{self, Shelf, Trouble};
use super::log::{Log, Piece, Pieces, SEGMENT_BYTES};
use super::on_disk::SledJournal;
use super::sled::SledShelf;
use super::{JournalError, envelope, keys};

/// Pairs looked at at a time.
const PAIRS_MAX: usize = 1_024;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Findings {
    /// Runs that are not closed.
    pub open: u64,
    /// Runs that are.
    pub closed: u64,
    /// Records of all of them.
    pub records: u64,
    /// Large records and plugins in files of their own.
    pub files: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// What had to be mended to open it.
    pub mended: Vec<String>,
    /// Runs whose records cannot be used, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Other damage, a sentence each.
    pub damage: Vec<String>,
    /// What no run refers to, a sentence each: no harm.
    pub orphans: Vec<String>,
}

impl Findings {
    /// Whether all is as it should be.
    pub fn is_sound(&self) -> bool {
        self.unreadable.is_empty() && self.damage.is_empty()
    }
}

/// Reads every record of every run, the log, and the files.
///
/// # Errors
/// The store could not be read at all.
pub fn check(journal: &SledJournal) -> Result<Findings, JournalError> {
    let shelf = journal.shelf();
    let mut findings = Findings { mended: journal.notes().to_vec(), ..Findings::default() };
    let referred = runs(shelf, &mut findings).map_err(JournalError::Unread)?;
    indexes(shelf, &mut findings).map_err(JournalError::Unread)?;
    let counted = Count::of(shelf).map_err(JournalError::Unread)?.closed;
    if counted != findings.closed {
        let found = findings.closed;
        findings.damage.push(format!("{found} closed runs are listed, {counted} were closed"));
    }
    files(shelf, &referred, &mut findings);
    if let Err(error) = log(&journal.log_folder(), &mut findings) {
        findings.damage.push(format!("the log cannot be read: {error}"));
    }
    Ok(findings)
}

/// Every run that has records; what they refer to, and who does.
fn runs(shelf: &SledShelf, findings: &mut Findings) -> Result<BTreeMap<Digest, RunId>, Trouble> {
    let mut referred = BTreeMap::new();
    let mut after = Vec::new();
    let mut run = None;
    loop {
        let pairs = shelf.after(keys::RECORDS, &after, PAIRS_MAX)?;
        let Some((last, _)) = pairs.last() else { break };
        after.clone_from(last);
        for (key, value) in &pairs {
            let Some((of, _, _)) = keys::part_of(key) else {
                findings.orphans.push(format!("a key of {} bytes that no run has", key.len()));
                continue;
            };
            referred.extend(envelope::referred(value).map(|digest| (Digest(digest), of.clone())));
            if run.as_ref() != Some(&of) {
                one_run(shelf, &of, &mut referred, findings)?;
                run = Some(of);
            }
        }
    }
    Ok(referred)
}

fn one_run(
    shelf: &SledShelf,
    run: &RunId,
    referred: &mut BTreeMap<Digest, RunId>,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    match ledger::events(shelf, run)? {
        // It was retired a moment ago.
        None => {}
        Some(Ok(events)) => {
            findings.records += events.len() as u64;
            if let Some(Event::Begun { begun, .. }) = events.first() {
                let pins = begun.plugins.values();
                referred.extend(pins.map(|pin| (pin.digest, run.clone())));
            }
        }
        Some(Err(why)) => {
            findings.unreadable.insert(run.to_string(), why.to_string());
        }
    }
    Ok(())
}

/// The indexes of open and closed runs.
fn indexes(shelf: &SledShelf, findings: &mut Findings) -> Result<(), Trouble> {
    for (_, run) in ledger::open_index(shelf)? {
        findings.open += 1;
        without_records(shelf, &run, findings)?;
    }
    let mut after = Vec::new();
    loop {
        let pairs = shelf.after(&[keys::CLOSED], &after, PAIRS_MAX)?;
        let Some((last, _)) = pairs.last() else { return Ok(()) };
        after.clone_from(last);
        for (key, value) in &pairs {
            findings.closed += 1;
            let Some(run) = keys::closed_run(key) else {
                findings.damage.push("a closed run without a name".to_owned());
                continue;
            };
            if let Err(why) = ledger::summary(&run, value) {
                findings.damage.push(why.to_string());
            }
            without_records(shelf, &run, findings)?;
        }
    }
}

fn without_records(shelf: &SledShelf, run: &RunId, findings: &mut Findings) -> Result<(), Trouble> {
    if !shelf.after(&keys::records(run), &[], 1)?.is_empty() {
        return Ok(());
    }
    let why = match ledger::events(shelf, run)? {
        Some(Ok(_)) => return Ok(()),
        Some(Err(why)) => why.to_string(),
        None => format!("run {run} is listed as closed, and nothing else of it is there"),
    };
    findings.unreadable.insert(run.to_string(), why);
    Ok(())
}

/// The files of large records and plugins.
fn files(shelf: &SledShelf, referred: &BTreeMap<Digest, RunId>, findings: &mut Findings) {
    let all = match shelf.blobs.all() {
        Ok(all) => all,
        Err(error) => {
            findings.damage.push(format!("large records cannot be listed: {error}"));
            return;
        }
    };
    findings.files = all.len() as u64;
    let all: BTreeSet<Digest> = all.into_iter().collect();
    for digest in &all {
        if !referred.contains_key(digest) {
            findings.orphans.push(format!("file {digest}"));
        }
        if let Err(why) = shelf.kept(*digest) {
            findings.damage.push(why);
        }
    }
    for (digest, run) in referred.iter().filter(|(digest, _)| !all.contains(digest)) {
        findings.damage.push(format!("file {digest} is missing; run {run} refers to it"));
    }
}

/// Every frame of the log.
fn log(folder: &Path, findings: &mut Findings) -> io::Result<()> {
    let log = Log::open(folder.to_owned(), SEGMENT_BYTES)?;
    findings.log_bytes = log.bytes();
    let mut last = log.firsts().first().map_or(0, |first| first - 1);
    for first in log.firsts() {
        let bytes = log.read(first)?.unwrap_or_default();
        let void = log.void_from(first);
        for piece in Pieces::from(&bytes, 0) {
            let Piece::Frame(frame) = piece else { continue };
            if frame.batch >= void || frame.batch <= last {
                continue;
            }
            if frame.batch > last + 1 {
                findings.damage.push(lacks(&log, first, last + 1, frame.batch - 1));
            }
            last = frame.batch;
        }
        if void != u64::MAX && last + 1 < void {
            findings.damage.push(lacks(&log, first, last + 1, void - 1));
            last = void - 1;
        }
    }
    Ok(())
}

fn lacks(log: &Log, segment: u64, first: u64, last: u64) -> String {
    format!(
        "{} lacks batches {first} to {last}. The store has what they held; `baton journal \
         compact` writes the log anew",
        log.path(segment).display()
    )
}
