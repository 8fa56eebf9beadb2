//! A promotion from every state that it may find, and cut off after every command.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{CRASH, FakeCluster, Responder};
use baton_topology::testing::{DATA, HISTORY, SENTINELS, Sim, assessed};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn input(sim: &Sim) -> Input {
    Input {
        cluster: "bondx".into(),
        chosen: DATA[1].into(),
        run_id: format!("run-{}", DATA[1]),
        replid: HISTORY.into(),
        offset: 1000,
        old_master: DATA[0].into(),
        assessment: assessed(sim),
        adopt_timeout_ms: None,
        yield_timeout_ms: None,
    }
}

/// One writable master, everyone on it, no phantom voters.
fn settled(sim: &Sim, master: &str) {
    let world = sim.0.borrow();
    let masters: Vec<&str> = world
        .nodes
        .iter()
        .filter(|it| it.down.is_none() && it.follows.is_none())
        .map(|it| it.address.as_str())
        .collect();
    assert_eq!(masters, [master]);
    for node in world.nodes.iter().filter(|it| it.down.is_none() && it.address != master) {
        assert_eq!(node.follows.as_deref(), Some(master));
    }
    for sentinel in world.sentinels.iter().filter(|it| it.down.is_none()) {
        assert_eq!(sentinel.master, master, "{}", sentinel.address);
        assert!(sentinel.phantoms.is_empty(), "{:?}", sentinel.phantoms);
    }
    let epochs: Vec<i64> =
        world.sentinels.iter().filter(|it| it.down.is_none()).map(|it| it.config_epoch).collect();
    assert!(epochs.windows(2).all(|it| it[0] == it[1]), "{epochs:?}");
}

#[test]
fn a_killed_master_is_replaced_and_everyone_follows() {
    let sim = Sim::killed();
    let output = Promote::run(input(&sim), &mut sim.host()).unwrap();
    settled(&sim, DATA[1]);
    assert_eq!((output.master.as_str(), output.adopted, output.yielded), (DATA[1], false, false));
    assert_eq!(output.lineage.old_replid.as_deref(), Some(HISTORY));
    assert_eq!(output.lineage.promotion_offset, Some(1000));
    assert_eq!(output.repointed, [DATA[2]]);
    assert_eq!(output.unreachable, [DATA[0]]);
    assert_eq!(output.epoch, 100);
    assert!(output.sentinels.iter().all(|it| it.adopted), "{:?}", output.sentinels);
    assert!(output.notes.is_empty(), "{:?}", output.notes);
}

#[test]
fn it_converges_when_cut_off_after_every_command() {
    let clean = Sim::killed();
    let mut whole = clean.host();
    Promote::run(input(&clean), &mut whole).unwrap();
    for commands in 0..whole.sent.len() {
        let sim = Sim::killed();
        let mut host = sim.host();
        host.crash_after = Some(commands);
        let first = input(&sim);
        let crash = catch_unwind(AssertUnwindSafe(|| Promote::run(first, &mut host)));
        let why = *crash.unwrap_err().downcast::<String>().unwrap();
        assert!(why.contains(CRASH), "{why}");

        let mut second = input(&Sim::killed());
        second.assessment = assessed(&Sim::killed());
        let output = Promote::run(second, &mut sim.host())
            .unwrap_or_else(|fault| panic!("cut off after {commands}: {fault:?}"));
        settled(&sim, DATA[1]);
        assert!(!output.adopted, "cut off after {commands}");
        assert_eq!(output.epoch, 100, "the epoch is not raised twice");
        assert_eq!(output.lineage.promotion_offset, Some(1000));
    }
}

#[test]
fn run_again_when_all_is_done_it_changes_nothing() {
    let sim = Sim::killed();
    let before = assessed(&sim);
    Promote::run(input(&sim), &mut sim.host()).unwrap();
    let mut host = sim.host();
    let again = Input { assessment: before, ..input(&sim) };
    Promote::run(again, &mut host).unwrap();
    assert_eq!(host.count_sent("REPLICAOF") + host.count_sent("PUBLISH"), 0);
}

