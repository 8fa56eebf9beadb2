//! A cluster after a promotion, and each way in which it is not finished.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError};
use baton_plugin::testing::{FakeCluster, Responder};
use baton_topology::testing::{DATA, HISTORY, SENTINELS, Sim};

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        master: Some(DATA[1].into()),
        replid: Some(HISTORY.into()),
        offset: Some(1000),
        settle_ms: None,
        lag_max_bytes: None,
    }
}

/// As `promote` leaves it: the old master dead, everyone on the second node.
fn promoted() -> Sim {
    let sim = Sim::killed();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
    (0..3).for_each(|index| {
        sim.sentinel(index, |it| (it.master, it.config_epoch) = (DATA[1].into(), 100));
    });
    sim
}

fn verify(sim: &Sim) -> Output {
    VerifyReplication::run(input(), &mut sim.host()).unwrap()
}

fn fails(sim: &Sim, check: &str) {
    let output = verify(sim);
    assert_eq!(output.verdict, "fail");
    let bad: Vec<&str> =
        output.checks.iter().filter(|it| !it.ok).map(|it| it.name.as_str()).collect();
    assert!(bad.contains(&check), "{bad:?}");
}

#[test]
fn a_finished_promotion_passes_and_the_dead_master_is_declared() {
    let output = verify(&promoted());
    assert_eq!(output.verdict, "pass", "{:?}", output.checks);
    assert_eq!((output.writable_masters, output.lost_bytes_bound), (vec![DATA[1].into()], Some(0)));
    assert!(output.sentinels_agree);
    assert!(output.checks.iter().any(|it| it.message.contains(DATA[0])));
    assert!(output.checks.iter().any(|it| it.name == "canary" && it.ok));
}

#[test]
fn lost_bytes_are_declared() {
    let wanted = Input { offset: Some(1300), ..input() };
    let output = VerifyReplication::run(wanted, &mut promoted().host()).unwrap();
    assert_eq!(output.verdict, "pass with declared loss");
    assert_eq!(output.lost_bytes_bound, Some(300));
}

#[test]
fn what_is_lost_is_a_row_and_what_is_not_known_is_said() {
    let row = |offset| {
        let output =
            VerifyReplication::run(Input { offset, ..input() }, &mut promoted().host()).unwrap();
        assert_ne!(output.verdict, "fail");
        output.checks.into_iter().find(|it| it.name == "loss").unwrap().message
    };
    assert!(row(Some(1300)).starts_with("at most 300 bytes"));
    assert!(row(Some(1000)).starts_with("nothing was lost"));
    assert!(row(None).starts_with("not known"));
}

#[test]
fn a_replica_on_another_history_fails_though_its_link_is_up() {
    let sim = promoted();
    sim.node(2, |it| it.replid = "f".repeat(40));
    fails(&sim, "replicas-attached");
}

#[test]
fn each_failed_check_says_what_to_do_and_a_pass_says_nothing() {
    assert!(verify(&promoted()).next.is_empty());
    let sim = promoted();
    sim.node(0, |it| it.down = None);
    sim.sentinel(1, |it| it.config_epoch = 3);
    let output = verify(&sim);
    let bad = output.checks.iter().filter(|it| !it.ok).count();
    assert_eq!(output.next.len(), bad);
    assert!(bad >= 2 && output.next[0].starts_with("Do not fail over again"));
    assert_eq!(output.table.rows.len(), output.checks.len());
}

#[test]
fn two_writable_masters_never_pass() {
    let sim = promoted();
    sim.node(0, |it| it.down = None);
    fails(&sim, "one-writable-master");
}

#[test]
fn a_sentinel_elsewhere_or_at_another_epoch_fails() {
    let sim = promoted();
    sim.sentinel(1, |it| it.master = DATA[0].into());
    fails(&sim, "sentinels-agree");
    let sim = promoted();
    sim.sentinel(1, |it| it.config_epoch = 3);
    fails(&sim, "sentinels-agree");
    let sim = promoted();
    sim.sentinel(1, |it| it.flags = "master,failover_in_progress".into());
    fails(&sim, "sentinels-agree");
}

#[test]
fn one_sentinel_away_passes_and_two_do_not() {
    let sim = promoted();
    sim.sentinel(0, |it| it.down = Some(ErrorKind::Refused));
    assert_eq!(verify(&sim).verdict, "pass");
    sim.sentinel(1, |it| it.down = Some(ErrorKind::TimedOut));
    fails(&sim, "sentinels-agree");
}

#[test]
fn a_replica_that_is_not_attached_fails() {
    let sim = promoted();
    sim.node(2, |it| it.follows = Some(DATA[0].into()));
    fails(&sim, "replicas-attached");
    let sim = promoted();
    sim.node(2, |it| it.link = Some(false));
    fails(&sim, "replicas-attached");
    let sim = promoted();
    sim.node(2, |it| it.syncing = true);
    fails(&sim, "replicas-attached");
    let sim = promoted();
    sim.node(2, |it| it.down = Some(ErrorKind::Refused));
    fails(&sim, "replicas-attached");
}

#[test]
fn a_lagging_replica_fails() {
    let sim = promoted();
    sim.node(1, |it| it.offset = 2_000_000);
    fails(&sim, "lag");
}

#[test]
fn another_history_fails() {
    let sim = promoted();
    sim.node(1, |it| it.replid2 = "b".repeat(40));
    fails(&sim, "lineage");
}

#[test]
fn it_waits_for_a_cluster_that_settles_and_gives_up_on_one_that_does_not() {
    let sim = promoted();
    sim.node(2, |it| it.syncing = true);
    let mut host = sim.host();
    let begun_ms = host.now_ms;
    assert_eq!(VerifyReplication::run(input(), &mut host).unwrap().verdict, "fail");
    assert!(host.now_ms >= begun_ms + 2000);
    assert!(host.reported[0].contains("full copy"));
}

#[test]
fn an_observed_cluster_is_verified_without_the_canary() {
    let mut host = promoted().host();
    host.cluster.mode = Mode::Observe;
    assert_eq!(VerifyReplication::run(input(), &mut host).unwrap().verdict, "pass");
    assert_eq!(host.count_sent("SET"), 0);
}

#[test]
fn without_a_named_master_the_sentinels_are_asked() {
    let wanted = Input { master: None, ..input() };
    let output = VerifyReplication::run(wanted, &mut promoted().host()).unwrap();
    assert_eq!((output.verdict.as_str(), output.master.as_deref()), ("pass", Some(DATA[1])));
}

#[test]
fn a_wait_that_comes_back_short_is_no_proof() {
    assert!(missed(&[Value::Simple("OK".into()), Value::Int(1)], 2).unwrap().contains("1 of 2"));
    assert!(missed(&[Value::Error("NOREPLICAS".into()), Value::Int(0)], 1).is_some());
    assert_eq!(missed(&[Value::Simple("OK".into()), Value::Int(2)], 2), None);
}

/// Grants reads only.
struct ReadOnly(Sim);

impl Responder for ReadOnly {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        if command[0] == "SET" {
            return Err(RedisError::new(ErrorKind::Denied, "SET is not granted"));
        }
        self.0.respond(address, command, now_ms)
    }
}

#[test]
fn without_the_grant_to_write_the_canary_is_said_to_be_missing() {
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, ReadOnly(promoted()));
    let output = VerifyReplication::run(input(), &mut host).unwrap();
    let canary = output.checks.iter().find(|it| it.name == "canary").unwrap();
    assert!(canary.message.contains("SET is not granted"), "{}", canary.message);
    assert_eq!(output.verdict, "pass");
}
