//! Until one node is master: the last look, and `REPLICAOF NO ONE`.

use crate::{Handover, Input, YIELD_TIMEOUT_MS};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_succession::{TIMEOUT_MS, note_rewrite};
use baton_topology::{
    Look, Node, Scope, gate_commands, gate_question, gates, is_fence, look, read_gate,
    same_address, usual_gate,
};

/// Between two looks while a Sentinel's failover is waited for, ms.
const YIELD_POLL_MS: u32 = 100;

/// How often the promotion is sent before giving up: each time only after a look
/// that shows it was not done.
const PROMOTIONS_MAX: u32 = 3;

/// There is a master.
pub(crate) struct Taken {
    /// Who, as baton.toml spells it.
    pub(crate) master: String,
    /// Somebody else had promoted it.
    pub(crate) adopted: bool,
    /// A Sentinel's failover was waited for.
    pub(crate) yielded: bool,
    /// When it was known, Unix ms.
    pub(crate) at_ms: u64,
    /// The history before and after.
    pub(crate) lineage: Handover,
    /// Its `min-replicas-to-write`; none where it did not say.
    pub(crate) min_replicas: Option<i64>,
}

/// What the last look calls for.
enum Next {
    /// This node is master already.
    Adopt(Box<Node>),
    /// A Sentinel is at work.
    Yield(String),
    /// The chosen one is fit and nobody is in the way.
    Promote,
}

