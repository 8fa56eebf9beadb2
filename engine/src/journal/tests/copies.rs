//! Copies of a journal, each damaged in one place: every one opens, and no run is ever
//! silently shorter than it was.

use std::fs;
use std::path::{Path, PathBuf};

use baton_core::id::Digest;
use tempfile::TempDir;

use super::sample::{begun, closed, events, output, run, store};
use crate::journal::log::{Frame, Piece, Pieces};
use crate::journal::{Entry, Journal, OpenError, SledJournal, check, keys};

/// A run with a large record, one that is closed, and others.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "large", "over"];

fn history(name: &str) -> Vec<Entry> {
    let last = match name {
        "large" => output(name, 5, 100_000),
        "over" => closed(name, 5, 9),
        _ => output(name, 5, 30),
    };
    let outputs = (1..5).map(|seq| output(name, seq, 2_000));
    std::iter::once(begun(name, 1)).chain(outputs).chain([last]).collect()
}

fn fill(journal: &SledJournal) {
    journal.put_plugin(Digest::of(b"promote"), b"promote").expect("kept");
    for seq in 0..6 {
        for name in NAMES {
            store(journal, vec![history(name).remove(seq)]).expect("stored");
        }
    }
}

/// How the journal was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Closed in order.
    Shut,
    /// As `kill -9` leaves it: what the kernel has.
    Killed,
}

fn original(left: Left) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    fill(&journal);
    match left {
        Left::Shut => folder,
        Left::Killed => copy(folder.path()),
    }
}

