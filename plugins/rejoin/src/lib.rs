//! `rejoin`: makes a node that is back follow the master, and takes its fence away.
//!
//! What it alone holds is discarded by that: `salvage` comes first. One full copy at a
//! time: while another replica takes one this node waits, so that the master is never
//! left with nobody whole.

use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Level, Mode, Plugin};
use baton_topology::{
    FENCE_REPLICAS, Look, Node, Scope, gate_commands, gate_question, gates, is_fence, look,
    read_gate, same_address, split_address, usual_gate,
};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;

/// How long it may take to follow, ms: a full copy of some ten GB.
const WAIT_MS: u32 = 600_000;

/// Between two looks, ms.
const POLL_MS: u32 = 100;

/// Whom to make follow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node, `host:port`.
    pub node: String,
    /// `min-replicas-to-write` without the fence; absent, null or negative: as the other
    /// nodes have it.
    pub prior: Option<i64>,
    /// What `salvage` set aside: `repl-diskless-load` to restore; absent or null: it was
    /// not changed.
    pub diskless_load: Option<String>,
    /// How long it may take, ms; 600000 if absent.
    pub wait_ms: Option<u32>,
}

/// The node follows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The node.
    pub node: String,
    /// Whom it follows.
    pub master: String,
    /// Its gate now, replicas.
    pub min_replicas: i64,
    /// It followed already, and nothing had to be said to it.
    pub followed: bool,
    /// Oddities, for a person.
    pub notes: Vec<String>,
}

/// The plugin.
pub struct Rejoin;

