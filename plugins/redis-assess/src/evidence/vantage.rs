//! The three vantage points: each one's word on the master, or none.

use crate::evidence::Patience;
use baton_topology::{Health, Look, Node, Vantage, Vote, Watcher};

/// Without Sentinels, a replica's silent link counts as dead from here, s. Redis
/// masters ping replicas every 10 s by default (`repl-ping-replica-period`), so an
/// idle but healthy link may show up to that much.
const IDLE_LINK_MAX_S: i64 = 12;

/// A link that carries nothing but a ping each second shows 0 or 1 s of silence, at
/// times 2: `master_last_io_seconds_ago` is a difference of whole seconds. Less than
/// this is hearing, s, however short `down_after_ms` is.
const PINGED_LINK_MAX_S: i64 = 3;

/// What we, its replicas and the Sentinels say of the master at `address`.
pub fn vantage(look: &Look, address: &str, patience: Patience) -> Vantage {
    let master = look.node(address);
    Vantage {
        us: us(master),
        replicas: replicas(look, address, patience),
        sentinels: sentinels(look, address),
    }
}

fn us(master: Option<&Node>) -> Vote {
    match master.map(|it| it.health) {
        Some(Health::Answers | Health::Complains) => Vote::Alive,
        Some(Health::Refused | Health::Silent) => Vote::Dead,
        // What is behind a door that is shut to us, we do not see.
        Some(Health::Barred) | None => Vote::Mute,
    }
}

/// One that hears the master outweighs all that do not: then those, or we, are cut off.
fn replicas(look: &Look, address: &str, patience: Patience) -> Vote {
    if hearing(look, address, patience).is_some() {
        Vote::Alive
    } else if witnesses(look, address) > 0 {
        Vote::Dead
    } else {
        Vote::Mute
    }
}

/// More than half of all that are listed, not of those that answer: a few who are cut
/// off together with us are no majority.
fn sentinels(look: &Look, address: &str) -> Vote {
    let all = look.sentinels.len();
    let down = taking_for_down(look, address);
    let up = trusted(look).filter(|it| it.names(address) && !it.says_down()).count();
    if down * 2 > all {
        Vote::Dead
    } else if up * 2 > all {
        Vote::Alive
    } else {
        Vote::Mute
    }
}

/// Sentinels that know the master and trust their own clocks.
pub(super) fn trusted(look: &Look) -> impl Iterator<Item = &Watcher> {
    look.watching().filter(|it| !it.tilt)
}

pub(super) fn taking_for_down(look: &Look, address: &str) -> usize {
    trusted(look).filter(|it| it.names(address) && it.says_down()).count()
}

/// Whether too few Sentinels are left to act by themselves.
pub(super) fn quorum_is_lost(look: &Look) -> bool {
    !look.sentinels.is_empty() && trusted(look).count() * 2 <= look.sentinels.len()
}

/// Whether no Sentinel can tell a hang from an idle link for us.
fn is_alone(look: &Look) -> bool {
    look.sentinels.is_empty() || quorum_is_lost(look)
}

/// Reachable replicas of the master, and nodes that have left it for another.
pub(super) fn witnesses(look: &Look, address: &str) -> usize {
    let counts = |it: &&Node| it.follows(address) || left_by_promotion(it, address, look);
    look.nodes.iter().filter(counts).count()
}

/// A replica that still hears its master.
pub(super) fn hearing<'l>(look: &'l Look, address: &str, patience: Patience) -> Option<&'l Node> {
    let refused = look.node(address).is_some_and(|it| it.health == Health::Refused);
    let limit_s = if is_alone(look) { IDLE_LINK_MAX_S } else { PINGED_LINK_MAX_S };
    look.nodes
        .iter()
        .filter(|it| it.follows(address))
        .find(|it| hears(it, refused, patience.down_after_ms, limit_s))
}

/// A killed process closes every link in milliseconds; a frozen one keeps them "up" for
/// `repl-timeout`, and only the time since the last byte climbs.
fn hears(replica: &Node, refused: bool, down_after_ms: u32, limit_s: i64) -> bool {
    if replica.link_up != Some(true) {
        return false;
    }
    let silent_s = replica.last_io_s.unwrap_or(0).max(0);
    refused || silent_s < limit_s || silent_s * 1000 < i64::from(down_after_ms)
}

/// A node that followed the master and has left it for a new one, or became one.
fn left_by_promotion(node: &Node, address: &str, look: &Look) -> bool {
    if look.node(address).is_some_and(|it| it.address == node.address) {
        return false;
    }
    node.is_master()
        || (node.is_replica()
            && !node.follows(address)
            && look.masters().any(|it| node.follows(&it.address)))
}

/// Whether we reach more than half of all others. Silence alone may mean that we are on
/// the small side of a partition, together with a replica that hears nothing either.
pub(super) fn is_majority_side(look: &Look, address: &str) -> bool {
    let master = look.node(address).map(|it| it.address.as_str());
    let others: Vec<&Node> =
        look.nodes.iter().filter(|it| Some(it.address.as_str()) != master).collect();
    let nodes = others.iter().filter(|it| it.health != Health::Silent).count();
    let sentinels = look.sentinels.iter().filter(|it| it.reachable || it.refused).count();
    (nodes + sentinels) * 2 > others.len() + look.sentinels.len()
}
