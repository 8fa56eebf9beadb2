//! Large content in files of its own, named by digest: `<2 hex digits>/<62 hex digits>`.
//! A file stands under its name only when all of it is on disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use baton_core::id::Digest;

use super::folder::{create_durably, sync_folder};

/// The tree of files.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    drafts: AtomicU64,
    /// Never removed while this process lives: plugins that new runs may begin with.
    pinned: Mutex<BTreeSet<Digest>>,
    /// Kept since a sweep began.
    fresh: Mutex<BTreeSet<Digest>>,
}

impl Blobs {
    /// Makes the tree if need be, and clears what a crash left half written.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        create_durably(&folder)?;
        let blobs = Self {
            folder,
            drafts: AtomicU64::new(0),
            pinned: Mutex::default(),
            fresh: Mutex::default(),
        };
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
        held(&self.fresh).insert(digest);
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

    /// Never to be removed by this process.
    pub(super) fn pin(&self, digest: Digest) {
        held(&self.pinned).insert(digest);
    }

    /// From here on, what is kept is not removed by the next [`Self::remove_all_but`].
    pub(super) fn watch(&self) {
        held(&self.fresh).clear();
    }

    /// Removes what is not in `referred`, not pinned, and not kept since [`Self::watch`].
    /// How many.
    pub(super) fn remove_all_but(&self, referred: &BTreeSet<Digest>) -> io::Result<u64> {
        let mut removed = 0;
        for digest in self.all()? {
            // Held while removing: who keeps the same content meanwhile writes it after.
            let fresh = held(&self.fresh);
            let needed = referred.contains(&digest)
                || fresh.contains(&digest)
                || held(&self.pinned).contains(&digest);
            if !needed {
                fs::remove_file(self.path(digest))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// All that is kept.
    pub(super) fn all(&self) -> io::Result<Vec<Digest>> {
        let mut all = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            let first = folder.file_name();
            let Some(first) = first.to_str().filter(|name| name.len() == 2) else { continue };
            for file in fs::read_dir(folder.path())? {
                let file = file?.file_name();
                let digest = file.to_str().map(|rest| Digest::from_str(&format!("{first}{rest}")));
                all.extend(digest.and_then(Result::ok));
            }
        }
        all.sort();
        Ok(all)
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

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this lock")
}
