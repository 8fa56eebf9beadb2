//! A child process that writes is killed, or runs out of disk: what it was told is
//! stored must be there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use baton_core::id::Digest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::sample::{PATIENCE, begun, closed, output, run, store};
use crate::journal::{AppendError, Batch, Entry, Journal, Retention, SledJournal};

/// Tells the child where to write, the first letters of its runs' names, after how many
/// rows of batches to end, and how many closed runs to keep.
pub(super) const FOLDER: &str = "BATON_TEST_JOURNAL_FOLDER";
pub(super) const PREFIX: &str = "BATON_TEST_JOURNAL_PREFIX";
pub(super) const COUNT: &str = "BATON_TEST_JOURNAL_COUNT";
pub(super) const KEEP: &str = "BATON_TEST_JOURNAL_KEEP";

/// Records of each pair of runs, the last one of which closes it.
const LENGTH: u64 = 12;
/// Pairs written at the same time.
const PAIRS: usize = 6;

/// What the child writes as record `seq` of a run; now and then a large one.
fn entry(name: &str, seq: u64) -> Entry {
    match seq {
        0 => begun(name, 1),
        5 => output(name, seq, 90_000),
        seq if seq + 1 == LENGTH => closed(name, seq, 1_000),
        seq => output(name, seq, 977 * usize::try_from(seq).expect("below LENGTH")),
    }
}

/// Two runs that always go in one batch, so that half a batch would show.
fn twins(name: &str, seq: u64) -> Vec<Entry> {
    vec![entry(&format!("{name}-a"), seq), entry(&format!("{name}-b"), seq)]
}

/// Not a test by itself: the child's main, when the parent says so.
#[test]
fn the_child_that_writes() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let prefix = std::env::var(PREFIX).expect("the parent gives both");
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let mut rows = number(COUNT).unwrap_or(u64::MAX);
    let keep = number(KEEP).unwrap_or(u64::MAX);
    let retention = Retention { closed_runs_max: keep, ..Retention::FOR_EVER };
    let journal = SledJournal::open_with(Path::new(&folder), retention).expect("opens");
    journal.put_plugin(Digest::of(b"promote"), b"promote").expect("kept");
    let mut first_error = None;
    let (told, answers) = mpsc::channel();
    for generation in 0..u64::MAX {
        for seq in 0..LENGTH {
            for pair in 0..PAIRS {
                let name = format!("{prefix}-{generation}-{pair}");
                let told = told.clone();
                let line = format!("STORED {name} {seq}");
                let done = Box::new(move |end: Result<(), AppendError>| {
                    if end.is_ok() {
                        say(&line);
                    }
                    told.send(end).expect("the child listens");
                });
                journal.append(
                    Batch { entries: twins(&format!("{prefix}-{generation}-{pair}"), seq) },
                    done,
                );
            }
            // Two rows in flight: batches wait while others are written.
            if generation + seq > 0 {
                let ends = answers.iter().take(PAIRS);
                first_error = first_error.or(ends.filter_map(Result::err).last());
            }
            if let Some(error) = first_error {
                return after_an_error(&journal, &prefix, &error);
            }
            rows -= 1;
            if rows == 0 {
                return;
            }
        }
    }
}

/// It is not the end: what is tried again is taken.
fn after_an_error(journal: &SledJournal, prefix: &str, error: &AppendError) {
    assert!(matches!(error, AppendError::Unwritten(_) | AppendError::Full(_)), "{error}");
    say(&format!("REFUSED {error}"));
    // There is room again.
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, ..limit }).expect("raised");
    let ends = Instant::now() + PATIENCE;
    while let Err(error) = store(journal, twins(&format!("{prefix}-late"), 0)) {
        assert!(error.passes() && Instant::now() < ends, "{error}");
    }
    say(&format!("STORED {prefix}-late 0"));
    say("WENT ON");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write, so that a line is whole or missing.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// The child's lines; ends it when dropped.
struct Writer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

/// The order to run this binary as the child, by a program that runs what is after it.
pub(super) fn child(mut by: Command) -> Command {
    let me = std::env::current_exe().expect("this binary");
    let test = concat!(module_path!(), "::the_child_that_writes");
    let test = test.split_once("::").expect("the crate comes first").1;
    by.arg(me).args([test, "--exact", "--nocapture", "--test-threads", "1"]);
    by
}

