//! The store: a sled 0.34.7 database that finds what the log has in order. Only this
//! room knows sled.
//!
//! What to know of sled 0.34.7, and what follows:
//! - `flush()` ends in `sync_file_range` on Linux, which neither reaches the platters
//!   nor the file's metadata; segments of old pages are written over before a sync has
//!   passed; what a page above 128 KiB holds goes to files that are never synced. So
//!   nothing is acknowledged for being here: the log is synced, and the store is built
//!   again from it after a power loss (see [`super::restore`]).
//! - A damaged byte in its file makes it panic at start, or forget all that was written
//!   behind it, silently, or fail when the page is read. So it is held against the log
//!   and [`super::mark`], and built again.
//! - After a failed write it keeps failing, and keeps its file and the lock on it. So it
//!   is left behind, and another is built beside it.
//! - A batch on one tree is atomic; batches on several trees are not. So all is in one
//!   tree, told apart by the first byte of the key.
//! - Its threads may hold the file for a moment after the last handle is gone. So the
//!   folder has a lock of ours, and opening waits a little for sled's.
//! - It panics on some kinds of damage. So every call into it is guarded.
//! - `Config::mode` is read by nothing; there is no mode to choose.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use ::sled::Db;
use baton_core::id::Digest;

use super::INLINE_BYTES_MAX;
use super::blobs::Blobs;
use super::folder::{Folder, OpenError, create_durably, sync_folder};
use super::ledger::{Change, Pair, Shelf, Trouble};
use super::writer::guarded;

/// Pages kept in memory. Reads happen at start and when a person looks.
const CACHE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long sled's threads of an earlier journal in this process may hold its file.
const RELEASE_MAX: Duration = Duration::from_secs(5);
/// How often to look.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Why the store does not open.
pub(super) enum Refusal {
    /// Not for what is in it: another process has it, or the system refuses.
    Open(OpenError),
    /// It cannot be read.
    Damaged(Trouble),
}

/// The store, and the large records beside it.
pub(super) struct SledShelf {
    db: RwLock<Result<Db, Trouble>>,
    /// Whether it lacks what was acknowledged.
    lags: Mutex<bool>,
    level: Condvar,
    pub(super) blobs: Blobs,
    /// Last, so that the lock goes last.
    folder: Folder,
}

impl SledShelf {
    /// The shelf of a folder, its store not yet opened.
    pub(super) fn shut(folder: Folder, blobs: Blobs) -> Self {
        let shut = Err("the store is not open".to_owned());
        let (lags, level) = (Mutex::new(false), Condvar::new());
        Self { db: RwLock::new(shut), lags, level, blobs, folder }
    }

    /// The journal's folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store's own folder.
    pub(super) fn path(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// Opens the store in its folder, or makes one; what was open is closed.
    pub(super) fn open(&self) -> Result<(), Refusal> {
        self.shut_off("the store is being opened again");
        let path = self.path();
        let failed = |error| Refusal::Open(OpenError::of(&path, error));
        create_durably(&path).map_err(failed)?;
        let db = open_store(self.folder(), &path)?;
        *self.db.write().expect("nothing panics while it holds this lock") = Ok(db);
        Ok(())
    }

    /// Closes the store: reads and writes fail, and say why, until it is opened again.
    pub(super) fn shut_off(&self, why: &str) {
        let open = std::mem::replace(
            &mut *self.db.write().expect("nothing panics while it holds this lock"),
            Err(why.to_owned()),
        );
        // A store that failed may panic on its way out.
        let _ = guarded(|| drop(open));
    }

    /// Why it is closed, if it is.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.db().err()
    }

