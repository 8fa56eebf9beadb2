//! The journal: every fact about every run, on disk before anyone acts on it.
//!
//! # What it promises
//! - **Acknowledged is durable.** When `done(Ok(()))` is called, every entry of the
//!   batch survives `kill -9` and power loss. Nothing else is promised to.
//! - **A batch is atomic.** After a crash all of it is there, or none of it.
//!   Batches are applied in the order of [`Journal::append`].
//! - **A failed batch leaves nothing behind** while this process lives: no read shows
//!   it, and a later entry that was built on it is refused, because its number no
//!   longer follows. Most failures pass ([`AppendError::passes`]): a full disk, a write
//!   that went wrong. Nothing is tried again in its place: after a failed `fsync` the
//!   kernel may have dropped the dirty pages, and would say yes to the next one.
//! - **A run is open or closed, never neither.** Begin and close change the records and
//!   the two indexes in one atomic batch.
//! - **One bad record costs one run.** A record with a bad checksum, a gap in its
//!   numbers, an unknown kind or a newer version makes its run [`Unreadable`], with the
//!   reason, and touches no other.
//! - **Damage costs what it hits.** Everything is there twice, and either is made again
//!   from the other (`restore.rs`). What neither has makes the runs that it may concern
//!   [`Unreadable`]; no run goes on with a silently shorter history.
//! - **It keeps its size.** Closed runs go by [`Retention`], with all that is theirs, and
//!   never what an open run needs.
//! - **Bounded.** A record has [`RECORD_BYTES_MAX`], the queue [`QUEUE_BATCHES_MAX`].
//!
//! # What it assumes
//! - The file system keeps what `fdatasync` was told to keep, and a rename is atomic.
//! - One process has the folder; a lock enforces it on local file systems.
//! - Callers number the entries of each run 0, 1, 2, … without gaps; entry 0 is
//!   [`Event::Begun`]. The journal checks this and refuses what does not follow.
//!
//! # What it does not do
//! It does not know the transition table, hold locks for runs, or wait: a full queue is
//! an error at once, and the caller decides.

mod blobs;
mod check;
mod compact;
mod disk;
mod envelope;
mod export;
mod folder;
mod keys;
mod ledger;
mod listed;
mod log;
mod mark;
mod memory;
mod on_disk;
mod record;
mod restore;
mod room;
mod sled;
mod sums;
mod tend;
#[cfg(test)]
mod tests;
mod writer;

use baton_core::Millis;
use baton_core::id::{Digest, RunId};
use baton_core::run::event::{Dedup, Event, Outcome, TriggerKind};

pub use check::{Findings, check};
pub use compact::{CompactError, Compacted, compact};
pub use export::{ExportError, Exported, ImportError, IntoError, export, import, import_into};
pub use folder::OpenError;
pub use memory::MemoryJournal;
pub use on_disk::SledJournal;

/// One record, encoded. Larger ones are refused: a guest's output is bounded well below.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Records above this go to a content-addressed file of their own: the store rewrites
/// what it holds now and then, and large outputs are not worth rewriting.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Batches that wait for the writer. More means that the disk has stalled; the caller
/// should hear of it while memory lasts.
pub const QUEUE_BATCHES_MAX: usize = 8_192;
/// Encoded bytes at which a group is full (a batch is never cut): more would make the
/// first ones wait for the last.
pub const GROUP_BYTES_MAX: usize = 256 * 1024;

/// Called once with what became of a batch: on the writer's thread, or on the caller's
/// before `append` returns. It must neither block nor panic (post into an inbox with a
/// send that does not wait).
pub type Done = Box<dyn FnOnce(Result<(), AppendError>) + Send>;

/// The events of a run from its first, or why they cannot be told.
pub type History = Result<Vec<Event>, Unreadable>;

/// A closed run in short, or why that cannot be told.
pub type Short = Result<Closed, (RunId, Unreadable)>;