fn writer(folder: &Path, prefix: &str, shell: Option<&str>, keep: Option<u64>) -> Writer {
    // `env` runs what is after it; nothing else.
    let mut by = Command::new(if shell.is_some() { "sh" } else { "env" });
    if let Some(script) = shell {
        by.args(["-c", script]);
    }
    let mut command = child(by);
    command.env(FOLDER, folder).env(PREFIX, prefix);
    command.envs(keep.map(|keep| (KEEP, keep.to_string())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the child starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    Writer { child, lines }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

/// Remembers the highest record that the child was told is stored.
fn note(stored: &mut BTreeMap<String, u64>, line: &str) -> bool {
    // libtest may put its own words before the first of ours.
    let Some((_, told)) = line.split_once("STORED ") else { return false };
    let (name, seq) = told.split_once(' ').expect("a name and a number");
    stored.insert(name.to_owned(), seq.parse().expect("a number"));
    true
}

fn check(journal: &SledJournal, stored: &BTreeMap<String, u64>) {
    for (name, &last) in stored {
        let lengths = ["a", "b"].map(|twin| {
            let name = format!("{name}-{twin}");
            let history = journal.events(&run(&name)).expect("read");
            let events = history.expect("the run is there").expect("the run is whole");
            for (seq, event) in (0..).zip(&events) {
                assert_eq!(*event, entry(&name, seq).event, "record {seq} of {name}");
            }
            events.len() as u64
        });
        assert_eq!(lengths[0], lengths[1], "half a batch of {name}");
        assert!(lengths[0] > last, "record {last} of {name} was acknowledged and is lost");
    }
    let open = journal.open_runs().expect("read");
    assert!(open.iter().all(|(_, history)| history.as_ref().is_ok_and(|all| all.len() < 12)));
    let closed = journal.closed_runs(None, usize::MAX).expect("read");
    assert!(closed.iter().all(Result::is_ok));
    let finished = stored.values().filter(|&&last| last + 1 == LENGTH).count();
    assert!(closed.len() >= 2 * finished);
}

#[test]
fn g2_what_was_acknowledged_survives_sigkill_at_any_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stored = BTreeMap::new();
    // Spread unevenly over a generation of 72 batches and beyond; the moment within a
    // write is the scheduler's.
    for (round, acknowledged) in [1, 2, 7, 19, 44, 71, 97, 150, 233, 310].into_iter().enumerate() {
        let mut child = writer(folder.path(), &format!("r{round}"), None, None);
        let mut heard = 0;
        while heard < acknowledged {
            let line = child.lines.recv_timeout(PATIENCE).expect("the child writes");
            heard += usize::from(note(&mut stored, &line));
        }
        child.child.kill().expect("it is ours");
        child.child.wait().expect("it is ours");
        for line in &child.lines {
            note(&mut stored, &line);
        }
        check(&SledJournal::open(folder.path()).expect("opens after a kill"), &stored);
    }
    assert!(stored.values().any(|&last| last + 1 == LENGTH), "some runs closed");
}

/// `ulimit -f` makes sled's write fail as a full disk does, while the log has room in its
/// segment. Nothing is taken until there is room, and then the store is built again.
#[test]
fn g2_a_store_that_fails_is_built_again_under_the_same_process() {
    let folder = tempfile::tempdir().expect("a folder");
    // 512-byte blocks: 9 MiB, a segment and a little.
    let script = "trap '' XFSZ; ulimit -S -f 18432; exec \"$0\" \"$@\"";
    let mut stored = BTreeMap::new();
    let child = writer(folder.path(), "full", Some(script), None);
    loop {
        let line = child.lines.recv_timeout(PATIENCE).expect("the child neither hangs nor dies");
        if line.contains("WENT ON") {
            break;
        }
        note(&mut stored, &line);
    }
    drop(child);
    assert!(!stored.is_empty());
    check(&SledJournal::open(folder.path()).expect("opens"), &stored);
}

/// Whatever is being removed when the process is killed: a run is whole, or it is gone.
#[test]
fn g2_a_kill_in_the_middle_of_a_removal_leaves_no_half_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut removed = 0;
    for (round, acknowledged) in [90, 130, 171, 217, 260, 303].into_iter().enumerate() {
        let mut child = writer(folder.path(), &format!("k{round}"), None, Some(4));
        let mut stored = BTreeMap::new();
        let mut heard = 0;
        while heard < acknowledged {
            let line = child.lines.recv_timeout(PATIENCE).expect("the child writes");
            heard += usize::from(note(&mut stored, &line));
        }
        child.child.kill().expect("it is ours");
        child.child.wait().expect("it is ours");
        let journal = SledJournal::open(folder.path()).expect("opens after a kill");
        for (name, &last) in &stored {
            for name in ["a", "b"].map(|twin| format!("{name}-{twin}")) {
                match journal.events(&run(&name)).expect("read") {
                    Some(history) => assert!(history.expect("whole").len() as u64 > last),
                    None => removed += usize::from(last + 1 == LENGTH),
                }
            }
        }
        let findings = crate::journal::check(&journal).expect("looks");
        assert!(findings.is_sound(), "{findings:?}");
        let half = findings.orphans.iter().filter(|orphan| orphan.contains("records of run"));
        assert_eq!(half.count(), 0, "{:?}", findings.orphans);
    }
    assert!(removed > 20, "{removed}");
}