fn copy(from: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_into(from, folder.path());
    folder
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a name");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a name").path();
        if path.is_dir() { files.extend(files_of(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Missing,
    Emptied,
    /// Cut to so many eighths.
    Cut(usize),
    /// Without its last bytes.
    Torn(usize),
    /// One bit, at so many sixteenths.
    Flipped(usize),
    /// The page at so many eighths.
    Zeroed(usize),
    /// Bytes of nobody at its end.
    Longer,
}

fn damages() -> Vec<Damage> {
    let mut damages = vec![Damage::Missing, Damage::Emptied, Damage::Longer];
    damages.extend([1, 3, 6].map(Damage::Cut));
    damages.extend([1, 700].map(Damage::Torn));
    damages.extend([0, 3, 7, 11, 14].map(Damage::Flipped));
    damages.extend([0, 2, 5, 7].map(Damage::Zeroed));
    damages
}

fn spoil(file: &Path, damage: Damage) {
    let mut bytes = fs::read(file).expect("its bytes");
    let length = bytes.len();
    match damage {
        Damage::Missing => return fs::remove_file(file).expect("removed"),
        Damage::Emptied => bytes.clear(),
        Damage::Cut(eighths) => bytes.truncate(length * eighths / 8),
        Damage::Torn(less) => bytes.truncate(length.saturating_sub(less)),
        Damage::Flipped(at) if length > 0 => bytes[length * at / 16] ^= 0x10,
        Damage::Zeroed(at) => {
            let from = (length * at / 8) / 4096 * 4096;
            bytes.iter_mut().skip(from).take(4096).for_each(|byte| *byte = 0);
        }
        Damage::Longer => bytes.extend([0xa5; 999]),
        Damage::Flipped(_) => {}
    }
    fs::write(file, bytes).expect("spoilt");
}

/// The runs that became unreadable. All others are as they were, nothing is gone, and the
/// journal takes new runs, now and after another start.
fn unreadable(folder: &Path, case: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for round in 0..2 {
        let journal = SledJournal::open(folder)
            .unwrap_or_else(|error| panic!("{case}, start {round}: {error}"));
        found.clear();
        for name in NAMES {
            match journal.events(&run(name)).expect("read") {
                Some(Ok(told)) => assert_eq!(told, events(&history(name)), "{case}: {name}"),
                Some(Err(_)) => found.push(name),
                None => panic!("{case}, start {round}: {name} is gone"),
            }
        }
        let fresh = format!("fresh-{round}");
        store(&journal, vec![begun(&fresh, 1), output(&fresh, 1, 10)]).expect("stored");
        let unreadable = check(&journal).expect("looks").unreadable;
        assert_eq!(unreadable.len(), found.len(), "{case}: {unreadable:?}");
    }
    found
}

fn each_damage_to(left: Left, below: &str, costs: &[&str]) {
    let original = original(left);
    let root = original.path();
    let files: Vec<PathBuf> =
        files_of(root).into_iter().filter(|file| file.starts_with(root.join(below))).collect();
    assert!(!files.is_empty(), "{below}");
    for file in files {
        let name = file.strip_prefix(root).expect("below it").to_owned();
        for damage in damages() {
            let copy = copy(root);
            spoil(&copy.path().join(&name), damage);
            let case = format!("{left:?}, {}, {damage:?}", name.display());
            let lost = unreadable(copy.path(), &case);
            assert!(lost.iter().all(|name| costs.contains(name)), "{case}: {lost:?}");
        }
    }
}

#[test]
fn g2_damage_to_the_store_costs_no_run() {
    each_damage_to(Left::Shut, "store", &[]);
}

#[test]
fn g2_damage_to_the_store_of_a_killed_journal_costs_no_run() {
    each_damage_to(Left::Killed, "store", &[]);
}

#[test]
fn g2_damage_to_the_log_costs_no_run() {
    each_damage_to(Left::Shut, "log", &[]);
}

/// The store may lack what it was not flushed of: less than a second.
#[test]
fn g2_damage_to_the_log_of_a_killed_journal_is_never_silent() {
    each_damage_to(Left::Killed, "log", &NAMES);
}

#[test]
fn g2_damage_to_the_mark_costs_no_run() {
    each_damage_to(Left::Shut, "stored", &[]);
    each_damage_to(Left::Killed, "stored", &[]);
}

#[test]
fn g2_damage_to_a_large_record_costs_its_run() {
    each_damage_to(Left::Shut, "blobs", &["large"]);
}

#[test]
fn a_missing_folder_is_made_again_from_the_other() {
    for folder in ["store", "log"] {
        for left in [Left::Shut, Left::Killed] {
            let copy = copy(original(left).path());
            fs::remove_dir_all(copy.path().join(folder)).expect("removed");
            let lost = unreadable(copy.path(), folder);
            assert!(lost.is_empty() || (folder, left) == ("log", Left::Killed), "{lost:?}");
        }
    }
}

#[test]
fn a_journal_of_which_all_is_gone_is_not_taken_for_a_new_one() {
    let copy = copy(original(Left::Shut).path());
    for folder in ["store", "log"] {
        fs::remove_dir_all(copy.path().join(folder)).expect("removed");
    }
    let error = SledJournal::open(copy.path()).err().expect("it does not open");
    assert!(matches!(error, OpenError::Lost { acknowledged: 36, .. }), "{error:?}");
    fs::remove_file(copy.path().join("stored")).expect("as the message says");
    store(&SledJournal::open(copy.path()).expect("opens"), vec![begun("a", 1)]).expect("stored");
}

/// The store as it was before the last batches, and the log with all of them.
fn store_lags() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    for name in ["a", "b", "over"] {
        store(&journal, vec![begun(name, 1)]).expect("stored");
    }
    store(&journal, vec![closed("over", 1, 9)]).expect("stored");
    drop(journal);
    let early = copy(folder.path());
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, vec![output("a", 1, 50)]).expect("stored");
    store(&journal, vec![output("b", 1, 50)]).expect("stored");
    store(&journal, vec![output("a", 2, 50)]).expect("stored");
    let both = copy(folder.path());
    drop(journal);
    fs::remove_dir_all(both.path().join("store")).expect("removed");
    copy_into(&early.path().join("store"), &both.path().join("store"));
    let last = files_of(&both.path().join("log")).pop().expect("a segment");
    (both, last)
}

/// Where the frames of a segment begin and end.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut pieces = Pieces::from(bytes, 0);
    let mut frames = Vec::new();
    let mut from = 0;
    while let Some(piece) = pieces.next() {
        assert!(matches!(piece, Piece::Frame(_)));
        frames.push((from, pieces.at));
        from = pieces.at;
    }
    frames
}

