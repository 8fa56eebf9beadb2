//! A disk that is full and then is not: a small one, mounted for a child alone.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::sample::{PATIENCE, begun, closed, events, output, run, store};
use crate::journal::{AppendError, Journal, OpenError, SledJournal};

/// Tells the child where its disk is.
const DISK: &str = "BATON_TEST_JOURNAL_DISK";
/// Mounts a disk of 40 MiB there, for nobody else to see.
const SCRIPT: &str =
    "mount -t tmpfs -o size=40m none \"$BATON_TEST_JOURNAL_DISK\" && exec \"$0\" \"$@\"";

/// Not a test by itself: the child's main, when the parent says so.
#[test]
fn the_child_on_a_small_disk() {
    let Ok(disk) = std::env::var(DISK) else { return };
    let disk = Path::new(&disk);
    let folder = disk.join("journal");
    let journal = SledJournal::open(&folder).expect("opens");
    store(&journal, vec![begun("a", 1), output("a", 1, 100_000)]).expect("stored");

    let filler = fill(disk, 10 << 20);
    let refused = store(&journal, vec![output("a", 2, 10)]);
    assert!(matches!(&refused, Err(AppendError::Full(why)) if why.contains("MiB")), "{refused:?}");
    assert!(journal.stalled().is_some_and(|why| why.contains("make room")));
    let large = store(&journal, vec![begun("b", 1), output("b", 1, 4_000_000)]);
    assert!(matches!(large, Err(AppendError::Full(_))), "{large:?}");
    let kept = events(&[begun("a", 1), output("a", 1, 100_000)]);
    assert_eq!(journal.events(&run("a")), Ok(Some(Ok(kept))), "what there is can be read");

    // To the last byte: nothing that the journal does in the background may break it.
    let more = fill(disk, 0);
    assert!(store(&journal, vec![output("a", 2, 10)]).is_err());
    fs::remove_file(more).expect("removed");
    fs::remove_file(filler).expect("removed");

    let ends = Instant::now() + PATIENCE;
    while journal.stalled().is_some() {
        assert!(Instant::now() < ends, "there is room, and it does not notice");
        std::thread::sleep(Duration::from_millis(20));
    }
    store(&journal, vec![output("a", 2, 10), closed("a", 3, 9)]).expect("stored");
    drop(journal);

    let filler = fill(disk, 10 << 20);
    let error = SledJournal::open(&folder).err().expect("there is no room to start");
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    fs::remove_file(filler).expect("removed");
    let journal = SledJournal::open(&folder).expect("opens");
    let all = [begun("a", 1), output("a", 1, 100_000), output("a", 2, 10), closed("a", 3, 9)];
    assert_eq!(journal.events(&run("a")), Ok(Some(Ok(events(&all)))));
    assert_eq!(journal.events(&run("b")), Ok(None));
}

/// Fills the disk until so many bytes are left.
fn fill(disk: &Path, left: u64) -> std::path::PathBuf {
    let path = disk.join(format!("filler-{left}"));
    let file = File::create(&path).expect("made");
    let free = crate::journal::room::free_bytes(disk).expect("a disk");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free - left)
        .expect("filled");
    path
}

#[test]
fn a_full_disk_is_refused_and_when_there_is_room_it_goes_on() {
    let disk = tempfile::tempdir().expect("a folder");
    let me = std::env::current_exe().expect("this binary");
    let test = concat!(module_path!(), "::the_child_on_a_small_disk");
    let test = test.split_once("::").expect("the crate comes first").1;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", SCRIPT]).arg(me);
    unshare.args([test, "--exact", "--nocapture", "--test-threads", "1"]).env(DISK, disk.path());
    let out = unshare.output().expect("unshare (Debian package `util-linux`) starts");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("1 passed"), "the child has run: {said}");
}
