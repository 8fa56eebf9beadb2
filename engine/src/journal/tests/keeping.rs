//! How long things are kept: closed runs, the log's segments, files of large records.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use baton_core::Millis;
use baton_core::id::Digest;
use baton_core::run::event::{Begun, Event, Parent};

use super::sample::{PATIENCE, attempt, begun, closed, events, output, run, store};
use crate::journal::log::SEGMENT_BYTES;
use crate::journal::{Entry, Journal, Retention, SledJournal, check, compact};

fn keep(closed_runs_max: u64) -> Retention {
    Retention { closed_runs_max, ..Retention::FOR_EVER }
}

/// A journal that has the plugin which the runs of the tests begin with.
fn opened(folder: &Path, retention: Retention, segment_bytes: u64) -> SledJournal {
    let journal = SledJournal::open_as(folder, retention, segment_bytes).expect("opens");
    journal.put_plugin(Digest::of(b"promote"), b"promote").expect("kept");
    journal
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Millis::try_from(since.as_millis()).expect("a time")
}

fn until(what: &str, is: impl Fn() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < ends, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A closed run that nobody needs, of `bytes`.
fn finished(name: &str, at: Millis, bytes: usize) -> Vec<Entry> {
    let mut end = closed(name, 2, at);
    let summary = end.closed.as_mut().expect("a summary");
    (summary.acted, summary.dedup) = (false, None);
    vec![begun(name, 1), output(name, 1, bytes), end]
}

fn names(journal: &dyn Journal) -> Vec<String> {
    let closed = journal.closed_runs(None, usize::MAX).expect("read");
    closed.into_iter().map(|short| short.expect("whole").run.to_string()).collect()
}

fn gone(journal: &dyn Journal, name: &str) -> bool {
    journal.events(&run(name)).expect("read").is_none()
}

#[test]
fn of_too_many_closed_runs_the_oldest_go_with_all_that_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = opened(folder.path(), keep(3), SEGMENT_BYTES);
    store(&journal, vec![begun("open", 1), output("open", 1, 10)]).expect("stored");
    for at in 1..=20 {
        store(&journal, finished(&format!("r{at}"), at, 5_000)).expect("stored");
    }
    until("three are left", || names(&journal).len() == 3);
    assert_eq!(names(&journal), ["r20", "r19", "r18"]);
    assert!(gone(&journal, "r1") && gone(&journal, "r17"));
    assert_eq!(journal.open_runs().expect("read").len(), 1);
    let findings = check(&journal).expect("looks");
    assert!(findings.is_sound() && findings.orphans.is_empty(), "{findings:?}");
    drop(journal);
    assert_eq!(names(&SledJournal::open(folder.path()).expect("opens")).len(), 3);
}

#[test]
fn closed_runs_that_are_too_old_go_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, finished("old", 5, 10)).expect("stored");
    store(&journal, finished("young", now(), 10)).expect("stored");
    drop(journal);
    let hour = Retention { closed_ms_max: 3_600_000, ..Retention::FOR_EVER };
    let journal = SledJournal::open_with(folder.path(), hour).expect("opens");
    until("the old one is gone", || gone(&journal, "old"));
    assert_eq!(names(&journal), ["young"]);
}

fn child_of(parent: &str, name: &str) -> Entry {
    let mut entry = begun(name, 1);
    if let Event::Begun { begun, .. } = &mut entry.event {
        let parent = Parent { run: run(parent), attempt: attempt(1), fresh_until: None };
        *begun = Arc::new(Begun { parent: Some(parent), ..(**begun).clone() });
    }
    entry
}

#[test]
fn what_somebody_may_still_ask_for_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open_with(folder.path(), keep(1)).expect("opens");
    store(&journal, vec![begun("parent", 1)]).expect("stored");
    let mut child = finished("child", 2, 10);
    child[0] = child_of("parent", "child");
    store(&journal, child).expect("stored");
    let with = |name: &str, acted: bool, repeated: bool| {
        let mut run = finished(name, now(), 10);
        let summary = run[2].closed.as_mut().expect("a summary");
        summary.acted = acted;
        summary.dedup = summary.dedup.take().filter(|_| repeated);
        run
    };
    store(&journal, with("acted", true, false)).expect("stored");
    let mut repeated = closed("repeated", 1, now());
    repeated.closed.as_mut().expect("a summary").acted = false;
    store(&journal, vec![begun("repeated", 1), repeated]).expect("stored");
    for at in 0..5 {
        store(&journal, finished(&format!("spare{at}"), now() + at, 10)).expect("stored");
    }
    until("the spare ones are gone", || gone(&journal, "spare4"));
    let mut left = names(&journal);
    left.sort();
    assert_eq!(left, ["acted", "child", "repeated"]);
    // Its parent closes: nobody needs the child any more.
    store(&journal, vec![closed("parent", 1, 3)]).expect("stored");
    drop(journal);
    let journal = SledJournal::open_with(folder.path(), keep(1)).expect("opens");
    until("parent and child are gone", || gone(&journal, "child") && gone(&journal, "parent"));
}