/// Where facts about runs are kept. See the [module](self) for what it promises.
///
/// All but [`append`](Self::append) may wait for the disk: call them at start or from a
/// thread that may block.
pub trait Journal: Send + Sync + 'static {
    /// Queues a batch and returns at once. `done` is called once, after all of it is
    /// durable or has failed.
    fn append(&self, batch: Batch, done: Done);

    /// Why nothing can be stored now, if so: a sentence. It goes away by itself.
    fn stalled(&self) -> Option<String> {
        None
    }

    /// Every run that is not closed, in the order they began.
    ///
    /// # Errors
    /// The store could not be read, or has stopped.
    fn open_runs(&self) -> Result<Vec<(RunId, History)>, JournalError>;

    /// Closed runs, the newest closed first: all that closed before `before` did, or from
    /// the newest if that is none or not closed; at most `limit`.
    ///
    /// # Errors
    /// The store could not be read, or has stopped.
    fn closed_runs(&self, before: Option<&RunId>, limit: usize)
    -> Result<Vec<Short>, JournalError>;

    /// All events of a run, open or closed; `None` if there is no such run. What was
    /// appended a moment ago may show before it is acknowledged.
    ///
    /// # Errors
    /// The store could not be read, or has stopped.
    fn events(&self, run: &RunId) -> Result<Option<History>, JournalError>;

    /// Keeps a plugin's bytes under their digest. Durable before it returns; doing it
    /// again costs a look.
    ///
    /// # Errors
    /// The bytes do not have that digest, or could not be stored.
    fn put_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), JournalError>;

    /// A plugin's bytes, checked against the digest; `None` if they were never kept.
    ///
    /// # Errors
    /// They could not be read, or are not what was kept.
    fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, JournalError>;
}

/// Entries that are durable together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// In order; any number of runs.
    pub entries: Vec<Entry>,
}

/// One event of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The run.
    pub run: RunId,
    /// Its number in the run: 0 for [`Event::Begun`], then one more each.
    pub seq: u64,
    /// What happened.
    pub event: Event,
    /// With [`Event::Closed`], and only then: what lists, dedup and cool-down need to
    /// know of the run without reading it again.
    pub closed: Option<Closed>,
}

/// A closed run in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// Unix ms.
    pub begun_at: Millis,
    /// Unix ms.
    pub closed_at: Millis,
    /// How it ended.
    pub outcome: Outcome,
    /// The kind of its trigger.
    pub trigger: TriggerKind,
    /// The source of its trigger.
    pub source: String,
    /// The concurrency key it held.
    pub key: Option<String>,
    /// How a repeat of its trigger is recognised.
    pub dedup: Option<Dedup>,
    /// Whether it changed anything outside; only then does a cool-down follow.
    pub acted: bool,
}

/// Why the records of one run cannot be used. The others are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// What is wrong, with which record, and what to do: a sentence for the operator.
    pub why: String,
    /// Only the store is known to be damaged: the log may have what it lacks.
    pub in_store: bool,
}

impl Unreadable {
    /// For a reason that another look will not change.
    pub fn new(why: String) -> Self {
        Self { why, in_store: false }
    }

    fn in_store(why: String) -> Self {
        Self { why, in_store: true }
    }
}

/// How long closed runs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that closed longer ago go, in milliseconds.
    pub closed_ms_max: Millis,
    /// The oldest of more than so many go.
    pub closed_runs_max: u64,
}

impl Retention {
    /// Nothing goes.
    pub const FOR_EVER: Self = Self { closed_ms_max: Millis::MAX, closed_runs_max: u64::MAX };
}

/// Why a batch was not stored. Nothing of it is visible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It can never be stored as it is; a fault of the caller. Later batches may succeed.
    #[error("record {seq} of run {run} is refused: {why}")]
    Refused {
        /// Whose record.
        run: RunId,
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The queue is full. Later batches may succeed.
    #[error(
        "the journal has {QUEUE_BATCHES_MAX} batches waiting: the disk has stalled or is too slow"
    )]
    Busy,
    /// There is no room. Later batches succeed when there is.
    #[error("the journal's disk is full ({0}): make room, and it goes on by itself")]
    Full(String),
    /// It could not be written. Later batches may succeed.
    #[error("the journal could not write: {0}")]
    Unwritten(String),
    /// The writer is gone; nothing succeeds until the journal is opened anew.
    #[error("{0}")]
    Stopped(String),
}

impl AppendError {
    /// Whether the same batch may be taken later.
    pub fn passes(&self) -> bool {
        match self {
            Self::Busy | Self::Full(_) | Self::Unwritten(_) => true,
            Self::Refused { .. } | Self::Stopped(_) => false,
        }
    }
}

/// The journal could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The store could not be read.
    #[error("the journal cannot be read: {0}")]
    Unread(String),
    /// A plugin's bytes could not be kept.
    #[error("plugin {} cannot be kept in the journal: {why}", .digest.short())]
    Unkept {
        /// Which.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// The store has stopped after a failed write.
    #[error("{0}")]
    Stopped(String),
}
