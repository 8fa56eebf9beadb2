//! A node comes back in every way that it may.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{CRASH, FakeCluster, Responder};
use baton_topology::FENCE_REPLICAS;
use baton_topology::testing::{DATA, SENTINELS, Sim, SimNode};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn input(wait_ms: u32) -> Input {
    Input { cluster: "bondx".into(), node: DATA[0].into(), prior: None, wait_ms: Some(wait_ms) }
}

/// The first node gone, the second master and named by all.
fn replaced() -> Sim {
    let sim = Sim::bondx();
    sim.node(0, |it| it.down = Some(ErrorKind::Refused));
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
    (0..3).for_each(|at| sim.sentinel(at, |it| it.master = DATA[1].into()));
    sim
}

type Change = fn(&mut SimNode);

/// Changes the first node at a time.
struct Later {
    sim: Sim,
    at_ms: u64,
    change: Option<Change>,
}

impl Responder for Later {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        if now_ms >= self.at_ms
            && let Some(change) = self.change.take()
        {
            self.sim.node(0, change);
        }
        self.sim.respond(address, command, now_ms)
    }
}

fn later(sim: &Sim, in_ms: u64, change: Change) -> FakeCluster<Later> {
    let at_ms = sim.host().now_ms + in_ms;
    let responder = Later { sim: sim.clone(), at_ms, change: Some(change) };
    FakeCluster::with_responder("bondx", &DATA, &SENTINELS, responder)
}

#[test]
fn a_restarted_master_is_fenced_by_the_first_knock_that_is_let_in() {
    let sim = replaced();
    let mut host = later(&sim, 10_020, |it| {
        (it.down, it.replid, it.min_replicas) = (None, "c".repeat(40), 1);
    });
    let output = Hold::run(input(60_000), &mut host).unwrap();
    assert_eq!((output.outcome, output.prior), (Outcome::Held, 1));
    assert_eq!(output.master.as_deref(), Some(DATA[1]));
    assert_eq!(output.extra_bytes, None, "another process: nobody can tell");
    assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    let begun_ms = sim.host().now_ms;
    assert!(host.now_ms <= begun_ms + 10_020 + u64::from(KNOCK_MS), "{}", host.now_ms - begun_ms);
    assert_eq!(host.count_sent("CLIENT KILL TYPE normal"), 1);
}

#[test]
fn it_is_fenced_also_where_two_sentinels_have_each_promoted_one() {
    let sim = replaced();
    sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
    let mut host = later(&sim, 5000, |it| it.down = None);
    let output = Hold::run(input(60_000), &mut host).unwrap();
    assert_eq!(output.outcome, Outcome::Held);
    assert_eq!(output.master.as_deref(), Some(DATA[1]), "the one that most of them name");
    assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    assert_eq!(sim.node(2, |it| it.min_replicas), 0);
}

#[test]
fn what_a_woken_master_alone_has_is_told_to_the_byte() {
    let sim = replaced();
    let mut host = later(&sim, 5000, |it| (it.down, it.offset) = (None, 1234));
    let output = Hold::run(input(60_000), &mut host).unwrap();
    assert_eq!((output.outcome, output.extra_bytes), (Outcome::Held, Some(234)));
}

#[test]
fn a_master_that_hangs_is_left_one_fence_and_not_many() {
    let sim = replaced();
    sim.node(0, |it| it.down = Some(ErrorKind::TimedOut));
    let mut host = sim.host();
    let output = Hold::run(input(30_000), &mut host).unwrap();
    assert_eq!(output.outcome, Outcome::Waiting);
    assert_eq!(host.count_sent("CONFIG SET"), 1);
}

#[test]
fn one_that_stays_away_is_knocked_at_less_often() {
    let knocks = |attempt| {
        let mut host = replaced().host();
        host.context.attempt = attempt;
        assert_eq!(Hold::run(input(30_000), &mut host).unwrap().outcome, Outcome::Waiting);
        host.count_sent("CONFIG SET")
    };
    assert!(knocks(1) > 400 && knocks(EAGER_ATTEMPTS + 1) <= 31);
}

#[test]
fn before_there_is_a_successor_nobody_is_fenced() {
    let mut host = Sim::killed().host();
    let output = Hold::run(input(10_000), &mut host).unwrap();
    assert_eq!((output.outcome, host.count_sent("CONFIG SET")), (Outcome::Waiting, 0));
}

#[test]
fn a_master_that_nobody_replaced_is_said_to_have_stayed_only_after_a_while() {
    let sim = Sim::bondx();
    sim.node(0, |it| it.min_replicas = FENCE_REPLICAS);
    let mut host = sim.host();
    let begun_ms = host.now_ms;
    let output = Hold::run(input(60_000), &mut host).unwrap();
    assert_eq!((output.outcome, output.prior), (Outcome::Master, 0));
    assert!(host.now_ms >= begun_ms + STAYS_MS);
    assert_eq!(host.count_sent("CONFIG SET"), 0, "to release it is for another step");
}

#[test]
fn one_that_sentinel_has_demoted_already_follows() {
    let sim = replaced();
    let mut host = later(&sim, 3000, |it| (it.down, it.follows) = (None, Some(DATA[1].into())));
    let output = Hold::run(input(60_000), &mut host).unwrap();
    assert_eq!((output.outcome, output.master.as_deref()), (Outcome::Follows, Some(DATA[1])));
}

#[test]
fn one_that_refuses_its_fence_is_a_fault_to_retry() {
    let sim = replaced();
    let mut host = later(&sim, 1000, |it| {
        (it.down, it.complaint) = (None, Some("LOADING Redis is loading".into()));
    });
    assert_eq!(Hold::run(input(5000), &mut host).unwrap_err().code, "refused");
}

#[test]
fn it_converges_when_cut_off_after_every_command() {
    let back: Change = |it| it.down = None;
    let mut whole = later(&replaced(), 300, back);
    Hold::run(input(60_000), &mut whole).unwrap();
    for commands in 0..whole.sent.len() {
        let sim = replaced();
        let mut host = later(&sim, 300, back);
        host.crash_after = Some(commands);
        let crash = catch_unwind(AssertUnwindSafe(|| Hold::run(input(60_000), &mut host)));
        assert!(crash.unwrap_err().downcast::<String>().unwrap().contains(CRASH));
        sim.node(0, back);
        let output = Hold::run(input(60_000), &mut sim.host()).unwrap();
        assert_eq!((output.outcome, output.prior), (Outcome::Held, 0), "cut off after {commands}");
        assert_eq!(sim.node(0, |it| it.min_replicas), FENCE_REPLICAS);
    }
}

#[test]
fn an_observed_cluster_and_an_unknown_node_are_left_alone() {
    let mut host = replaced().host();
    let stranger = Input { node: "127.0.0.1:9".into(), ..input(1) };
    assert_eq!(Hold::run(stranger, &mut host).unwrap_err().code, "no-such-node");
    host.cluster.mode = Mode::Observe;
    assert_eq!(Hold::run(input(1), &mut host).unwrap_err().code, "observe-mode");
}
