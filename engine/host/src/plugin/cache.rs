//! Compiled plugins on disk, so that a start costs milliseconds.
//!
//! An entry is named by the component's digest and by everything that compiled
//! code depends on (wasmtime's version, its settings, the CPU). It carries the
//! SHA-256 of its code. An entry that does not hold is compiled anew; a cache
//! that cannot be written costs time, never a run.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use baton_core::id::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::deserialize::deserialize;

/// First bytes of an entry; the number is the entry's format.
const MAGIC: &[u8; 16] = b"baton-compiled-1";
const HEAD_BYTES: usize = MAGIC.len() + 32;

/// Compiled code whose digest was checked.
pub(super) struct Artifact<'a>(&'a [u8]);

impl Artifact<'_> {
    pub(super) fn code(&self) -> &[u8] {
        self.0
    }
}

/// A folder of compiled plugins.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Digest of all that compiled code depends on besides the component.
    settings: u64,
}

impl Cache {
    /// Opens `folder`, making it where it is missing; only we may enter it.
    pub(crate) fn new(folder: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), settings: hasher.finish() })
    }

    /// Where the entry of a component is kept.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}.cwasm", self.settings))
    }

    /// The component from its entry; none if there is no sound one.
    pub(super) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled plugin cannot be read; compiling it again");
                return None;
            }
        };
        let component = match open(&entry) {
            Some(artifact) => deserialize(engine, &artifact).map_err(|error| error.to_string()),
            None => Err("its digest does not hold".to_owned()),
        };
        component
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "compiled plugin is damaged; compiling it again");
            })
            .ok()
    }

    /// Keeps a compiled component. Whole or not at all.
    pub(super) fn put(&self, digest: Digest, component: &Component) {
        let path = self.path(digest);
        let kept = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| self.write(&path, &code).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "compiled plugin is not cached; the next start compiles it again");
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&Digest::of(code).0)?;
        file.write_all(code)?;
        // No fsync: an entry torn by power loss fails its digest and is made again.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn open(entry: &[u8]) -> Option<Artifact<'_>> {
    let (head, code) = entry.split_at_checked(HEAD_BYTES)?;
    let digest = head.strip_prefix(MAGIC)?;
    (digest == Digest::of(code).0).then_some(Artifact(code))
}