impl Plugin for Rejoin {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "rejoin",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Makes a node that is back follow the master, and takes its fence away",
            redis_commands: &[
                "PING",
                "INFO",
                "REPLICAOF",
                "CONFIG|GET",
                "CONFIG|SET",
                "CONFIG|REWRITE",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        if cluster.mode == Mode::Observe {
            let why = format!("cluster {} is in mode observe: nobody is moved", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let until_ms = host.now_ms() + u64::from(input.wait_ms.unwrap_or(WAIT_MS));
        let (mut followed, mut notes) = (true, Vec::new());
        loop {
            let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
            let waits = match next(&seen, &input.node)? {
                Next::Follows(node, master) => {
                    let min_replicas =
                        settle(&cluster, &input, &seen, &node.address, &mut notes, host)?;
                    let node = node.address.clone();
                    return Ok(Output { node, master, min_replicas, followed, notes });
                }
                Next::Follow(node, master) => {
                    followed = false;
                    follow(&cluster, node, &master, &mut notes, host)?;
                    format!("{} has just been told to follow {master}", node.address)
                }
                Next::Wait(why) => why,
            };
            if host.now_ms() >= until_ms {
                return Err(Fault::retryable("not-attached", format!("given up waiting: {waits}")));
            }
            host.report(0, None, &waits);
            host.sleep(POLL_MS);
        }
    }
}

/// What one look calls for.
enum Next<'a> {
    /// It follows the master, whole.
    Follows(&'a Node, String),
    /// It has to be told.
    Follow(&'a Node, String),
    /// Not yet, and why.
    Wait(String),
}

fn next<'a>(seen: &'a Look, address: &str) -> Result<Next<'a>, Fault> {
    let node = seen.node(address).ok_or_else(|| {
        Fault::permanent("no-such-node", format!("baton.toml lists no node {address}"))
    })?;
    if !node.reachable {
        let why = node.error.as_deref().unwrap_or("no reason given");
        let why = format!("{address} is gone again ({why}): wait until it is back");
        return Err(Fault::retryable("gone-again", why));
    }
    let Some(master) = seen.successor_of(address) else {
        let why =
            "no other node is master and named by most Sentinels: a recovery may be under way";
        return Ok(Next::Wait(why.into()));
    };
    if let Some(busy) = seen.sentinels.iter().find(|it| it.failover_in_progress) {
        return Ok(Next::Wait(format!("Sentinel {} has a failover in progress", busy.address)));
    }
    let master_address = master.address.clone();
    if node.follows(&master.address) {
        let whole = node.link_up == Some(true) && !node.syncing && !node.loading;
        return Ok(if whole {
            Next::Follows(node, master_address)
        } else {
            Next::Wait(format!("{address} follows {master_address} and is not whole yet"))
        });
    }
    let copying = seen.nodes.iter().find(|it| it.syncing && !same_address(&it.address, address));
    if let Some(other) = copying {
        let why = format!("{} is taking a full copy: one at a time", other.address);
        return Ok(Next::Wait(why));
    }
    if node.loading {
        return Ok(Next::Wait(format!("{address} is reading its data from disk")));
    }
    Ok(Next::Follow(node, master_address))
}

/// Fences it, should it not be, and makes it follow.
fn follow<H: Host>(
    cluster: &Cluster,
    node: &Node,
    master: &str,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    let address = &node.address;
    let (ip, port) = split_address(master).ok_or_else(|| {
        Fault::permanent("bad-address", format!("{master} is no host:port to follow"))
    })?;
    host.log(Level::Info, &format!("{address} follows {master} from here"));
    let mut commands = Vec::new();
    if node.is_master() {
        commands.extend(gate_commands(FENCE_REPLICAS));
    }
    commands.push(Command::of(["REPLICAOF", &ip, &port.to_string()]));
    commands.push(Command::line("CONFIG REWRITE"));
    // Whether it was done is for the next look to say.
    for error in send(cluster, address, commands, host)? {
        add(notes, format!("{address}: {error}"));
    }
    Ok(())
}

/// Takes the fence away, gives back what was set aside, and reads back.
fn settle<H: Host>(
    cluster: &Cluster,
    input: &Input,
    seen: &Look,
    address: &str,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<i64, Fault> {
    let gates = gates(cluster, seen.reachable(), TIMEOUT_MS, host)?;
    let own = gates.iter().find(|(it, _)| same_address(it, address)).and_then(|(_, gate)| *gate);
    let mut commands = Vec::new();
    if let Some(mode) = &input.diskless_load {
        commands.push(Command::of(["CONFIG", "SET", "repl-diskless-load", mode]));
    }
    let usual = usual_gate(&gates, address).unwrap_or(0);
    let prior = input.prior.filter(|it| *it >= 0).unwrap_or(usual);
    if own.is_none_or(is_fence) {
        commands.extend(gate_commands(prior));
    } else if !commands.is_empty() {
        commands.push(Command::line("CONFIG REWRITE"));
    }
    if !commands.is_empty() {
        for error in send(cluster, address, commands, host)? {
            add(notes, format!("{address}: {error}"));
        }
    }
    let request = Request::new(address, vec![gate_question()]);
    let answers = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot read min-replicas-to-write back", &error))?;
    let gate = answers.into_iter().flatten().flatten().find_map(|it| read_gate(&it));
    match gate {
        Some(gate) if !is_fence(gate) => Ok(gate),
        Some(_) | None => {
            let why = format!(
                "{address} follows, but its fence stands ({}): promoted, it would refuse every write. CONFIG SET min-replicas-to-write {prior} on it",
                notes.last().map_or("no error was given", String::as_str)
            );
            Err(Fault::retryable("still-fenced", why))
        }
    }
}

/// Sends, and gives the error replies.
fn send<H: Host>(
    cluster: &Cluster,
    address: &str,
    commands: Vec<Command>,
    host: &mut H,
) -> Result<Vec<String>, Fault> {
    let result = host
        .call(&cluster.name, &[Request::new(address, commands)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis(&format!("cannot tell {address}"), &error))?
        .pop();
    match result {
        Some(Ok(replies)) => {
            Ok(replies.iter().filter_map(Value::error).map(str::to_owned).collect())
        }
        Some(Err(error)) if error.kind.is_lasting() => {
            Err(Fault::from_redis(&format!("cannot tell {address}"), &error))
        }
        Some(Err(error)) => Ok(vec![error.to_string()]),
        None => Ok(vec!["the host gave no result".into()]),
    }
}

fn add(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

baton_plugin::export!(Rejoin);

#[cfg(test)]
mod tests;
