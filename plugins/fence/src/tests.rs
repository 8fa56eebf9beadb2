//! The fence meets a master in every state that it may be in.

use super::*;
use baton_plugin::testing::{CRASH, FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn input(act: Act) -> Input {
    Input { cluster: "bondx".into(), node: DATA[0].into(), act, prior: None }
}

/// The first master woken beside its successor, whom every Sentinel names.
fn zombie() -> Sim {
    let sim = Sim::bondx();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
    (0..3).for_each(|at| sim.sentinel(at, |it| it.master = DATA[1].into()));
    sim
}

/// Takes what is sent and answers late.
struct Hung(Sim);

impl Responder for Hung {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let reply = self.0.respond(address, command, now_ms);
        if address == DATA[0] {
            return Err(RedisError::new(ErrorKind::TimedOut, "no reply in time"));
        }
        reply
    }
}

#[test]
fn a_master_that_hangs_finds_the_fence_when_it_wakes() {
    let sim = Sim::bondx();
    sim.node(1, |it| it.min_replicas = 1);
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, Hung(sim.clone()));
    let output = Fence::run(input(Act::Arm), &mut host).unwrap();
    assert_eq!((output.state, output.prior), (State::Queued, Some(1)), "as the others have it");
    assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    assert!(host.sent.last().unwrap().ends_with("CONFIG REWRITE"), "{:?}", host.sent);
}

#[test]
fn one_whose_process_is_gone_refuses_at_once() {
    let output = Fence::run(input(Act::Arm), &mut Sim::killed().host()).unwrap();
    assert_eq!((output.state, output.prior), (State::Gone, Some(0)));
}

#[test]
fn a_woken_master_beside_its_successor_is_fenced_and_its_gate_remembered() {
    let sim = zombie();
    sim.node(0, |it| it.min_replicas = 2);
    let output = Fence::run(input(Act::Arm), &mut sim.host()).unwrap();
    assert_eq!((output.state, output.prior), (State::Done, Some(2)));
    assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    let again = Fence::run(input(Act::Arm), &mut sim.host()).unwrap();
    assert_eq!(again.prior, Some(0), "its own is a fence by now: as the others have it");
}

#[test]
fn the_only_master_is_never_fenced_and_a_replica_need_not_be() {
    let sim = Sim::bondx();
    let mut host = sim.host();
    assert_eq!(Fence::run(input(Act::Arm), &mut host).unwrap().state, State::Alive);
    let replica = Input { node: DATA[1].into(), ..input(Act::Arm) };
    assert_eq!(Fence::run(replica, &mut host).unwrap().state, State::Replica);
    assert_eq!(host.count_sent("CONFIG SET"), 0);
}

#[test]
fn released_it_has_the_gate_that_it_had() {
    for (stated, expected) in [(Some(3), 3), (None, 1), (Some(-1), 1)] {
        let sim = Sim::bondx();
        sim.node(0, |it| it.min_replicas = FENCE_REPLICAS);
        sim.node(2, |it| it.min_replicas = 1);
        let release = Input { prior: stated, ..input(Act::Release) };
        let output = Fence::run(release, &mut sim.host()).unwrap();
        assert_eq!((output.state, sim.node(0, |it| it.min_replicas)), (State::Done, expected));
        let mut host = sim.host();
        let again = Fence::run(input(Act::Release), &mut host).unwrap();
        assert_eq!((again.state, host.count_sent("CONFIG SET")), (State::Unfenced, 0));
    }
}

#[test]
fn it_converges_when_cut_off_after_every_command() {
    let mut whole = zombie().host();
    Fence::run(input(Act::Arm), &mut whole).unwrap();
    for commands in 0..whole.sent.len() {
        let sim = zombie();
        let mut host = sim.host();
        host.crash_after = Some(commands);
        let crash = catch_unwind(AssertUnwindSafe(|| Fence::run(input(Act::Arm), &mut host)));
        assert!(crash.unwrap_err().downcast::<String>().unwrap().contains(CRASH));
        Fence::run(input(Act::Arm), &mut sim.host()).unwrap();
        assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    }
}

#[test]
fn a_config_file_that_cannot_be_written_is_a_note() {
    let sim = zombie();
    sim.node(0, |it| it.read_only_config = true);
    let output = Fence::run(input(Act::Arm), &mut sim.host()).unwrap();
    assert!(output.note.unwrap().contains("config file"));
}

#[test]
fn an_observed_cluster_and_an_unknown_node_are_left_alone() {
    let mut host = Sim::bondx().host();
    let stranger = Input { node: "127.0.0.1:9".into(), ..input(Act::Arm) };
    assert_eq!(Fence::run(stranger, &mut host).unwrap_err().code, "no-such-node");
    host.cluster.mode = Mode::Observe;
    assert_eq!(Fence::run(input(Act::Arm), &mut host).unwrap_err().code, "observe-mode");
    assert_eq!(host.count_sent("CONFIG SET"), 0);
}

#[test]
fn the_only_master_is_opened_and_closed_again_when_it_has_replicas() {
    let sim = Sim::bondx();
    sim.node(0, |it| it.min_replicas = 2);
    for replica in [1, 2] {
        sim.node(replica, |it| it.down = Some(ErrorKind::Refused));
    }
    let act =
        |act, prior| Fence::run(Input { prior, ..input(act) }, &mut sim.host()).unwrap().state;
    assert_eq!(act(Act::Open, None), State::Done);
    assert_eq!(sim.node(0, |it| it.min_replicas), 0);
    assert_eq!(act(Act::Restore, Some(2)), State::Waiting);
    sim.node(1, |it| it.down = None);
    assert_eq!(act(Act::Restore, Some(2)), State::Waiting);
    sim.node(2, |it| it.down = None);
    assert_eq!(act(Act::Restore, Some(2)), State::Done);
    assert_eq!(sim.node(0, |it| it.min_replicas), 2);
    sim.node(0, |it| it.follows = Some(DATA[1].into()));
    assert_eq!(act(Act::Restore, Some(2)), State::Replica, "it has been replaced meanwhile");
}

#[test]
fn one_of_two_masters_and_a_replica_are_not_opened() {
    let fault = Fence::run(input(Act::Open), &mut zombie().host()).unwrap_err();
    assert_eq!(fault.code, "not-the-master");
    let of_a_replica = Input { node: DATA[1].into(), ..input(Act::Open) };
    let fault = Fence::run(of_a_replica, &mut Sim::bondx().host()).unwrap_err();
    assert_eq!(fault.code, "not-the-master");
}
