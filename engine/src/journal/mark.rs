//! What is known of the journal apart from log and store: how much was acknowledged, how
//! much the store should have, and whether it can be believed.
//!
//! A store that finds damage in the middle of its file may take everything behind it for
//! never written: sled 0.34.7 does, without a word (tried: one flipped byte of `db`, and
//! the last runs were gone). And a store that is not synced may be anything after a power
//! loss. Both are told from a healthy one here, and built again from the log.
//!
//! The numbers are not synced as they move: after a power loss they may be old, and old
//! ones are lower bounds still.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// Five numbers, and their checksum.
const MARK_BYTES: usize = 52;

/// In place of how much was flushed: a part of the store could not be read.
pub(super) const UNREADABLE: u64 = u64::MAX;

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The last batch that was acknowledged.
    pub(super) acknowledged: u64,
    /// The store has at least the batches up to here.
    pub(super) flushed: u64,
    /// The log begins with this segment.
    pub(super) first: u64,
    /// The journal was closed in order, all of it synced, at this batch.
    pub(super) rested: Option<u64>,
    /// While the machine ran that had it last; 0 is unknown.
    pub(super) boot: u128,
}

impl Said {
    fn encode(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        let rested = self.rested.unwrap_or(u64::MAX);
        let words = [self.acknowledged, self.flushed, self.first, rested];
        for (place, word) in bytes.chunks_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes[32..48].copy_from_slice(&self.boot.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..48]);
        bytes[48..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (text, crc) = bytes.split_at_checked(48)?;
        if crc != crc32fast::hash(text).to_be_bytes() {
            return None;
        }
        let word = |at: usize| super::keys::number(&text[at..at + 8]);
        Some(Self {
            acknowledged: word(0)?,
            flushed: word(8)?,
            first: word(16)?,
            rested: word(24).filter(|batch| *batch != u64::MAX),
            boot: u128::from_be_bytes(text[32..].try_into().ok()?),
        })
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    said: Mutex<Said>,
}

impl Mark {
    /// What the mark of a folder says; nothing if it is missing or torn.
    pub(super) fn read(folder: &Path) -> Option<Said> {
        std::fs::read(path(folder)).ok().and_then(|bytes| Said::decode(&bytes))
    }

    /// Takes the mark of a journal that is being opened; it says so durably.
    pub(super) fn take(folder: &Path, said: Said) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path(folder))?;
        file.set_len(MARK_BYTES as u64)?;
        let mark = Self { file, said: Mutex::new(said) };
        mark.change_durably(|_| {})?;
        super::folder::sync_folder(folder)?;
        Ok(mark)
    }

    /// What it says.
    pub(super) fn said(&self) -> Said {
        *self.held()
    }

    /// Says something else. Survives the process, not the machine.
    pub(super) fn change(&self, change: impl FnOnce(&mut Said)) -> io::Result<()> {
        let mut said = self.held();
        change(&mut said);
        self.file.write_all_at(&said.encode(), 0)
    }

    /// Says something else, on disk when this returns.
    pub(super) fn change_durably(&self, change: impl FnOnce(&mut Said)) -> io::Result<()> {
        self.change(change)?;
        self.file.sync_data()
    }

    fn held(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nothing panics while it holds this lock")
    }
}

/// Tells one start of the machine from the next; 0 where the system does not say.
pub(super) fn boot() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("stored")
}
