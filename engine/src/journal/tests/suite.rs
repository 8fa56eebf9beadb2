//! What every store must do.

use std::path::Path;
use std::sync::Arc;

use baton_core::id::Digest;
use serde_json::json;

use super::sample::{begun, closed, events, output, run, store};
use crate::journal::{
    AppendError, Entry, INLINE_BYTES_MAX, Journal, MemoryJournal, RECORD_BYTES_MAX, SledJournal,
};

fn memory(_: &Path) -> MemoryJournal {
    MemoryJournal::new(1_000)
}

fn sled(folder: &Path) -> SledJournal {
    SledJournal::open(folder).expect("an empty folder opens")
}

macro_rules! every_store {
    ($($test:ident)+) => {
        mod in_memory { $(#[test] fn $test() { super::with(super::memory, super::$test); })+ }
        mod on_disk { $(#[test] fn $test() { super::with(super::sled, super::$test); })+ }
    };
}

every_store! {
    what_is_stored_is_read_back
    a_run_is_open_until_it_is_closed
    open_runs_come_in_the_order_they_began
    closed_runs_come_newest_first_and_in_pages
    a_batch_over_several_runs_is_stored_whole
    a_batch_with_one_bad_entry_leaves_nothing
    what_does_not_follow_is_refused
    an_entry_built_on_a_refused_one_is_refused
    a_closed_run_takes_no_more
    a_run_may_begin_and_close_in_one_batch
    records_of_all_sizes_come_back
    a_record_above_its_bound_is_refused
    a_value_too_deep_to_read_is_refused
    plugins_are_kept_by_their_digest
    many_threads_append_at_once
}

fn with<J: Journal>(open: fn(&Path) -> J, test: fn(&J)) {
    let folder = tempfile::tempdir().expect("a folder");
    test(&open(folder.path()));
}

fn what_is_stored_is_read_back(journal: &impl Journal) {
    let entries = vec![begun("a", 1), output("a", 1, 10), output("a", 2, 0)];
    store(journal, entries.clone()).expect("stored");
    assert_eq!(journal.events(&run("a")), Ok(Some(Ok(events(&entries)))));
    assert_eq!(journal.events(&run("b")), Ok(None));
    // A prefix of another's name is another run.
    assert_eq!(journal.events(&run("aa")), Ok(None));
}

fn a_run_is_open_until_it_is_closed(journal: &impl Journal) {
    let entries = vec![begun("a", 1), output("a", 1, 10)];
    store(journal, entries.clone()).expect("stored");
    assert_eq!(journal.open_runs(), Ok(vec![(run("a"), Ok(events(&entries)))]));
    assert_eq!(journal.closed_runs(None, 10), Ok(vec![]));

    let end = closed("a", 2, 50);
    store(journal, vec![end.clone()]).expect("stored");
    assert_eq!(journal.open_runs(), Ok(vec![]));
    let short = end.closed.clone().expect("a summary");
    assert_eq!(journal.closed_runs(None, 10), Ok(vec![Ok(short)]));
    let all = [entries, vec![end]].concat();
    assert_eq!(journal.events(&run("a")), Ok(Some(Ok(events(&all)))));
}

fn open_runs_come_in_the_order_they_began(journal: &impl Journal) {
    for (name, at) in [("c", 1), ("a", 300), ("b", 2)] {
        store(journal, vec![begun(name, at)]).expect("stored");
    }
    let open = journal.open_runs().expect("read");
    let names: Vec<_> = open.iter().map(|(run, _)| run.as_str()).collect();
    assert_eq!(names, ["c", "b", "a"]);
}

fn closed_runs_come_newest_first_and_in_pages(journal: &impl Journal) {
    for (name, at) in [("a", 300), ("b", 2), ("c", 300), ("d", 70_000)] {
        store(journal, vec![begun(name, 1), closed(name, 1, at)]).expect("stored");
    }
    store(journal, vec![begun("open", 1)]).expect("stored");
    let page = |before: Option<&str>, limit| -> Vec<String> {
        let closed = journal.closed_runs(before.map(run).as_ref(), limit).expect("read");
        closed.into_iter().map(|closed| closed.expect("whole").run.to_string()).collect()
    };
    assert_eq!(page(None, 2), ["d", "c"]);
    assert_eq!(page(Some("c"), 2), ["a", "b"]);
    assert_eq!(page(Some("b"), 2), [""; 0]);
    assert_eq!(page(Some("open"), 1), ["d"], "from the newest: it is not closed");
    assert_eq!(page(None, 0), [""; 0]);
}

fn a_batch_over_several_runs_is_stored_whole(journal: &impl Journal) {
    let batch = vec![begun("a", 1), begun("b", 1), output("a", 1, 5), closed("b", 1, 9)];
    store(journal, batch).expect("stored");
    assert_eq!(journal.open_runs().expect("read").len(), 1);
    assert_eq!(journal.closed_runs(None, 9).expect("read").len(), 1);
}

fn a_batch_with_one_bad_entry_leaves_nothing(journal: &impl Journal) {
    let batch = vec![begun("a", 1), output("a", 1, 5), begun("b", 1), output("b", 7, 5)];
    let error = store(journal, batch).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "record 7 of run b is refused: it does not follow: the next is 1"
    );
    assert_eq!(journal.open_runs(), Ok(vec![]));
    assert_eq!(journal.events(&run("a")), Ok(None));
    store(journal, vec![begun("a", 1), output("a", 1, 5)]).expect("as if it had never been");
}

fn refusal(journal: &impl Journal, entry: Entry) -> String {
    match store(journal, vec![entry]) {
        Err(AppendError::Refused { why, .. }) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn what_does_not_follow_is_refused(journal: &impl Journal) {
    assert_eq!(refusal(journal, output("a", 0, 1)), "a run begins with `Begun`");
    assert_eq!(refusal(journal, output("a", 1, 1)), "it does not follow: the next is 0");
    let stranger = Entry { run: run("b"), ..begun("a", 1) };
    assert_eq!(refusal(journal, stranger), "it begins another run");
    store(journal, vec![begun("a", 1)]).expect("stored");
    assert_eq!(refusal(journal, begun("a", 1)), "it does not follow: the next is 1");
    assert_eq!(refusal(journal, output("a", 2, 1)), "it does not follow: the next is 1");
    let again = Entry { seq: 1, ..begun("a", 1) };
    assert_eq!(refusal(journal, again), "the run has begun already");
    let bare = Entry { closed: None, ..closed("a", 1, 2) };
    assert_eq!(refusal(journal, bare), "`Closed` goes with the run's summary");
    let foreign = Entry { closed: closed("b", 1, 2).closed, ..closed("a", 1, 2) };
    assert_eq!(refusal(journal, foreign), "`Closed` goes with the run's summary");
    let early = Entry { closed: closed("a", 1, 2).closed, ..output("a", 1, 2) };
    assert_eq!(refusal(journal, early), "a summary goes with `Closed`");
    store(journal, vec![output("a", 1, 1)]).expect("what follows is stored");
}

fn an_entry_built_on_a_refused_one_is_refused(journal: &impl Journal) {
    store(journal, vec![begun("a", 1)]).expect("stored");
    assert!(store(journal, vec![output("a", 1, 1), output("a", 3, 1)]).is_err());
    assert_eq!(refusal(journal, output("a", 2, 1)), "it does not follow: the next is 1");
}

fn a_closed_run_takes_no_more(journal: &impl Journal) {
    store(journal, vec![begun("a", 1), closed("a", 1, 2)]).expect("stored");
    assert_eq!(refusal(journal, output("a", 2, 1)), "the run is closed");
    assert_eq!(refusal(journal, begun("a", 1)), "the run is closed");
    let batch = vec![begun("b", 1), closed("b", 1, 2), output("b", 2, 1)];
    assert!(store(journal, batch).is_err(), "within one batch as well");
    assert_eq!(journal.events(&run("b")), Ok(None));
}

fn a_run_may_begin_and_close_in_one_batch(journal: &impl Journal) {
    store(journal, vec![begun("a", 1), closed("a", 1, 2)]).expect("stored");
    assert_eq!(journal.open_runs(), Ok(vec![]));
    assert_eq!(journal.closed_runs(None, 9).expect("read").len(), 1);
}

fn records_of_all_sizes_come_back(journal: &impl Journal) {
    let mut entries = vec![begun("a", 1)];
    let sizes = [0, 3_900, 4_096, 8_192, INLINE_BYTES_MAX - 200, INLINE_BYTES_MAX, 3_000_000];
    entries.extend((1..).zip(sizes).map(|(seq, bytes)| output("a", seq, bytes)));
    store(journal, entries.clone()).expect("stored");
    assert_eq!(journal.events(&run("a")), Ok(Some(Ok(events(&entries)))));
}

fn a_record_above_its_bound_is_refused(journal: &impl Journal) {
    store(journal, vec![begun("a", 1)]).expect("stored");
    let why = refusal(journal, output("a", 1, RECORD_BYTES_MAX));
    assert!(why.ends_with("at most 33554432 are kept"), "{why}");
    store(journal, vec![output("a", 1, 1)]).expect("later ones are stored");
}

fn nested(levels: usize) -> Entry {
    let value = (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let mut entry = output("a", 1, 0);
    if let baton_core::run::event::Event::Succeeded { output, .. } = &mut entry.event {
        *output = Arc::new(value);
    }
    entry
}

fn a_value_too_deep_to_read_is_refused(journal: &impl Journal) {
    store(journal, vec![begun("a", 1)]).expect("stored");
    assert_eq!(refusal(journal, nested(128)), "its output is nested deeper than 127 levels");
    let deepest = nested(127);
    store(journal, vec![deepest.clone()]).expect("stored");
    let history = journal.events(&run("a")).expect("read").expect("there").expect("whole");
    assert_eq!(history[1], deepest.event);
}

fn plugins_are_kept_by_their_digest(journal: &impl Journal) {
    let bytes = vec![7; 100_000];
    let digest = Digest::of(&bytes);
    assert_eq!(journal.plugin(digest), Ok(None));
    let error = journal.put_plugin(Digest::of(b"other"), &bytes).expect_err("refused");
    assert!(error.to_string().ends_with("the bytes do not have that digest"), "{error}");
    for _ in 0..2 {
        journal.put_plugin(digest, &bytes).expect("kept");
        assert_eq!(journal.plugin(digest), Ok(Some(bytes.clone())));
    }
}

fn many_threads_append_at_once(journal: &impl Journal) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let name = format!("run-{thread}");
                store(journal, vec![begun(&name, thread)]).expect("stored");
                for seq in 1..50 {
                    store(journal, vec![output(&name, seq, 200)]).expect("stored");
                }
            });
        }
    });
    let open = journal.open_runs().expect("read");
    assert_eq!(open.len(), 8);
    assert!(open.iter().all(|(_, history)| history.as_ref().is_ok_and(|all| all.len() == 50)));
}

