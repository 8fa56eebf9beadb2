//! The journal on disk: the log, the store that finds things, and the thread that writes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use baton_core::id::{Digest, RunId};

use super::disk::{Delta, Disk};
use super::folder::OpenError;
use super::ledger::{self, Change, Scribe, Shelf as _, Trouble};
use super::log::SEGMENT_BYTES;
use super::mark::{Mark, UNREADABLE};
use super::sled::SledShelf;
use super::tend::{Step, Tender};
use super::writer::{Store, Writer};
use super::{
    AppendError, Batch, Done, History, Journal, JournalError, Retention, Short, Unreadable, keys,
    listed, restore,
};

/// So much of the log the store may lack when the process is killed; reading it again at
/// the next start takes milliseconds.
const UNFLUSHED_BYTES_MAX: usize = 1024 * 1024;
/// So long it may lack it.
const UNFLUSHED_MAX: Duration = Duration::from_secs(1);
/// How often an idle journal looks after itself.
const TEND_AFTER: Duration = Duration::from_mins(1);

/// A journal in a folder.
pub struct SledJournal {
    /// First, so that it is dropped first: it writes what waits.
    writer: Writer,
    shelf: Arc<SledShelf>,
    mark: Arc<Mark>,
    notes: Vec<String>,
    /// Whether the store names all runs that have closed; not yet asked.
    listed: OnceLock<bool>,
}

impl SledJournal {
    /// Opens the journal in `folder`, or makes one, and keeps closed runs for ever. Takes
    /// time in proportion to what was written since the store was last flushed; after a
    /// power loss, to all that there is.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_with(folder, Retention::FOR_EVER)
    }

    /// Opens the journal in `folder`, or makes one.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(folder: &Path, retention: Retention) -> Result<Self, OpenError> {
        Self::open_as(folder, retention, SEGMENT_BYTES)
    }

    pub(super) fn open_as(
        folder: &Path,
        retention: Retention,
        segment_bytes: u64,
    ) -> Result<Self, OpenError> {
        let (disk, notes) = restore::open(folder, segment_bytes)?;
        for note in &notes {
            tracing::warn!("the journal in {} was mended: {note}", folder.display());
        }
        let (shelf, mark) = (Arc::clone(&disk.shelf), Arc::clone(&disk.mark));
        let failed = |error| OpenError::of(folder, error);
        let writer = Desk::new(disk, retention).and_then(Writer::start).map_err(failed)?;
        Ok(Self { writer, shelf, mark, notes, listed: OnceLock::new() })
    }

    /// What had to be mended when it was opened, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What the store and the files beside it hold.
    pub(super) fn shelf(&self) -> &SledShelf {
        &self.shelf
    }

    /// The log's folder.
    pub(super) fn log_folder(&self) -> PathBuf {
        self.shelf.folder().join("log")
    }

    /// Whether a run that the store does not have was never there.
    fn has_all(&self) -> Result<bool, JournalError> {
        if let Some(all) = self.listed.get() {
            return Ok(*all);
        }
        let counted = self.read(listed::are_all)?;
        Ok(counted.is_none_or(|all| *self.listed.get_or_init(|| all)))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&SledShelf) -> Result<T, Trouble>,
    ) -> Result<T, JournalError> {
        let answer = read(&self.shelf);
        // Looked at after reading: what a failing write left behind must not be told.
        if let Some(why) = self.writer.stopped() {
            return Err(JournalError::Stopped(why));
        }
        answer.map_err(|why| {
            if self.shelf.trouble().is_some() {
                // It failed, and is being built again.
                return JournalError::Unread(why);
            }
            // A damaged page shows when it is read.
            let _ = self.mark.change(|said| said.flushed = UNREADABLE);
            JournalError::Unread(format!(
                "{why}. The log may have what the store cannot read: the next start builds the \
                 store again from it"
            ))
        })
    }
}

#[cfg(test)]
impl SledJournal {
    /// What the store really holds.
    pub(super) fn raw_pairs(&self, prefix: &[u8]) -> Vec<ledger::Pair> {
        self.shelf.forward(prefix).expect("read")
    }

    /// Changes behind the journal's back.
    pub(super) fn raw_change(&self, changes: Vec<Change>) {
        drop(self.shelf.level());
        self.shelf.apply(changes).expect("applied");
    }
}

impl Journal for SledJournal {
    fn append(&self, batch: Batch, done: Done) {
        self.writer.append(batch, done);
    }

    fn stalled(&self) -> Option<String> {
        self.writer.stalled()
    }

    fn open_runs(&self) -> Result<Vec<(RunId, History)>, JournalError> {
        self.read(ledger::open_runs)
    }

