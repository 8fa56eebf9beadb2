//! Which replica: a pure ranking, with a reason for each candidate.
//!
//! Rules (design §11; Sentinel's own are weaker: it never compares histories, and
//! puts priority before freshness): same history only; not copying, loading, empty,
//! priority 0, older version than another candidate; loss within the ceiling. Then
//! the highest offset, the lowest priority number, another failure domain than the
//! dead master's, the smallest run id.

use baton_plugin::JsonSchema;
use baton_topology::{Assessment, LastKnown, Lineage, Node, same_address};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

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
    /// Bytes to the furthest that anyone has shown; none if it is of another history.
    pub behind: Option<i64>,
    /// `replica-priority`.
    pub priority: Option<i64>,
    /// Its failure domain, where baton.toml names one.
    pub zone: Option<String>,
    /// Why.
    pub reason: String,
}

/// Failure domains, by address.
pub type Zones = BTreeMap<String, String>;

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// Best first, then those that are out, in baton.toml's order.
    pub candidates: Vec<Candidate>,
    /// The furthest offset of the history that anyone has shown.
    pub furthest: i64,
    /// Why nobody may be chosen although somebody could be promoted.
    pub blocked: Option<String>,
}

/// What a ranking is made from.
struct Field<'a> {
    assessment: &'a Assessment,
    replid: &'a str,
    zones: &'a Zones,
    furthest: i64,
}

