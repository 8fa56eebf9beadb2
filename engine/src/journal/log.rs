//! The log: every change to the store, in the order it was made, in files that are only
//! ever appended to. What is acknowledged is here, and synced, first.
//!
//! ```text
//! log/<20 digits>   a segment: frames from the batch of that number on
//! ```
//! Batches are numbered without gaps, so that a missing one is noticed. A frame is void
//! if its number is not below the name of the next segment: after a failed write nobody
//! knows what reached the disk, and the log goes on, from the same number, in a new one.
//!
//! A segment is removed when all that is still true of it has been written again at the
//! other end: see [`super::tend`].

mod frame;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use baton_crash::{self as crash, Point};
use rustix::fs::FallocateFlags;

use super::folder::{create_durably, sync_folder};
pub(super) use frame::{Frame, Piece, Pieces};

/// A segment is closed at about this size: a new one costs two syncs, and a smaller part
/// of the log is read at start and cleaned at a time.
pub(super) const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// The segments of a folder.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    segment_bytes: u64,
    /// Those that nothing is appended to, with their sizes, by their first batch.
    sealed: BTreeMap<u64, u64>,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    first: u64,
    file: File,
    end: u64,
}

impl Log {
    /// Finds the segments of `folder`, which is made if need be. Nothing is read: the
    /// next append opens a segment of its own.
    pub(super) fn open(folder: PathBuf, segment_bytes: u64) -> io::Result<Self> {
        create_durably(&folder)?;
        let mut sealed = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(first) = entry.file_name().to_str().and_then(number) {
                sealed.insert(first, entry.metadata()?.len());
            }
        }
        Ok(Self { folder, segment_bytes, sealed, active: None })
    }

    /// Appends a frame and syncs. After an error the frame is void, and the log goes on.
    pub(super) fn append(&mut self, batch: u64, frame: &[u8]) -> io::Result<()> {
        let fits = |active: &Active| active.end < self.segment_bytes;
        if !self.active.as_ref().is_some_and(fits) {
            self.seal();
            self.active = Some(self.start(batch, frame.len() as u64)?);
        }
        let active = self.active.as_mut().expect("just made sure");
        let written = active.file.write_all_at(frame, active.end);
        crash::point(Point::AppendWritten);
        if let Err(error) = written.and_then(|()| active.file.sync_data()) {
            self.seal();
            return Err(error);
        }
        active.end += frame.len() as u64;
        Ok(())
    }

    fn start(&self, first: u64, bytes: u64) -> io::Result<Active> {
        let path = self.path(first);
        let file = File::create(&path)?;
        // What can fail for want of room fails here, where nothing depends on it yet.
        let bytes = self.segment_bytes.max(bytes);
        match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            // Some file systems cannot promise room.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => {
                // The error is what matters; an empty segment does no harm.
                let _ = fs::remove_file(&path);
                return Err(error.into());
            }
        }
        sync_folder(&self.folder)?;
        Ok(Active { first, file, end: 0 })
    }

    /// Nothing more is appended to the active segment; the room it has left goes back.
    pub(super) fn seal(&mut self) {
        let Some(Active { first, file, end }) = self.active.take() else { return };
        // Room that is not given back is not lost: it goes with the segment.
        let _ = file.metadata().and_then(|meta| file.set_len(meta.len()));
        if end > 0 {
            self.sealed.insert(first, end);
        }
    }

    /// The first batches of its segments.
    pub(super) fn firsts(&self) -> Vec<u64> {
        let active = self.active.as_ref().map(|active| active.first);
        self.sealed.keys().copied().chain(active).collect()
    }

    /// The oldest segment that nothing is appended to.
    pub(super) fn oldest_sealed(&self) -> Option<u64> {
        self.sealed.keys().next().copied()
    }

    /// What it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.sealed.values().sum::<u64>() + self.active.as_ref().map_or(0, |active| active.end)
    }

    /// How many segments it has.
    pub(super) fn segments(&self) -> usize {
        self.sealed.len() + usize::from(self.active.is_some())
    }

    /// The bytes of a segment; none if there is no such file.
    pub(super) fn read(&self, first: u64) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(first)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where frames of the segment `first` are void: at the next one's first.
    pub(super) fn void_from(&self, first: u64) -> u64 {
        self.firsts().into_iter().find(|next| *next > first).unwrap_or(u64::MAX)
    }

    /// Removes a segment.
    pub(super) fn remove(&mut self, first: u64) -> io::Result<()> {
        match fs::remove_file(self.path(first)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.sealed.remove(&first);
        Ok(())
    }

    /// Where a segment is.
    pub(super) fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}"))
    }

    /// Where all of them are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.seal();
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}
