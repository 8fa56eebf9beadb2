//! The named master does not say that it is one.

use super::vantage::{
    hearing, is_majority_side, quorum_is_lost, taking_for_down, vantage, witnesses,
};
use super::{Judgement, Patience};
use baton_topology::{Evidence, Health, Look, Node, Vote};

pub(super) fn judge(look: &Look, named: &str, patience: Patience) -> Judgement {
    let Some(master) = look.node(named) else {
        let reason = format!(
            "{named} is named as master, but baton.toml lists no such node: list every node by the address that Sentinel uses"
        );
        return Judgement::unknown(Some(named), reason);
    };
    match master.health {
        Health::Answers => Judgement::unknown(
            Some(named),
            format!("{named} is named as master but says that it is a replica; no node is master"),
        ),
        Health::Complains => Judgement::new(
            Evidence::WriteStalled,
            Some(named),
            format!("{named} answers only with an error: {}", why(master)),
        ),
        Health::Barred => Judgement::unknown(
            Some(named),
            format!(
                "{named} did not let us look, which says nothing about its health: {}",
                why(master)
            ),
        ),
        Health::Refused | Health::Silent => judge_unreached(look, master, patience),
    }
}

fn why(node: &Node) -> &str {
    node.error.as_deref().unwrap_or("no reason given")
}

/// Who confirms that a master we do not reach is dead.
fn judge_unreached(look: &Look, master: &Node, patience: Patience) -> Judgement {
    let address = master.address.as_str();
    let unknown = |reason: String| Judgement::unknown(Some(address), reason);
    let refused = master.health == Health::Refused;
    let seen = if refused { "refuses connections" } else { "does not answer" };
    let votes = vantage(look, address, patience);
    match votes.replicas {
        Vote::Mute => {
            return unknown(format!(
                "{address} {seen}, but no replica of it is reachable to confirm: that proves nothing"
            ));
        }
        Vote::Alive => {
            let replica = hearing(look, address, patience).map_or("", |it| it.address.as_str());
            return Judgement::new(
                Evidence::UnreachableFromEngine,
                Some(address),
                format!("{address} {seen} to us, but its replica {replica} still hears it"),
            );
        }
        Vote::Dead => {}
    }
    if !refused && let Some(doubt) = doubt(look, address, votes.sentinels) {
        return unknown(format!("{address} does not answer us and its replicas, but {doubt}"));
    }
    if refused && is_within_grace(look, address, patience.restart_grace_ms) {
        return unknown(format!(
            "{address} refuses connections; its supervisor has {} ms to restart it",
            patience.restart_grace_ms
        ));
    }
    let evidence =
        if quorum_is_lost(look) { Evidence::SentinelQuorumLost } else { Evidence::DeadMaster };
    let reason = format!(
        "{address} {seen}, {} of its replicas reachable and none hears it, {} of {} Sentinels take it for down",
        witnesses(look, address),
        taking_for_down(look, address),
        look.sentinels.len()
    );
    Judgement::new(evidence, Some(address), reason)
}

/// What silence still needs to be death.
fn doubt(look: &Look, address: &str, sentinels: Vote) -> Option<String> {
    let all = look.sentinels.len();
    match sentinels {
        Vote::Alive => Some(format!(
            "only {} of {all} Sentinels take it for down, and most hear it",
            taking_for_down(look, address)
        )),
        Vote::Mute if !quorum_is_lost(look) && all > 0 => Some(format!(
            "only {} of {all} Sentinels take it for down yet",
            taking_for_down(look, address)
        )),
        Vote::Mute if !is_majority_side(look, address) => Some(
            "we reach no more than half of the other members: it may be us who are cut off".into(),
        ),
        Vote::Dead | Vote::Mute => None,
    }
}

/// Replicas show how long the master is gone, in whole seconds.
fn is_within_grace(look: &Look, address: &str, grace_ms: u32) -> bool {
    let followers: Vec<&Node> = look.nodes.iter().filter(|it| it.follows(address)).collect();
    let gone_s = followers.iter().filter_map(|it| it.link_down_s).max().unwrap_or(0).max(0);
    !followers.is_empty() && gone_s * 1000 < i64::from(grace_ms)
}
