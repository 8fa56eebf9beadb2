//! The table: from what everyone said to a name for it. Pure.
//!
//! Rules (design §11; facts: Redis 7.0 measurements):
//! - a promotion needs a master that two of the three vantage points (us, its replicas,
//!   the Sentinels) see dead, at least one replica reachable and none that hears it,
//!   and no failover under way;
//! - a refused connection is a killed process: certain at once. Silence is a hang or
//!   a partition: it needs most Sentinels' word; without them time, and proof that it
//!   is not us who are cut off;
//! - an error reply, a refused password, a full disk are never death;
//! - nothing is concluded from nobody: "all of none" is [`Evidence::Unknown`].
//!
//! | what is seen | name |
//! |---|---|
//! | a Sentinel has a failover in progress | `FailoverInProgress` |
//! | two masters answer, both take writes | `SplitBrain` |
//! | a master answers and is fenced by us | `FencedByBaton` |
//! | one answers, empty where it was not | `MasterRebootedEmpty` |
//! | one answers and cannot write | `WriteStalled` |
//! | one answers us, not its replicas nor most Sentinels | `MasterIsolatedFromReplicas` |
//! | one answers | `Healthy`, with what is amiss |
//! | none answers, a replica hears it | `UnreachableFromEngine` |
//! | none answers, two vantage points see it dead | `DeadMaster`, or `SentinelQuorumLost` |
//! | anything else | `Unknown`, with what is missing |

mod absent;
mod living;
#[cfg(test)]
mod product;
#[cfg(test)]
mod tests;
mod vantage;

use baton_plugin::Sample;
use baton_topology::{Evidence, Look, Node, Vantage, Verdict, same_address};

pub use vantage::vantage;

/// What baton.toml says about patience.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A hang this long is death, ms.
    pub down_after_ms: u32,
    /// A supervisor may restart a killed master within this time, ms.
    pub restart_grace_ms: u32,
}

/// A name for what was seen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The name.
    pub evidence: Evidence,
    /// In one word.
    pub verdict: Verdict,
    /// Whom it is about.
    pub master: Option<String>,
    /// One sentence for a person.
    pub reason: String,
}

impl Judgement {
    fn new(evidence: Evidence, master: Option<&str>, reason: impl Into<String>) -> Self {
        let verdict = match evidence {
            Evidence::Healthy => Verdict::Healthy,
            Evidence::DeadMaster | Evidence::SentinelQuorumLost => Verdict::Dead,
            Evidence::UnreachableFromEngine | Evidence::Unknown => Verdict::Unknown,
            Evidence::MasterIsolatedFromReplicas
            | Evidence::WriteStalled
            | Evidence::MasterRebootedEmpty
            | Evidence::SplitBrain
            | Evidence::FencedByBaton
            | Evidence::FailoverInProgress => Verdict::Degraded,
        };
        Self { evidence, verdict, master: master.map(str::to_owned), reason: reason.into() }
    }

    fn unknown(master: Option<&str>, reason: impl Into<String>) -> Self {
        Self::new(Evidence::Unknown, master, reason)
    }
}

/// Names what one look shows. `past` is what the host has kept of the data nodes; an
/// empty one hides a master that came back empty once its replicas have copied that.
pub fn judge(look: &Look, patience: Patience, past: &[Sample]) -> Judgement {
    let named = named_master(look);
    let named = named.as_deref();
    if let Some(busy) = look.sentinels.iter().find(|it| it.failover_in_progress) {
        let reason = format!("Sentinel {} has a failover in progress", busy.address);
        return Judgement::new(Evidence::FailoverInProgress, named, reason);
    }
    let masters: Vec<&Node> = look.masters().collect();
    match masters[..] {
        [_, _, ..] => judge_many(&masters, named),
        [master] if named.is_none_or(|it| same_address(it, &master.address)) => {
            living::judge(look, master, patience, past)
        }
        [master] => judge_moved(look, master, named.unwrap_or_default(), patience, past),
        [] => match named {
            Some(named) => absent::judge(look, named, patience),
            None => Judgement::unknown(None, "no node is master, and nobody reachable names one"),
        },
    }
}