    /// Closes the store and takes its files out of the way, to `store.damaged` if a
    /// person may want to look.
    pub(super) fn set_aside(&self, keep: Keep) -> io::Result<()> {
        self.shut_off("the store is being built again");
        let aside = match keep {
            Keep::ForAPerson => self.folder().join("store.damaged"),
            Keep::Nothing => self.folder().join("store.old"),
        };
        remove_folder(&aside)?;
        match fs::rename(self.path(), &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        sync_folder(self.folder())?;
        if keep == Keep::ForAPerson {
            return Ok(());
        }
        // A database that failed may hold its file for ever; it shall not hold the room.
        if let Ok(file) = OpenOptions::new().write(true).open(aside.join("db")) {
            file.set_len(0)?;
        }
        remove_folder(&aside)
    }

    /// Makes changes, all or none. They are durable when the log says so.
    pub(super) fn apply(&self, changes: Vec<Change>) -> Result<(), Trouble> {
        let mut batch = ::sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let db = self.db()?;
        guarded(|| db.apply_batch(batch))?.map_err(trouble)
    }

    /// Hands everything to the system: it survives this process.
    pub(super) fn flush(&self) -> Result<(), Trouble> {
        let db = self.db()?;
        guarded(|| db.flush())?.map(drop).map_err(trouble)
    }

    /// Everything is on disk.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        self.flush()?;
        let path = self.path();
        let sync = |name: &str| File::open(path.join(name)).and_then(|file| file.sync_all());
        let synced = sync("db").and_then(|()| sync("conf")).and_then(|()| sync_folder(&path));
        synced.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// From here on it lacks what is acknowledged next, and readers wait.
    pub(super) fn lags(&self) {
        *self.lags.lock().expect("nothing panics while it holds this lock") = true;
    }

    /// It has all that was acknowledged, or says that it failed.
    pub(super) fn caught_up(&self) {
        *self.lags.lock().expect("nothing panics while it holds this lock") = false;
        self.level.notify_all();
    }

    /// The store, once it has all that was acknowledged.
    pub(super) fn level(&self) -> Result<Db, Trouble> {
        let lags = self.lags.lock().expect("nothing panics while it holds this lock");
        let waited = self.level.wait_while(lags, |lags| *lags);
        drop(waited.expect("nothing panics while it holds this lock"));
        self.db()
    }

    fn db(&self) -> Result<Db, Trouble> {
        self.db.read().expect("nothing panics while it holds this lock").clone()
    }
}

/// What becomes of a store that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It may show what happened.
    ForAPerson,
    /// It is of no use.
    Nothing,
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_store(folder: &Path, store: &Path) -> Result<Db, Refusal> {
    // Flushed when we say so; a second clock that flushes would only wake the machine.
    let config =
        ::sled::Config::new().path(store).cache_capacity(CACHE_BYTES_MAX).flush_every_ms(None);
    let patience_ends = Instant::now() + RELEASE_MAX;
    loop {
        match guarded(|| config.open()).map_err(Refusal::Damaged)? {
            Ok(db) => return Ok(db),
            Err(::sled::Error::Io(error)) if held_by_another(&error) => {
                if Instant::now() > patience_ends {
                    let locked = OpenError::Locked { path: folder.to_owned(), pid: None };
                    return Err(Refusal::Open(locked));
                }
                thread::sleep(RELEASE_POLL);
            }
            Err(::sled::Error::Io(error)) if refused_by_the_system(&error) => {
                return Err(Refusal::Open(OpenError::of(store, error)));
            }
            Err(error) => return Err(Refusal::Damaged(trouble(error))),
        }
    }
}

/// sled says so in words only (config.rs, `try_lock`).
fn held_by_another(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

fn refused_by_the_system(error: &io::Error) -> bool {
    use ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::NotADirectory
    )
}

fn trouble(error: ::sled::Error) -> Trouble {
    if let ::sled::Error::Io(error) = error { error.to_string() } else { error.to_string() }
}

impl Shelf for SledShelf {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        let db = self.level()?;
        let value = guarded(|| db.get(key))?.map_err(trouble)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn forward(&self, prefix: &[u8]) -> Result<Vec<Pair>, Trouble> {
        let db = self.level()?;
        guarded(|| db.scan_prefix(prefix).map(pair).collect())?
    }

    fn after(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble> {
        let db = self.level()?;
        guarded(|| {
            let from = if after.is_empty() { prefix.to_vec() } else { [after, &[0]].concat() };
            let within = |found: &::sled::Result<(::sled::IVec, ::sled::IVec)>| {
                found.as_ref().map_or(true, |(key, _)| key.starts_with(prefix))
            };
            db.range(from..).take_while(within).take(limit).map(pair).collect()
        })?
    }

    fn backward(&self, prefix: &[u8], below: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble> {
        let db = self.level()?;
        guarded(|| db.range(prefix..below).rev().take(limit).map(pair).collect())?
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
