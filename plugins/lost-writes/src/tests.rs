//! What is read, what is said of it, and when nothing is.

use super::*;
use baton_plugin::FaultKind;
use baton_plugin::redis::{Streamed, Stretch};
use baton_plugin::testing::FakeCluster;
use baton_topology::FENCE_REPLICAS;
use baton_topology::testing::{DATA, HISTORY, SENTINELS, Sim};

/// The second node took over at offset 1000; the first wrote 150 bytes more, is back and
/// fenced.
fn parted() -> Sim {
    let sim = Sim::bondx();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.node(0, |it| {
        it.offset = 1150;
        it.min_replicas = FENCE_REPLICAS;
    });
    for at in 0..SENTINELS.len() {
        sim.sentinel(at, |it| it.master = DATA[1].into());
    }
    sim
}

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        node: DATA[0].into(),
        run_id: Some(format!("run-{}", DATA[0])),
        master: DATA[1].into(),
        writes_max: None,
    }
}

fn write(offset: i64, database: Option<u32>, text: &str) -> Streamed {
    let words: Vec<&str> = text.split(' ').collect();
    let keys = (words.len() > 1).then(|| vec![words[1].as_bytes().to_vec()]);
    Streamed {
        offset,
        size: 40,
        database,
        transaction: None,
        name: words[0].into(),
        whole: keys.is_some(),
        keys,
        text: text.into(),
    }
}

fn stretch(writes: Vec<Streamed>, next: Option<StreamPlace>) -> StreamReading {
    StreamReading::Read(Stretch { end: 1150, writes, idle_bytes: 30, next })
}

fn host(sim: &Sim, divergences: Vec<StreamReading>) -> FakeCluster<Sim> {
    let mut host = sim.host();
    host.divergences = divergences.into();
    host
}

fn sample(address: &str, replid: &str, replid2: &str, second_offset: i64, offset: i64) -> Sample {
    Sample {
        address: address.into(),
        at_ms: 1,
        run_id: "then".into(),
        master: true,
        replid: replid.into(),
        replid2: replid2.into(),
        second_offset,
        offset,
        keys: None,
    }
}

#[test]
fn every_lost_write_is_listed_by_key_across_the_parts_of_the_stream() {
    let next = StreamPlace { offset: 1081, database: Some(3), transaction: None };
    let sim = parted();
    let mut host = host(
        &sim,
        vec![
            stretch(vec![write(1001, None, "SET a 1"), write(1041, None, "SET a 2")], Some(next)),
            stretch(vec![write(1081, Some(3), "DEL b")], None),
        ],
    );
    let output = LostWrites::run(input(), &mut host).unwrap();
    let told: Vec<_> =
        output.keys.iter().map(|it| (it.key.as_str(), it.database, it.writes, &*it.last)).collect();
    assert_eq!(told, [("a", Some(0), 2, "SET a 2"), ("b", Some(3), 1, "DEL b")]);
    assert_eq!(output.evidence, Evidence::Complete);
    assert_eq!((output.lost_bytes, output.exact), (Some(150), true));
    assert_eq!((output.writes, output.write_bytes, output.keys_total), (3, 120, 2));
    assert_eq!(output.idle_bytes, 60);
    assert_eq!(output.declared, "150 bytes, 120 of them writes: 3 writes to 2 keys");
    assert_eq!(output.table.rows.len(), 2);
    let asked: Vec<&String> = host.sent.iter().filter(|it| it.contains("stream")).collect();
    let from = |offset: i64| format!("{} stream of {HISTORY} from {offset}", DATA[0]);
    assert_eq!(asked, [&from(1001), &from(1081)]);
}

#[test]
fn a_write_that_names_no_key_is_shown_by_itself() {
    let sim = parted();
    let mut host = host(&sim, vec![stretch(vec![write(1001, Some(0), "FLUSHALL")], None)]);
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.writes, output.keys_total, output.unnamed.len()), (1, 0, 1));
    assert_eq!(output.table.rows, [["0", "not told by it", "1", "FLUSHALL"]]);
}

#[test]
fn heartbeats_alone_are_no_loss() {
    let sim = parted();
    let output = LostWrites::run(input(), &mut host(&sim, vec![stretch(vec![], None)])).unwrap();
    assert_eq!((output.evidence, output.writes), (Evidence::Complete, 0));
    assert_eq!(output.declared, "nothing: 150 bytes of heartbeats and messages");
}

#[test]
fn a_bound_makes_the_list_partial_and_the_bytes_stay_exact() {
    let sim = parted();
    let next = StreamPlace::at(1041);
    let mut host = host(&sim, vec![stretch(vec![write(1001, None, "SET a 1")], Some(next))]);
    let output = LostWrites::run(Input { writes_max: Some(1), ..input() }, &mut host).unwrap();
    assert_eq!((output.evidence, output.lost_bytes), (Evidence::Partial, Some(150)));
    assert_eq!(
        output.declared,
        "150 bytes, at least 40 of them writes: at least 1 write to at least 1 key"
    );
    assert!(output.reason.contains("before offset 1041"), "{}", output.reason);
}

