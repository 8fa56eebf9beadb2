//! What is known of those who do not answer, and the history to continue. Pure.

use baton_plugin::Sample;
use baton_topology::{LastKnown, Lineage, Look, Node, same_address};

/// The newest sample of each data node that does not say itself how it stands.
pub fn last_known(look: &Look, samples: &[Sample]) -> Vec<LastKnown> {
    let newest = |node: &Node| {
        let of = samples.iter().filter(|it| same_address(&it.address, &node.address));
        of.max_by_key(|it| it.at_ms).map(|it| LastKnown {
            address: node.address.clone(),
            role: if it.master { "master" } else { "slave" }.into(),
            run_id: it.run_id.clone(),
            replid: it.replid.clone(),
            offset: it.offset,
            keys: it.keys.and_then(|keys| i64::try_from(keys).ok()),
            at_ms: it.at_ms,
        })
    };
    look.nodes.iter().filter(|it| it.role.is_none()).filter_map(newest).collect()
}

/// A master that was seen longer ago than this is no news, ms: whoever was to settle what
/// it is owed has begun.
const JUST_NOW_MS: u64 = 60_000;

/// Of those that do not say how they stand: who was master just now, and has a successor
/// of its own history.
pub fn replaced(look: &Look, known: &[LastKnown]) -> Vec<String> {
    let succeeded = |it: &&LastKnown| {
        let was = it.role == "master" && look.at_ms.saturating_sub(it.at_ms) <= JUST_NOW_MS;
        was && look.successor_of(&it.address).is_some_and(|new| new.is_of(&it.replid))
    };
    known.iter().filter(succeeded).map(|it| it.address.clone()).collect()
}

/// The history to continue, and the furthest offset of it that anyone shows or has
/// shown: the master's own if it answers; else the one that it was on when it was seen
/// last, if a reachable node carries it; else the one that most of its replicas carry.
/// Where two are carried alike and nothing tells which was the master's, none.
pub fn lineage(look: &Look, master: Option<&str>, known: &[LastKnown]) -> Option<Lineage> {
    let master = master?;
    let living = look.node(master).filter(|it| it.is_master()).and_then(|it| it.replid.clone());
    let replid =
        living.or_else(|| proven(look, master, known)).or_else(|| carried(look, master))?;
    let shown = look.nodes.iter().filter_map(|it| it.offset_of(&replid));
    let shown_before = known.iter().filter(|it| it.replid == replid).map(|it| it.offset);
    let offset = shown.chain(shown_before).max()?;
    Some(Lineage { replid, offset })
}

fn proven(look: &Look, master: &str, known: &[LastKnown]) -> Option<String> {
    let last = known.iter().find(|it| same_address(&it.address, master))?;
    let carries = |it: &Node| it.is_of(&last.replid);
    (last.role == "master" && look.nodes.iter().any(carries)).then(|| last.replid.clone())
}

/// The history that the dead master's replicas carry; a node promoted since then
/// has it as its second one.
fn carried(look: &Look, master: &str) -> Option<String> {
    let of = |node: &Node| {
        if node.follows(master) {
            node.replid.clone()
        } else if node.is_master() {
            node.replid2.clone()
        } else {
            None
        }
    };
    let all: Vec<String> = look.nodes.iter().filter_map(of).collect();
    let votes = |one: &str| all.iter().filter(|it| *it == one).count();
    let best = all.iter().max_by_key(|it| votes(it))?;
    let tied = all.iter().any(|it| it != best && votes(it) == votes(best));
    (!tied).then(|| best.clone())
}
