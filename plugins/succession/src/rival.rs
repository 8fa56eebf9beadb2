//! A Sentinel's failover, begun a moment before ours, made another node master.
//!
//! Two nodes have left one history. Whichever has not taken a write since can be taken
//! back without loss: it is fenced, looked at once more, and made to follow the other.
//! Ours goes first, since to yield costs the Sentinels nothing. Where both have taken
//! writes, whose history stays is a person's to decide: then the one that most Sentinels
//! do not name is fenced, so that it does not grow.

use crate::{Configuration, Succession, TIMEOUT_MS};
use baton_plugin::redis::{Command, Request};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_topology::{
    FENCE_REPLICAS, Look, Node, Scope, gate_commands, gates, is_fence, look, same_address,
    split_address, usual_gate,
};

/// What came of it.
pub(crate) enum Rivalry {
    /// There is none.
    None,
    /// The other one had not taken a write and follows ours.
    Taken(String),
    /// Ours had not, and follows this one.
    Yielded(String),
}

/// Whether a promoted node has added nothing to the history that it left.
pub fn is_untouched(node: &Node) -> bool {
    node.is_master()
        && node.offset.zip(node.second_repl_offset).is_some_and(|(offset, left)| offset < left)
}

pub(crate) fn settle_rivalry<H: Host>(
    cluster: &Cluster,
    succession: &Succession<'_>,
    seen: &Look,
    host: &mut H,
) -> Result<Rivalry, Fault> {
    let Some(ours) = seen.node(succession.master).filter(|it| it.is_master()) else {
        return Ok(Rivalry::None);
    };
    let stranger = seen.masters().find(|it| {
        !same_address(&it.address, succession.master)
            && !same_address(&it.address, succession.old_master)
    });
    let Some(stranger) = stranger else { return Ok(Rivalry::None) };
    // It left the history that ours left, or ours itself: a Sentinel that took the new
    // master for down.
    let left = stranger.replid2.is_some();
    let kin = left && (ours.replid2 == stranger.replid2 || ours.replid == stranger.replid2);
    if kin && is_untouched(ours) {
        if demote(cluster, ours, &stranger.address, host)? {
            return Ok(Rivalry::Yielded(stranger.address.clone()));
        }
    } else if kin && is_untouched(stranger) && demote(cluster, stranger, &ours.address, host)? {
        let note = format!(
            "{} was made master at the same time by a Sentinel; it had taken no write and follows {}",
            stranger.address, ours.address
        );
        return Ok(Rivalry::Taken(note));
    }
    Err(split(cluster, succession, (ours, stranger), seen, host)?)
}

/// Fences, looks once more, and makes it follow. No where it has taken a write after all.
fn demote<H: Host>(
    cluster: &Cluster,
    loser: &Node,
    winner: &str,
    host: &mut H,
) -> Result<bool, Fault> {
    let address = &loser.address;
    host.log(Level::Warn, &format!("{address} and {winner} are both master; {address} yields"));
    let gates = gates(cluster, vec![address.clone(), winner.to_owned()], TIMEOUT_MS, host)?;
    let own = gates.first().and_then(|(_, gate)| *gate).filter(|gate| !is_fence(*gate));
    let prior = own.or_else(|| usual_gate(&gates, address)).unwrap_or(0);
    send(cluster, address, gate_commands(FENCE_REPLICAS), host)?;
    let again = look(cluster, Scope::DataNodes, TIMEOUT_MS, host)?;
    let untouched = again.node(address).is_some_and(is_untouched);
    let Some((ip, port)) = split_address(winner).filter(|_| untouched) else {
        send(cluster, address, gate_commands(prior), host)?;
        return Ok(false);
    };
    let mut commands = vec![Command::of(["REPLICAOF", &ip, &port.to_string()])];
    commands.extend(gate_commands(prior));
    send(cluster, address, commands, host)?;
    Ok(true)
}

/// Both have taken writes: the one that the Sentinels do not name takes no more. If that is
/// not ours, they are told of ours once more, above all: a Sentinel that is away and comes
/// back must not lead everybody to the one that is fenced.
fn split<H: Host>(
    cluster: &Cluster,
    succession: &Succession<'_>,
    (ours, stranger): (&Node, &Node),
    seen: &Look,
    host: &mut H,
) -> Result<Fault, Fault> {
    let votes = |node: &Node| seen.watching().filter(|it| it.names(&node.address)).count();
    let is_ours = votes(ours) >= votes(stranger);
    let (kept, fenced) = if is_ours { (ours, stranger) } else { (stranger, ours) };
    send(cluster, &fenced.address, gate_commands(FENCE_REPLICAS), host)?;
    if is_ours {
        let sentinels = &seen.sentinels;
        let new = Configuration::above_all(&kept.address, sentinels, succession.epoch_seen);
        for watcher in sentinels.iter().filter(|it| it.reachable) {
            if let Some(hello) = new.hello(watcher, &cluster.master_name) {
                send(cluster, &watcher.address, vec![hello], host)?;
            }
        }
    }
    let why = format!(
        "{} became master beside {}: a failover of Sentinel ran at the same time, and both have taken writes. Decide which history stays; until then {} takes no writes (CONFIG SET min-replicas-to-write), {} does",
        stranger.address, ours.address, fenced.address, kept.address
    );
    Ok(Fault::permanent("split-brain", why))
}

/// What came of it is for the next look to say.
fn send<H: Host>(
    cluster: &Cluster,
    address: &str,
    commands: Vec<Command>,
    host: &mut H,
) -> Result<(), Fault> {
    let results = host
        .call(&cluster.name, &[Request::new(address, commands)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis(&format!("cannot tell {address}"), &error))?;
    match results.into_iter().filter_map(Result::err).find(|it| it.kind.is_lasting()) {
        Some(error) => Err(Fault::from_redis(&format!("cannot tell {address}"), &error)),
        None => Ok(()),
    }
}
