//! Each row of the table, and each way to be fooled.

use super::*;
use baton_plugin::redis::ErrorKind;
use baton_topology::testing::{DATA, Sim};
use baton_topology::{FENCE_REPLICAS, Health, Scope, look};

pub(super) const PATIENCE: Patience = Patience { down_after_ms: 5000, restart_grace_ms: 0 };

pub(super) fn seen(sim: &Sim) -> Look {
    let mut host = sim.host();
    let cluster = host.cluster.clone();
    look(&cluster, Scope::Whole, 500, &mut host).unwrap()
}

fn check(sim: &Sim, evidence: Evidence, verdict: Verdict) {
    let judged = judge(&seen(sim), PATIENCE, &[]);
    assert_eq!((judged.evidence, judged.verdict), (evidence, verdict), "{}", judged.reason);
}

fn hung() -> Sim {
    let sim = Sim::bondx();
    sim.node(0, |it| it.down = Some(ErrorKind::TimedOut));
    for replica in [1, 2] {
        sim.node(replica, |it| (it.link, it.last_io_s) = (Some(true), 6));
    }
    sim
}

fn sentinels(sim: &Sim, change: impl Fn(&mut baton_topology::testing::SimSentinel)) {
    (0..3).for_each(|index| sim.sentinel(index, &change));
}

#[test]
fn all_well() {
    check(&Sim::bondx(), Evidence::Healthy, Verdict::Healthy);
}

#[test]
fn a_missing_replica_or_sentinel_is_degraded_and_not_dead() {
    let sim = Sim::bondx();
    sim.node(2, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::Healthy, Verdict::Degraded);
    let sim = Sim::bondx();
    sim.sentinel(2, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::Healthy, Verdict::Degraded);
}

#[test]
fn a_killed_master_is_dead_before_sentinel_notices() {
    check(&Sim::killed(), Evidence::DeadMaster, Verdict::Dead);
}

#[test]
fn a_killed_master_without_a_reachable_replica_proves_nothing() {
    let sim = Sim::killed();
    sim.node(1, |it| it.down = Some(ErrorKind::TimedOut));
    sim.node(2, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::Unknown, Verdict::Unknown);
}

#[test]
fn one_reachable_replica_is_enough() {
    let sim = Sim::killed();
    sim.node(2, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::DeadMaster, Verdict::Dead);
}

#[test]
fn one_replica_that_still_hears_the_master_means_that_we_are_cut_off() {
    for kind in [ErrorKind::Refused, ErrorKind::Unreachable, ErrorKind::TimedOut] {
        let sim = Sim::bondx();
        sim.node(0, |it| it.down = Some(kind));
        sim.node(1, |it| it.link = Some(true));
        check(&sim, Evidence::UnreachableFromEngine, Verdict::Unknown);
    }
}

#[test]
fn a_refused_connection_with_an_idle_but_open_link_is_not_a_killed_process() {
    let sim = Sim::killed();
    (1..3).for_each(|index| sim.node(index, |it| (it.link, it.last_io_s) = (Some(true), 30)));
    check(&sim, Evidence::UnreachableFromEngine, Verdict::Unknown);
}

#[test]
fn a_hang_needs_most_sentinels() {
    let sim = hung();
    check(&sim, Evidence::Unknown, Verdict::Unknown);
    sim.sentinel(0, |it| it.flags = "master,s_down".into());
    check(&sim, Evidence::Unknown, Verdict::Unknown);
    sim.sentinel(1, |it| it.flags = "master,s_down,o_down".into());
    check(&sim, Evidence::DeadMaster, Verdict::Dead);
}

#[test]
fn a_hang_that_replicas_have_not_felt_for_down_after_is_not_death() {
    let sim = hung();
    sentinels(&sim, |it| it.flags = "master,s_down".into());
    sim.node(2, |it| it.last_io_s = 4);
    check(&sim, Evidence::UnreachableFromEngine, Verdict::Unknown);
}

#[test]
fn a_link_that_was_pinged_a_moment_ago_is_heard_however_short_down_after_is() {
    let patience = Patience { down_after_ms: 500, ..PATIENCE };
    let sim = hung();
    sentinels(&sim, |it| it.flags = "master,s_down".into());
    (1..3).for_each(|index| sim.node(index, |it| it.last_io_s = 2));
    assert_eq!(judge(&seen(&sim), patience, &[]).evidence, Evidence::UnreachableFromEngine);
    (1..3).for_each(|index| sim.node(index, |it| it.last_io_s = 3));
    assert_eq!(judge(&seen(&sim), patience, &[]).evidence, Evidence::DeadMaster);
}

#[test]
fn without_sentinels_a_hang_needs_longer_than_an_idle_link_may_be_silent() {
    let sim = hung();
    sentinels(&sim, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::UnreachableFromEngine, Verdict::Unknown);
    (1..3).for_each(|index| sim.node(index, |it| it.last_io_s = 12));
    check(&sim, Evidence::SentinelQuorumLost, Verdict::Dead);
}