    fn closed_runs(
        &self,
        before: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<Short>, JournalError> {
        self.read(|shelf| ledger::closed_runs(shelf, before, limit))
    }

    fn events(&self, run: &RunId) -> Result<Option<History>, JournalError> {
        let mut told = self.read(|shelf| ledger::events(shelf, run))?;
        if told.is_none() && !self.has_all()? {
            let why =
                format!("the store does not know run {run}, and has lost runs that have closed");
            told = Some(Err(Unreadable::in_store(why)));
        }
        let Some(Err(unreadable)) = &told else { return Ok(told) };
        if !unreadable.in_store {
            return Ok(told);
        }
        // Open runs are held against a checksum at the start; closed ones, of which there
        // may be many, only when somebody looks.
        let _ = self.mark.change(|said| said.flushed = UNREADABLE);
        let why = format!(
            "{unreadable}. The log may have what the store lacks: the next start of Baton \
             builds the store again from it"
        );
        Ok(Some(Err(Unreadable { why, in_store: true })))
    }

    fn put_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), JournalError> {
        self.shelf.blobs.pin(digest);
        self.shelf.keep(digest, bytes).map_err(|why| JournalError::Unkept { digest, why })
    }

    fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.shelf.kept(digest).map_err(JournalError::Unread)
    }
}

/// The writer's side.
struct Desk {
    disk: Disk,
    scribe: Scribe,
    tender: Tender,
    flusher: Flusher,
    /// Bytes that the store took since it was flushed, and since when.
    unflushed: usize,
    flushed_at: Instant,
}

impl Desk {
    fn new(disk: Disk, retention: Retention) -> std::io::Result<Self> {
        let flusher = Flusher::start(Arc::clone(&disk.shelf), Arc::clone(&disk.mark))?;
        Ok(Self {
            disk,
            scribe: Scribe::default(),
            tender: Tender::new(retention),
            flusher,
            unflushed: 0,
            flushed_at: Instant::now(),
        })
    }

    fn flush_if_due(&mut self) {
        let late = self.flushed_at.elapsed() >= UNFLUSHED_MAX;
        let due = self.unflushed >= UNFLUSHED_BYTES_MAX || (late && self.unflushed > 0);
        if due && self.flusher.wake(self.disk.count.batches) {
            self.unflushed = 0;
            self.flushed_at = Instant::now();
        }
    }
}

impl Store for Desk {
    fn stage(&mut self, batch: &Batch) -> Result<Vec<Change>, AppendError> {
        self.scribe.stage(&*self.disk.shelf, batch)
    }

    fn ready(&mut self) -> Result<(), AppendError> {
        self.disk.ready()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), AppendError> {
        let bytes: usize = changes.iter().map(size).sum();
        let delta = delta(&changes);
        let (carried, removed) = self.tender.ride(&mut self.disk, bytes);
        let delta = Delta {
            bytes: delta.bytes + removed.delta.bytes,
            closed: delta.closed + removed.delta.closed,
        };
        let news = changes.into_iter().chain(removed.changes).collect();
        if let Err(error) = self.disk.append(news, carried, delta) {
            self.scribe.forget();
            self.tender.missed();
            return Err(error);
        }
        self.unflushed += bytes;
        Ok(())
    }

    fn follow(&mut self) {
        self.disk.follow();
        self.scribe.applied();
        self.tender.took(&mut self.disk);
        self.flush_if_due();
    }

    fn tend(&mut self) -> Duration {
        self.flush_if_due();
        match self.tender.step(&mut self.disk) {
            Ok(Step::More) => Duration::ZERO,
            Ok(Step::Rest) if self.unflushed > 0 => UNFLUSHED_MAX,
            Ok(Step::Rest) => TEND_AFTER,
            Err(error) => {
                tracing::warn!(%error, "the journal could not be tidied; it tries again later");
                TEND_AFTER
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Nobody waits for a store that is given nothing more.
        self.disk.shelf.caught_up();
        self.flusher.end();
        self.disk.rest();
    }
}

fn size((key, value): &Change) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

/// What news change about how much there is. They remove nothing but a closing run's
/// place among the open ones.
fn delta(changes: &[Change]) -> Delta {
    let mut delta = Delta::default();
    for change @ (key, value) in changes {
        let bytes = i64::try_from(size(change)).unwrap_or(i64::MAX);
        match value {
            Some(_) => delta.bytes += bytes,
            // The key, and the time that was under it.
            None => delta.bytes -= bytes + 8,
        }
        delta.closed += i64::from(value.is_some() && key.first() == Some(&keys::CLOSED));
    }
    delta
}

/// The thread that hands the store to the system now and then, so that the writer need not
/// wait for it.
struct Flusher {
    wake: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    fn start(shelf: Arc<SledShelf>, mark: Arc<Mark>) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel::<u64>(1);
        let thread = thread::Builder::new().name("journal-flush".to_owned()).spawn(move || {
            for batches in woken {
                // One that fails is noticed by the next write, and mended.
                if shelf.flush().is_ok() {
                    let _ = mark.change(|said| said.flushed = said.flushed.max(batches));
                }
            }
        })?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// Asks for a flush of everything up to here; no if it is still busy.
    fn wake(&self, batches: u64) -> bool {
        let sent = self.wake.as_ref().map(|wake| wake.try_send(batches));
        !matches!(sent, Some(Err(TrySendError::Full(_))))
    }

    fn end(&mut self) {
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's flusher panicked");
        }
    }
}
