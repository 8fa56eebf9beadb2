//! Each exclusion, the order, and what blocks.

use super::*;
use baton_plugin::redis::ErrorKind;
use baton_topology::testing::{DATA, HISTORY, Sim, SimNode, assessed};
use baton_topology::{Scope, look};

/// The ranking of a cluster whose master was killed.
fn ranked(sim: &Sim) -> Ranking {
    ranked_after(sim, sim)
}

fn ranked_after(before: &Sim, now: &Sim) -> Ranking {
    let assessment = assessed(before);
    let mut host = now.host();
    let cluster = host.cluster.clone();
    let nodes = look(&cluster, Scope::DataNodes, 500, &mut host).unwrap().nodes;
    let lineage = Lineage { replid: HISTORY.into(), offset: 1000 };
    rank(&nodes, &assessment, &lineage, &zones())
}

/// The dead master and the last replica stand in the same rack.
fn zones() -> Zones {
    [(DATA[0], "rack-1"), (DATA[1], "rack-2"), (DATA[2], "rack-1")]
        .map(|(address, zone)| (address.to_owned(), zone.to_owned()))
        .into()
}

fn best(ranking: &Ranking) -> &str {
    assert!(ranking.candidates[0].eligible, "{:?}", ranking.candidates);
    &ranking.candidates[0].address
}

fn refused(change: impl FnOnce(&mut SimNode), why: &str) {
    let sim = Sim::killed();
    sim.node(1, change);
    let ranking = ranked(&sim);
    assert_eq!(best(&ranking), DATA[2]);
    assert_eq!(ranking.candidates[1].address, DATA[1]);
    assert!(!ranking.candidates[1].eligible);
    assert!(ranking.candidates[1].reason.contains(why), "{}", ranking.candidates[1].reason);
}

#[test]
fn the_dead_master_is_no_candidate() {
    assert_eq!(ranked(&Sim::killed()).candidates.len(), 2);
}

#[test]
fn each_exclusion_names_its_reason() {
    refused(|it| it.syncing = true, "full copy");
    refused(|it| it.loading = true, "loading");
    refused(|it| it.priority = 0, "priority is 0");
    refused(|it| it.offset = 0, "never completed");
    refused(|it| it.offset = 1, "never completed");
    refused(|it| it.version = "6.2.14".into(), "older");
    refused(|it| it.keys = 0, "empty");
    refused(|it| it.offset = 999, "1 bytes behind");
    refused(|it| it.complaint = Some("BUSY script".into()), "BUSY");
    refused(|it| it.down = Some(ErrorKind::Refused), "not reachable");
}

#[test]
fn a_foreign_history_is_out_however_far_it_is() {
    refused(|it| (it.replid, it.offset) = ("b".repeat(40), 999_999), "another history");
}

#[test]
fn freshness_goes_before_priority() {
    let sim = Sim::killed();
    sim.node(1, |it| (it.offset, it.priority) = (1000, 10));
    sim.node(2, |it| (it.offset, it.priority) = (2000, 100));
    assert_eq!(best(&ranked(&sim)), DATA[2]);
}

#[test]
fn priority_then_zone_then_run_id_decide_between_equals() {
    let sim = Sim::killed();
    sim.node(1, |it| it.run_id = "zz".into());
    assert_eq!(best(&ranked(&sim)), DATA[1], "not where the dead master stood");
    sim.node(2, |it| it.priority = 10);
    assert_eq!(best(&ranked(&sim)), DATA[2], "priority goes before the zone");
    sim.node(1, |it| it.priority = 10);
    assert_eq!(best(&ranked(&sim)), DATA[1]);
    let nodes = |sim: &Sim| {
        let mut host = sim.host();
        let cluster = host.cluster.clone();
        look(&cluster, Scope::DataNodes, 500, &mut host).unwrap().nodes
    };
    let lineage = Lineage { replid: HISTORY.into(), offset: 1000 };
    let unzoned = rank(&nodes(&sim), &assessed(&sim), &lineage, &Zones::new());
    assert_eq!(best(&unzoned), DATA[2], "the smaller run id");
}

