//! Whether the disk has room for the next batch. Asked before each one, so that nothing
//! that is half written meets a full disk.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::AppendError;

/// Less than this free, and nothing is taken: a segment of the log is allocated whole (8
/// MiB), and the store writes behind it what the log has already.
pub(super) const FREE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Once it was full, so much more has to be free: or it would be full again at once.
const FREE_BYTES_MORE: u64 = 4 * 1024 * 1024;

/// The room on a journal's disk.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    needed: u64,
}

impl Room {
    /// The room where `path` is.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), needed: FREE_BYTES_MIN }
    }

    /// Whether there is enough; if not, a sentence.
    pub(super) fn check(&mut self) -> Result<(), String> {
        // A disk that does not say is found out by writing.
        let free = free_bytes(&self.path).unwrap_or(u64::MAX);
        if free >= self.needed {
            self.needed = FREE_BYTES_MIN;
            return Ok(());
        }
        self.needed = self.needed.max(FREE_BYTES_MIN + FREE_BYTES_MORE);
        let (free, needed) = (free >> 20, self.needed >> 20);
        Err(format!(
            "{free} MiB are free on the disk of {}, {needed} MiB are needed",
            self.path.display()
        ))
    }

    /// What a write that failed means. After one for want of room, more has to be free
    /// than was.
    pub(super) fn refused(&mut self, error: &io::Error) -> AppendError {
        if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            return AppendError::Unwritten(error.to_string());
        }
        let free = free_bytes(&self.path).unwrap_or(0);
        self.needed = self.needed.max(free.saturating_add(FREE_BYTES_MORE));
        AppendError::Full(format!("{}: {error}", self.path.display()))
    }
}

/// What is free on the disk of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
