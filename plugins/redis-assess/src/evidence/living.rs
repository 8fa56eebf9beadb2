//! One reachable master, and nobody says that it is another.

use super::vantage::vantage;
use super::{Judgement, Patience};
use baton_plugin::Sample;
use baton_topology::{Evidence, Look, Node, Verdict, Vote, same_address};

pub(super) fn judge(look: &Look, master: &Node, patience: Patience, past: &[Sample]) -> Judgement {
    let address = Some(master.address.as_str());
    if master.is_fenced() {
        let reason = format!(
            "{} is master and takes no writes: Baton has fenced it (min-replicas-to-write {}); set it to the policy's value, or finish the failover that it belongs to",
            master.address,
            master.min_replicas.unwrap_or(0)
        );
        return Judgement::new(Evidence::FencedByBaton, address, reason);
    }
    if let Some(reason) = emptied(look, master, past) {
        return Judgement::new(Evidence::MasterRebootedEmpty, address, reason);
    }
    if let Some(why) = &master.write_stalled {
        let reason = format!("{} answers but cannot write: {why}", master.address);
        return Judgement::new(Evidence::WriteStalled, address, reason);
    }
    let votes = vantage(look, &master.address, patience);
    if votes.replicas == Vote::Dead && votes.sentinels == Vote::Dead {
        let reason = format!(
            "we reach {}, but none of its reachable replicas nor most Sentinels do",
            master.address
        );
        return Judgement::new(Evidence::MasterIsolatedFromReplicas, address, reason);
    }
    let flaws = shortcomings(look, master);
    let mut judged = Judgement::new(
        Evidence::Healthy,
        address,
        format!("{} is master and every member agrees", master.address),
    );
    if !flaws.is_empty() {
        judged.verdict = Verdict::Degraded;
        judged.reason = format!("{} is master, but {}", master.address, flaws.join("; "));
    }
    judged
}

/// Whether it came back without its data: a replica of another history still holds
/// some, or the process that was master here before did. Clients may have written to it
/// again since: then it holds a fraction of what was there.
fn emptied(look: &Look, master: &Node, past: &[Sample]) -> Option<String> {
    let keys = master.keys.filter(|_| !master.loading)?;
    let address = &master.address;
    let full = look
        .nodes
        .iter()
        .find(|it| it.follows(address) && it.replid != master.replid && it.keys > Some(0));
    if let Some(full) = full.filter(|_| keys == 0) {
        return Some(format!(
            "{address} came back empty, and {} still holds {} keys of the old history: stop the replicas from copying it (REPLICAOF NO ONE on the freshest)",
            full.address,
            full.keys.unwrap_or(0)
        ));
    }
    let before = filled(master, keys, past)?;
    let held = before.keys.unwrap_or(0);
    let how = if keys == 0 { "empty".to_owned() } else { format!("with {keys} keys") };
    Some(format!(
        "{address} came back {how}: before its restart it held {held} keys, at offset {} of history {}; its replicas have copied that or will. Restore from a backup, or from the files of a replica that has not synchronised yet",
        before.offset, before.replid
    ))
}

/// What an earlier process at the master's address held when it was seen last, if that
/// was data of another history and more than twice what is there now: a master that was
/// emptied by command goes on with its own. Processes that held nothing themselves came
/// back empty as well.
fn filled<'p>(master: &Node, keys: i64, past: &'p [Sample]) -> Option<&'p Sample> {
    let is_earlier = |it: &&Sample| {
        same_address(&it.address, &master.address)
            && it.master
            && Some(&it.run_id) != master.run_id.as_ref()
            && !master.is_of(&it.replid)
    };
    let is_full = |it: &Sample| it.keys.and_then(|it| i64::try_from(it).ok()) > Some(2 * keys);
    let earlier: Vec<&Sample> = past.iter().filter(is_earlier).collect();
    let held = earlier.iter().rev().find(|it| is_full(it))?;
    let newest = earlier.iter().rev().find(|it| it.run_id == held.run_id)?;
    is_full(newest).then_some(*newest)
}

/// What is less than perfect around a living master.
fn shortcomings(look: &Look, master: &Node) -> Vec<String> {
    let mut flaws = Vec::new();
    for node in look.nodes.iter().filter(|it| it.address != master.address) {
        if let Some(flaw) = replica_flaw(node, master) {
            flaws.push(format!("{} {flaw}", node.address));
        }
        if node.is_fenced() {
            flaws.push(format!("{} would take no writes if promoted: it is fenced", node.address));
        }
    }
    for watcher in &look.sentinels {
        let flaw = if !watcher.reachable {
            "does not answer"
        } else if !watcher.names(&master.address) {
            "does not name it"
        } else if watcher.tilt {
            "is in TILT: it trusts no clock and does not act for 30 s"
        } else if watcher.says_down() {
            "takes it for down"
        } else {
            continue;
        };
        flaws.push(format!("Sentinel {} {flaw}", watcher.address));
    }
    flaws
}

fn replica_flaw(node: &Node, master: &Node) -> Option<&'static str> {
    let is_foreign = node.replid != master.replid && node.replid != master.replid2;
    if !node.reachable {
        Some("does not answer")
    } else if !node.follows(&master.address) {
        Some("does not follow it")
    } else if node.syncing {
        Some("is taking a full copy of it")
    } else if is_foreign {
        Some("carries another history: it is no copy of it")
    } else if node.link_up != Some(true) {
        Some("has no link to it")
    } else {
        None
    }
}
