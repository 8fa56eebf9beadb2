//! What is a sample, what is kept of many, and what a disk may do to them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::keeper::{read, write};
use super::read::sample;
use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const NONE: &str = "0000000000000000000000000000000000000000";

/// INFO replication and INFO server as Redis 7.0 writes them.
fn info(role: &str, run_id: &str, replid: &str, offset: i64) -> String {
    let own =
        if role == "slave" { format!("slave_repl_offset:{offset}\r\n") } else { String::new() };
    format!(
        "# Replication\r\nrole:{role}\r\n{own}master_replid:{replid}\r\nmaster_replid2:{NONE}\r\nmaster_repl_offset:{offset}\r\nsecond_repl_offset:-1\r\n\r\n# Server\r\nredis_version:7.0.15\r\nrun_id:{run_id}\r\n"
    )
}

fn reply(text: &str) -> Vec<Node> {
    vec![Node::Bulk(text.as_bytes().to_vec())]
}

fn read_info(text: &str) -> Option<Sample> {
    sample("h:1", 7, [reply(text).as_slice()].into_iter())
}

fn seen(address: &str, at_ms: u64, replid: &str, offset: i64) -> Sample {
    let said = reply(&info("slave", A, replid, offset));
    sample(address, at_ms, [said.as_slice()].into_iter()).unwrap()
}

#[test]
fn a_master_and_a_replica_are_read() {
    let master = read_info(&info("master", A, B, 42)).unwrap();
    assert_eq!((master.master, master.offset, master.keys), (true, 42, None));
    assert_eq!((master.run_id.as_str(), master.replid.as_str()), (A, B));
    let replica = [
        reply(&info("slave", A, B, 41)),
        reply("# Keyspace\r\ndb0:keys=3,expires=1\r\ndb7:keys=4,expires=0\r\n"),
    ];
    let replica = sample("h:1", 7, replica.iter().map(Vec::as_slice)).unwrap();
    assert_eq!((replica.master, replica.offset, replica.keys), (false, 41, Some(7)));
    let empty = format!("{}# Keyspace\r\n", info("master", A, B, 0));
    assert_eq!(read_info(&empty).unwrap().keys, Some(0));
}

#[test]
fn what_says_too_little_or_nonsense_is_no_sample() {
    let whole = info("master", A, B, 42);
    assert!(read_info(&whole).is_some());
    for (from, to) in [
        ("role:master", "role:sentinel"),
        ("role:master", ""),
        ("run_id:", "run:"),
        (A, "short"),
        (B, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
        ("master_repl_offset:42", "master_repl_offset:-42"),
        ("master_repl_offset:42", "master_repl_offset:99999999999999999999"),
        ("second_repl_offset:-1", "second_repl_offset:"),
        ("# Server", "loading:1"),
    ] {
        assert_eq!(read_info(&whole.replace(from, to)), None, "{from} -> {to}");
    }
    let odd = [vec![Node::Simple(whole.clone())], vec![Node::Error(whole)], vec![Node::Array(0)]];
    assert_eq!(sample("h:1", 7, odd.iter().map(Vec::as_slice)), None);
}

#[test]
fn of_a_stretch_the_first_and_the_newest_are_kept_and_a_change_begins_another() {
    let mut nodes = BTreeMap::new();
    let mut due = Vec::new();
    for at in 0..2_500 {
        let sample = seen("h:1", at, A, i64::try_from(at).unwrap());
        if take(&mut nodes, sample, at) {
            due.push(at);
        }
    }
    assert_eq!(due, [0, 1_000, 2_000], "steady progress goes to disk once a second");
    assert!(take(&mut nodes, seen("h:1", 2_500, B, 1), 2_500), "a change goes at once");
    let past = &nodes["h:1"];
    assert_eq!(past.len(), 2);
    assert_eq!((past[0].first.offset, past[0].newest.offset), (0, 2_499));
}

#[test]
fn stretches_are_bounded_and_the_last_ones_stay() {
    let mut nodes = BTreeMap::new();
    for at in 0..100 {
        let replid = format!("{at:040}");
        take(&mut nodes, seen("h:1", at, &replid, 1), at);
    }
    let past = &nodes["h:1"];
    assert_eq!(past.len(), limits::LINEAGE_STRETCHES_MAX);
    assert_eq!(past.back().unwrap().newest.at_ms, 99);
}

/// Keeps `samples` and ends, as an engine does.
fn keep(folder: &Path, samples: &[Sample]) {
    let keeper = Keeper::new(Some(folder.to_owned()));
    for sample in samples {
        keeper.keep("bondx", sample);
    }
}

fn load(folder: &Path) -> Vec<Sample> {
    Keeper::new(Some(folder.to_owned())).load("bondx")
}

#[test]
fn samples_outlive_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("lineage");
    let samples = [seen("h:1", 1, A, 10), seen("h:2", 2, A, 11), seen("h:1", 3, B, 5)];
    keep(&below, &samples);
    assert_eq!(load(&below), samples);
    let keeper = Keeper::new(Some(below));
    let again = Lineage::open("bondx", &["h:1".to_owned()], keeper);
    let told: Vec<_> = again.samples().into_iter().map(|it| (it.address, it.offset)).collect();
    assert_eq!(told, [("h:1".to_owned(), 10), ("h:1".to_owned(), 5)], "h:2 is no node any more");
}