pub(crate) fn take_over<H: Host>(
    cluster: &Cluster,
    input: &Input,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<Taken, Fault> {
    let yield_ms = input.yield_timeout_ms.unwrap_or(YIELD_TIMEOUT_MS);
    let yield_until_ms = host.now_ms() + u64::from(yield_ms);
    let mut yielded = false;
    // The nodes of a look are read a moment before its Sentinels: a failover that
    // ends in between shows neither itself nor its master. So one more look follows.
    let mut just_yielded = false;
    let mut sent = 0;
    loop {
        let seen = look(cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        match next(&seen, input)? {
            Next::Adopt(node) => {
                let ours = same_address(&node.address, &input.chosen);
                let min_replicas = open_gate(cluster, &seen, &node.address, notes, host)?;
                return Ok(Taken {
                    min_replicas,
                    adopted: !ours || (yielded && sent == 0),
                    yielded,
                    at_ms: host.now_ms(),
                    lineage: handover(&node),
                    master: node.address,
                });
            }
            Next::Yield(sentinel) => {
                if host.now_ms() >= yield_until_ms {
                    let why = format!(
                        "Sentinel {sentinel} has had a failover in progress for {yield_ms} ms; assess again"
                    );
                    return Err(Fault::retryable("failover-in-progress", why));
                }
                if !yielded {
                    host.log(
                        Level::Info,
                        &format!("waiting for the failover of Sentinel {sentinel}"),
                    );
                }
                (yielded, just_yielded) = (true, true);
                host.report(0, None, "waiting for a Sentinel's own failover");
                host.sleep(YIELD_POLL_MS);
            }
            Next::Promote if just_yielded => just_yielded = false,
            Next::Promote if sent < PROMOTIONS_MAX => {
                sent += 1;
                promote(cluster, input, notes, host)?;
            }
            Next::Promote => {
                let chosen = &input.chosen;
                let why = format!("{chosen} stays a replica after {sent} times REPLICAOF NO ONE");
                return Err(Fault::retryable("not-promoted", why));
            }
        }
    }
}

/// Decides from one look. The old master does not count as "another master": it is
/// what is being replaced; but alive it stops everything that is not yet done.
fn next(seen: &Look, input: &Input) -> Result<Next, Fault> {
    let others: Vec<&Node> =
        seen.masters().filter(|it| !same_address(&it.address, &input.old_master)).collect();
    match others[..] {
        [] => {}
        [master] => return adopt(master, input),
        // Made at the same time out of one history: what comes next settles it, and can
        // as long as one of them has taken no write.
        [one, other] if one.is_of(&input.replid) && other.is_of(&input.replid) => {
            let ours = others.iter().find(|it| same_address(&it.address, &input.chosen));
            return adopt(ours.unwrap_or(&one), input);
        }
        [..] => {
            let all: Vec<&str> = others.iter().map(|it| it.address.as_str()).collect();
            let why = format!(
                "{} are both master: Baton never resolves that; decide which history stays",
                all.join(" and ")
            );
            return Err(Fault::permanent("split-brain", why));
        }
    }
    if let Some(busy) = seen.sentinels.iter().find(|it| it.failover_in_progress) {
        return Ok(Next::Yield(busy.address.clone()));
    }
    let old = seen.node(&input.old_master);
    if let Some(old) = old.filter(|it| it.reachable) {
        let why = format!(
            "the old master {} answers again: nothing was promoted; assess again",
            old.address
        );
        return Err(Fault::permanent("old-master-alive", why));
    }
    let hears = |it: &&Node| it.follows(&input.old_master) && it.link_up == Some(true);
    let refused = old.is_some_and(|it| it.health == baton_topology::Health::Refused);
    if let Some(hearing) = seen.nodes.iter().find(hears).filter(|_| refused) {
        let why = format!(
            "{} hears {} although it refuses us: we may be the ones cut off; assess again",
            hearing.address, input.old_master
        );
        return Err(Fault::permanent("old-master-alive", why));
    }
    fit(seen, input)?;
    Ok(Next::Promote)
}

/// A master of this history may be adopted, whoever made it; another never.
fn adopt(master: &Node, input: &Input) -> Result<Next, Fault> {
    if master.is_of(&input.replid) {
        return Ok(Next::Adopt(Box::new(master.clone())));
    }
    let why = format!(
        "{} is master, but of another history ({}) than {}: a person has to look",
        master.address,
        master.replid.as_deref().unwrap_or("none"),
        input.replid
    );
    Err(Fault::permanent("foreign-master", why))
}

/// Whether the chosen one still is what was chosen.
fn fit(seen: &Look, input: &Input) -> Result<(), Fault> {
    let address = &input.chosen;
    let Some(node) = seen.node(address) else {
        return Err(Fault::permanent("not-found", format!("baton.toml lists no node {address}")));
    };
    if !node.reachable || node.role.is_none() {
        let error = node.error.as_deref().unwrap_or("no answer");
        return Err(Fault::retryable("chosen-unreachable", format!("{address}: {error}")));
    }
    let changed = |what: String| {
        Err(Fault::permanent(
            "chosen-changed",
            format!("{address} {what}; assess and choose again"),
        ))
    };
    if node.run_id.as_deref() != Some(input.run_id.as_str()) {
        return changed("was restarted since it was chosen".into());
    }
    if !node.is_of(&input.replid) {
        return changed("has moved to another history".into());
    }
    if node.offset < Some(input.offset) {
        let now = node.offset.unwrap_or(-1);
        return changed(format!("is at offset {now}, chosen at {}", input.offset));
    }
    if node.syncing || node.loading {
        return changed("is taking a copy or loading".into());
    }
    Ok(())
}

/// Sends the promotion. What came of it is for the next look to say: a broken
/// connection here leaves it in doubt.
fn promote<H: Host>(
    cluster: &Cluster,
    input: &Input,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    let address = &input.chosen;
    host.log(Level::Info, &format!("REPLICAOF NO ONE on {address}"));
    let commands = vec![Command::line("REPLICAOF NO ONE"), Command::line("CONFIG REWRITE")];
    let result = host
        .call(&cluster.name, &[Request::new(address.clone(), commands)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot promote", &error))?
        .pop();
    match result {
        Some(Ok(replies)) => {
            if let Some(error) = replies.first().and_then(Value::error) {
                let why = format!("{address} refused REPLICAOF NO ONE: {error}");
                return Err(Fault::permanent("refused", why));
            }
            note_rewrite(address, replies.get(1), notes);
            Ok(())
        }
        Some(Err(error)) if error.kind.is_lasting() => {
            Err(Fault::from_redis(&format!("cannot promote {address}"), &error))
        }
        Some(Err(error)) => {
            notes.push(format!("the reply to REPLICAOF NO ONE on {address} was lost ({error})"));
            Ok(())
        }
        None => Ok(()),
    }
}

fn handover(master: &Node) -> Handover {
    Handover {
        old_replid: master.replid2.clone(),
        new_replid: master.replid.clone(),
        promotion_offset: master.second_repl_offset.map(|it| it - 1),
    }
}

/// `min-replicas-to-write` on the new master stops its writes until that many replicas
/// have attached. A policy is not ours to change and worth knowing; a fence of ours, left
/// from when it was replaced itself, goes. Gives what is set then, where it says so.
fn open_gate<H: Host>(
    cluster: &Cluster,
    seen: &Look,
    address: &str,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<Option<i64>, Fault> {
    let request = Request::new(address, vec![gate_question()]);
    let Ok(mut results) = host.call(&cluster.name, &[request], TIMEOUT_MS) else { return Ok(None) };
    let Some(Ok(replies)) = results.pop() else { return Ok(None) };
    let said = replies.first().and_then(read_gate);
    let Some(gate) = said.filter(|it| *it > 0) else { return Ok(said) };
    if !is_fence(gate) {
        notes.push(format!(
            "{address} has min-replicas-to-write {gate}: it refuses writes until {gate} replicas have attached"
        ));
        return Ok(Some(gate));
    }
    let gates = gates(cluster, seen.reachable(), TIMEOUT_MS, host)?;
    let usual = usual_gate(&gates, address).unwrap_or(0);
    let result = host
        .call(&cluster.name, &[Request::new(address, gate_commands(usual))], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot take the fence away", &error))?
        .pop();
    let failed = match result {
        Some(Ok(replies)) => replies.first().and_then(Value::error).map(str::to_owned),
        Some(Err(error)) => Some(error.to_string()),
        None => Some("no result".to_owned()),
    };
    if let Some(error) = failed {
        let why = format!(
            "{address} is master and fenced from before ({error}): CONFIG SET min-replicas-to-write {usual} on it"
        );
        return Err(Fault::retryable("still-fenced", why));
    }
    notes.push(format!(
        "{address} was fenced from before: its min-replicas-to-write is {usual} now"
    ));
    Ok(Some(usual))
}