#[test]
fn another_node_that_is_master_of_this_history_is_adopted() {
    let sim = Sim::killed();
    let first = input(&sim);
    sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
    let output = Promote::run(first, &mut sim.host()).unwrap();
    assert_eq!((output.master.as_str(), output.adopted), (DATA[2], true));
    settled(&sim, DATA[2]);
}

#[test]
fn a_master_of_a_foreign_history_is_never_adopted() {
    let sim = Sim::killed();
    let first = input(&sim);
    sim.node(2, |it| (it.follows, it.replid) = (None, "b".repeat(40)));
    let mut host = sim.host();
    assert_eq!(Promote::run(first, &mut host).unwrap_err().code, "foreign-master");
    assert_eq!(host.count_sent("REPLICAOF"), 0);
}

#[test]
fn it_yields_to_a_failover_in_progress_and_adopts_its_result() {
    let sim = Sim::killed();
    let mut host = sim.host();
    let first = input(&sim);
    let until_ms = host.now_ms + 3000;
    sim.sentinel(1, |it| {
        it.failover = Some((until_ms, DATA[2].into()));
        it.flags = "master,s_down,o_down,failover_in_progress".into();
    });
    let output = Promote::run(first, &mut host).unwrap();
    assert_eq!((output.master.as_str(), output.adopted, output.yielded), (DATA[2], true, true));
    settled(&sim, DATA[2]);
}

#[test]
fn a_failover_that_never_ends_is_a_fault_and_changes_nothing() {
    let sim = Sim::killed();
    sim.sentinel(0, |it| it.flags = "master,failover_in_progress".into());
    let mut host = sim.host();
    assert_eq!(Promote::run(input(&sim), &mut host).unwrap_err().code, "failover-in-progress");
    assert_eq!(host.count_sent("REPLICAOF") + host.count_sent("PUBLISH"), 0);
}

#[test]
fn the_old_master_back_at_the_last_look_stops_it() {
    let sim = Sim::killed();
    let first = input(&sim);
    sim.node(0, |it| it.down = None);
    let mut host = sim.host();
    assert_eq!(Promote::run(first, &mut host).unwrap_err().code, "old-master-alive");
    assert_eq!(host.count_sent("REPLICAOF"), 0);
}

#[test]
fn a_replica_that_hears_the_old_master_stops_it() {
    let sim = Sim::killed();
    sim.node(2, |it| it.link = Some(true));
    let mut host = sim.host();
    assert_eq!(Promote::run(input(&sim), &mut host).unwrap_err().code, "old-master-alive");
}

#[test]
fn a_chosen_one_that_changed_is_not_promoted() {
    type Change = fn(&mut baton_topology::testing::SimNode);
    let changes: [Change; 5] = [
        |it| it.run_id = "another".into(),
        |it| it.replid = "b".repeat(40),
        |it| it.offset = 999,
        |it| it.syncing = true,
        |it| it.loading = true,
    ];
    for change in changes {
        let sim = Sim::killed();
        let first = input(&sim);
        sim.node(1, change);
        let mut host = sim.host();
        assert_eq!(Promote::run(first, &mut host).unwrap_err().code, "chosen-changed");
        assert_eq!(host.count_sent("REPLICAOF"), 0);
    }
}

#[test]
fn a_stopped_sentinel_is_waited_for_and_delays_no_promotion() {
    let sim = Sim::killed();
    let mut host = sim.host();
    let begun_ms = host.now_ms;
    sim.sentinel(2, |it| it.stopped_until_ms = begun_ms + 4000);
    let output = Promote::run(input(&sim), &mut host).unwrap();
    settled(&sim, DATA[1]);
    assert!(host.now_ms >= begun_ms + 4000);
    assert_eq!(output.promoted_at_ms, begun_ms);
    assert!(host.reported.iter().any(|it| it.contains(SENTINELS[2])), "{:?}", host.reported);
}

