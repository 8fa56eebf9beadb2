//! The journal's folder: whose it is, what format it has, and why it cannot be opened.
//!
//! ```text
//! format   `baton-journal 1`, written before anything else
//! lock     held while a process has the journal; its pid
//! log/     every change, synced before it is acknowledged
//! store/   sled's own files: the same, in order; made again from the log where need be
//! stored   how much there is, and whether the store can be believed
//! blobs/   large records and plugins, by digest
//! ```
//! `store.damaged` and `log.damaged` are what was replaced, for a person to look at; they
//! may be removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::room::{FREE_BYTES_MIN, free_bytes};

/// Version of the folder that this Baton writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;
const FORMAT_WORD: &str = "baton-journal";

/// Why a journal could not be opened: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is not a folder.
    #[error("the journal's path {} is not a folder: set [paths] data to a folder", .path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it.
    #[error(
        "the journal in {} is in use by {}: talk to that one (`baton runs`, `baton show`), stop \
         it, or set another [paths] data", .path.display(), who(*.pid)
    )]
    Locked {
        /// Where.
        path: PathBuf,
        /// The process, as it wrote it down.
        pid: Option<u32>,
    },
    /// Nothing may be written there.
    #[error(
        "the journal needs to write {}, and may not ({why}): give the user that runs Baton the \
         folder, mount it writable, or set another [paths] data", .path.display()
    )]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// No room.
    #[error(
        "the disk of the journal in {} is full ({free_mib} MiB free, {} MiB needed to start): make \
         room, or set [paths] data to another disk", .path.display(), FREE_BYTES_MIN >> 20
    )]
    Full {
        /// Where.
        path: PathBuf,
        /// What is left.
        free_mib: u64,
    },
    /// A newer Baton wrote it.
    #[error(
        "the journal in {} was written by a newer Baton (format {found}; this one knows \
         {FORMAT}): start that one again, or a newer one; nothing was changed", .path.display()
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not a journal, or its marker is damaged.
    #[error(
        "{} is not a journal of Baton ({why}): set another [paths] data, or restore the folder \
         from a backup; nothing was changed", .path.display()
    )]
    Foreign {
        /// Where.
        path: PathBuf,
        /// How it is known.
        why: String,
    },
    /// The store inside cannot be read.
    #[error(
        "the store of the journal in {} is damaged ({why}): keep a copy of the folder, and \
         restore it from a backup or set another [paths] data", .path.display()
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What the store said.
        why: String,
    },
    /// Log and store are gone, and something was acknowledged.
    #[error(
        "the journal in {} is empty, and {acknowledged} batches were acknowledged: log and store \
         are gone. Restore the folder from a backup. To begin with nothing, remove {}: what ran \
         does not go on, and may be done again", .path.display(), .mark.display()
    )]
    Lost {
        /// Where.
        path: PathBuf,
        /// The file that remembers.
        mark: PathBuf,
        /// How much there was, at least.
        acknowledged: u64,
    },
    /// The system refused something else.
    #[error("the journal cannot be opened: {}: {source}", .path.display())]
    Io {
        /// With which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn who(pid: Option<u32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    /// What an I/O error at `path` means.
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        use ErrorKind as Kind;
        let (path, kind) = (path.to_owned(), source.kind());
        if matches!(kind, Kind::PermissionDenied | Kind::ReadOnlyFilesystem) {
            Self::ReadOnly { path, why: source.to_string() }
        } else if matches!(kind, Kind::StorageFull | Kind::QuotaExceeded) {
            Self::Full { path, free_mib: 0 }
        } else if matches!(kind, Kind::NotADirectory | Kind::AlreadyExists) {
            Self::NotAFolder { path }
        } else {
            Self::Io { path, source }
        }
    }
}

/// A folder that this process owns, until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock goes with it.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let fresh = create_durably(path).map_err(|error| OpenError::of(path, error))?;
        let lock = lock(path)?;
        let format = path.join("format");
        match fs::read(&format) {
            Ok(bytes) => check_format(path, &bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The marker is older than the store: a store without one is not ours.
                if !fresh && path.join("store").exists() {
                    let why = "it has a store, but no file `format`".to_owned();
                    return Err(OpenError::Foreign { path: path.to_owned(), why });
                }
                check_room(path)?;
                let text = format!("{FORMAT_WORD} {FORMAT}\n");
                write_durably(path, "format", text.as_bytes())
                    .map_err(|error| OpenError::of(&format, error))?;
            }
            Err(error) => return Err(OpenError::of(&format, error)),
        }
        check_room(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join("lock");
    let failed = |error| OpenError::of(&name, error);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&name);
    let mut file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let pid = file.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            return Err(OpenError::Locked { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn check_format(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let text = String::from_utf8_lossy(bytes);
    let version = text.strip_prefix(FORMAT_WORD).and_then(|rest| rest.trim().parse().ok());
    match version {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(OpenError::Newer { path: path.to_owned(), found }),
        _ => {
            let why = format!("its file `format` says `{}`", text.trim().escape_debug());
            Err(OpenError::Foreign { path: path.to_owned(), why })
        }
    }
}

fn check_room(path: &Path) -> Result<(), OpenError> {
    let free = free_bytes(path).map_err(|error| OpenError::of(path, error))?;
    if free >= FREE_BYTES_MIN {
        return Ok(());
    }
    Err(OpenError::Full { path: path.to_owned(), free_mib: free >> 20 })
}

/// Makes a folder and its parents, each one's name on disk. Whether it was missing.
pub(super) fn create_durably(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        Ok(()) => {}
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    sync_folder(parent)?;
    Ok(true)
}

/// Puts the names in a folder on disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a file of `folder` so that after a crash it is the old or the new one.
fn write_durably(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    sync_folder(folder)
}
