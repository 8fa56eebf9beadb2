//! `switchover-plan`: whether a master can be handed over, and to whom.
//!
//! Read-only. A planned switchover has time: it is refused unless all is well, and every
//! reason is said at once.

mod checks;

use baton_plugin::redis::{Command, Info, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, MemberKind, Plugin, json};
use baton_succession::Attached;
use baton_topology::{Look, Node, Scope, gate_question, look, read_gate, same_address};
use checks::{Check, checks};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;

/// Between two looks at the master's offset, ms: how fast it is written to.
const RATE_MS: u32 = 500;

/// What is planned.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Who shall be master, `host:port`; absent, null or empty: the best replica.
    pub target: Option<String>,
}

/// It can be done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The master now.
    pub master: String,
    /// Its process.
    pub run_id: String,
    /// Its history.
    pub replid: String,
    /// `min-replicas-to-write` of it, replicas.
    pub min_replicas: i64,
    /// Who will be master.
    pub target: String,
    /// Its process.
    pub target_run_id: String,
    /// Why this one.
    pub reason: String,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// What members say beside what every look shows.
pub(crate) struct More {
    /// INFO of the master.
    pub(crate) master: Info,
    /// INFO persistence of each reachable node.
    pub(crate) persistence: Vec<(String, Info)>,
    /// Each node's gate.
    pub(crate) gates: Vec<(String, Option<i64>)>,
    /// What each Sentinel says to CKQUORUM, where it is no OK.
    pub(crate) no_quorum: Vec<String>,
    /// Bytes a second of the replication stream.
    pub(crate) bytes_per_s: i64,
    /// Replicas as the master sees them.
    pub(crate) attached: Vec<Attached>,
}

/// The plugin.
pub struct SwitchoverPlan;

impl Plugin for SwitchoverPlan {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "switchover-plan",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Whether a master can be handed over, and to whom",
            redis_commands: &[
                "PING",
                "INFO",
                "CONFIG|GET",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
                "SENTINEL|CKQUORUM",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        let masters: Vec<&Node> = seen.masters().collect();
        let [master] = masters[..] else {
            let all: Vec<&str> = masters.iter().map(|it| it.address.as_str()).collect();
            let why = match all[..] {
                [] => "no reachable node is master".to_owned(),
                [..] => format!("{} all say that they are master", all.join(" and ")),
            };
            return Err(refused(&why, &[]));
        };
        let more = ask(&cluster, &seen, master, host)?;
        let target = target(&seen, master, &more, input.target.as_deref())?;
        let all = checks(&cluster, &seen, master, target, &more);
        let against: Vec<&str> =
            all.iter().filter(|it| !it.ok).map(|it| it.message.as_str()).collect();
        if !against.is_empty() {
            return Err(refused(&against.join("; "), &all));
        }
        let known = |what: Option<&String>| what.cloned().unwrap_or_default();
        let own = more.gates.iter().find(|(it, _)| *it == master.address);
        Ok(Output {
            master: master.address.clone(),
            run_id: known(master.run_id.as_ref()),
            replid: known(master.replid.as_ref()),
            min_replicas: own.and_then(|(_, gate)| *gate).unwrap_or(0),
            target: target.address.clone(),
            target_run_id: known(target.run_id.as_ref()),
            reason: if input.target.as_deref().is_some_and(|it| !it.is_empty()) {
                "as was asked for".into()
            } else {
                "the lowest priority number, then the furthest offset".into()
            },
            checks: all,
        })
    }
}

fn refused(why: &str, all: &[Check]) -> Fault {
    let message = format!("the cluster is not ready to be switched over: {why}");
    Fault::permanent("not-ready", message).with(json!({ "checks": all }))
}

/// Who was asked for, or the best of those that may be promoted.
fn target<'a>(
    seen: &'a Look,
    master: &Node,
    more: &More,
    asked: Option<&str>,
) -> Result<&'a Node, Fault> {
    if let Some(asked) = asked.filter(|it| !it.is_empty()) {
        if same_address(asked, &master.address) {
            let why = format!("{asked} is the master already");
            return Err(Fault::permanent("already-master", why));
        }
        return seen.node(asked).ok_or_else(|| {
            Fault::permanent("no-such-node", format!("baton.toml lists no node {asked}"))
        });
    }
    let acknowledged = |node: &Node| {
        let line = more.attached.iter().find(|it| same_address(&it.address, &node.address));
        line.map_or(-1, |it| it.acknowledged)
    };
    seen.nodes
        .iter()
        .filter(|it| it.follows(&master.address) && it.priority != Some(0))
        .min_by_key(|it| (it.priority.unwrap_or(100), -acknowledged(it)))
        .ok_or_else(|| refused("no replica of it may be promoted", &[]))
}

/// Asks what a look does not.
fn ask<H: Host>(
    cluster: &Cluster,
    seen: &Look,
    master: &Node,
    host: &mut H,
) -> Result<More, Fault> {
    let questions = || {
        vec![Command::line("INFO persistence"), gate_question(), Command::line("INFO replication")]
    };
    let nodes = seen.reachable();
    let sentinels = cluster.addresses(MemberKind::Sentinel);
    let quorum = Command::of(["SENTINEL", "CKQUORUM", &cluster.master_name]);
    let requests: Vec<Request> = nodes
        .iter()
        .map(|it| Request::new(it.clone(), questions()))
        .chain(sentinels.iter().map(|it| Request::new(it.clone(), vec![quorum.clone()])))
        .collect();
    let mut answers = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?
        .into_iter();
    let mut more = More {
        master: Info::default(),
        persistence: Vec::new(),
        gates: Vec::new(),
        no_quorum: Vec::new(),
        bytes_per_s: 0,
        attached: Vec::new(),
    };
    for address in nodes {
        let values = answers.next().and_then(Result::ok).unwrap_or_default();
        let info = |at: usize| values.get(at).and_then(Info::from_value).unwrap_or_default();
        more.persistence.push((address.clone(), info(0)));
        more.gates.push((address.clone(), values.get(1).and_then(read_gate)));
        if address == master.address {
            more.master = info(2);
        }
    }
    for address in sentinels {
        let said = match answers.next() {
            Some(Ok(values)) => values.first().and_then(Value::error).map(str::to_owned),
            Some(Err(error)) => Some(error.to_string()),
            None => Some("no result".to_owned()),
        };
        more.no_quorum.extend(said.map(|it| format!("{address}: {it}")));
    }
    more.attached = baton_succession::attached(&more.master);
    more.bytes_per_s = rate(cluster, master, &more.master, host)?;
    Ok(more)
}

fn rate<H: Host>(
    cluster: &Cluster,
    master: &Node,
    before: &Info,
    host: &mut H,
) -> Result<i64, Fault> {
    let from_ms = host.now_ms();
    host.sleep(RATE_MS);
    let request = Request::new(master.address.clone(), vec![Command::line("INFO replication")]);
    let results = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the master", &error))?;
    let after = results.into_iter().flatten().flatten().find_map(|it| Info::from_value(&it));
    let elapsed_ms = i64::try_from(host.now_ms().saturating_sub(from_ms)).unwrap_or(i64::MAX);
    let offset = |info: &Info| info.int("master_repl_offset");
    let grown = after.as_ref().and_then(offset).zip(offset(before)).map_or(0, |(b, a)| b - a);
    Ok(grown.max(0).saturating_mul(1000) / elapsed_ms.max(1))
}

baton_plugin::export!(SwitchoverPlan);

#[cfg(test)]
mod tests;
