//! `switchover`: hands a healthy master over to a replica without losing a write.
//!
//! The server does it itself (`FAILOVER TO`, Redis 6.2): it stops writes, waits until the
//! replica has acknowledged everything, and rolls back by itself if that fails, or if we
//! die. What it waits for comes once a second; so it is begun just before ([`phase`]):
//! a gap of some ten milliseconds instead of half a second. It does not tell Sentinel, so
//! we do, at once; and clients that stayed on the old master are sent away.
//!
//! It converges by post-conditions: cut off anywhere, another attempt looks and goes on.

mod handover;
mod phase;

use baton_plugin::redis::{Command, Request};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Level, Mode, Plugin};
use baton_succession::{Adoption, Ended, Succession, converge};
use baton_topology::{Look, Scope, look};
use handover::{Gap, hand_over};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
pub(crate) const TIMEOUT_MS: u32 = 1000;

/// Default for the server's own limit on the handover, ms: below down-after (5 s at
/// BondX), since writes stop meanwhile, and Sentinel's own with them.
const HANDOVER_MS: u32 = 3000;

/// How long nobody may be master before it is a fault, ms.
const NOBODY_MS: u64 = 10_000;

/// Between two looks while nobody is, ms.
const POLL_MS: u32 = 20;

/// Whom to hand over to, as `switchover-plan` gave it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The master, `host:port`.
    pub master: String,
    /// Its process: another one is not handed over.
    pub run_id: String,
    /// Its history, which has to be carried on.
    pub replid: String,
    /// Its `min-replicas-to-write`: set once more to what it is, to learn how long a
    /// change takes to leave.
    pub min_replicas: i64,
    /// Who shall be master, `host:port`.
    pub target: String,
    /// Its process.
    pub target_run_id: String,
    /// The server's own limit on the handover, ms; 3000 if absent. Writes stop for so
    /// long at most: keep it below down-after.
    pub handover_ms: Option<u32>,
}

/// It was handed over.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The master now.
    pub master: String,
    /// The master before.
    pub old_master: String,
    /// From the command to the old master's new role, ms, at most: how long writes
    /// stopped, but for the clients' way; none where an earlier attempt did it.
    pub handover_ms: Option<u64>,
    /// Handovers begun, the ones given up included.
    pub tries: u32,
    /// The configuration epoch that the Sentinels agree on.
    pub epoch: i64,
    /// Each Sentinel.
    pub sentinels: Vec<Adoption>,
    /// Oddities, for a person.
    pub notes: Vec<String>,
}

/// The plugin.
pub struct Switchover;

