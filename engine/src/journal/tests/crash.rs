//! A child process that writes is killed, or runs out of disk: what it was told is
//! stored must be there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::sample::{PATIENCE, begun, closed, output, run, store};
use crate::journal::{AppendError, Batch, Entry, Journal, JournalError, SledJournal};

/// Tells the child where to write, and the first letters of its runs' names.
const FOLDER: &str = "BATON_TEST_JOURNAL_FOLDER";
const PREFIX: &str = "BATON_TEST_JOURNAL_PREFIX";

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
    let journal = SledJournal::open(Path::new(&folder)).expect("opens");
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
        }
    }
}

fn after_an_error(journal: &SledJournal, prefix: &str, error: &AppendError) {
    assert!(matches!(error, AppendError::Stopped(_)), "{error}");
    let again = store(journal, twins(&format!("{prefix}-late"), 0));
    assert!(matches!(again, Err(AppendError::Stopped(_))), "{again:?}");
    assert!(matches!(journal.open_runs(), Err(JournalError::Stopped(_))));
    say(&format!("STOPPED {error}"));
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

fn writer(folder: &Path, prefix: &str, shell: Option<&str>) -> Writer {
    let me = std::env::current_exe().expect("this binary");
    let mut command = match shell {
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script]).arg(&me);
            command
        }
        None => Command::new(&me),
    };
    let test = concat!(module_path!(), "::the_child_that_writes");
    let test = test.split_once("::").expect("the crate comes first").1;
    command.args([test, "--exact", "--nocapture", "--test-threads", "1"]);
    command.env(FOLDER, folder).env(PREFIX, prefix);
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
        let mut child = writer(folder.path(), &format!("r{round}"), None);
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

/// `ulimit -f` makes sled's write fail as a full disk does.
#[test]
fn a_full_disk_stops_the_journal_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap '' XFSZ; ulimit -f 6000; exec \"$0\" \"$@\"";
    let mut stored = BTreeMap::new();
    let child = writer(folder.path(), "full", Some(script));
    let why = loop {
        let line = child.lines.recv_timeout(PATIENCE).expect("the child neither hangs nor dies");
        if let Some((_, why)) = line.split_once("STOPPED ") {
            break why.to_owned();
        }
        note(&mut stored, &line);
    };
    drop(child);
    assert!(why.contains("Make room on the disk"), "{why}");
    assert!(!stored.is_empty());
    check(&SledJournal::open(folder.path()).expect("opens when there is room"), &stored);
}
