//! Until everyone follows: re-point the nodes, tell the Sentinels, read back.

use crate::hello::Configuration;
use crate::rival::{Rivalry, settle_rivalry};
use crate::{ADOPT_TIMEOUT_MS, Adoption, FALLBACK_MS, Succession, TIMEOUT_MS, fallback};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_topology::{Look, Node, Scope, Watcher, look, same_address, split_address};

/// Between two looks when the last one found nothing new to do, ms. A hello is
/// taken in within 6 ms.
const POLL_MS: u32 = 50;

/// Everyone who can follow does.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The configuration's epoch.
    pub epoch: i64,
    /// Nodes that follow the master.
    pub following: Vec<String>,
    /// Members that were not there to be told.
    pub unreachable: Vec<String>,
    /// Each Sentinel.
    pub sentinels: Vec<Adoption>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// Everyone who can follow does.
    Settled(Settled),
    /// A Sentinel's own failover made this node master at the same time. Ours had not
    /// taken a write yet and follows it: adopt it.
    Yielded(String),
}

/// What is left to do, from one look.
struct Rest {
    requests: Vec<Request>,
    /// Reachable members that do not follow yet.
    lagging: Vec<String>,
    /// Sentinels that hang.
    hanging: Vec<String>,
}

/// Tells everyone, and reads back, until all that can follow do.
///
/// # Errors
/// A [`Fault`]: `split-brain` where two masters have taken writes, `demoted`,
/// `not-adopted`, or what forbids to ask at all.
pub fn converge<H: Host>(
    cluster: &Cluster,
    succession: &Succession<'_>,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<Ended, Fault> {
    let limit_ms = succession.adopt_timeout_ms.unwrap_or(ADOPT_TIMEOUT_MS);
    let begun_ms = host.now_ms();
    let until_ms = begun_ms + u64::from(limit_ms);
    let total = u64::try_from(cluster.members.len()).unwrap_or(u64::MAX);
    let mut told = Vec::new();
    let mut fell_back = false;
    loop {
        let seen = look(cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        match settle_rivalry(cluster, succession, &seen, host)? {
            Rivalry::None => still_master(&seen, succession.master)?,
            Rivalry::Taken(note) => {
                add(notes, note);
                continue;
            }
            Rivalry::Yielded(to) => return Ok(Ended::Yielded(to)),
        }
        let wanted =
            Configuration::for_master(succession.master, &seen.sentinels, succession.epoch_seen);
        let rest = rest(cluster, &seen, succession, &wanted);
        let waiting = rest.lagging.len() + rest.hanging.len();
        let now_ms = if waiting == 0 { until_ms } else { host.now_ms() };
        if now_ms >= until_ms {
            return settle(&seen, &wanted, &rest, limit_ms, notes).map(Ended::Settled);
        }
        if !fell_back && now_ms >= begun_ms + u64::from(FALLBACK_MS) {
            fell_back = true;
            fallback::configure(cluster, &seen, &wanted, notes, host)?;
        }
        let late: Vec<String> = rest.lagging.iter().chain(&rest.hanging).cloned().collect();
        let message = format!("waiting for {}", late.join(", "));
        host.report(total.saturating_sub(waiting as u64), Some(total), &message);
        if late == told {
            host.sleep(POLL_MS);
        } else {
            host.log(Level::Info, &message);
            told = late;
        }
        tell(cluster, &rest.requests, notes, host)?;
    }
}

fn still_master(seen: &Look, master: &str) -> Result<(), Fault> {
    match seen.node(master) {
        Some(node) if node.is_replica() => {
            let why = format!(
                "{master} was made a replica of {} again; assess again",
                node.master_host_port.as_deref().unwrap_or("another node")
            );
            Err(Fault::retryable("demoted", why))
        }
        _ => Ok(()),
    }
}

fn rest(
    cluster: &Cluster,
    seen: &Look,
    succession: &Succession<'_>,
    wanted: &Configuration,
) -> Rest {
    let mut rest = Rest { requests: Vec::new(), lagging: Vec::new(), hanging: Vec::new() };
    for node in seen.nodes.iter().filter(|it| must_follow(it, succession, &wanted.master)) {
        let Some((ip, port)) = split_address(&wanted.master) else { continue };
        let follow = Command::of(["REPLICAOF", &ip, &port.to_string()]);
        let commands = vec![follow, Command::line("CONFIG REWRITE")];
        rest.requests.push(Request::new(node.address.clone(), commands));
        rest.lagging.push(node.address.clone());
    }
    for watcher in &seen.sentinels {
        if watcher.gone || (watcher.reachable && wanted.is_followed_by(watcher)) {
            continue;
        }
        if !watcher.reachable {
            rest.hanging.push(watcher.address.clone());
            continue;
        }
        rest.lagging.push(watcher.address.clone());
        if let Some(hello) = wanted.hello(watcher, &cluster.master_name) {
            rest.requests.push(Request::new(watcher.address.clone(), vec![hello]));
        }
    }
    rest
}

/// Replicas that follow someone else. The old master, should it be back as a
/// *master*, is the Sentinels' to demote once they have adopted: it may hold writes
/// that nobody else has.
fn must_follow(node: &Node, succession: &Succession<'_>, master: &str) -> bool {
    let is_old_master = same_address(&node.address, succession.old_master) && node.is_master();
    node.is_replica()
        && !is_old_master
        && !same_address(&node.address, master)
        && !node.follows(master)
}

/// Everyone at once, so that nobody waits for one that hangs.
fn tell<H: Host>(
    cluster: &Cluster,
    requests: &[Request],
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    if requests.is_empty() {
        return Ok(());
    }
    let results = host
        .call(&cluster.name, requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot tell the members", &error))?;
    for (request, result) in requests.iter().zip(results) {
        match result {
            Err(error) if error.kind.is_lasting() => {
                return Err(Fault::from_redis(&format!("cannot tell {}", request.address), &error));
            }
            // The next look says whether it was done.
            Err(_) => {}
            Ok(replies) => {
                if let Some(error) = replies.first().and_then(|it| it.error()) {
                    add(notes, format!("{} refused: {error}", request.address));
                }
                let mut rewrite = Vec::new();
                note_rewrite(&request.address, replies.get(1), &mut rewrite);
                for note in rewrite {
                    add(notes, note);
                }
            }
        }
    }
    Ok(())
}

/// Without a written config a restart forgets the role; the promotion stands.
pub fn note_rewrite(address: &str, reply: Option<&Value>, notes: &mut Vec<String>) {
    if let Some(error) = reply.and_then(Value::error) {
        notes.push(format!("{address} could not write its config file ({error}): a restart would forget its new role"));
    }
}

pub(crate) fn add(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// The work is done when enough Sentinels have adopted: the rest learn it from them.
fn settle(
    seen: &Look,
    wanted: &Configuration,
    rest: &Rest,
    limit_ms: u32,
    notes: &mut Vec<String>,
) -> Result<Settled, Fault> {
    let adopted = |it: &&Watcher| it.reachable && it.names(&wanted.master);
    let count = seen.sentinels.iter().filter(adopted).count();
    let quorum = seen.sentinels.iter().filter_map(|it| it.quorum).max().unwrap_or(1);
    let reachable = seen.sentinels.iter().filter(|it| !it.gone).count();
    let enough = usize::try_from(quorum).unwrap_or(1).min(reachable);
    let all: Vec<&str> = rest.lagging.iter().chain(&rest.hanging).map(String::as_str).collect();
    let nodes_lag = rest.lagging.iter().any(|it| seen.nodes.iter().any(|node| node.address == *it));
    if count < enough || nodes_lag {
        let why = format!(
            "{} is master, but after {limit_ms} ms these do not follow: {}; {count} of {} Sentinels have adopted, {enough} needed",
            wanted.master,
            all.join(", "),
            seen.sentinels.len()
        );
        return Err(Fault::retryable("not-adopted", why));
    }
    for late in &all {
        let lonely = seen.sentinels.iter().any(|it| it.address == *late && it.known.is_empty());
        let why = if lonely { " (it knows no peer to hear it from)" } else { "" };
        add(notes, format!("{late} had not adopted {} after {limit_ms} ms{why}", wanted.master));
    }
    let gone_nodes = seen.nodes.iter().filter(|it| !it.reachable).map(|it| &it.address);
    let gone_watchers = seen.sentinels.iter().filter(|it| it.gone).map(|it| &it.address);
    Ok(Settled {
        epoch: wanted.epoch,
        following: seen
            .nodes
            .iter()
            .filter(|it| it.follows(&wanted.master))
            .map(|it| it.address.clone())
            .collect(),
        unreachable: gone_nodes.chain(gone_watchers).cloned().collect(),
        sentinels: seen
            .sentinels
            .iter()
            .map(|it| Adoption {
                address: it.address.clone(),
                adopted: adopted(&it),
                config_epoch: it.config_epoch,
            })
            .collect(),
    })
}