#[test]
fn more_keys_than_fit_are_counted_and_the_output_stays_small() {
    let sim = parted();
    let writes =
        (0..5_000).map(|at| write(1001, None, &format!("SET {} {at}", "k".repeat(at / 5))));
    let mut host = host(&sim, vec![stretch(writes.collect(), None)]);
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.writes, output.keys_total), (5_000, 1_000));
    assert!(output.keys.len() < 1_000 && output.table.rows.len() == 51);
    assert!(serde_json::to_string(&output).unwrap().len() < 500_000);
}

#[test]
fn nothing_is_read_unless_the_node_is_fenced_and_no_sentinels_master() {
    let sim = parted();
    sim.node(0, |it| it.min_replicas = 1);
    let mut host = host(&sim, Vec::new());
    assert_eq!(LostWrites::run(input(), &mut host).unwrap_err().code, "not-fenced");
    sim.node(0, |it| it.min_replicas = FENCE_REPLICAS);
    sim.sentinel(2, |it| it.master = DATA[0].into());
    assert_eq!(LostWrites::run(input(), &mut host).unwrap_err().code, "still-master");
    assert_eq!(host.count_sent("stream"), 0);
}

#[test]
fn a_backlog_that_is_too_short_leaves_the_bytes() {
    let sim = parted();
    let short = StreamReading::Unreadable(Unreadable::Overwritten, "it begins at 1100".into());
    let output = LostWrites::run(input(), &mut host(&sim, vec![short])).unwrap();
    assert_eq!((output.evidence, output.lost_bytes), (Evidence::Gone, Some(150)));
    assert!(output.exact && output.reason.contains("it begins at 1100"), "{}", output.reason);
    assert_eq!(output.declared, "150 bytes; which writes is no longer known");
}

#[test]
fn of_a_restarted_node_only_what_it_said_before_is_left() {
    let sim = parted();
    sim.node(0, |it| it.replid = "b".repeat(40));
    let mut host = host(&sim, Vec::new());
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.evidence, output.lost_bytes), (Evidence::Gone, None));
    host.samples.push(sample(DATA[0], HISTORY, &"0".repeat(40), -1, 1090));
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.lost_bytes, output.exact), (Some(90), false));
    assert_eq!(output.declared, "at least 90 bytes; which writes is no longer known");
    // A shutdown in good order, that Redis remembers.
    sim.node(0, |it| {
        it.replid2 = HISTORY.into();
        it.second_offset = 1151;
    });
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.lost_bytes, output.exact), (Some(150), false));
    assert_eq!(host.count_sent("stream"), 0);
}

#[test]
fn after_two_promotions_the_samples_say_where_it_parted() {
    let sim = parted();
    sim.node(1, |it| it.replid2 = "c".repeat(40));
    let mut host = host(&sim, vec![stretch(vec![write(1001, None, "SET a 1")], None)]);
    host.samples.push(sample(DATA[2], &"c".repeat(40), HISTORY, 1001, 1300));
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.evidence, output.lost_bytes), (Evidence::Complete, Some(150)));
    host.samples.clear();
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.evidence, output.lost_bytes), (Evidence::Gone, None));
}

#[test]
fn one_that_follows_another_process_or_nothing_lost_is_not_read() {
    let sim = parted();
    let mut host = host(&sim, Vec::new());
    sim.node(0, |it| it.run_id = "another".into());
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert!(output.reason.contains("restarted since it was held"), "{}", output.reason);
    sim.node(0, |it| it.run_id = format!("run-{}", DATA[0]));
    sim.node(0, |it| it.offset = 1000);
    let output = LostWrites::run(input(), &mut host).unwrap();
    assert_eq!((output.declared.as_str(), output.lost_bytes), ("nothing", Some(0)));
    sim.host().call_as_test(DATA[0], "REPLICAOF 127.0.0.1 7002");
    assert_eq!(LostWrites::run(input(), &mut host).unwrap().evidence, Evidence::Gone);
    assert_eq!(host.count_sent("stream"), 0);
}

#[test]
fn a_node_that_stops_answering_is_asked_again() {
    let sim = parted();
    let fault = LostWrites::run(input(), &mut host(&sim, Vec::new())).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Retryable, "{}", fault.message);
    sim.node(0, |it| it.down = Some(baton_plugin::redis::ErrorKind::Refused));
    let fault = LostWrites::run(input(), &mut host(&sim, Vec::new())).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("gone-again", FaultKind::Retryable));
}

#[test]
fn an_observed_cluster_is_never_touched() {
    let sim = parted();
    let mut host = host(&sim, Vec::new());
    host.cluster.mode = Mode::Observe;
    assert_eq!(LostWrites::run(input(), &mut host).unwrap_err().code, "observe-mode");
}
