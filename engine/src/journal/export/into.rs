//! An import into a folder: all of it or nothing.

use std::fs;
use std::io::{self, BufRead, ErrorKind};
use std::path::Path;

use super::import::{ImportError, import};
use super::{Exported, JournalError};
use crate::journal::folder::{create_durably, sync_folder};
use crate::journal::{Journal as _, OpenError, SledJournal};

/// Why a folder has no more than before.
#[derive(Debug, thiserror::Error)]
pub enum IntoError {
    /// A journal could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// What was to be imported is not sound, or there are runs already.
    #[error("{0}")]
    Import(#[from] ImportError),
    /// It could not be put in its place.
    #[error("the imported journal cannot be put in its place: {0}")]
    Io(#[from] io::Error),
}

/// Reads an export into the journal in `folder`, which must have no runs or not exist. It
/// is written beside it, read again, and takes its place whole.
///
/// # Errors
/// See [`IntoError`].
pub fn import_into(folder: &Path, input: &mut impl BufRead) -> Result<Exported, IntoError> {
    // Held until the end, so that nobody begins a run in it.
    let empty = if folder.exists() { Some(SledJournal::open(folder)?) } else { None };
    if let Some(empty) = &empty {
        let runs = empty.open_runs().and_then(|open| Ok((open, empty.closed_runs(None, 1)?)));
        let (open, closed) = runs.map_err(ImportError::from)?;
        if !open.is_empty() || !closed.is_empty() {
            return Err(ImportError::NotEmpty.into());
        }
    }
    let (draft, old) = (folder.with_extension("import"), folder.with_extension("replaced"));
    remove(&draft)?;
    let imported = fill(&draft, input);
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => {
            // The error is what matters; a draft left behind goes with the next import.
            let _ = remove(&draft);
            return Err(error);
        }
    };
    remove(&old)?;
    if empty.is_some() {
        fs::rename(folder, &old)?;
    }
    fs::rename(&draft, folder)?;
    if let Some(parent) = folder.parent() {
        create_durably(parent)?;
        sync_folder(parent)?;
    }
    drop(empty);
    remove(&old)?;
    Ok(imported)
}

/// Imports, closes in order, and reads all of it again.
fn fill(draft: &Path, input: &mut impl BufRead) -> Result<Exported, IntoError> {
    let journal = SledJournal::open(draft)?;
    let imported = import(&journal, input)?;
    drop(journal);
    let journal = SledJournal::open(draft)?;
    let findings = crate::journal::check(&journal).map_err(ImportError::from)?;
    if findings.open + findings.closed == imported.runs && findings.unreadable.is_empty() {
        return Ok(imported);
    }
    let why = format!("what was imported does not read as it should: {findings:?}");
    Err(ImportError::from(JournalError::Unread(why)).into())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