#[test]
fn a_killed_master_with_most_sentinels_gone_is_quorum_lost() {
    let sim = Sim::killed();
    sim.sentinel(0, |it| it.down = Some(ErrorKind::Refused));
    sim.sentinel(1, |it| it.down = Some(ErrorKind::TimedOut));
    check(&sim, Evidence::SentinelQuorumLost, Verdict::Dead);
}

#[test]
fn a_failover_under_way_goes_before_everything() {
    let sim = Sim::killed();
    sim.sentinel(1, |it| it.flags = "master,s_down,o_down,failover_in_progress".into());
    check(&sim, Evidence::FailoverInProgress, Verdict::Degraded);
}

#[test]
fn no_error_reply_and_no_refused_password_is_death() {
    for complaint in ["BUSY Redis is busy running a script", "MISCONF disk", "OOM command"] {
        let sim = Sim::bondx();
        sim.node(0, |it| it.complaint = Some(complaint.into()));
        (1..3).for_each(|index| sim.node(index, |it| it.link = Some(false)));
        sentinels(&sim, |it| it.flags = "master,s_down,o_down".into());
        check(&sim, Evidence::WriteStalled, Verdict::Degraded);
    }
    for barred in [ErrorKind::Unauthorized, ErrorKind::Protocol] {
        let sim = Sim::bondx();
        sim.node(0, |it| it.down = Some(barred));
        check(&sim, Evidence::Unknown, Verdict::Unknown);
    }
    let sim = Sim::bondx();
    sim.node(0, |it| it.complaint = Some("NOPERM this user".into()));
    check(&sim, Evidence::Unknown, Verdict::Unknown);
}

#[test]
fn a_loading_master_is_stalled() {
    let sim = Sim::bondx();
    sim.node(0, |it| it.loading = true);
    check(&sim, Evidence::WriteStalled, Verdict::Degraded);
}

#[test]
fn two_reachable_masters_are_a_split_brain() {
    let sim = Sim::bondx();
    sim.node(1, |it| it.follows = None);
    check(&sim, Evidence::SplitBrain, Verdict::Degraded);
}

#[test]
fn a_promoted_node_with_its_old_master_dead_is_no_split_brain_but_unfinished_work() {
    let sim = Sim::killed();
    sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
    check(&sim, Evidence::DeadMaster, Verdict::Dead);
    sentinels(&sim, |it| it.master = DATA[1].into());
    check(&sim, Evidence::Healthy, Verdict::Degraded);
}

#[test]
fn a_master_that_only_we_reach_is_isolated() {
    let sim = Sim::bondx();
    (1..3).for_each(|index| sim.node(index, |it| it.link = Some(false)));
    check(&sim, Evidence::Healthy, Verdict::Degraded);
    sentinels(&sim, |it| it.flags = "master,s_down".into());
    check(&sim, Evidence::MasterIsolatedFromReplicas, Verdict::Degraded);
}

#[test]
fn a_master_that_came_back_empty_is_told_apart() {
    let sim = Sim::bondx();
    sim.node(0, |it| (it.keys, it.replid) = (0, "b".repeat(40)));
    check(&sim, Evidence::MasterRebootedEmpty, Verdict::Degraded);
}

#[test]
fn nobody_at_all_is_unknown() {
    let sim = Sim::bondx();
    (0..3).for_each(|index| sim.node(index, |it| it.down = Some(ErrorKind::Refused)));
    check(&sim, Evidence::Unknown, Verdict::Unknown);
    sentinels(&sim, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::Unknown, Verdict::Unknown);
}

#[test]
fn a_master_that_baton_does_not_know_is_unknown() {
    let sim = Sim::killed();
    sentinels(&sim, |it| it.master = "redis-0.internal:6379".into());
    check(&sim, Evidence::Unknown, Verdict::Unknown);
}

#[test]
fn a_sentinel_in_tilt_has_no_voice() {
    let sim = hung();
    sentinels(&sim, |it| it.flags = "master,s_down".into());
    let mut look = seen(&sim);
    look.sentinels.iter_mut().for_each(|it| it.tilt = true);
    assert_ne!(judge(&look, PATIENCE, &[]).verdict, Verdict::Dead);
}

#[test]
fn a_supervisor_gets_its_time() {
    let patience = Patience { restart_grace_ms: 3000, ..PATIENCE };
    let mut look = seen(&Sim::killed());
    assert_eq!(judge(&look, patience, &[]).evidence, Evidence::Unknown);
    look.nodes[1].link_down_s = Some(3);
    assert_eq!(judge(&look, patience, &[]).evidence, Evidence::DeadMaster);
}