fn whole(journal: &SledJournal, name: &str) -> bool {
    journal.events(&run(name)).expect("read").expect("it is there").is_ok()
}

#[test]
fn g2_a_frame_that_only_the_log_had_costs_the_runs_that_it_names() {
    let (folder, segment) = store_lags();
    let mut bytes = fs::read(&segment).expect("its bytes");
    let (_, end) = frames(&bytes)[1];
    bytes[end - 1] ^= 1;
    fs::write(&segment, bytes).expect("spoilt");
    for _ in 0..2 {
        let journal = SledJournal::open(folder.path()).expect("opens");
        assert!(whole(&journal, "a") && whole(&journal, "over") && !whole(&journal, "b"));
        let error = journal.events(&run("b")).expect("read").expect("there").expect_err("lost");
        assert!(error.why.contains("its last records may be missing"), "{error}");
        assert!(error.why.contains("batches 6 to 6"), "{error}");
    }
    assert!(folder.path().join("log.damaged").is_dir(), "a person may look at it");
}

#[test]
fn g2_a_frame_that_names_nobody_costs_the_runs_that_were_not_heard_of_since() {
    let (folder, segment) = store_lags();
    let mut bytes = fs::read(&segment).expect("its bytes");
    let (from, end) = frames(&bytes)[1];
    bytes[from..end].fill(0);
    fs::write(&segment, bytes).expect("spoilt");
    let journal = SledJournal::open(folder.path()).expect("opens");
    assert!(whole(&journal, "a") && whole(&journal, "over") && !whole(&journal, "b"));
}

#[test]
fn g2_a_lost_end_that_was_acknowledged_costs_every_open_run() {
    let (folder, segment) = store_lags();
    let mut bytes = fs::read(&segment).expect("its bytes");
    bytes.truncate(frames(&bytes)[2].0 + 5);
    fs::write(&segment, bytes).expect("torn");
    let journal = SledJournal::open(folder.path()).expect("opens");
    assert!(whole(&journal, "over") && !whole(&journal, "a") && !whole(&journal, "b"));
}

#[test]
fn an_end_that_was_not_acknowledged_never_was() {
    let (folder, segment) = store_lags();
    let mut bytes = fs::read(&segment).expect("its bytes");
    let (from, end) = frames(&bytes)[2];
    let half = bytes[from..usize::midpoint(from, end)].to_vec();
    bytes.extend(half);
    fs::write(&segment, bytes).expect("torn");
    let journal = SledJournal::open(folder.path()).expect("opens");
    assert!(["a", "b", "over"].iter().all(|name| whole(&journal, name)));
    store(&journal, vec![output("b", 2, 5)]).expect("goes on");
    drop(journal);
    let journal = SledJournal::open(folder.path()).expect("opens");
    let told = journal.events(&run("b")).expect("read").expect("there").expect("whole");
    assert_eq!(told, events(&[begun("b", 1), output("b", 1, 50), output("b", 2, 5)]));
    assert!(journal.notes().is_empty(), "{:?}", journal.notes());
}

/// A store that forgets what was flushed has moved its pages about since: what it has left
/// is not what it had then.
#[test]
fn g2_a_store_that_forgot_what_was_flushed_is_built_again() {
    let folder = original(Left::Shut);
    let empty = tempfile::tempdir().expect("a folder");
    drop(SledJournal::open(empty.path()).expect("opens"));
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    copy_into(&empty.path().join("store"), &folder.path().join("store"));
    let journal = SledJournal::open(folder.path()).expect("opens");
    let notes = journal.notes().join("\n");
    assert!(notes.contains("it ends at batch 0, and had 36"), "{notes}");
    assert!(folder.path().join("store.damaged").is_dir(), "a person may look at it");
    drop(journal);
    assert!(unreadable(folder.path(), "an empty store").is_empty());
}

