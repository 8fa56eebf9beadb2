//! `settle`: watches over a new master until nothing begun before it can take it back.
//!
//! A Sentinel's failover begun a moment before ours goes on for up to twice its
//! failover-timeout, and a Sentinel that was away comes back with what it knew. Either may
//! name another node. As long as ours is the one master, whoever strays is told again;
//! where a Sentinel has made another master of it all, that is said, not fought.

use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Mode, Plugin};
use baton_succession::{Ended, Succession, TIMEOUT_MS, converge};
use baton_topology::{Look, Node, Scope, look, same_address};
use serde::{Deserialize, Serialize};

/// Where no Sentinel says its failover-timeout, ms: that of BondX.
const FAILOVER_TIMEOUT_MS: u64 = 10_000;

/// Longest watch, ms, whatever Sentinels say.
const WATCH_MS_MAX: u64 = 600_000;

/// Between two looks, ms.
const POLL_MS: u32 = 250;

/// How long one that strays is waited for, ms.
const ADOPT_MS: u32 = 2000;

/// Looks in a row without an answer of the master that make it another incident.
const SILENT_LOOKS: u32 = 4;

/// Whom to watch over.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The new master, `host:port`.
    pub master: String,
    /// The one before it: it is not re-pointed here.
    pub old_master: String,
    /// How long, ms; absent: twice the failover-timeout that Sentinels have.
    pub watch_ms: Option<u32>,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is the master, and everybody agrees.
    Settled,
    /// Another one has become master of its history: a later failover, or Sentinel's.
    Replaced,
    /// It does not answer: another incident, which this one does not touch.
    Silent,
}

/// The master, after a while.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// How it went.
    pub outcome: Outcome,
    /// Who is master now, as far as known.
    pub master: String,
    /// How long it was watched, ms.
    pub watched_ms: u64,
    /// How often somebody strayed and was told again.
    pub corrections: u32,
    /// Oddities, for a person.
    pub notes: Vec<String>,
}

/// The plugin.
pub struct Settle;

impl Plugin for Settle {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "settle",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Watches over a new master until nothing begun before it can take it back",
            redis_commands: &[
                "PING",
                "INFO",
                "REPLICAOF",
                "CONFIG|REWRITE",
                "CONFIG|GET",
                "CONFIG|SET",
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
            let why = format!("cluster {} is in mode observe: nobody is told", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let begun_ms = host.now_ms();
        let mut until_ms = input.watch_ms.map(|it| begun_ms + u64::from(it));
        let (mut notes, mut corrections, mut silent) = (Vec::new(), 0, 0);
        let (outcome, master) = loop {
            let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
            let end_ms = *until_ms.get_or_insert_with(|| begun_ms + watch_ms(&seen));
            match judge(&seen, &input) {
                State::Well => silent = 0,
                State::Silent if silent >= SILENT_LOOKS => {
                    break (Outcome::Silent, input.master.clone());
                }
                State::Silent => silent += 1,
                State::Replaced(by) => break (Outcome::Replaced, by),
                // What a Sentinel has begun is waited for, not cut into.
                State::Busy => {}
                State::Strays => {
                    corrections += 1;
                    if let Some(by) = correct(&cluster, &input, &seen, &mut notes, host)? {
                        break (Outcome::Replaced, by);
                    }
                }
            }
            if host.now_ms() >= end_ms {
                break (Outcome::Settled, input.master.clone());
            }
            host.report(0, None, &format!("watching over {}", input.master));
            host.sleep(POLL_MS);
        };
        let watched_ms = host.now_ms().saturating_sub(begun_ms);
        Ok(Output { outcome, master, watched_ms, corrections, notes })
    }
}

fn watch_ms(seen: &Look) -> u64 {
    let longest = seen.sentinels.iter().filter_map(|it| it.failover_timeout_ms).max();
    let timeout_ms = longest.and_then(|it| u64::try_from(it).ok()).unwrap_or(FAILOVER_TIMEOUT_MS);
    (2 * timeout_ms).min(WATCH_MS_MAX)
}

enum State {
    Well,
    Silent,
    Busy,
    Replaced(String),
    Strays,
}

fn judge(seen: &Look, input: &Input) -> State {
    let master = input.master.as_str();
    let Some(node) = seen.node(master).filter(|it| it.reachable) else { return State::Silent };
    if let Some(by) = seen.successor_of(master).filter(|_| node.is_replica()) {
        return State::Replaced(by.address.clone());
    }
    if seen.sentinels.iter().any(|it| it.failover_in_progress) {
        return State::Busy;
    }
    let others = seen.nodes.iter().filter(|it| it.is_replica() && !it.follows(master));
    let strays = seen.sentinels.iter().filter(|it| it.reachable && !it.names(master));
    // The old master, back as one, is for whoever holds its debt.
    let known = |it: &Node| {
        same_address(&it.address, master) || same_address(&it.address, &input.old_master)
    };
    let masters = seen.masters().filter(|it| !known(it));
    if others.count() + strays.count() + masters.count() > 0 || !node.is_master() {
        State::Strays
    } else {
        State::Well
    }
}

/// Tells whoever strays; gives who replaced the master, if so.
fn correct<H: Host>(
    cluster: &Cluster,
    input: &Input,
    seen: &Look,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<Option<String>, Fault> {
    let succession = Succession {
        master: &input.master,
        old_master: &input.old_master,
        epoch_seen: seen.sentinels.iter().filter_map(|it| it.current_epoch).max().unwrap_or(0),
        adopt_timeout_ms: Some(ADOPT_MS),
    };
    match converge(cluster, &succession, notes, host) {
        Ok(Ended::Settled(_)) => Ok(None),
        Ok(Ended::Yielded(to)) => Ok(Some(to)),
        // The next look says by whom, or that it was for a moment only.
        Err(fault) if fault.code == "demoted" || fault.code == "not-adopted" => {
            if !notes.contains(&fault.message) {
                notes.push(fault.message);
            }
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

baton_plugin::export!(Settle);

#[cfg(test)]
mod tests;
