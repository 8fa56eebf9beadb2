//! What has to hold before a healthy master is handed over. Pure.

use crate::More;
use baton_plugin::{Cluster, JsonSchema};
use baton_topology::{Look, Node, is_fence, same_address};
use serde::Serialize;

/// A replica may be behind by so much, bytes: what the handover has to wait for.
const GAP_BYTES_MAX: i64 = 1_000_000;

/// Since a replica's last acknowledgement, s: they come once a second.
const LAG_S_MAX: i64 = 1;

/// The backlog has to hold so much of the stream, s, so that nobody needs a full copy.
const BACKLOG_S: i64 = 60;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Short, stable, kebab-case.
    pub name: String,
    /// It holds.
    pub ok: bool,
    /// What was seen, for a person.
    pub message: String,
}

fn check(name: &str, against: &[String], holds: impl Into<String>) -> Check {
    let ok = against.is_empty();
    let message = if ok { holds.into() } else { against.join("; ") };
    Check { name: name.into(), ok, message }
}

pub(crate) fn checks(
    cluster: &Cluster,
    seen: &Look,
    master: &Node,
    target: &Node,
    more: &More,
) -> Vec<Check> {
    vec![
        everyone(seen, master),
        sentinels(seen, master, more),
        replicas(seen, master, more),
        fit(cluster, master, target, more),
        calm(more),
        backlog(more),
    ]
}

fn everyone(seen: &Look, master: &Node) -> Check {
    let absent = seen.nodes.iter().filter(|it| !it.reachable).map(|it| &it.address);
    let absent: Vec<String> = absent.map(|it| format!("{it} does not answer")).collect();
    let stalled =
        master.write_stalled.iter().map(|it| format!("{} cannot write: {it}", master.address));
    let against: Vec<String> = absent.into_iter().chain(stalled).collect();
    check("everyone-answers", &against, format!("{} nodes answer", seen.nodes.len()))
}

fn sentinels(seen: &Look, master: &Node, more: &More) -> Check {
    let mut against = more.no_quorum.clone();
    for it in &seen.sentinels {
        if !it.reachable {
            continue;
        }
        if !it.names(&master.address) {
            let named = it.master.as_deref().unwrap_or("nobody");
            against.push(format!("{} names {named}", it.address));
        }
        if it.failover_in_progress {
            against.push(format!("{} has a failover in progress", it.address));
        }
        if it.says_down() {
            against.push(format!("{} takes the master for down", it.address));
        }
        if it.tilt {
            against.push(format!("{} does not trust its clock (TILT)", it.address));
        }
    }
    let mut epochs: Vec<i64> = seen.sentinels.iter().filter_map(|it| it.config_epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    if epochs.len() > 1 {
        against.push(format!("Sentinels are at different epochs: {epochs:?}"));
    }
    check("sentinels-agree", &against, format!("{} Sentinels agree", seen.sentinels.len()))
}

/// All of them, not the target alone: whoever is left behind is the one that follows next.
fn replicas(seen: &Look, master: &Node, more: &More) -> Check {
    let head = more.master.int("master_repl_offset").or(master.offset).unwrap_or(0);
    let mut against = Vec::new();
    for it in seen.nodes.iter().filter(|it| it.reachable && it.address != master.address) {
        let address = &it.address;
        if !it.follows(&master.address) {
            against.push(format!("{address} does not follow {}", master.address));
        } else if it.link_up != Some(true) || it.syncing {
            against.push(format!("{address} has no link, or takes a full copy"));
        } else if it.replid != master.replid {
            against.push(format!("{address} is of another history"));
        }
        let line = more.attached.iter().find(|line| same_address(&line.address, address));
        match line {
            None => against.push(format!(
                "{} does not list {address} as its replica by that address",
                master.address
            )),
            Some(line) if line.state != "online" => {
                against.push(format!("{address} is {} to the master", line.state));
            }
            Some(line) if line.lag_s > LAG_S_MAX => {
                against.push(format!("{address} was last heard {} s ago", line.lag_s));
            }
            Some(line) if head - line.acknowledged > GAP_BYTES_MAX.max(more.bytes_per_s * 2) => {
                let behind = head - line.acknowledged;
                against.push(format!("{address} is {behind} bytes behind"));
            }
            Some(_) => {}
        }
    }
    check("replicas-near", &against, format!("{} replicas attached and near", more.attached.len()))
}

fn fit(cluster: &Cluster, master: &Node, target: &Node, more: &More) -> Check {
    let address = &target.address;
    let mut against = Vec::new();
    if !target.follows(&master.address) {
        against.push(format!("{address} is no replica of {}", master.address));
    }
    if target.priority == Some(0) {
        against.push(format!("{address} has replica-priority 0: never promote"));
    }
    if version(target) < version(master) {
        against.push(format!("{address} runs an older Redis than {}", master.address));
    }
    let gate = more.gates.iter().find(|(it, _)| it == address).and_then(|(_, gate)| *gate);
    let nodes = cluster.addresses(baton_plugin::MemberKind::Data).len();
    let left = i64::try_from(nodes.saturating_sub(1)).unwrap_or(i64::MAX);
    match gate {
        Some(gate) if is_fence(gate) => against.push(format!(
            "{address} is fenced (min-replicas-to-write {gate}): its rejoin is not over"
        )),
        Some(gate) if gate > left => {
            against.push(format!("{address} wants {gate} replicas to write and would have {left}"));
        }
        Some(_) => {}
        None => against.push(format!("{address} does not tell its min-replicas-to-write")),
    }
    check("target-fit", &against, format!("{address} can be master"))
}

/// A version as numbers: 7.0.9 is older than 7.0.15.
fn version(node: &Node) -> Vec<u32> {
    let text = node.version.as_deref().unwrap_or_default();
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// A fork makes the master pause, and what it writes makes replicas late.
fn calm(more: &More) -> Check {
    let mut against = Vec::new();
    for (address, info) in &more.persistence {
        for (field, what) in
            [("rdb_bgsave_in_progress", "BGSAVE"), ("aof_rewrite_in_progress", "an AOF rewrite")]
        {
            if info.is_set(field) {
                against.push(format!("{address} has {what} under way"));
            }
        }
    }
    check("no-fork", &against, "no save or rewrite is under way")
}

fn backlog(more: &More) -> Check {
    let size = more.master.int("repl_backlog_size").unwrap_or(0);
    let needed = more.bytes_per_s.saturating_mul(BACKLOG_S);
    let against = (size < needed).then(|| {
        format!(
            "the backlog of {size} bytes holds less than {BACKLOG_S} s of {} bytes a second: CONFIG SET repl-backlog-size {needed}",
            more.bytes_per_s
        )
    });
    let against: Vec<String> = against.into_iter().collect();
    check("backlog", &against, format!("{size} bytes, {} bytes a second", more.bytes_per_s))
}
