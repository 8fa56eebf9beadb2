//! Large content in files of its own, named by digest: `<2 hex digits>/<62 hex digits>`.
//! A file stands under its name only when all of it is on disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use baton_core::id::Digest;

use super::folder::{create_durably, sync_folder};

/// The tree of files.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    drafts: AtomicU64,
}

impl Blobs {
    /// Makes the tree if need be, and clears what a crash left half written.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        create_durably(&folder)?;
        let blobs = Self { folder, drafts: AtomicU64::new(0) };
        match fs::remove_dir_all(blobs.drafts()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        create_durably(&blobs.drafts())?;
        Ok(blobs)
    }

    /// Keeps bytes; they are on disk when this returns. A damaged file is replaced.
    pub(super) fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), String> {
        if Digest::of(bytes) != digest {
            return Err("the bytes do not have that digest".to_owned());
        }
        let path = self.path(digest);
        let written = self.write(&path, bytes);
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Bytes kept, checked.
    pub(super) fn kept(&self, digest: Digest) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(Some(bytes)),
            Ok(_) => Err(format!("{} does not have the digest it is named by", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().expect("a blob is in a folder");
        create_durably(folder)?;
        if fs::read(path).is_ok_and(|found| found == bytes) {
            // Its name may not be on disk yet: the one who wrote it may have been killed.
            return sync_folder(folder);
        }
        let draft = self.drafts().join(self.drafts.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = File::create(&draft)?;
        let filled = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = filled.and_then(|()| fs::rename(&draft, path)) {
            // The error is what matters; a draft left behind is cleared at the next start.
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        sync_folder(folder)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    fn drafts(&self) -> PathBuf {
        self.folder.join("drafts")
    }
}
