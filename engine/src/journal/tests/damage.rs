//! One bad record costs one run, and says why.

use std::path::Path;

use super::sample::{begun, closed, events, output, run, store};
use crate::journal::ledger::{Change, Pair};
use crate::journal::{Journal, MemoryJournal, SledJournal, envelope, keys};

/// A store whose bytes a test can spoil.
trait Spoil: Journal {
    fn pairs(&self, prefix: &[u8]) -> Vec<Pair>;
    fn change(&self, changes: Vec<Change>);
}

impl Spoil for MemoryJournal {
    fn pairs(&self, prefix: &[u8]) -> Vec<Pair> {
        self.raw_pairs(prefix)
    }
    fn change(&self, changes: Vec<Change>) {
        self.raw_change(changes);
    }
}

impl Spoil for SledJournal {
    fn pairs(&self, prefix: &[u8]) -> Vec<Pair> {
        self.raw_pairs(prefix)
    }
    fn change(&self, changes: Vec<Change>) {
        self.raw_change(changes);
    }
}

macro_rules! every_store {
    ($($test:ident)+) => {
        mod in_memory { $(#[test] fn $test() {
            super::$test(&crate::journal::MemoryJournal::new(9));
        })+ }
        mod on_disk { $(#[test] fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            super::$test(&crate::journal::SledJournal::open(folder.path()).expect("opens"));
        })+ }
    };
}

every_store! {
    each_flipped_byte_is_found
    each_cut_is_found
    a_newer_version_is_told_from_damage
    an_unknown_kind_is_told_from_damage
    a_gap_is_found
    a_lost_end_of_a_closed_run_is_found
    a_record_under_anothers_key_is_found
    a_damaged_summary_costs_only_itself
}

/// Run `a` for the test to spoil, run `b` to stay whole.
fn fill(journal: &dyn Journal) {
    store(journal, vec![begun("a", 1), output("a", 1, 30), output("a", 2, 30)]).expect("stored");
    store(journal, vec![begun("b", 2), output("b", 1, 30)]).expect("stored");
}

fn why(journal: &dyn Journal) -> String {
    let open = journal.open_runs().expect("the index is whole");
    let whole = events(&[begun("b", 2), output("b", 1, 30)]);
    assert_eq!(open[1], (run("b"), Ok(whole)), "the other run is not touched");
    let Err(unreadable) = &open[0].1 else { panic!("the damage was not found") };
    let alone = journal.events(&run("a")).expect("read").expect("there").expect_err("found");
    assert!(alone.why.starts_with(&unreadable.why), "{alone}");
    unreadable.why.clone()
}

fn each_flipped_byte_is_found(journal: &impl Spoil) {
    fill(journal);
    let key = keys::part(&run("a"), 1, 0);
    let (_, whole) = journal.pairs(&key).remove(0);
    for index in 0..whole.len() {
        let mut value = whole.clone();
        value[index] ^= 0x10;
        journal.change(vec![(key.clone(), Some(value))]);
        assert_eq!(why(journal), "record 1 of run a is damaged: its checksum does not match");
    }
}

fn each_cut_is_found(journal: &impl Spoil) {
    fill(journal);
    let key = keys::part(&run("a"), 1, 0);
    let (_, whole) = journal.pairs(&key).remove(0);
    for length in 0..whole.len() {
        journal.change(vec![(key.clone(), Some(whole[..length].to_vec()))]);
        assert!(why(journal).starts_with("record 1 of run a is damaged: "), "{length}");
    }
}

fn replace(journal: &impl Spoil, seq: u64, sealed: Vec<u8>) {
    journal.change(vec![(keys::part(&run("a"), seq, 0), Some(sealed))]);
}

fn a_newer_version_is_told_from_damage(journal: &impl Spoil) {
    fill(journal);
    let label = "record 1 of run a";
    replace(journal, 1, envelope::seal_as(2, label, envelope::Place::Inline, b"\x01\x02"));
    assert_eq!(
        why(journal),
        "record 1 of run a was written by a newer Baton (version 2 of records; this one knows \
         version 1): start that one again, or a newer one"
    );
}