#[test]
fn a_journal_in_memory_forgets_the_oldest_closed_runs() {
    let journal = MemoryJournal::new(2);
    for (name, at) in [("a", 1), ("b", 2), ("c", 3)] {
        store(&journal, vec![begun(name, at), closed(name, 1, at)]).expect("stored");
    }
    assert_eq!(journal.closed_runs(None, 9).expect("read").len(), 2);
    assert_eq!(journal.events(&run("a")), Ok(None));
    assert!(journal.events(&run("b")).expect("read").is_some());
}

#[test]
fn a_journal_on_disk_outlives_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let entries = vec![begun("a", 1), output("a", 1, 10), output("a", 2, 200_000)];
    let bytes = b"\0asm".to_vec();
    {
        let journal = sled(folder.path());
        store(&journal, entries.clone()).expect("stored");
        store(&journal, vec![begun("b", 1), closed("b", 1, 2)]).expect("stored");
        journal.put_plugin(Digest::of(&bytes), &bytes).expect("kept");
    }
    let journal = sled(folder.path());
    assert_eq!(journal.open_runs(), Ok(vec![(run("a"), Ok(events(&entries)))]));
    assert_eq!(journal.closed_runs(None, 9).expect("read").len(), 1);
    assert_eq!(journal.plugin(Digest::of(&bytes)), Ok(Some(bytes)));
    assert_eq!(refusal(&journal, output("a", 2, 1)), "it does not follow: the next is 3");
    assert_eq!(refusal(&journal, output("b", 2, 1)), "the run is closed");
    store(&journal, vec![output("a", 3, 1)]).expect("the run goes on");
}

/// sled 0.34.7 writes a page above 128 KiB to a file under its own `blobs/` and never
/// syncs it: no page may grow so large.
#[test]
fn no_page_of_sled_grows_into_an_unsynced_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = sled(folder.path());
    for round in 0..6 {
        let name = format!("run-{round}");
        let mut entries = vec![begun(&name, 1)];
        entries.extend((1..40).map(|seq| output(&name, seq, INLINE_BYTES_MAX - 300)));
        entries.push(closed(&name, 40, round));
        store(&journal, entries).expect("stored");
    }
    let unsynced = std::fs::read_dir(folder.path().join("store/blobs")).expect("sled's folder");
    assert_eq!(unsynced.count(), 0);
}
