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

/// A node that the named master has replaced: its history is the one that the named one has
/// left, and it is master still, unfenced, or was and does not answer. Or two Sentinels have
/// each made one of that history master, and it is the one that most do not name. Sentinel
/// demotes either ten seconds later, and throws away what it took.
pub fn replaced(look: &Look, named: Option<&str>, known: &[LastKnown]) -> Option<String> {
    let named = look.node(named?).filter(|it| it.is_master())?;
    let votes = look.watching().filter(|it| it.names(&named.address)).count();
    if votes * 2 <= look.sentinels.len() {
        return None;
    }
    // Zeros where it has left none.
    let left = named.replid2.as_deref().filter(|it| it.bytes().any(|byte| byte != b'0'))?;
    let back =
        look.masters().find(|it| it.address != named.address && it.is_of(left) && !it.is_fenced());
    let away = || known.iter().find(|it| it.role == "master" && it.replid == left);
    back.map(|it| it.address.clone()).or_else(|| away().map(|it| it.address.clone()))
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
