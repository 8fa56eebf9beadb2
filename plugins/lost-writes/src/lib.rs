//! `lost-writes`: lists what an old master wrote that nobody else got.
//!
//! Its successor says where their histories parted (`second_repl_offset`); what the old
//! master wrote behind that is still in its replication backlog, command by command. It is
//! read as a replica would, which the node counts as one more: so only while it is fenced
//! and no Sentinel has it for its master, which would take the reader for a replica.
//! Where the backlog no longer reaches so far, or the process is another one, what is
//! left is how much was lost; `salvage` then compares the keys.

mod tally;

use baton_plugin::redis::{Command, Info, Request, StreamPlace, StreamReading, Unreadable};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Mode, Plugin, Sample, Table};
use baton_topology::{Look, Node, Scope, gate_question, is_fence, look, read_gate, same_address};
use serde::{Deserialize, Serialize};
use tally::Tally;

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 2000;

/// Longest wait for one part of the stream, ms.
const READ_MS: u32 = 20_000;

/// Writes that are read, by default: some seconds of a busy master.
const WRITES_MAX: u32 = 100_000;

/// Whose writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The old master, `host:port`, fenced.
    pub node: String,
    /// Its process, as `hold` saw it.
    pub run_id: Option<String>,
    /// Its successor.
    pub master: String,
    /// Writes to read, at most; 100000 if absent.
    pub writes_max: Option<u32>,
}

/// How much of it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Every lost write was read and counted.
    Complete,
    /// Those up to a bound.
    Partial,
    /// None: the list is `salvage`'s comparison, which may be incomplete.
    Gone,
}

/// What was lost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// How much of it could be read.
    pub evidence: Evidence,
    /// Bytes of the node's history that its successor does not carry on, heartbeats
    /// included; none where nobody knows.
    pub lost_bytes: Option<i64>,
    /// `lost_bytes` is exact. Otherwise it was at least so much.
    pub exact: bool,
    /// Of these, bytes of writes that were read.
    pub write_bytes: u64,
    /// And bytes that were read and write nothing: heartbeats, SELECT, messages.
    pub idle_bytes: u64,
    /// Writes that were read.
    pub writes: u64,
    /// Keys that they name.
    pub keys_total: u64,
    /// These keys, in order of database and name, as many as fit.
    pub keys: Vec<LostKey>,
    /// Writes that were read, in order, as many as fit.
    pub commands: Vec<LostWrite>,
    /// Writes whose keys cannot be told or are cut, in order, as many as fit.
    pub unnamed: Vec<LostWrite>,
    /// The loss in a few words.
    pub declared: String,
    /// One sentence for a person.
    pub reason: String,
    /// The keys, for people.
    pub table: Table,
}

/// A key that lost writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostKey {
    /// Its name; bytes that are no text are escaped.
    pub key: String,
    /// Its database; none where neither the stream nor the key space says.
    pub database: Option<u32>,
    /// How many writes.
    pub writes: u64,
    /// The last of them, cut.
    pub last: String,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostWrite {
    /// Where in the node's history.
    pub offset: i64,
    /// Its database; none where it is not known.
    pub database: Option<u32>,
    /// Of the MULTI that it belongs to, if any.
    pub transaction: Option<i64>,
    /// The command, secrets blotted out, cut.
    pub command: String,
}

/// The plugin.
pub struct LostWrites;

impl Plugin for LostWrites {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "lost-writes",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Lists what an old master wrote that nobody else got",
            redis_commands: &[
                "PING",
                "INFO",
                "CONFIG|GET",
                "PSYNC",
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
            let why =
                format!("cluster {} is in mode observe: its stream is not read", cluster.name);
            return Err(Fault::permanent("observe-mode", why));
        }
        let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        let samples = host
            .lineage(&cluster.name)
            .map_err(|error| Fault::from_redis("cannot recall what the nodes said", &error))?;
        let node = answering(&seen, &input.node)?.clone();
        let Some(parting) = parting(&node, answering(&seen, &input.master)?, &samples) else {
            let why = format!(
                "{} was restarted, or its successor was since: where their histories parted is no longer known",
                node.address
            );
            return Ok(Tally::default().gone(None, &why));
        };
        if let Some(why) = lacking(&input, &node, &parting) {
            return Ok(Tally::default().gone(at_least(&node, &parting, &samples), &why));
        }
        let end = node.offset.unwrap_or(0);
        let lost = (end - (parting.offset - 1)).max(0);
        if lost == 0 {
            let why = format!("{} holds nothing that {} has not", node.address, input.master);
            return Ok(Tally::default().output(Some((0, true)), None, why));
        }
        let only_database = may_be_read(&cluster, &seen, &node, host)?;
        let writes_max = u64::from(input.writes_max.unwrap_or(WRITES_MAX));
        match read(&cluster, &node.address, &parting, writes_max, host)? {
            Ok(tally) => Ok(read_output(tally, &node, &parting, only_database)),
            Err((Unreadable::AnotherHistory, why)) => {
                Ok(Tally::default().gone(at_least(&node, &parting, &samples), &why))
            }
            Err((Unreadable::Overwritten | Unreadable::Refused, why)) => {
                let why = format!("{why}; which writes they were cannot be read any more");
                Ok(Tally::default().gone(Some((lost, true)), &why))
            }
        }
    }
}

/// Where two histories parted.
struct Parting {
    replid: String,
    /// First byte that is no longer shared.
    offset: i64,
}

fn answering<'a>(seen: &'a Look, address: &str) -> Result<&'a Node, Fault> {
    seen.node(address).filter(|it| it.reachable).ok_or_else(|| {
        let why = format!("{address} does not answer: wait until it is back");
        Fault::retryable("gone-again", why)
    })
}

