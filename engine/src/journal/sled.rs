//! The journal on disk, in sled 0.34.7. The only file that knows sled.
//!
//! What to know of sled 0.34.7, and what follows:
//! - `flush()` ends in `sync_file_range` on Linux, which neither reaches the platters
//!   nor the file's metadata. So `fdatasync` on sled's file `db` follows each flush, and
//!   only then anything is acknowledged.
//! - A batch on one tree is atomic in its log; batches on several trees are not. So all
//!   is in one tree, told apart by the first byte of the key.
//! - A page above 128 KiB goes to a file that sled never syncs. So values are small
//!   (`keys::PART_BYTES_MAX`) and what is large goes to [`Blobs`].
//! - A damaged byte in its file makes it panic at start, or forget all that was written
//!   behind it, silently. So [`Mark`] remembers how much there was. Damage below our
//!   records is the one kind that costs more than one run: the journal is not opened.
//! - It writes over a segment (512 KiB) of old pages once their successors went through
//!   `sync_file_range`, which a disk with a volatile cache may still reorder (segment.rs).
//!   So a group is small: our `fdatasync` comes at least about once a segment. What is
//!   left is a batch larger than that, at the moment of a power loss.
//! - After a failed write it keeps failing, and what is on disk is unknown. So the first
//!   error stops the journal.
//! - Its threads may hold the file for a moment after the last handle is gone. So the
//!   folder has a lock of ours, and opening waits a little for sled's.
//! - It panics on some kinds of damage. So every call into it is guarded.
//! - `Config::mode` is read by nothing; there is no mode to choose.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::sled::Db;
use baton_core::id::{Digest, RunId};
use baton_crash::{self as crash, Point};

use super::blobs::Blobs;
use super::folder::{Folder, OpenError, create_durably, sync_folder};
use super::ledger::{self, Change, Pair, Scribe, Shelf, Trouble};
use super::mark::Mark;
use super::writer::{Store, Writer, guarded};
use super::{
    AppendError, Batch, Done, History, INLINE_BYTES_MAX, Journal, JournalError, Short, keys,
};

/// Pages kept in memory. Reads happen at start and when a person looks.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long sled's threads of an earlier journal in this process may hold its file.
const RELEASE_MAX: Duration = Duration::from_secs(5);
/// How often to look.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// A journal in a folder.
pub struct SledJournal {
    /// First, so that it is dropped first: it writes what waits.
    writer: Writer,
    shelf: Arc<SledShelf>,
}

impl SledJournal {
    /// Opens the journal in `folder`, or makes one. Takes time in proportion to what was
    /// written since the last start.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let shelf = Arc::new(SledShelf::open(Folder::take(folder)?)?);
        let damaged = |why| OpenError::Damaged { path: folder.to_owned(), why };
        let batches = shelf.batches().map_err(damaged)?;
        let mark = Mark::open(folder, batches)?;
        let scribe = Scribe::default();
        let store = SledStore { shelf: Arc::clone(&shelf), scribe, batches, mark };
        let writer = Writer::start(store).map_err(|error| OpenError::of(folder, error))?;
        Ok(Self { writer, shelf })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&SledShelf) -> Result<T, Trouble>,
    ) -> Result<T, JournalError> {
        let answer = read(&self.shelf);
        // Looked at after reading: what a failing write left behind must not be told.
        match self.writer.stopped() {
            Some(why) => Err(JournalError::Stopped(why)),
            None => answer.map_err(JournalError::Unread),
        }
    }
}

#[cfg(test)]
impl SledJournal {
    /// What the store really holds.
    pub(super) fn raw_pairs(&self, prefix: &[u8]) -> Vec<Pair> {
        self.shelf.forward(prefix).expect("read")
    }

    /// Changes behind the journal's back.
    pub(super) fn raw_change(&self, changes: Vec<Change>) {
        self.shelf.apply(changes).expect("applied");
    }
}

impl Journal for SledJournal {
    fn append(&self, batch: Batch, done: Done) {
        self.writer.append(batch, done);
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
        self.read(|shelf| ledger::events(shelf, run))
    }

    fn put_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), JournalError> {
        self.shelf.keep(digest, bytes).map_err(|why| JournalError::Unkept { digest, why })
    }

    fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.shelf.kept(digest).map_err(JournalError::Unread)
    }
}

struct SledStore {
    shelf: Arc<SledShelf>,
    scribe: Scribe,
    /// Batches stored since the journal was made.
    batches: u64,
    mark: Mark,
}