impl Plugin for Switchover {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "switchover",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Hands a healthy master over to a replica without losing a write",
            redis_commands: &[
                "PING",
                "INFO",
                "FAILOVER",
                "REPLICAOF",
                "CONFIG|GET",
                "CONFIG|SET",
                "CONFIG|REWRITE",
                "CLIENT|KILL",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
                "PUBLISH",
                "SENTINEL|REMOVE",
                "SENTINEL|MONITOR",
                "SENTINEL|SET",
                "SENTINEL|FLUSHCONFIG",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        if cluster.mode == Mode::Observe {
            let why =
                format!("cluster {} is in mode observe: nothing is handed over", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let limit_ms = input.handover_ms.unwrap_or(HANDOVER_MS);
        if limit_ms >= cluster.down_after_ms {
            let why = format!(
                "handover_ms {limit_ms} is not below down-after, {} ms: Sentinel would fail over meanwhile",
                cluster.down_after_ms
            );
            return Err(Fault::permanent("too-long", why));
        }
        let mut notes = Vec::new();
        let Gap { ms, tries } = moved(&cluster, &input, limit_ms, &mut notes, host)?;
        let succession = Succession {
            master: &input.target,
            old_master: &input.master,
            epoch_seen: 0,
            adopt_timeout_ms: None,
        };
        let settled = match converge(&cluster, &succession, &mut notes, host)? {
            Ended::Settled(settled) => settled,
            Ended::Yielded(to) => {
                let why =
                    format!("a Sentinel made {to} master meanwhile; {} follows it", input.target);
                return Err(Fault::permanent("replaced", why));
            }
        };
        send_away(&cluster, &input.master, &mut notes, host)?;
        Ok(Output {
            master: input.target,
            old_master: input.master,
            handover_ms: ms,
            tries,
            epoch: settled.epoch,
            sentinels: settled.sentinels,
            notes,
        })
    }
}

/// What one look calls for.
enum Next {
    /// The target is master.
    Done,
    /// The old one is, and may be told.
    HandOver,
    /// Between the two; the server is at work.
    Wait,
}

/// Until the target is master.
fn moved<H: Host>(
    cluster: &Cluster,
    input: &Input,
    limit_ms: u32,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<Gap, Fault> {
    let mut gap = Gap { ms: None, tries: 0 };
    let mut nobody_since_ms = None;
    loop {
        let seen = look(cluster, Scope::Everyone, baton_succession::TIMEOUT_MS, host)?;
        match next(&seen, input)? {
            Next::Done => return Ok(gap),
            Next::HandOver => {
                nobody_since_ms = None;
                hand_over(cluster, input, limit_ms, &mut gap, notes, host)?;
            }
            Next::Wait => {
                let now_ms = host.now_ms();
                if now_ms - *nobody_since_ms.get_or_insert(now_ms) >= NOBODY_MS {
                    let why = format!(
                        "neither {} nor {} has been master for {NOBODY_MS} ms: look at both",
                        input.master, input.target
                    );
                    return Err(Fault::retryable("nobody", why));
                }
                host.sleep(POLL_MS);
            }
        }
    }
}

fn next(seen: &Look, input: &Input) -> Result<Next, Fault> {
    let changed = |why: String| Err(Fault::permanent("changed", format!("{why}; plan again")));
    let (Some(master), Some(target)) = (seen.node(&input.master), seen.node(&input.target)) else {
        let why = format!("baton.toml lists no {} or no {}", input.master, input.target);
        return Err(Fault::permanent("no-such-node", why));
    };
    if target.is_master() {
        if !target.is_of(&input.replid) {
            return changed(format!("{} is master of another history", target.address));
        }
        if master.is_master() {
            let both = format!("{} and {} are both master", master.address, target.address);
            return Err(Fault::permanent(
                "split-brain",
                format!("{both}: decide which history stays"),
            ));
        }
        return Ok(Next::Done);
    }
    if !master.is_master() {
        let other = seen.masters().next();
        return match other {
            Some(other) => changed(format!("{} is master", other.address)),
            None => Ok(Next::Wait),
        };
    }
    if master.run_id.as_deref() != Some(input.run_id.as_str()) {
        return changed(format!("{} was restarted", master.address));
    }
    if target.reachable && target.run_id.as_deref() != Some(input.target_run_id.as_str()) {
        return changed(format!("{} was restarted", target.address));
    }
    if !target.follows(&master.address) || target.link_up != Some(true) {
        let why = format!("{} does not follow {} now", target.address, master.address);
        return Err(Fault::retryable("target-lost", why));
    }
    if let Some(busy) = seen.sentinels.iter().find(|it| it.failover_in_progress) {
        return changed(format!("Sentinel {} has begun a failover", busy.address));
    }
    Ok(Next::HandOver)
}

/// Clients that stayed see READONLY and may go on for long: they ask Sentinel anew.
fn send_away<H: Host>(
    cluster: &Cluster,
    address: &str,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    let kill = vec![Command::line("CLIENT KILL TYPE normal")];
    let results = host
        .call(&cluster.name, &[Request::new(address, kill)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot send the clients away", &error))?;
    for result in results {
        let failed = match result {
            Ok(replies) => replies.iter().find_map(|it| it.error().map(str::to_owned)),
            Err(error) if error.kind.is_lasting() => {
                return Err(Fault::from_redis("cannot send the clients away", &error));
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = failed {
            let note = format!("clients of {address} were not sent away ({error})");
            host.log(Level::Warn, &note);
            notes.push(note);
        }
    }
    Ok(())
}

baton_plugin::export!(Switchover);
#[cfg(test)]
mod tests;
