//! Makes a journal as small as it can be, while nobody else has it.

use std::fs;
use std::io;
use std::path::Path;

use super::log::SEGMENT_BYTES;
use super::sled::Keep;
use super::tend::{Step, Tender};
use super::{AppendError, OpenError, Retention, restore};

/// What it was and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Bytes on disk before.
    pub bytes_before: u64,
    /// Bytes on disk after.
    pub bytes_after: u64,
    /// Closed runs that were removed.
    pub runs_removed: u64,
    /// Large records and plugins that no run refers to any more.
    pub files_removed: u64,
    /// What had to be mended to open it.
    pub mended: Vec<String>,
}

/// Why a journal was not made smaller. Nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// It could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// It could not be written.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// The store could not be built again; the next start does it.
    #[error("the store of the journal could not be built again: {0}")]
    Store(String),
    /// Its files could not be measured.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Removes what `retention` lets go and what nobody refers to, then writes log and store
/// anew. Killed at any moment, it leaves a whole journal.
///
/// # Errors
/// See [`CompactError`].
pub fn compact(folder: &Path, retention: Retention) -> Result<Compacted, CompactError> {
    let (mut disk, mended) = restore::open(folder, SEGMENT_BYTES)?;
    let bytes_before = bytes(folder)?;
    let closed = disk.count.closed;
    let mut tender = Tender::new(retention);
    while tender.retire(&mut disk)? == Step::More {}
    let runs_removed = closed.saturating_sub(disk.count.closed);
    tender.want_sweep();
    while tender.sweep(&mut disk)? == Step::More {}
    restore::relog(&mut disk, Keep::Nothing)?;
    restore::renew(&mut disk).map_err(CompactError::Store)?;
    disk.rest();
    let bytes_after = bytes(folder)?;
    Ok(Compacted { bytes_before, bytes_after, runs_removed, files_removed: tender.swept(), mended })
}

/// Bytes of all files below a folder.
fn bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}