impl Store for SledStore {
    fn stage(&mut self, batch: &Batch) -> Result<Vec<Change>, AppendError> {
        self.scribe.stage(&*self.shelf, batch)
    }

    fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), String> {
        crash::point(Point::AppendBefore);
        self.batches += 1;
        changes.push((keys::BATCH.to_vec(), Some(self.batches.to_be_bytes().to_vec())));
        self.shelf.apply(changes)?;
        self.scribe.applied();
        self.mark.set(self.batches).map_err(|error| format!("file `stored`: {error}"))?;
        crash::point(Point::AppendAfter);
        Ok(())
    }
}

struct SledShelf {
    db: Db,
    /// The file behind `db`, for `fdatasync`: any descriptor of it will do.
    file: File,
    blobs: Blobs,
    /// Last, so that the lock goes last.
    _folder: Folder,
}

impl SledShelf {
    fn open(folder: Folder) -> Result<Self, OpenError> {
        let path = folder.path();
        let failed = |error| OpenError::of(path, error);
        let blobs = Blobs::open(path.join("blobs")).map_err(failed)?;
        let store = path.join("store");
        create_durably(&store).map_err(failed)?;
        let db = open_store(path, &store)?;
        let file = File::open(store.join("db")).map_err(failed)?;
        // sled syncs neither the names of its files nor `conf`.
        File::open(store.join("conf")).and_then(|conf| conf.sync_all()).map_err(failed)?;
        file.sync_all().and_then(|()| sync_folder(&store)).map_err(failed)?;
        Ok(Self { db, file, blobs, _folder: folder })
    }

    /// How many batches it holds.
    fn batches(&self) -> Result<u64, Trouble> {
        let number = self.get(keys::BATCH)?;
        number.map_or(Ok(0), |number| {
            keys::number(&number).ok_or_else(|| "its number of batches is damaged".to_owned())
        })
    }

    /// Makes changes durable, all or none.
    fn apply(&self, changes: Vec<Change>) -> Result<(), Trouble> {
        let mut batch = ::sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(trouble)?;
        crash::point(Point::AppendTaken);
        self.db.flush().map_err(trouble)?;
        crash::point(Point::AppendWritten);
        self.file.sync_data().map_err(|error| format!("fdatasync: {error}"))
    }
}

fn open_store(folder: &Path, store: &Path) -> Result<Db, OpenError> {
    // The writer flushes; a second clock that flushes would only wake the machine.
    let config =
        ::sled::Config::new().path(store).cache_capacity(CACHE_BYTES_MAX).flush_every_ms(None);
    let damaged = |why: String| OpenError::Damaged { path: folder.to_owned(), why };
    let patience_ends = Instant::now() + RELEASE_MAX;
    loop {
        match guarded(|| config.open()).map_err(damaged)? {
            Ok(db) => return Ok(db),
            Err(::sled::Error::Io(error)) if held_by_another(&error) => {
                if Instant::now() > patience_ends {
                    return Err(OpenError::Locked { path: folder.to_owned(), pid: None });
                }
                thread::sleep(RELEASE_POLL);
            }
            Err(::sled::Error::Io(error)) => return Err(OpenError::of(store, error)),
            Err(error) => return Err(damaged(error.to_string())),
        }
    }
}

/// sled says so in words only (config.rs, `try_lock`).
fn held_by_another(error: &std::io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

fn trouble(error: ::sled::Error) -> Trouble {
    if let ::sled::Error::Io(error) = error { error.to_string() } else { error.to_string() }
}

impl Shelf for SledShelf {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        let value = guarded(|| self.db.get(key))?.map_err(trouble)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn forward(&self, prefix: &[u8]) -> Result<Vec<Pair>, Trouble> {
        guarded(|| self.db.scan_prefix(prefix).map(pair).collect())?
    }

    fn backward(&self, prefix: &[u8], below: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble> {
        guarded(|| self.db.range(prefix..below).rev().take(limit).map(pair).collect())?
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Trouble> {
        self.blobs.keep(digest, bytes)
    }

    fn kept(&self, digest: Digest) -> Result<Option<Vec<u8>>, Trouble> {
        self.blobs.kept(digest)
    }

    fn inline_bytes_max(&self) -> usize {
        INLINE_BYTES_MAX
    }
}

fn pair(found: ::sled::Result<(::sled::IVec, ::sled::IVec)>) -> Result<Pair, Trouble> {
    found.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(trouble)
}