fn an_unknown_kind_is_told_from_damage(journal: &impl Spoil) {
    fill(journal);
    let body = br#"{"teleported":{"at":1}}"#;
    replace(journal, 1, envelope::seal("record 1 of run a", envelope::Place::Inline, body));
    let why = why(journal);
    assert!(
        why.starts_with(
            "record 1 of run a was written by a newer Baton (unknown variant `teleported`"
        ),
        "{why}"
    );
}

fn a_gap_is_found(journal: &impl Spoil) {
    fill(journal);
    for missing in [1, 0] {
        journal.change(vec![(keys::part(&run("a"), missing, 0), None)]);
        assert_eq!(why(journal), format!("record {missing} of run a is missing"));
    }
    journal.change(vec![(keys::part(&run("a"), 2, 0), None)]);
    assert_eq!(why(journal), "record 0 of run a is missing", "all of them are");
}

fn a_lost_end_of_a_closed_run_is_found(journal: &impl Spoil) {
    store(journal, vec![begun("a", 1), output("a", 1, 3), closed("a", 2, 9)]).expect("stored");
    journal.change(vec![(keys::part(&run("a"), 2, 0), None)]);
    let history = journal.events(&run("a")).expect("read").expect("there");
    let why = history.expect_err("found").why;
    assert!(why.starts_with("record 2 of run a is missing"), "{why}");
}

fn a_record_under_anothers_key_is_found(journal: &impl Spoil) {
    fill(journal);
    let (_, other) = journal.pairs(&keys::part(&run("b"), 1, 0)).remove(0);
    replace(journal, 1, other);
    assert_eq!(why(journal), "record 1 of run a is damaged: its checksum does not match");
}

fn a_damaged_summary_costs_only_itself(journal: &impl Spoil) {
    for (name, at) in [("a", 5), ("b", 6)] {
        store(journal, vec![begun(name, 1), closed(name, 1, at)]).expect("stored");
    }
    journal.change(vec![(keys::closed(6, &run("b")), Some(vec![1, 2, 3]))]);
    let closed = journal.closed_runs(None, 9).expect("read");
    let (spoiled, why) = closed[0].clone().expect_err("found");
    assert_eq!(
        (spoiled.as_str(), why.why.as_str()),
        ("b", "the summary of run b is damaged: it was cut short")
    );
    assert_eq!(closed[1].clone().expect("whole").run, run("a"));
}

fn one_blob(folder: &Path) -> std::path::PathBuf {
    let blobs = std::fs::read_dir(folder.join("blobs")).expect("the tree");
    let files = blobs.flat_map(|entry| {
        std::fs::read_dir(entry.expect("a name").path())
            .expect("a folder")
            .map(|file| file.expect("a name").path())
    });
    files.last().expect("one file")
}

#[test]
fn a_damaged_or_missing_large_record_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, vec![begun("a", 1), output("a", 1, 100_000)]).expect("stored");
    store(&journal, vec![begun("b", 2), output("b", 1, 30)]).expect("stored");
    let blob = one_blob(folder.path());
    let mut bytes = std::fs::read(&blob).expect("its bytes");
    bytes[5] ^= 1;
    std::fs::write(&blob, bytes).expect("spoilt");
    assert!(why(&journal).ends_with("does not have the digest it is named by"));
    std::fs::remove_file(&blob).expect("gone");
    assert!(why(&journal).ends_with("is missing"));
}

#[test]
fn a_damaged_plugin_is_found_and_can_be_kept_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let digest = baton_core::id::Digest::of(b"component");
    journal.put_plugin(digest, b"component").expect("kept");
    std::fs::write(one_blob(folder.path()), b"c0mponent").expect("spoilt");
    assert!(journal.plugin(digest).is_err());
    journal.put_plugin(digest, b"component").expect("kept");
    assert_eq!(journal.plugin(digest), Ok(Some(b"component".to_vec())));
}
