//! How much was stored, kept apart from the store.
//!
//! A store that finds damage in the middle of its file may take everything behind it for
//! never written: sled 0.34.7 does, without a word (tried: one flipped byte of `db`, and
//! the last runs were gone). A run that goes on with a shorter history could do again
//! what must happen once. So each batch carries a number, the highest acknowledged one is
//! also written here, and a store that ends below it is not opened.
//!
//! The mark is not synced: after a power loss it may be old, and an old mark is a lower
//! bound still.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::folder::OpenError;

/// The number, and its checksum.
const MARK_BYTES: usize = 12;

/// The file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
}

impl Mark {
    /// Opens the mark of a journal whose store ends at batch `stored`.
    pub(super) fn open(folder: &Path, stored: u64) -> Result<Self, OpenError> {
        let path = path(folder);
        let failed = |error| OpenError::of(&path, error);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mark = Self { file: file.map_err(failed)? };
        let acknowledged = mark.get().map_err(failed)?;
        if acknowledged > stored {
            let folder = folder.to_owned();
            return Err(OpenError::Lost { path: folder, mark: path, stored, acknowledged });
        }
        mark.set(stored).map_err(failed)?;
        Ok(mark)
    }

    /// Batch `number` has been acknowledged.
    pub(super) fn set(&self, number: u64) -> io::Result<()> {
        let mut bytes = [0; MARK_BYTES];
        let (text, crc) = bytes.split_at_mut(8);
        text.copy_from_slice(&number.to_be_bytes());
        crc.copy_from_slice(&crc32fast::hash(text).to_be_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    /// The number; 0 of a mark that is empty or torn, which says nothing.
    fn get(&self) -> io::Result<u64> {
        let mut bytes = [0; MARK_BYTES];
        if self.file.metadata()?.len() != MARK_BYTES as u64 {
            return Ok(0);
        }
        self.file.read_exact_at(&mut bytes, 0)?;
        let (text, crc) = bytes.split_at(8);
        let whole = crc == crc32fast::hash(text).to_be_bytes();
        Ok(super::keys::number(text).filter(|_| whole).unwrap_or(0))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("stored")
}