#[test]
fn death_is_believed_only_if_seen_twice_alike() {
    let dead = seen(&Sim::killed());
    let first = judge(&dead, PATIENCE, &[]);
    assert_eq!(confirm(&first, &dead, first.clone(), &dead).verdict, Verdict::Dead);

    let mut restarted = dead.clone();
    restarted.nodes[1].run_id = Some("another".into());
    assert_eq!(confirm(&first, &dead, first.clone(), &restarted).evidence, Evidence::Unknown);

    let mut silent = dead.clone();
    silent.nodes[0].health = Health::Silent;
    assert_eq!(confirm(&first, &dead, first.clone(), &silent).evidence, Evidence::Unknown);

    let well = seen(&Sim::bondx());
    let healthy = judge(&well, PATIENCE, &[]);
    assert_eq!(confirm(&healthy, &well, first.clone(), &dead).evidence, Evidence::Unknown);
    assert_eq!(confirm(&first, &dead, healthy, &well).evidence, Evidence::Healthy);
}

#[test]
fn a_hang_seen_from_the_small_side_of_a_partition_is_not_death() {
    // The master, one replica and all Sentinels are on the other side; the replica on
    // ours hears nothing either.
    let sim = hung();
    sim.node(1, |it| (it.link, it.last_io_s) = (Some(false), 60));
    sim.node(2, |it| it.down = Some(ErrorKind::TimedOut));
    sentinels(&sim, |it| it.down = Some(ErrorKind::TimedOut));
    check(&sim, Evidence::Unknown, Verdict::Unknown);
    // Their machines are there and say that nothing listens: it is not us.
    sentinels(&sim, |it| it.down = Some(ErrorKind::Refused));
    check(&sim, Evidence::SentinelQuorumLost, Verdict::Dead);
}

#[test]
fn a_hang_that_most_sentinels_do_not_see_is_a_partition() {
    let sim = hung();
    (1..3).for_each(|index| sim.node(index, |it| it.last_io_s = 60));
    sim.sentinel(0, |it| it.flags = "master,s_down".into());
    check(&sim, Evidence::Unknown, Verdict::Unknown);
}

#[test]
fn a_sentinel_that_names_another_has_no_voice_on_this_master() {
    let sim = hung();
    sentinels(&sim, |it| it.flags = "master,s_down".into());
    check(&sim, Evidence::DeadMaster, Verdict::Dead);
    sim.sentinel(2, |it| it.master = DATA[1].into());
    check(&sim, Evidence::DeadMaster, Verdict::Dead);
    sim.sentinel(1, |it| it.flags = "master".into());
    check(&sim, Evidence::Unknown, Verdict::Unknown);
    let sim = Sim::bondx();
    sim.sentinel(2, |it| it.master = DATA[1].into());
    check(&sim, Evidence::Healthy, Verdict::Degraded);
}

#[test]
fn a_fenced_master_is_ours_and_neither_stalled_nor_half_of_a_split_brain() {
    let sim = Sim::bondx();
    sim.node(0, |it| it.min_replicas = FENCE_REPLICAS);
    check(&sim, Evidence::FencedByBaton, Verdict::Degraded);
    sim.node(1, |it| it.follows = None);
    check(&sim, Evidence::FencedByBaton, Verdict::Degraded);
    assert_eq!(judge(&seen(&sim), PATIENCE, &[]).master.as_deref(), Some(DATA[1]));
    sim.node(1, |it| it.min_replicas = FENCE_REPLICAS);
    check(&sim, Evidence::FencedByBaton, Verdict::Degraded);
    sim.node(0, |it| it.min_replicas = 1);
    sim.node(1, |it| it.min_replicas = 2);
    check(&sim, Evidence::SplitBrain, Verdict::Degraded);
}

#[test]
fn a_replica_of_another_history_and_a_sentinel_in_tilt_are_named() {
    let sim = Sim::bondx();
    sim.node(2, |it| (it.replid, it.link) = ("b".repeat(40), Some(false)));
    let mut look = seen(&sim);
    look.sentinels[0].tilt = true;
    let judged = judge(&look, PATIENCE, &[]);
    assert_eq!((judged.evidence, judged.verdict), (Evidence::Healthy, Verdict::Degraded));
    assert!(judged.reason.contains("carries another history"), "{}", judged.reason);
    assert!(judged.reason.contains("is in TILT"), "{}", judged.reason);
}

#[test]
fn a_master_out_of_memory_is_stalled() {
    use baton_plugin::redis::Value;
    use baton_topology::Node;
    let read = |memory: &str| {
        let ok = Value::Simple("PONG".into());
        let info = |text: &str| Value::from(text);
        let answers = vec![ok, info("role:master\r\n"), info(""), info(""), info(""), info(memory)];
        Node::read(DATA[0], &Ok(answers)).write_stalled
    };
    let full = "used_memory:1100\r\nmem_not_counted_for_evict:50\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n";
    assert!(read(full).unwrap().starts_with("OOM"));
    assert_eq!(read(&full.replace("noeviction", "allkeys-lru")), None);
    assert_eq!(read(&full.replace("used_memory:1100", "used_memory:1040")), None);
    assert_eq!(read(&full.replace("maxmemory:1000", "maxmemory:0")), None);
}