#[test]
fn the_ceiling_counts_from_the_furthest_anyone_has_shown() {
    let sim = Sim::killed();
    sim.node(1, |it| (it.offset, it.priority) = (5000, 0));
    let ranking = ranked(&sim);
    assert_eq!(ranking.furthest, 5000);
    assert!(ranking.candidates.iter().all(|it| !it.eligible));
}

#[test]
fn a_replica_that_was_ahead_and_is_gone_blocks() {
    let before = Sim::killed();
    before.node(1, |it| it.offset = 1001);
    let now = Sim::killed();
    now.node(1, |it| it.down = Some(ErrorKind::TimedOut));
    now.node(2, |it| it.offset = 1000);
    let mut assessment = assessed(&before);
    assessment.max_lost_bytes = 100;
    let mut host = now.host();
    let cluster = host.cluster.clone();
    let nodes = look(&cluster, Scope::DataNodes, 500, &mut host).unwrap().nodes;
    let lineage = Lineage { replid: HISTORY.into(), offset: 1001 };
    let blocked = rank(&nodes, &assessment, &lineage, &zones()).blocked.unwrap();
    assert!(blocked.contains("1 bytes ahead"), "{blocked}");
}

#[test]
fn a_replica_that_was_not_ahead_and_is_gone_does_not_block() {
    let now = Sim::killed();
    now.node(1, |it| it.down = Some(ErrorKind::Refused));
    let ranking = ranked_after(&Sim::killed(), &now);
    assert_eq!((best(&ranking), ranking.blocked.as_deref()), (DATA[2], None));
}

#[test]
fn a_node_promoted_by_someone_goes_first() {
    let sim = Sim::killed();
    sim.node(1, |it| it.priority = 1);
    sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
    assert_eq!(best(&ranked(&sim)), DATA[2]);
}

#[test]
fn a_replica_that_is_gone_since_before_the_assessment_is_known_from_the_samples() {
    let sim = Sim::killed();
    sim.node(1, |it| it.down = Some(ErrorKind::TimedOut));
    let mut assessment = assessed(&sim);
    assessment.max_lost_bytes = 5000;
    let mut host = sim.host();
    let cluster = host.cluster.clone();
    let nodes = look(&cluster, Scope::DataNodes, 500, &mut host).unwrap().nodes;
    let known = |role: &str, replid: &str, offset| LastKnown {
        address: DATA[1].into(),
        role: role.into(),
        run_id: "r".into(),
        replid: replid.into(),
        offset,
        keys: None,
        at_ms: 1,
    };
    let lineage = Lineage { replid: HISTORY.into(), offset: 1000 };
    let blocked = |assessment: &Assessment| rank(&nodes, assessment, &lineage, &zones()).blocked;
    assessment.last_known = vec![known("slave", HISTORY, 1007)];
    let why = blocked(&assessment).unwrap();
    assert!(why.contains("was 7 bytes ahead"), "{why}");
    for harmless in [
        known("slave", HISTORY, 1000),
        known("slave", &"b".repeat(40), 9999),
        known("master", HISTORY, 9999),
    ] {
        assessment.last_known = vec![harmless];
        assert_eq!(blocked(&assessment), None);
    }
}

#[test]
fn what_the_dead_master_had_shown_counts_against_the_ceiling_and_a_person_decides() {
    let sim = Sim::killed();
    let mut assessment = assessed(&sim);
    let mut host = sim.host();
    let cluster = host.cluster.clone();
    let nodes = look(&cluster, Scope::DataNodes, 500, &mut host).unwrap().nodes;
    // `redis-assess` takes it from the samples.
    let lineage = Lineage { replid: HISTORY.into(), offset: 1300 };
    let ranking = rank(&nodes, &assessment, &lineage, &zones());
    assert!(ranking.candidates.iter().all(|it| !it.eligible && it.behind == Some(300)));
    let why = ranking.blocked.unwrap();
    assert!(why.contains(DATA[1]) && why.contains("300 bytes"), "{why}");
    assessment.max_lost_bytes = 300;
    let ranking = rank(&nodes, &assessment, &lineage, &zones());
    assert_eq!((best(&ranking), ranking.blocked.as_deref()), (DATA[1], None));
}