#[test]
fn a_sentinel_stopped_for_good_is_noted_and_a_quorum_is_enough() {
    let sim = Sim::killed();
    sim.sentinel(2, |it| it.stopped_until_ms = u64::MAX);
    let mut host = sim.host();
    let begun_ms = host.now_ms;
    let output = Promote::run(input(&sim), &mut host).unwrap();
    assert!(host.now_ms >= begun_ms + u64::from(baton_succession::ADOPT_TIMEOUT_MS));
    let adopted: Vec<bool> = output.sentinels.iter().map(|it| it.adopted).collect();
    assert_eq!(adopted, [true, true, false]);
    assert!(output.notes[0].contains(SENTINELS[2]), "{:?}", output.notes);
    assert!(!output.unreachable.contains(&SENTINELS[2].to_owned()));
}

#[test]
fn a_sentinel_that_is_gone_is_reported_and_not_waited_for() {
    let sim = Sim::killed();
    sim.sentinel(2, |it| it.down = Some(ErrorKind::Refused));
    let mut host = sim.host();
    let begun_ms = host.now_ms;
    let output = Promote::run(input(&sim), &mut host).unwrap();
    assert!(host.now_ms < begun_ms + 1000);
    assert_eq!(output.unreachable, [DATA[0], SENTINELS[2]]);
}

#[test]
fn two_stopped_sentinels_are_no_quorum() {
    let sim = Sim::killed();
    sim.sentinel(1, |it| it.stopped_until_ms = u64::MAX);
    sim.sentinel(2, |it| it.stopped_until_ms = u64::MAX);
    let fault = Promote::run(input(&sim), &mut sim.host()).unwrap_err();
    assert_eq!(fault.code, "not-adopted");
    assert!(fault.message.contains(SENTINELS[1]), "{}", fault.message);
}

#[test]
fn epochs_seen_at_the_assessment_count_too() {
    let sim = Sim::killed();
    sim.sentinel(2, |it| it.config_epoch = 7);
    let first = input(&sim);
    sim.sentinel(2, |it| it.down = Some(ErrorKind::Refused));
    let output = Promote::run(first, &mut sim.host()).unwrap();
    assert_eq!(output.epoch, 107);
}

#[test]
fn a_config_file_that_cannot_be_written_is_a_note() {
    let sim = Sim::killed();
    sim.node(1, |it| it.read_only_config = true);
    let output = Promote::run(input(&sim), &mut sim.host()).unwrap();
    assert!(output.notes[0].contains("config file"), "{:?}", output.notes);
    settled(&sim, DATA[1]);
}

#[test]
fn a_write_gate_on_the_new_master_is_a_note() {
    let sim = Sim::killed();
    sim.node(1, |it| it.min_replicas = 1);
    let output = Promote::run(input(&sim), &mut sim.host()).unwrap();
    assert!(output.notes[0].contains("min-replicas-to-write 1"), "{:?}", output.notes);
}

#[test]
fn an_observed_cluster_is_never_touched() {
    let sim = Sim::killed();
    let first = input(&sim);
    let mut host = sim.host();
    host.cluster.mode = Mode::Observe;
    assert_eq!(Promote::run(first, &mut host).unwrap_err().code, "observe-mode");
    assert!(host.sent.is_empty());
}

/// Does what it is told, and loses the reply.
struct Forgetful(Sim, bool);

impl Responder for Forgetful {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let reply = self.0.respond(address, command, now_ms);
        if command.join(" ") == "REPLICAOF NO ONE" && !std::mem::replace(&mut self.1, true) {
            return Err(RedisError::new(ErrorKind::Closed, "connection reset"));
        }
        reply
    }
}

#[test]
fn a_lost_reply_to_the_promotion_is_looked_up_and_not_sent_again() {
    let sim = Sim::killed();
    let forgetful = Forgetful(sim.clone(), false);
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, forgetful);
    let output = Promote::run(input(&sim), &mut host).unwrap();
    assert_eq!(host.count_sent("REPLICAOF NO ONE"), 1);
    assert!(output.notes[0].contains("was lost"), "{:?}", output.notes);
    settled(&sim, DATA[1]);
}

