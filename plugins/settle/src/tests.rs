//! What may happen to a new master in its first seconds.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        master: DATA[1].into(),
        old_master: DATA[0].into(),
        watch_ms: None,
    }
}

/// The second node has just succeeded the first, which is gone; epoch 100.
fn succeeded() -> Sim {
    let sim = Sim::killed();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
    (0..3).for_each(|at| {
        sim.sentinel(at, |it| (it.master, it.config_epoch) = (DATA[1].into(), 100));
    });
    sim
}

type Change = fn(&Sim);

/// Changes the cluster at a time.
struct Later(Sim, u64, Option<Change>);

impl Responder for Later {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        if now_ms >= self.1
            && let Some(change) = self.2.take()
        {
            change(&self.0);
        }
        self.0.respond(address, command, now_ms)
    }
}

fn later(in_ms: u64, change: Change) -> (Sim, FakeCluster<Later>) {
    let sim = succeeded();
    let at_ms = sim.host().now_ms + in_ms;
    let responder = Later(sim.clone(), at_ms, Some(change));
    (sim, FakeCluster::with_responder("bondx", &DATA, &SENTINELS, responder))
}

#[test]
fn twice_the_failover_timeout_is_watched_and_nothing_said_where_all_is_well() {
    let mut host = succeeded().host();
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!((output.outcome, output.corrections), (Outcome::Settled, 0));
    assert!(output.watched_ms >= 20_000, "{}", output.watched_ms);
    assert_eq!(host.count_sent("PUBLISH") + host.count_sent("REPLICAOF"), 0);
}

#[test]
fn a_sentinel_that_comes_back_with_what_it_knew_is_told() {
    let (sim, mut host) = later(5000, |sim| {
        sim.sentinel(2, |it| (it.master, it.config_epoch) = (DATA[0].into(), 3));
    });
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!((output.outcome, output.corrections), (Outcome::Settled, 1));
    assert_eq!(sim.sentinel(2, |it| (it.master.clone(), it.config_epoch)), (DATA[1].into(), 100));
}

#[test]
fn sentinels_that_went_back_at_a_higher_epoch_are_told_at_one_above() {
    let (sim, mut host) = later(3000, |sim| {
        (0..2).for_each(|at| {
            sim.sentinel(at, |it| (it.master, it.config_epoch) = (DATA[0].into(), 101));
        });
    });
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!(output.outcome, Outcome::Settled);
    let told = |at| sim.sentinel(at, |it| (it.master.clone(), it.config_epoch));
    assert_eq!([told(0), told(1), told(2)], [0; 3].map(|_| (DATA[1].to_owned(), 201)));
}

#[test]
fn a_later_failover_is_left_alone() {
    let (_, mut host) = later(2000, |sim| {
        sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
        sim.host().call_as_test(DATA[1], "REPLICAOF 127.0.0.1 7003");
        (0..3).for_each(|at| sim.sentinel(at, |it| it.master = DATA[2].into()));
    });
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!((output.outcome, output.master.as_str()), (Outcome::Replaced, DATA[2]));
    assert_eq!(host.count_sent("PUBLISH"), 0);
}

#[test]
fn a_master_that_dies_is_another_incident() {
    let (_, mut host) = later(2000, |sim| sim.node(1, |it| it.down = Some(ErrorKind::Refused)));
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!(output.outcome, Outcome::Silent);
    assert_eq!(host.count_sent("PUBLISH") + host.count_sent("REPLICAOF"), 0);
}

#[test]
fn a_second_master_that_took_writes_is_never_settled() {
    let (_, mut host) = later(2000, |sim| {
        sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
        sim.node(0, |it| it.down = None);
        sim.node(1, |it| it.offset += 100);
        sim.node(2, |it| it.offset += 100);
    });
    assert_eq!(Settle::run(input(), &mut host).unwrap_err().code, "split-brain");
}

/// A Sentinel took the new master for down for a moment, and made its replica one.
fn promoted_out_of_ours(sim: &Sim) {
    sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
    sim.node(1, |it| it.offset += 100);
}

#[test]
fn one_that_a_sentinel_has_made_of_its_replica_is_taken_back_if_it_took_nothing() {
    let (sim, mut host) = later(2000, promoted_out_of_ours);
    let output = Settle::run(input(), &mut host).unwrap();
    assert_eq!((output.outcome, output.corrections), (Outcome::Settled, 1), "{output:?}");
    assert_eq!(sim.node(2, |it| it.follows.clone()).as_deref(), Some(DATA[1]));
    assert_eq!(sim.node(2, |it| it.min_replicas), 0);
}

#[test]
fn one_that_took_writes_is_fenced_and_nobody_is_led_to_it() {
    let (sim, mut host) = later(2000, |sim| {
        promoted_out_of_ours(sim);
        sim.node(2, |it| it.offset += 100);
    });
    assert_eq!(Settle::run(input(), &mut host).unwrap_err().code, "split-brain");
    assert_eq!(sim.node(2, |it| it.min_replicas), baton_topology::FENCE_REPLICAS);
    assert_eq!(sim.node(1, |it| it.min_replicas), 0);
    // The Sentinel that made it is away, and comes back with what it was elected for.
    let told = |at| sim.sentinel(at, |it| (it.master.clone(), it.config_epoch > 101));
    assert_eq!([told(0), told(1), told(2)], [0; 3].map(|_| (DATA[1].to_owned(), true)));
}

#[test]
fn an_observed_cluster_is_never_touched() {
    let mut host = succeeded().host();
    host.cluster.mode = Mode::Observe;
    assert_eq!(Settle::run(input(), &mut host).unwrap_err().code, "observe-mode");
    assert!(host.sent.is_empty());
}