/// Ranks `nodes` (read just now) by what `assessment` has established.
pub fn rank(nodes: &[Node], assessment: &Assessment, lineage: &Lineage, zones: &Zones) -> Ranking {
    let dead = assessment.master.as_deref().unwrap_or_default();
    let replid = lineage.replid.as_str();
    let others: Vec<&Node> = nodes.iter().filter(|it| !same_address(&it.address, dead)).collect();
    let furthest = furthest(&others, assessment, lineage);
    let field = Field { assessment, replid, zones, furthest };
    let sound = |it: &&&Node| exclusion(it, replid).is_none();
    let newest = others.iter().filter(sound).filter_map(|it| version(it)).max();
    let holds_keys = others.iter().any(|it| it.is_of(replid) && it.keys > Some(0));
    let (mut eligible, mut too_far, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for node in others {
        let reason = exclusion(node, replid)
            .or_else(|| emptiness(node, holds_keys))
            .or_else(|| age(node, newest.as_ref()));
        if let Some(reason) = reason {
            out.push(field.candidate(node, None, reason));
        } else if let Some(reason) = field.loss(node) {
            too_far.push(node);
            out.push(field.candidate(node, None, reason));
        } else {
            eligible.push(node);
        }
    }
    eligible.sort_by_key(|it| field.order(it));
    too_far.sort_by_key(|it| field.order(it));
    let blocked = match (eligible.first(), too_far.first()) {
        (Some(best), _) => field.hidden(best, nodes),
        (None, Some(best)) => Some(field.beyond(best)),
        (None, None) => None,
    };
    let mut candidates: Vec<Candidate> = (1..)
        .zip(eligible)
        .map(|(rank, node)| field.candidate(node, Some(rank), field.merits(node)))
        .collect();
    candidates.extend(out);
    Ranking { candidates, furthest, blocked }
}

impl Field<'_> {
    /// Smallest first. A node that is master already was promoted by someone: it must
    /// stay so.
    fn order<'n>(&self, node: &'n Node) -> impl Ord + use<'n> {
        (
            !node.is_master(),
            Reverse(node.offset_of(self.replid)),
            node.priority,
            self.is_beside_the_dead(node),
            node.run_id.as_deref(),
        )
    }

    /// Whether what took the master may take it as well.
    fn is_beside_the_dead(&self, node: &Node) -> bool {
        let dead = self.assessment.master.as_deref().unwrap_or_default();
        self.zone(dead).is_some_and(|zone| self.zone(&node.address) == Some(zone))
    }

    fn zone(&self, address: &str) -> Option<&str> {
        let mut zones = self.zones.iter();
        zones.find(|(known, _)| same_address(known, address)).map(|(_, zone)| zone.as_str())
    }

    fn candidate(&self, node: &Node, rank: Option<u32>, reason: String) -> Candidate {
        Candidate {
            address: node.address.clone(),
            run_id: node.run_id.clone(),
            eligible: rank.is_some(),
            rank,
            offset: node.offset,
            behind: self.behind(node),
            priority: node.priority,
            zone: self.zone(&node.address).map(str::to_owned),
            reason,
        }
    }

    fn behind(&self, node: &Node) -> Option<i64> {
        node.offset_of(self.replid).map(|it| (self.furthest - it).max(0))
    }

    fn merits(&self, node: &Node) -> String {
        if node.is_master() {
            return "already promoted, of the same history".into();
        }
        let priority = node.priority.map_or_else(String::new, |it| format!(", priority {it}"));
        let zone = if self.is_beside_the_dead(node) { ", in the dead master's zone" } else { "" };
        format!(
            "same history, offset {}, {} bytes behind the furthest seen{priority}{zone}",
            node.offset.unwrap_or(0),
            self.behind(node).unwrap_or(0)
        )
    }

    fn loss(&self, node: &Node) -> Option<String> {
        let lost_max = self.assessment.max_lost_bytes;
        let behind = u64::try_from(self.behind(node)?).unwrap_or(0);
        (behind > lost_max && !node.is_master()).then(|| {
            format!("{behind} bytes behind the furthest seen; max_lost_bytes allows {lost_max}")
        })
    }

    /// Why the best of those that would lose too much is not taken without a person.
    fn beyond(&self, best: &Node) -> String {
        format!(
            "every replica that could be promoted would lose more than max_lost_bytes allows ({}): {} would lose the least, {} bytes of what was seen",
            self.assessment.max_lost_bytes,
            best.address,
            self.behind(best).unwrap_or(0)
        )
    }

    /// A replica that was ahead when it was seen last and does not answer now holds
    /// writes that a promotion would lose: a person decides.
    fn hidden(&self, best: &Node, nodes: &[Node]) -> Option<String> {
        let shown = best.offset_of(self.replid).unwrap_or(0);
        let is_gone = |address: &str| nodes.iter().any(|it| it.address == address && !it.reachable);
        let ahead = |address: &str, offset: i64| {
            (offset > shown && is_gone(address)).then(|| {
                format!(
                    "{address} does not answer and was {} bytes ahead of {} when it was seen last",
                    offset - shown,
                    best.address
                )
            })
        };
        let at_the_look = self
            .assessment
            .nodes
            .iter()
            .filter(|it| it.is_replica())
            .find_map(|it| ahead(&it.address, it.offset_of(self.replid)?));
        let of_history = |it: &&LastKnown| it.role == "slave" && it.replid == self.replid;
        at_the_look.or_else(|| {
            let mut known = self.assessment.last_known.iter().filter(of_history);
            known.find_map(|it| ahead(&it.address, it.offset))
        })
    }
}

/// Of this history, over what was read now and at the assessment; what a dead node had
/// shown before is in the lineage's own offset.
fn furthest(others: &[&Node], assessment: &Assessment, lineage: &Lineage) -> i64 {
    let now = others.iter().filter_map(|it| it.offset_of(&lineage.replid));
    let then = assessment.nodes.iter().filter_map(|it| it.offset_of(&lineage.replid));
    now.chain(then).chain([lineage.offset]).max().unwrap_or(lineage.offset)
}

/// What rules a node out whoever else there is.
fn exclusion(node: &Node, replid: &str) -> Option<String> {
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
    if !node.is_of(replid) {
        let own = node.replid.as_deref().unwrap_or("none");
        return Some(format!("of another history: {own} is not {replid}"));
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

#[cfg(test)]
mod tests;
