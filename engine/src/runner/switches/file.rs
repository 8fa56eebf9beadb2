//! Where switches are kept: one small file beside the journal, replaced whole. A crash
//! leaves what was said before, or what was said now, never half of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use baton_core::Millis;
use serde::{Deserialize, Serialize};

use super::{Brake, By, Switches};

/// Version of the file that this Baton writes, and the newest it reads.
const FORMAT: u32 = 1;

/// The place of the file; none: in memory alone.
#[derive(Clone, Debug)]
pub(in crate::runner) struct Shelf(Option<PathBuf>);

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(flatten)]
    switches: Switches,
}

impl Shelf {
    pub(in crate::runner) fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    /// What was kept. A file that cannot be read may have held anything: everything is
    /// paused until a person says otherwise, which writes it anew.
    pub(in crate::runner) fn load(&self, now: Millis) -> Switches {
        let Some(path) = &self.0 else { return Switches::default() };
        match read(path) {
            Ok(switches) => switches,
            Err(why) => {
                let path = path.display();
                tracing::error!(%path, why, "pauses and maintenance windows cannot be read, so nothing is changed: look at the file, then `baton resume`");
                let reason = format!(
                    "{path} cannot be read ({why}), so a pause or a window may have been in force; `baton resume` begins a new file"
                );
                let by = By { who: "baton".to_owned(), reason };
                let brake = Brake { id: 0, cluster: None, by, from: now, until: None };
                Switches { brakes: vec![brake], ..Switches::default() }
            }
        }
    }

    /// Keeps it; on disk when it returns.
    pub(in crate::runner) fn keep(&self, switches: &Switches) -> Result<(), String> {
        let Some(path) = &self.0 else { return Ok(()) };
        let document = Document { format: FORMAT, switches: switches.clone() };
        write(path, &document).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read(path: &Path) -> Result<Switches, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Switches::default()),
        Err(error) => return Err(error.to_string()),
    };
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|error| format!("it is damaged: {error}"))?;
    if document.format > FORMAT {
        return Err(format!("a newer Baton wrote it (format {})", document.format));
    }
    Ok(document.switches)
}

fn write(path: &Path, document: &Document) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(document)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name must survive a power loss as well.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ByHand, Order};
    use super::*;

    fn by() -> By {
        By { who: "ann".to_owned(), reason: "a test".to_owned() }
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Some(folder.path().join("switches.json")));
        assert_eq!(shelf.load(5), Switches::default());
        let said = Order::Maintain { cluster: "bondx".to_owned(), from: None, until: 50 };
        let switches = Switches::default().after(&said, by(), 5).unwrap();
        shelf.keep(&switches).unwrap();
        assert_eq!(shelf.load(5), switches);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_pauses_everything_until_somebody_resumes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches.json");
        let shelf = Shelf::new(Some(path.clone()));
        for rubbish in [
            "",
            "{\"format\":1}",
            "{\"format\":9,\"brakes\":[],\"past\":[],\"acknowledged\":[],\"last_id\":0}",
        ] {
            fs::write(&path, rubbish).unwrap();
            let switches = shelf.load(5);
            let holding = switches.holding(&[], ByHand::Yes, 5).map(|brake| &brake.by.reason);
            assert!(holding.is_some_and(|why| why.contains("baton resume")), "{rubbish}");
            shelf.keep(&switches.after(&Order::Resume, by(), 6).unwrap()).unwrap();
            assert!(shelf.load(7).holding(&[], ByHand::No, 7).is_none());
        }
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Some(folder.path().join("nowhere/switches.json")));
        let error = shelf.keep(&Switches::default()).unwrap_err();
        assert!(error.contains("nowhere/switches.json"), "{error}");
    }
}