/// Names what two looks show together: death has to be seen twice, alike.
pub fn confirm(first: &Judgement, before: &Look, second: Judgement, after: &Look) -> Judgement {
    if second.verdict != Verdict::Dead {
        return second;
    }
    let unlike = |what: &str| {
        let reason = format!("the master looked dead twice, but {what} in between: look again");
        Judgement::unknown(second.master.as_deref(), reason)
    };
    if first.verdict != Verdict::Dead || first.master != second.master {
        return unlike("who it is changed");
    }
    let health = |look: &Look| {
        let master = second.master.as_deref().and_then(|it| look.node(it));
        master.map(|it| it.health)
    };
    if health(before) != health(after) {
        return unlike("the way it fails changed");
    }
    let restarted = before.nodes.iter().zip(&after.nodes).find(|(old, new)| {
        old.run_id.is_some() && new.run_id.is_some() && old.run_id != new.run_id
    });
    match restarted {
        Some((node, _)) => unlike(&format!("{} restarted", node.address)),
        None => second,
    }
}

/// What each vantage point says of whom a judgement is about.
pub fn seen_from(look: &Look, judged: &Judgement, patience: Patience) -> Option<Vantage> {
    judged.master.as_deref().map(|it| vantage(look, it, patience))
}

/// Whom it is about: what most Sentinels say; without any, whom most replicas
/// follow; else the only node that says so itself.
pub fn named_master(look: &Look) -> Option<String> {
    let by_sentinels: Vec<&str> = look.watching().filter_map(|it| it.master.as_deref()).collect();
    if !by_sentinels.is_empty() {
        return majority(&by_sentinels).map(|it| spelled(look, it));
    }
    let replicas = look.nodes.iter().filter(|it| it.is_replica());
    let by_replicas: Vec<&str> = replicas.filter_map(|it| it.master_host_port.as_deref()).collect();
    if let Some(named) = majority(&by_replicas) {
        return Some(spelled(look, named));
    }
    let mut masters = look.masters();
    masters.next().filter(|_| masters.next().is_none()).map(|it| it.address.clone())
}

/// As baton.toml spells it, where it lists it.
fn spelled(look: &Look, address: &str) -> String {
    look.node(address).map_or_else(|| address.to_owned(), |node| node.address.clone())
}

fn majority<'a>(votes: &[&'a str]) -> Option<&'a str> {
    votes
        .iter()
        .copied()
        .find(|one| votes.iter().filter(|other| same_address(one, other)).count() * 2 > votes.len())
}

fn joined(nodes: &[&Node]) -> String {
    nodes.iter().map(|it| it.address.as_str()).collect::<Vec<_>>().join(" and ")
}

/// Several nodes say that they are master. Those that we have fenced take no writes.
fn judge_many(masters: &[&Node], named: Option<&str>) -> Judgement {
    let (fenced, writable): (Vec<&Node>, Vec<&Node>) =
        masters.iter().copied().partition(|it| it.is_fenced());
    match writable[..] {
        [_, _, ..] => {
            let reason = format!(
                "{} all say that they are master and take writes: fence all but one; which history lives on is a person's to decide",
                joined(&writable)
            );
            Judgement::new(Evidence::SplitBrain, named, reason)
        }
        [master] => {
            let reason = format!(
                "{} is master; {} says so too, but takes no writes: Baton has fenced it, and it waits to be rejoined",
                master.address,
                joined(&fenced)
            );
            Judgement::new(Evidence::FencedByBaton, Some(&master.address), reason)
        }
        [] => {
            let reason = format!(
                "{} say that they are master, and Baton has fenced them all: nobody takes writes",
                joined(&fenced)
            );
            Judgement::new(Evidence::FencedByBaton, named, reason)
        }
    }
}

/// Another node than the named one is master: somebody has promoted it.
fn judge_moved(
    look: &Look,
    master: &Node,
    named: &str,
    patience: Patience,
    past: &[Sample],
) -> Judgement {
    if look.node(named).is_some_and(Node::is_replica) {
        let mut judged = living::judge(look, master, patience, past);
        judged.verdict = Verdict::Degraded;
        judged.reason = format!("{}, but most still name {named}", judged.reason);
        return judged;
    }
    // The named one is gone and most are not told of the new one: as long as that is
    // so Sentinel will promote yet another. The work of a promotion is half done.
    absent::judge(look, named, patience)
}
