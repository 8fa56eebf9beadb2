//! The table: from what everyone said to a name for it. Pure.
//!
//! Rules (design §11; facts: Redis 7.0 measurements):
//! - a promotion needs a master that is dead to us *and* to its replicas, where at
//!   least one replica was reachable to say so, and no failover under way;
//! - a refused connection is a killed process: certain at once. Silence is a hang or
//!   a partition: it needs the Sentinels' word, or time;
//! - an error reply, a refused password, a full disk are never death;
//! - nothing is concluded from nobody: "all of none" is [`Evidence::Unknown`].

use baton_topology::{Evidence, Health, Look, Node, Verdict, Watcher, same_address};

/// Without Sentinels, a replica's silent link counts as dead from here, s. Redis
/// masters ping replicas every 10 s by default (`repl-ping-replica-period`), so an
/// idle but healthy link may show up to that much.
const IDLE_LINK_MAX_S: i64 = 12;

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
            | Evidence::FailoverInProgress => Verdict::Degraded,
        };
        Self { evidence, verdict, master: master.map(str::to_owned), reason: reason.into() }
    }
}

/// Names what one look shows.
pub fn judge(look: &Look, patience: Patience) -> Judgement {
    let named = named_master(look);
    let named = named.as_deref();
    if let Some(busy) = look.sentinels.iter().find(|it| it.failover_in_progress) {
        let reason = format!("Sentinel {} has a failover in progress", busy.address);
        return Judgement::new(Evidence::FailoverInProgress, named, reason);
    }
    let masters: Vec<&Node> = look.masters().collect();
    match masters[..] {
        [_, _, ..] => {
            let all: Vec<&str> = masters.iter().map(|it| it.address.as_str()).collect();
            let reason = format!("{} all say that they are master", all.join(" and "));
            Judgement::new(Evidence::SplitBrain, named, reason)
        }
        [master] if named.is_none_or(|it| same_address(it, &master.address)) => {
            judge_living(look, master)
        }
        [master] => judge_moved(look, master, named.unwrap_or_default(), patience),
        [] => match named {
            Some(named) => judge_absent(look, named, patience),
            None => unknown(None, "no node is master, and nobody reachable names one"),
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
        unknown(second.master.as_deref(), reason)
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

fn unknown(master: Option<&str>, reason: impl Into<String>) -> Judgement {
    Judgement::new(Evidence::Unknown, master, reason)
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

/// One reachable master, and nobody says that it is another.
fn judge_living(look: &Look, master: &Node) -> Judgement {
    let address = Some(master.address.as_str());
    if let Some(full) = look.nodes.iter().find(|it| {
        it.follows(&master.address)
            && it.replid != master.replid
            && it.keys.unwrap_or(0) > 0
            && master.keys == Some(0)
    }) {
        let reason = format!(
            "{} came back empty and {} still holds {} keys of the old history: stop the replicas from copying it",
            master.address,
            full.address,
            full.keys.unwrap_or(0)
        );
        return Judgement::new(Evidence::MasterRebootedEmpty, address, reason);
    }
    if let Some(why) = &master.write_stalled {
        let reason = format!("{} answers but cannot write: {why}", master.address);
        return Judgement::new(Evidence::WriteStalled, address, reason);
    }
    let replicas: Vec<&Node> = look.nodes.iter().filter(|it| it.follows(&master.address)).collect();
    let watching: Vec<&Watcher> = look.watching().collect();
    let down = watching.iter().filter(|it| it.says_down()).count();
    let cut_off = !replicas.is_empty() && replicas.iter().all(|it| it.link_up == Some(false));
    if cut_off && down * 2 > watching.len() {
        let reason = format!(
            "we reach {} but none of its {} reachable replicas nor most Sentinels do",
            master.address,
            replicas.len()
        );
        return Judgement::new(Evidence::MasterIsolatedFromReplicas, address, reason);
    }
    let flaws = shortcomings(look, master, &replicas);
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

/// What is less than perfect around a living master.
fn shortcomings(look: &Look, master: &Node, replicas: &[&Node]) -> Vec<String> {
    let mut flaws = Vec::new();
    for node in look.nodes.iter().filter(|it| it.address != master.address) {
        let follows = replicas.iter().any(|it| it.address == node.address);
        if !node.reachable {
            flaws.push(format!("{} does not answer", node.address));
        } else if !follows {
            flaws.push(format!("{} does not follow it", node.address));
        } else if node.link_up != Some(true) {
            flaws.push(format!("{}'s link to it is down", node.address));
        }
    }
    for watcher in &look.sentinels {
        if !watcher.reachable {
            flaws.push(format!("Sentinel {} does not answer", watcher.address));
        } else if !watcher.names(&master.address) {
            flaws.push(format!("Sentinel {} does not name it", watcher.address));
        } else if watcher.says_down() {
            flaws.push(format!("Sentinel {} takes it for down", watcher.address));
        }
    }
    flaws
}

/// Another node than the named one is master: somebody has promoted it.
fn judge_moved(look: &Look, master: &Node, named: &str, patience: Patience) -> Judgement {
    let old = look.node(named);
    if old.is_some_and(Node::is_replica) {
        let mut judged = judge_living(look, master);
        judged.verdict = Verdict::Degraded;
        judged.reason = format!("{} is master, but most still name {named}", master.address);
        return judged;
    }
    // The named one is gone and most are not told of the new one: as long as that is
    // so Sentinel will promote yet another. The work of a promotion is half done.
    judge_absent(look, named, patience)
}

/// The named master does not say that it is one.
fn judge_absent(look: &Look, named: &str, patience: Patience) -> Judgement {
    let Some(master) = look.node(named) else {
        let reason = format!(
            "{named} is named as master, but baton.toml lists no such node: list every node by the address that Sentinel uses"
        );
        return unknown(Some(named), reason);
    };
    match master.health {
        Health::Answers => unknown(
            Some(named),
            format!("{named} is named as master but says that it is a replica; no node is master"),
        ),
        Health::Complains => Judgement::new(
            Evidence::WriteStalled,
            Some(named),
            format!("{named} answers only with an error: {}", why(master)),
        ),
        Health::Barred => unknown(
            Some(named),
            format!(
                "{named} did not let us look, which says nothing about its health: {}",
                why(master)
            ),
        ),
        Health::Refused | Health::Silent => judge_dead(look, master, patience),
    }
}

fn why(node: &Node) -> &str {
    node.error.as_deref().unwrap_or("no reason given")
}

/// Who confirms that a master we do not reach is dead.
fn judge_dead(look: &Look, master: &Node, patience: Patience) -> Judgement {
    let address = master.address.as_str();
    let refused = master.health == Health::Refused;
    let seen = if refused { "refuses connections" } else { "does not answer" };
    let followers: Vec<&Node> = look.nodes.iter().filter(|it| it.follows(address)).collect();
    let left = look.nodes.iter().filter(|it| left_by_promotion(it, master, look)).count();
    if followers.len() + left == 0 {
        return unknown(
            Some(address),
            format!(
                "{address} {seen}, but no replica of it is reachable to confirm: that proves nothing"
            ),
        );
    }
    let watching: Vec<&Watcher> = look.watching().filter(|it| !it.tilt).collect();
    let down = watching.iter().filter(|it| it.says_down() && it.names(address)).count();
    let sentinels_gone = watching.len() * 2 <= look.sentinels.len() && !look.sentinels.is_empty();
    let limit_s = if sentinels_gone || look.sentinels.is_empty() { IDLE_LINK_MAX_S } else { 0 };
    if let Some(hearing) =
        followers.iter().find(|it| hears(it, refused, patience.down_after_ms, limit_s))
    {
        return Judgement::new(
            Evidence::UnreachableFromEngine,
            Some(address),
            format!("{address} {seen} to us, but its replica {} still hears it", hearing.address),
        );
    }
    if !refused && !watching.is_empty() && down * 2 <= watching.len() {
        return unknown(
            Some(address),
            format!(
                "{address} does not answer us and its replicas, but only {down} of {} Sentinels take it for down yet",
                watching.len()
            ),
        );
    }
    if refused && within_grace(&followers, patience.restart_grace_ms) {
        return unknown(
            Some(address),
            format!(
                "{address} refuses connections; its supervisor has {} ms to restart it",
                patience.restart_grace_ms
            ),
        );
    }
    let evidence = if sentinels_gone { Evidence::SentinelQuorumLost } else { Evidence::DeadMaster };
    let reason = format!(
        "{address} {seen}, {} of its replicas reachable and none hears it, {down} of {} Sentinels take it for down",
        followers.len() + left,
        look.sentinels.len()
    );
    Judgement::new(evidence, Some(address), reason)
}

/// A node that followed the master and has left it for a new one, or became one.
fn left_by_promotion(node: &Node, master: &Node, look: &Look) -> bool {
    if node.address == master.address {
        return false;
    }
    node.is_master()
        || (node.is_replica()
            && !node.follows(&master.address)
            && look.masters().any(|it| node.follows(&it.address)))
}

/// Whether a replica still hears its master. A killed process closes every link in
/// milliseconds; a frozen one keeps them "up" for `repl-timeout`, and only the time
/// since the last byte climbs.
fn hears(replica: &Node, refused: bool, down_after_ms: u32, limit_s: i64) -> bool {
    if replica.link_up != Some(true) {
        return false;
    }
    let silent_s = replica.last_io_s.unwrap_or(0).max(0);
    refused || silent_s < limit_s || silent_s * 1000 < i64::from(down_after_ms)
}

/// Replicas show how long the master is gone, in whole seconds.
fn within_grace(followers: &[&Node], grace_ms: u32) -> bool {
    let gone_s = followers.iter().filter_map(|it| it.link_down_s).max().unwrap_or(0).max(0);
    !followers.is_empty() && gone_s * 1000 < i64::from(grace_ms)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