/// What the successor says of itself, of the node's history or of the one that it was
/// promoted from; or what whoever was promoted from the node's history said then.
fn parting(node: &Node, successor: &Node, samples: &[Sample]) -> Option<Parting> {
    let replid = successor.replid2.clone();
    let offset = successor.second_repl_offset.filter(|it| *it >= 1);
    let own = replid.zip(offset).map(|(replid, offset)| Parting { replid, offset });
    if own.as_ref().is_some_and(|it| Some(&it.replid) == node.replid.as_ref()) {
        return own;
    }
    let promoted = samples
        .iter()
        .filter(|it| it.master && Some(&it.replid2) == node.replid.as_ref())
        .filter(|it| it.second_offset >= 1 && !same_address(&it.address, &node.address))
        .max_by_key(|it| it.at_ms);
    promoted.map(|it| Parting { replid: it.replid2.clone(), offset: it.second_offset }).or(own)
}

/// Why the node's stream is not the one that is looked for.
fn lacking(input: &Input, node: &Node, parting: &Parting) -> Option<String> {
    let address = &node.address;
    if node.is_replica() {
        return Some(format!("{address} follows already: what it alone had is being discarded"));
    }
    if input.run_id.is_some() && node.run_id != input.run_id {
        return Some(format!("{address} was restarted since it was held"));
    }
    (node.replid.as_deref() != Some(parting.replid.as_str())).then(|| {
        format!("{address} was restarted, or was emptied, since: its process has a history of its own, and no backlog of the one before")
    })
}

/// Whether it is safe to be taken for a replica of it; gives the only database with keys.
fn may_be_read<H: Host>(
    cluster: &Cluster,
    seen: &Look,
    node: &Node,
    host: &mut H,
) -> Result<Option<u32>, Fault> {
    let address = &node.address;
    if let Some(sentinel) = seen.sentinels.iter().find(|it| it.names(address)) {
        let why = format!(
            "Sentinel {} still has {address} for its master and would take the reader of its stream for a replica: wait until it has heard of the new one",
            sentinel.address
        );
        return Err(Fault::retryable("still-master", why));
    }
    let questions = vec![gate_question(), Command::line("INFO keyspace")];
    let what = format!("cannot ask {address} for its fence");
    let answers = host
        .call(&cluster.name, &[Request::new(address, questions)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis(&what, &error))?
        .pop()
        .ok_or_else(|| Fault::retryable("internal", "the host gave no result"))?
        .map_err(|error| Fault::from_redis(&what, &error))?;
    if !answers.first().and_then(read_gate).is_some_and(is_fence) {
        let why = format!(
            "{address} is not fenced: one replica more, as which its stream is read, might let it take writes again. Fence it (`hold`) first"
        );
        return Err(Fault::retryable("not-fenced", why));
    }
    let keyspace = answers.get(1).and_then(Info::from_value).unwrap_or_default();
    let mut databases =
        keyspace.iter().filter_map(|(name, _)| name.strip_prefix("db")?.parse::<u32>().ok());
    Ok(databases.next().filter(|_| databases.next().is_none()))
}

type Read = Result<Tally, (Unreadable, String)>;

/// Reads the stream, part by part.
fn read<H: Host>(
    cluster: &Cluster,
    address: &str,
    parting: &Parting,
    writes_max: u64,
    host: &mut H,
) -> Result<Read, Fault> {
    let mut place = StreamPlace::at(parting.offset);
    let mut tally = Tally::default();
    loop {
        let told = host
            .divergence(&cluster.name, address, &parting.replid, place, READ_MS)
            .map_err(|error| Fault::from_redis("cannot read the replication stream", &error))?;
        let stretch = match told {
            StreamReading::Read(stretch) => stretch,
            StreamReading::Unreadable(why, found) => return Ok(Err((why, found))),
        };
        tally.take(&stretch);
        let Some(next) = stretch.next else { return Ok(Ok(tally)) };
        if tally.writes >= writes_max {
            tally.stopped_at = Some(next.offset);
            return Ok(Ok(tally));
        }
        let total = u64::try_from(stretch.end - parting.offset).ok();
        let done = u64::try_from(next.offset - parting.offset).unwrap_or(0);
        host.report(done, total, "reading the lost writes");
        place = next;
    }
}

fn read_output(tally: Tally, node: &Node, parting: &Parting, only_database: Option<u32>) -> Output {
    let lost = (tally.end - (parting.offset - 1)).max(0);
    let address = &node.address;
    let why = match tally.stopped_at {
        None => format!("{address} wrote {lost} bytes that nobody else got, read from its backlog"),
        Some(offset) => format!(
            "{address} wrote {lost} bytes that nobody else got; only what stands before offset {offset} was read (raise `writes_max` of the step)"
        ),
    };
    tally.output(Some((lost, true)), only_database, why)
}

/// The stream is gone; how much it was at least is in what the node said before.
fn at_least(node: &Node, parting: &Parting, samples: &[Sample]) -> Option<(i64, bool)> {
    let told = samples
        .iter()
        .filter(|it| same_address(&it.address, &node.address))
        .filter(|it| it.master && it.replid == parting.replid)
        .map(|it| it.offset)
        .max();
    // Stopped in good order and started again, Redis 7 remembers where it was.
    let saved = node
        .second_repl_offset
        .filter(|_| node.is_master() && node.replid2.as_deref() == Some(&parting.replid))
        .map(|it| it - 1);
    let end = told.into_iter().chain(saved).max()?;
    Some(((end - (parting.offset - 1)).max(0), false))
}

baton_plugin::export!(LostWrites);

#[cfg(test)]
mod tests;
