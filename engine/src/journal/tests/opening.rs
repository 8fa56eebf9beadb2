//! A folder that cannot be opened says what, where and what to do.

use std::fs;
use std::io;
use std::path::Path;

use super::sample::{begun, store};
use crate::journal::{OpenError, SledJournal};

fn refusal(folder: &Path) -> OpenError {
    SledJournal::open(folder).err().expect("it does not open")
}

#[test]
fn a_folder_in_use_names_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = SledJournal::open(folder.path()).expect("opens");
    let error = refusal(folder.path());
    let pid = std::process::id();
    assert!(matches!(error, OpenError::Locked { pid: Some(holder), .. } if holder == pid));
    assert_eq!(
        error.to_string(),
        format!(
            "the journal in {} is in use by process {pid}: talk to that one (`baton runs`, \
             `baton show`), stop it, or set another [paths] data",
            folder.path().display()
        )
    );
    drop(first);
    SledJournal::open(folder.path()).expect("opens when the first has gone");
}

#[test]
fn a_folder_of_a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(SledJournal::open(folder.path()).expect("opens"));
    fs::write(folder.path().join("format"), "baton-journal 7\n").expect("written");
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 7, .. }), "{error:?}");
    assert!(error.to_string().contains("was written by a newer Baton (format 7"), "{error}");
}

#[test]
fn a_damaged_or_missing_marker_is_not_guessed() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(SledJournal::open(folder.path()).expect("opens"));
    for text in ["", "something else\n", "baton-journal x", "baton-journal 0"] {
        fs::write(folder.path().join("format"), text).expect("written");
        assert!(matches!(refusal(folder.path()), OpenError::Foreign { .. }), "{text}");
    }
    fs::remove_file(folder.path().join("format")).expect("removed");
    let error = refusal(folder.path());
    assert!(error.to_string().contains("it has a store, but no file `format`"), "{error}");
}

#[test]
fn a_file_is_not_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal");
    fs::write(&file, "").expect("written");
    assert!(matches!(refusal(&file), OpenError::NotAFolder { .. }));
    assert!(matches!(refusal(&file.join("below")), OpenError::NotAFolder { .. }));
}

/// Not even root makes folders in sysfs.
#[test]
fn a_place_that_may_not_be_written_says_so() {
    let error = refusal(Path::new("/sys/baton-journal"));
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("the journal needs to write /sys/baton-journal"), "{error}");
}

#[test]
fn a_full_disk_says_so() {
    let error = OpenError::of(Path::new("/data/journal"), io::ErrorKind::StorageFull.into());
    assert_eq!(
        error.to_string(),
        "the disk of the journal in /data/journal is full (0 MiB free, 16 MiB needed to start): \
         make room, or set [paths] data to another disk"
    );
}

#[test]
fn a_missing_folder_is_made_with_its_parents() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("a/b/journal");
    store(&SledJournal::open(&deep).expect("opens"), vec![begun("a", 1)]).expect("stored");
    assert!(deep.join("format").is_file());
}

#[test]
fn a_start_that_was_cut_off_is_finished_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    // As a crash leaves it before the marker was renamed, and before sled was made.
    fs::write(folder.path().join("lock"), "1\n").expect("written");
    fs::write(folder.path().join("format.draft"), "bat").expect("written");
    fs::create_dir_all(folder.path().join("blobs/drafts")).expect("made");
    fs::write(folder.path().join("blobs/drafts/0"), "half").expect("written");
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, vec![begun("a", 1)]).expect("stored");
    assert!(!folder.path().join("blobs/drafts/0").exists());
}