fn files(folder: &Path) -> usize {
    let blobs = fs::read_dir(folder.join("blobs")).expect("a folder");
    blobs.map(|entry| fs::read_dir(entry.expect("a name").path()).expect("a folder").count()).sum()
}

#[test]
fn files_that_no_run_refers_to_go_and_plugins_of_open_runs_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let (needed, spare) = (Digest::of(b"promote"), Digest::of(b"an older build"));
    journal.put_plugin(needed, b"promote").expect("kept");
    journal.put_plugin(spare, b"an older build").expect("kept");
    store(&journal, vec![begun("open", 1), output("open", 1, 100_000)]).expect("stored");
    for at in 1..=4 {
        store(&journal, finished(&format!("r{at}"), at, 90_000)).expect("stored");
    }
    assert_eq!(files(folder.path()), 7);
    drop(journal);
    let journal = SledJournal::open_with(folder.path(), keep(1)).expect("opens");
    // One large record each of two runs, and the plugin that they began with.
    until("the others are gone", || files(folder.path()) == 3);
    assert!(journal.plugin(needed).expect("read").is_some());
    assert_eq!(journal.plugin(spare).expect("read"), None);
    let findings = check(&journal).expect("looks");
    assert!(findings.is_sound() && findings.orphans.is_empty(), "{findings:?}");
}

#[test]
fn the_log_is_cleaned_and_has_all_that_is_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = opened(folder.path(), keep(8), 4_096);
    let open: Vec<Entry> =
        std::iter::once(begun("open", 1)).chain((1..9).map(|n| output("open", n, 3_000))).collect();
    for entry in &open {
        store(&journal, vec![entry.clone()]).expect("stored");
    }
    for at in 1..=150 {
        store(&journal, finished(&format!("r{at}"), at, 4_000)).expect("stored");
    }
    let segments = || fs::read_dir(folder.path().join("log")).expect("a folder").count();
    until("the segments are few", || segments() <= 70 && names(&journal).len() == 8);
    drop(journal);
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    let journal = opened(folder.path(), keep(8), 4_096);
    assert_eq!(names(&journal).len(), 8);
    assert_eq!(journal.events(&run("open")), Ok(Some(Ok(events(&open)))));
    assert!(gone(&journal, "r1"));
    let findings = check(&journal).expect("looks");
    assert!(findings.is_sound() && findings.orphans.is_empty(), "{findings:?}");
}

#[test]
fn compacting_makes_it_small_and_changes_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = opened(folder.path(), Retention::FOR_EVER, SEGMENT_BYTES);
    for at in 1..=200 {
        store(&journal, finished(&format!("r{at}"), at, 4_000)).expect("stored");
    }
    store(&journal, vec![begun("open", 1), output("open", 1, 70_000)]).expect("stored");
    drop(journal);
    fs::create_dir_all(folder.path().join("blobs/00")).expect("made");
    fs::write(folder.path().join(format!("blobs/00/{}", "0".repeat(62))), "spare").expect("made");
    let done = compact(folder.path(), keep(10)).expect("compacts");
    assert_eq!((done.runs_removed, done.files_removed), (190, 1));
    assert!(done.bytes_after < done.bytes_before / 2, "{done:?}");
    for _ in 0..2 {
        let journal = opened(folder.path(), keep(10), SEGMENT_BYTES);
        assert_eq!(names(&journal).len(), 10);
        let open = vec![begun("open", 1), output("open", 1, 70_000)];
        assert_eq!(journal.events(&run("open")), Ok(Some(Ok(events(&open)))));
        let findings = check(&journal).expect("looks");
        assert!(findings.is_sound() && findings.mended.is_empty(), "{findings:?}");
    }
}
