//! `fence`: stops the writes of a master that is being replaced.
//!
//! The fence is `min-replicas-to-write` far above what any cluster has, written to the
//! config file too. A master that hangs cannot be told; but what is sent on a new
//! connection waits in its kernel and is executed first thing when it wakes: 8 writes
//! were acknowledged by a woken master so fenced, 60,052 without. One whose process is
//! gone refuses the connection at once, and nothing is lost by trying. Either way the
//! fence is a debt: whoever arms it sees to it that the node is taken back (`hold`,
//! `rejoin`), or releases it.

use baton_plugin::redis::{Command, ErrorKind, RedisError, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Level, Mode, Plugin};
use baton_topology::{
    FENCE_REPLICAS, Look, Node, Scope, gate_commands, gate_question, gates, is_fence, look,
    read_gate, same_address, usual_gate,
};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 300;

/// How long a node that hangs is given to answer the fence, ms. It is not expected to:
/// only that it is on its way is waited for, between a dead master and its successor.
const LEAVE_MS: u32 = 100;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Stop its writes.
    Arm,
    /// Give it the gate back that it had.
    Release,
    /// Let the only master take writes whether it has replicas or not: a person has said
    /// that this is better than none.
    Open,
    /// Once it has as many replicas as `prior` asks for, ask for them again.
    Restore,
}

/// Whom to fence.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node, `host:port`.
    pub node: String,
    /// What to do.
    pub act: Act,
    /// `min-replicas-to-write` to restore; absent, null or negative: as the other nodes
    /// have it.
    pub prior: Option<i64>,
}

/// How the node met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answered: the gate is as wanted.
    Done,
    /// It hangs: the command waits in its kernel.
    Queued,
    /// No process listens there; nothing was sent.
    Gone,
    /// No route to it; nothing was sent.
    Unreachable,
    /// It is a replica: it takes no writes.
    Replica,
    /// It answers as the only master: nobody has taken over from it, so it is not fenced.
    Alive,
    /// There was nothing to release.
    Unfenced,
    /// It has too few replicas for the gate to come back.
    Waiting,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The node.
    pub node: String,
    /// How it met it.
    pub state: State,
    /// Its gate without the fence, replicas; none where nobody could say.
    pub prior: Option<i64>,
    /// What it said, where it did not do as it was told.
    pub note: Option<String>,
}

/// The plugin.
pub struct Fence;

impl Plugin for Fence {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "fence",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Stops the writes of a master that is being replaced",
            redis_commands: &[
                "PING",
                "INFO",
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
            let why = format!("cluster {} is in mode observe: nothing is fenced", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        let node = seen.node(&input.node).cloned().ok_or_else(|| {
            let why = format!("baton.toml lists no node {} in {}", input.node, cluster.name);
            Fault::permanent("no-such-node", why)
        })?;
        let gates = gates(&cluster, seen.reachable(), TIMEOUT_MS, host)?;
        let known = gates.iter().find(|(it, _)| same_address(it, &node.address));
        let own = known.and_then(|(_, gate)| *gate);
        let stated = input.prior.filter(|it| *it >= 0);
        let prior = stated
            .or(own.filter(|it| !is_fence(*it)))
            .or_else(|| usual_gate(&gates, &node.address));
        let gate = match input.act {
            Act::Arm => match standing(&seen, &node) {
                Some(state) => return Ok(output(&node, state, prior, None)),
                None => FENCE_REPLICAS,
            },
            Act::Release if own.is_some_and(|it| !is_fence(it)) => {
                return Ok(output(&node, State::Unfenced, prior, None));
            }
            Act::Open if standing(&seen, &node) != Some(State::Alive) => {
                let why = format!("{} is not the only master: nothing is opened", node.address);
                return Err(Fault::permanent("not-the-master", why));
            }
            Act::Open => 0,
            Act::Restore if node.is_replica() => {
                return Ok(output(&node, State::Replica, prior, None));
            }
            Act::Restore if node.connected_replicas < Some(prior.unwrap_or(0)) => {
                return Ok(output(&node, State::Waiting, prior, None));
            }
            Act::Release | Act::Restore => prior.unwrap_or(0),
        };
        set(&cluster, &node, gate, prior, host)
    }
}

/// Why a node that answers is not fenced.
fn standing(seen: &Look, node: &Node) -> Option<State> {
    if node.is_replica() {
        return Some(State::Replica);
    }
    let succeeded = seen.successor_of(&node.address).is_some();
    (node.is_master() && !succeeded).then_some(State::Alive)
}

fn output(of: &Node, state: State, prior: Option<i64>, note: Option<String>) -> Output {
    Output { node: of.address.clone(), state, prior, note }
}

/// Sets the gate and reads what came of it. The gate it had is asked for on the way.
fn set<H: Host>(
    cluster: &Cluster,
    node: &Node,
    gate: i64,
    prior: Option<i64>,
    host: &mut H,
) -> Result<Output, Fault> {
    let address = &node.address;
    host.log(Level::Info, &format!("min-replicas-to-write {gate} on {address}"));
    let commands: Vec<Command> =
        std::iter::once(gate_question()).chain(gate_commands(gate)).collect();
    let timeout_ms = if node.reachable { TIMEOUT_MS } else { LEAVE_MS };
    let result = host
        .call(&cluster.name, &[Request::new(address.clone(), commands)], timeout_ms)
        .map_err(|error| Fault::from_redis("cannot set min-replicas-to-write", &error))?
        .pop();
    match result {
        Some(Ok(replies)) => {
            if let Some(error) = replies.get(1).and_then(Value::error) {
                let why = format!("{address} refused min-replicas-to-write {gate}: {error}");
                return Err(Fault::permanent("refused", why));
            }
            let had = replies.first().and_then(read_gate).filter(|it| !is_fence(*it));
            let unwritten = replies.get(2).and_then(Value::error).map(|error| {
                format!("{address} could not write its config file ({error}): a restart forgets min-replicas-to-write {gate}")
            });
            Ok(output(node, State::Done, prior.or(had), unwritten))
        }
        Some(Err(error)) => {
            let state = met(&error).ok_or_else(|| {
                Fault::from_redis(&format!("cannot set min-replicas-to-write on {address}"), &error)
            })?;
            Ok(output(node, state, prior, Some(error.to_string())))
        }
        None => Err(Fault::retryable("internal", "the host gave no result")),
    }
}

/// What a failure means for the fence.
fn met(error: &RedisError) -> Option<State> {
    match error.kind {
        ErrorKind::Refused => Some(State::Gone),
        ErrorKind::Unreachable => Some(State::Unreachable),
        ErrorKind::TimedOut | ErrorKind::Closed | ErrorKind::InDoubt => Some(State::Queued),
        ErrorKind::Denied
        | ErrorKind::NotFound
        | ErrorKind::Unauthorized
        | ErrorKind::Protocol
        | ErrorKind::Limit
        | ErrorKind::Internal => None,
    }
}

baton_plugin::export!(Fence);

#[cfg(test)]
mod tests;
