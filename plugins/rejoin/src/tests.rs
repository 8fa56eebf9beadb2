//! A node rejoins from every state that it may be in.

use super::*;
use baton_plugin::redis::ErrorKind;
use baton_plugin::testing::CRASH;
use baton_topology::testing::{DATA, Sim};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        node: DATA[0].into(),
        prior: Some(1),
        diskless_load: None,
        wait_ms: Some(5000),
    }
}

/// The first node back as a fenced master, the second its successor.
fn held() -> Sim {
    let sim = Sim::bondx();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
    (0..3).for_each(|at| sim.sentinel(at, |it| it.master = DATA[1].into()));
    sim.node(0, |it| it.min_replicas = FENCE_REPLICAS);
    sim
}

#[test]
fn a_held_master_follows_and_is_free_of_its_fence() {
    let sim = held();
    let output = Rejoin::run(input(), &mut sim.host()).unwrap();
    assert_eq!((output.master.as_str(), output.min_replicas, output.followed), (DATA[1], 1, false));
    assert_eq!(sim.node(0, |it| it.follows.clone()).as_deref(), Some(DATA[1]));
    assert!(output.notes.is_empty(), "{:?}", output.notes);
}

#[test]
fn a_master_that_is_not_fenced_is_fenced_before_it_is_told() {
    let sim = held();
    sim.node(0, |it| it.min_replicas = 0);
    let mut host = sim.host();
    Rejoin::run(input(), &mut host).unwrap();
    let at = |part: &str| host.sent.iter().position(|it| it.contains(part));
    assert!(at("CONFIG SET min-replicas-to-write 100") < at("REPLICAOF"), "{:?}", host.sent);
}

#[test]
fn one_that_sentinel_has_demoted_is_only_unfenced() {
    let sim = held();
    sim.host().call_as_test(DATA[0], "REPLICAOF 127.0.0.1 7002");
    let mut host = sim.host();
    let output = Rejoin::run(input(), &mut host).unwrap();
    assert!(output.followed);
    assert_eq!((output.min_replicas, host.count_sent("REPLICAOF")), (1, 0));
}

#[test]
fn one_full_copy_at_a_time() {
    let sim = held();
    sim.node(2, |it| it.syncing = true);
    let mut host = sim.host();
    let fault = Rejoin::run(input(), &mut host).unwrap_err();
    assert_eq!((fault.code, host.count_sent("REPLICAOF")), ("not-attached", 0));
    assert!(fault.message.contains("one at a time"), "{}", fault.message);
}

#[test]
fn while_nobody_is_master_for_sure_it_waits() {
    for change in [0, 1] {
        let sim = held();
        if change == 0 {
            (0..2).for_each(|at| sim.sentinel(at, |it| it.master = DATA[0].into()));
        } else {
            sim.sentinel(0, |it| it.flags = "master,failover_in_progress".into());
        }
        let mut host = sim.host();
        assert_eq!(Rejoin::run(input(), &mut host).unwrap_err().code, "not-attached");
        assert_eq!(host.count_sent("REPLICAOF"), 0);
    }
}

#[test]
fn one_that_is_gone_again_is_a_fault_to_retry() {
    let sim = held();
    sim.node(0, |it| it.down = Some(ErrorKind::Refused));
    assert_eq!(Rejoin::run(input(), &mut sim.host()).unwrap_err().code, "gone-again");
}

#[test]
fn what_was_set_aside_is_given_back() {
    let sim = held();
    let mut host = sim.host();
    let given = Input { diskless_load: Some("disabled".into()), prior: None, ..input() };
    let output = Rejoin::run(given, &mut host).unwrap();
    assert_eq!(output.min_replicas, 0, "as the others have it");
    assert_eq!(host.count_sent("repl-diskless-load disabled"), 1);
}

#[test]
fn it_converges_when_cut_off_after_every_command() {
    let mut whole = held().host();
    Rejoin::run(input(), &mut whole).unwrap();
    for commands in 0..whole.sent.len() {
        let sim = held();
        let mut host = sim.host();
        host.crash_after = Some(commands);
        let crash = catch_unwind(AssertUnwindSafe(|| Rejoin::run(input(), &mut host)));
        assert!(crash.unwrap_err().downcast::<String>().unwrap().contains(CRASH));
        let output = Rejoin::run(input(), &mut sim.host()).unwrap();
        assert_eq!((output.min_replicas, output.master.as_str()), (1, DATA[1]));
        assert_eq!(sim.node(0, |it| it.min_replicas), 1);
    }
}

#[test]
fn an_observed_cluster_is_never_touched() {
    let mut host = held().host();
    host.cluster.mode = Mode::Observe;
    assert_eq!(Rejoin::run(input(), &mut host).unwrap_err().code, "observe-mode");
    assert!(host.sent.is_empty());
}
