//! What a cluster that replicates as it should looks like. Pure.

use baton_plugin::JsonSchema;
use baton_topology::{Look, Node, same_address};
use serde::Serialize;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Short, stable, kebab-case.
    pub name: String,
    /// It holds.
    pub ok: bool,
    /// What was seen, for a person.
    pub message: String,
}

impl Check {
    /// A check that holds unless something speaks against it.
    pub fn new(name: &str, against: &[String], holds: impl Into<String>) -> Self {
        let ok = against.is_empty();
        let message = if ok { holds.into() } else { against.join("; ") };
        Self { name: name.into(), ok, message }
    }
}

/// What is expected.
pub(crate) struct Expected<'a> {
    /// The master, `host:port`.
    pub(crate) master: &'a str,
    /// The history it has to carry on.
    pub(crate) replid: Option<&'a str>,
    /// Bytes that a replica may be behind.
    pub(crate) lag_max_bytes: i64,
}

/// Everything that one look can show.
pub(crate) fn checks(look: &Look, expected: &Expected<'_>) -> Vec<Check> {
    let mut all = vec![one_writable_master(look, expected), sentinels_agree(look, expected)];
    all.push(replicas_attached(look, expected));
    all.push(lag(look, expected));
    all.extend(expected.replid.map(|replid| lineage(look, expected, replid)));
    all
}

/// Reachable nodes that say they are master.
pub(crate) fn writable_masters(look: &Look) -> Vec<String> {
    look.masters().map(|it| it.address.clone()).collect()
}

fn one_writable_master(look: &Look, expected: &Expected<'_>) -> Check {
    let masters = writable_masters(look);
    let is_it = matches!(&masters[..], [one] if same_address(one, expected.master));
    let against = match &masters[..] {
        _ if is_it => None,
        [] => Some(format!("no reachable node is master; {} should be", expected.master)),
        several => {
            Some(format!("master is {}; only {} should be", several.join(" and "), expected.master))
        }
    };
    let stalled = look.node(expected.master).and_then(|it| it.write_stalled.clone());
    let against: Vec<String> = against.into_iter().chain(stalled).collect();
    Check::new("one-writable-master", &against, format!("only {} is master", expected.master))
}

fn sentinels_agree(look: &Look, expected: &Expected<'_>) -> Check {
    let mut against = Vec::new();
    let reachable: Vec<_> = look.sentinels.iter().filter(|it| it.reachable).collect();
    if reachable.len() * 2 <= look.sentinels.len() && !look.sentinels.is_empty() {
        against.push(format!("only {} of {} answer", reachable.len(), look.sentinels.len()));
    }
    for it in &reachable {
        let named = it.master.as_deref().unwrap_or("nobody");
        if !it.names(expected.master) {
            against.push(format!("{} names {named}", it.address));
        }
        if it.failover_in_progress {
            against.push(format!("{} has a failover in progress", it.address));
        }
        if it.says_down() {
            against.push(format!("{} takes it for down", it.address));
        }
    }
    let mut epochs: Vec<Option<i64>> = reachable.iter().map(|it| it.config_epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    if epochs.len() > 1 {
        against.push(format!("they are at different epochs: {epochs:?}"));
    }
    let holds = match (epochs.first().copied().flatten(), look.sentinels.len()) {
        (_, 0) => "there are none".to_owned(),
        (epoch, all) => format!("{} of {all} agree, epoch {}", reachable.len(), epoch.unwrap_or(0)),
    };
    Check::new("sentinels-agree", &against, holds)
}

/// Reachable nodes beside the master. One that does not answer is declared, not
/// failed: the dead master is expected to be among them.
fn others<'a>(look: &'a Look, expected: &'a Expected<'_>) -> impl Iterator<Item = &'a Node> {
    look.nodes.iter().filter(|it| it.reachable && !same_address(&it.address, expected.master))
}

/// How many replicas a canary has to reach.
pub(crate) fn attached(look: &Look, master: &str) -> usize {
    look.nodes.iter().filter(|it| it.follows(master) && it.link_up == Some(true)).count()
}

fn replicas_attached(look: &Look, expected: &Expected<'_>) -> Check {
    let head = look.node(expected.master).filter(|it| it.reachable);
    let mut against: Vec<String> = others(look, expected)
        .filter_map(|it| {
            let wrong = if !it.follows(expected.master) {
                let whom = it.master_host_port.as_deref().unwrap_or("nobody");
                format!("follows {whom}")
            } else if it.syncing {
                "is taking a full copy".into()
            } else if it.link_up != Some(true) {
                "has its link down".into()
            } else if head.is_some_and(|head| it.replid != head.replid) {
                "is on another history than its master".into()
            } else {
                return None;
            };
            Some(format!("{} {wrong}", it.address))
        })
        .collect();
    let count = attached(look, expected.master);
    if count == 0 && look.nodes.len() > 1 {
        against.push("no replica is attached".into());
    }
    let absent: Vec<&str> =
        look.nodes.iter().filter(|it| !it.reachable).map(|it| it.address.as_str()).collect();
    let declared = if absent.is_empty() {
        String::new()
    } else {
        format!("; not reachable: {}", absent.join(", "))
    };
    Check::new("replicas-attached", &against, format!("{count} attached, link up{declared}"))
}

fn lag(look: &Look, expected: &Expected<'_>) -> Check {
    let head = look.node(expected.master).and_then(|it| it.offset).unwrap_or(0);
    let behind = |it: &Node| head - it.offset.unwrap_or(0);
    let all: Vec<&Node> = others(look, expected).filter(|it| it.is_replica()).collect();
    let against: Vec<String> = all
        .iter()
        .filter(|it| behind(it) > expected.lag_max_bytes)
        .map(|it| format!("{} is {} bytes behind", it.address, behind(it)))
        .collect();
    let worst = all.iter().map(|it| behind(it)).max().unwrap_or(0).max(0);
    let limit = expected.lag_max_bytes;
    Check::new("lag", &against, format!("at most {worst} bytes behind, {limit} allowed"))
}

fn lineage(look: &Look, expected: &Expected<'_>, replid: &str) -> Check {
    let master = look.node(expected.master);
    let proven = master.is_some_and(|it| it.is_of(replid));
    let against = (!proven).then(|| {
        format!(
            "{} carries {}, after {}; neither is {replid}",
            expected.master,
            master.and_then(|it| it.replid.as_deref()).unwrap_or("none"),
            master.and_then(|it| it.replid2.as_deref()).unwrap_or("none")
        )
    });
    let against: Vec<String> = against.into_iter().collect();
    Check::new("lineage", &against, format!("{} carries on {replid}", expected.master))
}