/// As after a sync that failed: it was refused, and its bytes reached the disk all the same.
#[test]
fn a_frame_that_was_refused_is_void_once_the_log_went_on_in_a_new_segment() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, vec![begun("a", 1)]).expect("stored");
    drop(journal);
    let journal = SledJournal::open(folder.path()).expect("opens");
    store(&journal, vec![output("a", 1, 50)]).expect("stored");
    let pairs = journal.raw_pairs(&keys::records(&run("a")));
    drop(journal);
    let segments = files_of(&folder.path().join("log"));
    assert_eq!(segments.len(), 2, "each start has one of its own");
    let changes = pairs.into_iter().map(|(key, _)| (key, Some(b"refused".to_vec()))).collect();
    let refused = Frame { batch: 2, changes, news: 2 }.encode();
    let bytes = [fs::read(&segments[0]).expect("its bytes"), refused].concat();
    fs::write(&segments[0], bytes).expect("written");
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let told = journal.events(&run("a")).expect("read").expect("there").expect("whole");
    assert_eq!(told, events(&[begun("a", 1), output("a", 1, 50)]));
}

/// What the machine had not put on disk when it lost power is not believed.
#[test]
fn g2_after_a_power_loss_the_store_is_built_again_from_the_log() {
    let folder = original(Left::Killed);
    let mark = folder.path().join("stored");
    let mut bytes = fs::read(&mark).expect("its bytes");
    // Another start of the machine.
    bytes[40] ^= 1;
    let crc = crc32fast::hash(&bytes[..48]);
    bytes[48..].copy_from_slice(&crc.to_be_bytes());
    fs::write(&mark, bytes).expect("written");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let notes = journal.notes().join("\n");
    assert!(notes.contains("the machine went down"), "{notes}");
    drop(journal);
    assert!(unreadable(folder.path(), "power").is_empty());
}

/// In a small store sled meets all damage as it opens; in one of several of its segments
/// it reads most pages only when they are asked for.
#[test]
fn g2_damage_to_a_page_that_is_read_late_is_met_at_the_start() {
    const RUNS: u64 = 60;
    const FLIPS: usize = 24;
    /// Sled writes as it sees fit, and what it reads late differs from store to store.
    const STORES_MAX: usize = 20;
    let history = |number: u64| {
        let name = format!("run-{number:02}");
        let outputs = (1..6).map(|seq| output(&name, seq, 8_000));
        let end = (number >= RUNS / 2).then(|| closed(&name, 6, 9));
        std::iter::once(begun(&name, 1)).chain(outputs).chain(end).collect::<Vec<_>>()
    };
    let filled = || {
        let original = tempfile::tempdir().expect("a folder");
        let journal = SledJournal::open(original.path()).expect("opens");
        for number in 0..RUNS {
            store(&journal, history(number)).expect("stored");
        }
        original
    };
    let mut met = [0, 0];
    let mut original = filled();
    for flip in 0..FLIPS * STORES_MAX {
        if flip > 0 && flip.is_multiple_of(FLIPS) {
            if met.iter().all(|met| *met > 0) {
                break;
            }
            original = filled();
        }
        let copy = copy(original.path());
        let file = copy.path().join("store/db");
        let mut bytes = fs::read(&file).expect("its bytes");
        let at = bytes.len() * (flip % FLIPS) / FLIPS;
        bytes[at] ^= 0x10;
        fs::write(&file, bytes).expect("spoilt");
        let journal = SledJournal::open(copy.path()).expect("opens");
        let told = |journal: &SledJournal, number: u64| {
            let told = journal.events(&run(&format!("run-{number:02}"))).expect("read");
            told.expect("it is there")
        };
        let whole = |number| Ok(events(&history(number)));
        let (open, closed) = (0..RUNS).partition::<Vec<_>, _>(|number| *number < RUNS / 2);
        for number in open {
            assert_eq!(told(&journal, number), whole(number), "byte {at}, open run {number}");
        }
        // Of closed runs there may be many: they are not read before somebody asks.
        let spoilt = closed.iter().filter(|number| told(&journal, **number) != whole(**number));
        met[0] += usize::from(!journal.notes().is_empty());
        met[1] += spoilt.count();
        drop(journal);
        let journal = SledJournal::open(copy.path()).expect("opens");
        for number in closed {
            assert_eq!(told(&journal, number), whole(number), "byte {at}, closed run {number}");
        }
    }
    assert!(met.iter().all(|met| *met > 0), "{met:?}: the test looks in the wrong places");
}