/// Promotes another node, as a Sentinel does, the moment the chosen one is told; both take
/// so many bytes of writes at once.
struct Race {
    sim: Sim,
    ours: i64,
    theirs: i64,
}

impl Responder for Race {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let reply = self.sim.respond(address, command, now_ms);
        if address == DATA[1] && command.join(" ") == "REPLICAOF NO ONE" {
            self.sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
            (0..2).for_each(|at| self.sim.sentinel(at, |it| it.master = DATA[2].into()));
            self.sim.node(1, |it| it.offset += self.ours);
            self.sim.node(2, |it| it.offset += self.theirs);
        }
        reply
    }
}

fn race(ours: i64, theirs: i64) -> (Sim, Result<Output, Fault>) {
    let sim = Sim::killed();
    let racing = Race { sim: sim.clone(), ours, theirs };
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, racing);
    let result = Promote::run(input(&sim), &mut host);
    (sim, result)
}

#[test]
fn made_at_the_same_time_as_a_sentinels_ours_yields_while_it_has_taken_no_write() {
    for theirs in [0, 500] {
        let (sim, result) = race(0, theirs);
        let output = result.unwrap();
        assert_eq!((output.master.as_str(), output.adopted, output.yielded), (DATA[2], true, true));
        settled(&sim, DATA[2]);
        assert_eq!(sim.node(1, |it| it.min_replicas), 0, "its fence is gone again");
    }
}

#[test]
fn a_sentinels_choice_that_has_taken_no_write_follows_ours_that_has() {
    let (sim, result) = race(500, 0);
    let output = result.unwrap();
    assert_eq!((output.master.as_str(), output.adopted), (DATA[1], false));
    assert!(output.notes.iter().any(|it| it.contains("at the same time")), "{:?}", output.notes);
    settled(&sim, DATA[1]);
}

#[test]
fn where_both_have_taken_writes_a_person_decides_and_the_one_not_named_takes_no_more() {
    let (sim, result) = race(500, 500);
    let fault = result.unwrap_err();
    assert_eq!(fault.code, "split-brain");
    let gates = [1, 2].map(|at| sim.node(at, |it| it.min_replicas));
    assert_eq!(gates, [baton_topology::FENCE_REPLICAS, 0], "{}", fault.message);
}

#[test]
fn a_fence_left_on_the_chosen_one_does_not_stop_the_new_master() {
    let sim = Sim::killed();
    sim.node(1, |it| it.min_replicas = baton_topology::FENCE_REPLICAS);
    sim.node(2, |it| it.min_replicas = 1);
    let output = Promote::run(input(&sim), &mut sim.host()).unwrap();
    assert_eq!(sim.node(1, |it| it.min_replicas), 1, "as the others have it");
    assert!(output.notes[0].contains("fenced from before"), "{:?}", output.notes);
}

/// One Sentinel that lets nobody publish.
struct Deaf(Sim);

impl Responder for Deaf {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        if address == SENTINELS[2] && command[0] == "PUBLISH" {
            return Ok(Value::Error("NOPERM no permission to access the channel".into()));
        }
        self.0.respond(address, command, now_ms)
    }
}

#[test]
fn a_sentinel_that_does_not_adopt_by_hello_is_set_up_anew() {
    let sim = Sim::killed();
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, Deaf(sim.clone()));
    let output = Promote::run(input(&sim), &mut host).unwrap();
    assert!(output.sentinels.iter().all(|it| it.adopted), "{:?}", output.sentinels);
    assert_eq!(sim.sentinel(2, |it| it.master.clone()), DATA[1]);
    assert_eq!(host.count_sent("SENTINEL MONITOR"), 1);
    assert!(output.notes.iter().any(|it| it.contains("set up anew")), "{:?}", output.notes);
}
