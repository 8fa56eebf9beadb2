//! Which replica: a pure ranking, with a reason for each candidate.
//!
//! Rules (design §11; Sentinel's own are weaker: it never compares histories, and
//! puts priority before freshness): same history only; not copying, loading, empty,
//! priority 0, older version than another candidate; loss within the ceiling. Then
//! the highest offset, the lowest priority number, the smallest run id.

use baton_plugin::JsonSchema;
use baton_topology::{Assessment, Lineage, Node, same_address};
use serde::Serialize;
use std::cmp::Reverse;

/// A replica and what speaks for or against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// `host:port`.
    pub address: String,
    /// Of the process that was judged.
    pub run_id: Option<String>,
    /// It may be promoted.
    pub eligible: bool,
    /// From 1 among the eligible; none for the others.
    pub rank: Option<u32>,
    /// Bytes of the history.
    pub offset: Option<i64>,
    /// Why.
    pub reason: String,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// Best first, then those that are out, in baton.toml's order.
    pub candidates: Vec<Candidate>,
    /// The furthest offset of the history that anyone has shown.
    pub furthest: i64,
    /// Why nobody may be chosen although somebody is eligible.
    pub blocked: Option<String>,
}

/// Ranks `nodes` (read just now) by what `assessment` has established.
pub fn rank(nodes: &[Node], assessment: &Assessment, lineage: &Lineage) -> Ranking {
    let dead = assessment.master.as_deref().unwrap_or_default();
    let others: Vec<&Node> = nodes.iter().filter(|it| !same_address(&it.address, dead)).collect();
    let furthest = furthest(&others, assessment, lineage);
    let newest = others
        .iter()
        .filter(|it| exclusion(it, lineage).is_none())
        .filter_map(|it| version(it))
        .max();
    let holds_keys = others.iter().any(|it| it.is_of(&lineage.replid) && it.keys > Some(0));
    let mut eligible = Vec::new();
    let mut out = Vec::new();
    for node in others {
        let reason = exclusion(node, lineage)
            .or_else(|| emptiness(node, holds_keys))
            .or_else(|| age(node, newest.as_ref()))
            .or_else(|| loss(node, furthest, assessment.max_lost_bytes));
        match reason {
            Some(reason) => out.push(candidate(node, None, reason)),
            None => eligible.push(node),
        }
    }
    // A node that is master already was promoted by someone: it must stay so.
    eligible
        .sort_by_key(|it| (!it.is_master(), Reverse(it.offset), it.priority, it.run_id.clone()));
    let blocked = eligible.first().and_then(|best| hidden(best, nodes, assessment, lineage));
    let mut candidates: Vec<Candidate> = (1..)
        .zip(eligible)
        .map(|(rank, node)| candidate(node, Some(rank), merits(node, furthest)))
        .collect();
    candidates.extend(out);
    Ranking { candidates, furthest, blocked }
}

fn candidate(node: &Node, rank: Option<u32>, reason: String) -> Candidate {
    Candidate {
        address: node.address.clone(),
        run_id: node.run_id.clone(),
        eligible: rank.is_some(),
        rank,
        offset: node.offset,
        reason,
    }
}

/// Of this history, over what was read now and at the assessment.
fn furthest(others: &[&Node], assessment: &Assessment, lineage: &Lineage) -> i64 {
    let of = |node: &&Node| node.is_of(&lineage.replid);
    let now = others.iter().copied().filter(of).filter_map(shared_offset);
    let then = assessment.nodes.iter().filter(of).filter_map(shared_offset);
    now.chain(then).chain([lineage.offset]).max().unwrap_or(lineage.offset)
}

/// How far a node carries the old history: a promoted one has gone on since.
fn shared_offset(node: &Node) -> Option<i64> {
    if node.is_master() { node.second_repl_offset.map(|it| it - 1) } else { node.offset }
}

fn merits(node: &Node, furthest: i64) -> String {
    let priority = node.priority.map_or(String::new(), |it| format!(", priority {it}"));
    let behind = furthest - shared_offset(node).unwrap_or(0);
    if node.is_master() {
        return "already promoted, of the same history".into();
    }
    format!(
        "same history, offset {}, {behind} bytes behind the furthest seen{priority}",
        node.offset.unwrap_or(0)
    )
}

/// What rules a node out whoever else there is.
fn exclusion(node: &Node, lineage: &Lineage) -> Option<String> {
    if !node.reachable {
        return Some(format!("not reachable: {}", node.error.as_deref().unwrap_or("no answer")));
    }
    if node.role.is_none() {
        return Some(format!("answers only: {}", node.error.as_deref().unwrap_or("nothing")));
    }
    if node.syncing {
        return Some("is taking a full copy: its data is incomplete".into());
    }
    if node.loading {
        return Some("is loading its data from disk".into());
    }
    if !node.is_of(&lineage.replid) {
        let own = node.replid.as_deref().unwrap_or("none");
        return Some(format!("of another history: {own} is not {}", lineage.replid));
    }
    if node.is_master() {
        return None;
    }
    // Redis 7.0 server.c, genRedisInfoString: 1 without a master, present or cached.
    if node.offset.is_none_or(|it| it <= 1) {
        return Some("never completed a synchronisation (no offset)".into());
    }
    (node.priority == Some(0)).then(|| "replica-priority is 0: never promote".into())
}

fn emptiness(node: &Node, holds_keys: bool) -> Option<String> {
    (holds_keys && node.keys == Some(0)).then(|| "is empty while others hold keys".into())
}

fn version(node: &Node) -> Option<Vec<u32>> {
    node.version.as_deref()?.split('.').map(|it| it.parse().ok()).collect()
}

fn age(node: &Node, newest: Option<&Vec<u32>>) -> Option<String> {
    (version(node)? < *newest?).then(|| {
        format!("runs {}, older than another candidate", node.version.as_deref().unwrap_or("?"))
    })
}

fn loss(node: &Node, furthest: i64, lost_max: u64) -> Option<String> {
    let behind = u64::try_from(furthest - shared_offset(node)?).unwrap_or(0);
    (behind > lost_max && !node.is_master()).then(|| {
        format!("{behind} bytes behind the furthest seen; max_lost_bytes allows {lost_max}")
    })
}

/// A replica that was ahead at the assessment and does not answer now holds writes
/// that a promotion would lose: a person decides.
fn hidden(
    best: &Node,
    nodes: &[Node],
    assessment: &Assessment,
    lineage: &Lineage,
) -> Option<String> {
    let shown = shared_offset(best).unwrap_or(0);
    let is_gone = |address: &str| nodes.iter().any(|it| it.address == address && !it.reachable);
    assessment
        .nodes
        .iter()
        .filter(|it| it.is_replica() && it.is_of(&lineage.replid) && is_gone(&it.address))
        .find(|it| it.offset > Some(shown))
        .map(|it| {
            format!(
                "{} was {} bytes ahead of {} and does not answer any more: bring it back, or approve the loss",
                it.address,
                it.offset.unwrap_or(0) - shown,
                best.address
            )
        })
}

#[cfg(test)]
mod tests {
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
        rank(&nodes, &assessment, &Lineage { replid: HISTORY.into(), offset: 1000 })
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
    fn priority_then_run_id_decide_between_equals() {
        let sim = Sim::killed();
        sim.node(2, |it| it.priority = 10);
        assert_eq!(best(&ranked(&sim)), DATA[2]);
        sim.node(1, |it| (it.priority, it.run_id) = (10, "zz".into()));
        assert_eq!(best(&ranked(&sim)), DATA[2]);
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
        let blocked = rank(&nodes, &assessment, &lineage).blocked.unwrap();
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
}