#[test]
fn a_torn_tail_and_damage_cost_the_lines_they_hit() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [seen("h:1", 1, A, 10), seen("h:1", 2, A, 20), seen("h:1", 3, A, 30)];
    keep(folder.path(), &samples);
    let file = folder.path().join("bondx.log");
    let whole = fs::read(&file).unwrap();
    let keeper = Keeper::new(Some(folder.path().to_owned()));
    for cut in 0..whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let read = keeper.load("bondx");
        assert!(samples.starts_with(&read), "cut at {cut}: {read:?}");
    }
    // What comes after a torn line is whole.
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    keep(folder.path(), &samples[2..]);
    assert_eq!(load(folder.path()), [&samples[..2], &samples[2..]].concat());
    // No damaged byte makes another sample of a line.
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let read = keeper.load("bondx");
        assert!(read.len() >= 2 - usize::from(damaged[at] == b'\n' || whole[at] == b'\n'));
        assert!(read.iter().all(|it| samples.contains(it)), "byte {at}: {read:?}");
    }
}

#[test]
fn the_files_take_turns_and_stay_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let line = u64::try_from(write(&seen("h:1", 1, A, 1)).len()).unwrap();
    let many = 3 * limits::LINEAGE_FILE_BYTES_MAX / line;
    let keeper = Keeper::new(Some(folder.path().to_owned()));
    for at in 0..many {
        keeper.keep("bondx", &seen("h:1", at, A, 1));
        if at % 1_000 == 0 {
            // Not faster than the disk: what is lost then is another matter.
            while load(folder.path()).last().is_none_or(|it| it.at_ms < at) {
                std::thread::yield_now();
            }
        }
    }
    drop(keeper);
    let sizes: Vec<u64> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|it| *it <= limits::LINEAGE_FILE_BYTES_MAX + line), "{sizes:?}");
    let kept = load(folder.path());
    assert_eq!(kept.last().unwrap().at_ms, many - 1);
    assert!(kept.len() as u64 >= limits::LINEAGE_FILE_BYTES_MAX / line);
}

#[test]
fn a_folder_that_cannot_be_costs_samples_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    fs::write(&file, "a file where the folder should be").unwrap();
    let lineage = Lineage::open("bondx", &["h:1".to_owned()], Keeper::new(Some(file)));
    let info = Command {
        name: "INFO".to_owned(),
        arguments: vec![b"INFO".to_vec()],
        class: baton_core::run::event::CallClass::Read,
    };
    lineage.hear("h:1", &[info], &[reply(&info_of_a_master())]);
    assert_eq!(lineage.samples().len(), 1);
}

fn info_of_a_master() -> String {
    info("master", A, B, 42)
}

#[test]
fn a_file_of_any_size_is_read_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = vec![b'x'; 3 * usize::try_from(limits::LINEAGE_FILE_BYTES_MAX).unwrap()];
    fs::write(folder.path().join("bondx.log"), rubbish).unwrap();
    keep(folder.path(), &[seen("h:1", 1, A, 10)]);
    assert_eq!(load(folder.path()), [seen("h:1", 1, A, 10)]);
}

proptest! {
    #[test]
    fn every_sample_survives_being_a_line(
        at in any::<u64>(), offset in 0..i64::MAX, keys in any::<Option<u64>>(), address in "[a-z:.0-9]{1,30}",
    ) {
        let sample = Sample { keys, ..seen(&address, at, A, offset) };
        let line = write(&sample);
        prop_assert_eq!(read(line.trim_end().as_bytes()), Some(sample));
    }

    #[test]
    fn rubbish_is_no_sample(line in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,300}") {
        prop_assert_eq!(read(&line), None);
        prop_assert_eq!(read(text.as_bytes()), None);
        let _ = read_info(&text);
    }
}
