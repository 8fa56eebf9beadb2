//! `verify-replication`: proves that a cluster replicates as it should.
//!
//! Waits for the cluster to settle (a re-pointed replica attaches within about a
//! second), then judges. A flaw is an output with verdict `fail`, not a fault.

mod advice;
mod checks;

pub use checks::Check;

use baton_plugin::redis::{Command, ErrorKind, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Mode, Plugin, Table};
use baton_topology::{Look, Scope, look, same_address};
use checks::{Expected, attached, checks, writable_masters};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;

/// Default time for the cluster to settle, ms: more than the second in which a
/// re-pointed replica attaches. For longer, let the workflow ask again (`until`).
const SETTLE_MS: u32 = 2000;

/// Between two looks while it settles, ms.
const POLL_MS: u32 = 100;

/// Default lag that a replica may have, bytes: nodes are not read at one instant.
const LAG_MAX_BYTES: u64 = 1_000_000;

/// How long replicas have to acknowledge the canary, ms.
const WAIT_MS: u32 = 500;

/// How long the canary's key lives, ms.
const CANARY_TTL_MS: u32 = 60_000;

/// What is expected.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Who should be master; absent or null: whom most Sentinels name.
    pub master: Option<String>,
    /// The history it has to carry on.
    pub replid: Option<String>,
    /// How far that history is known to have gone, bytes: what is missing was lost.
    pub offset: Option<i64>,
    /// How long it may take to settle, ms; 2000 if absent.
    pub settle_ms: Option<u32>,
    /// Lag that a replica may have, bytes; 1000000 if absent.
    pub lag_max_bytes: Option<u64>,
}

/// The verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass`, `pass with declared loss` or `fail`.
    pub verdict: String,
    /// Who was verified as master.
    pub master: Option<String>,
    /// Reachable nodes that say they are master.
    pub writable_masters: Vec<String>,
    /// Every reachable Sentinel, and most of all, name it at one epoch.
    pub sentinels_agree: bool,
    /// Each check.
    pub checks: Vec<Check>,
    /// Bytes of the old history that the new master does not have; none where the
    /// old one's offset or the promotion's is unknown.
    pub lost_bytes_bound: Option<i64>,
    /// What to do, where it fails.
    pub next: Vec<String>,
    /// The checks, for people.
    pub table: Table,
}

/// The plugin.
pub struct VerifyReplication;

impl Plugin for VerifyReplication {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-replication",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Proves that a cluster replicates as it should",
            redis_commands: &[
                "PING",
                "INFO",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
                "SET",
                "WAIT",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let until_ms = host.now_ms() + u64::from(input.settle_ms.unwrap_or(SETTLE_MS));
        loop {
            let seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
            let output = judge(&cluster, &input, &seen, host)?;
            if output.verdict != "fail" || host.now_ms() >= until_ms {
                return Ok(output);
            }
            let bad: Vec<&str> =
                output.checks.iter().filter(|it| !it.ok).map(|it| it.message.as_str()).collect();
            host.report(0, None, &format!("waiting: {}", bad.join("; ")));
            host.sleep(POLL_MS);
        }
    }
}

fn judge<H: Host>(
    cluster: &Cluster,
    input: &Input,
    seen: &Look,
    host: &mut H,
) -> Result<Output, Fault> {
    let Some(master) = input.master.clone().or_else(|| named(seen)) else {
        let none = Check::new("one-writable-master", &["nobody names a master".into()], "");
        return Ok(Output {
            verdict: "fail".into(),
            master: None,
            writable_masters: writable_masters(seen),
            sentinels_agree: false,
            next: advice::next(std::slice::from_ref(&none), "the node that should be master"),
            table: advice::table(std::slice::from_ref(&none)),
            checks: vec![none],
            lost_bytes_bound: None,
        });
    };
    let expected = Expected {
        master: &master,
        replid: input.replid.as_deref(),
        lag_max_bytes: i64::try_from(input.lag_max_bytes.unwrap_or(LAG_MAX_BYTES))
            .unwrap_or(i64::MAX),
    };
    let mut all = checks(seen, &expected);
    if all.iter().all(|it| it.ok) {
        all.push(canary(cluster, &master, attached(seen, &master), host)?);
    }
    let lost = lost_bytes(seen, &master, input);
    all.extend(input.replid.as_ref().map(|_| loss(lost)));
    let verdict = if all.iter().any(|it| !it.ok) {
        "fail"
    } else if lost.is_some_and(|it| it > 0) {
        "pass with declared loss"
    } else {
        "pass"
    };
    Ok(Output {
        verdict: verdict.into(),
        writable_masters: writable_masters(seen),
        sentinels_agree: all.iter().any(|it| it.name == "sentinels-agree" && it.ok),
        next: advice::next(&all, &master),
        table: advice::table(&all),
        checks: all,
        lost_bytes_bound: lost,
        master: Some(master),
    })
}

/// Whom most Sentinels that answer name.
fn named(seen: &Look) -> Option<String> {
    let votes: Vec<&str> = seen.watching().filter_map(|it| it.master.as_deref()).collect();
    let count = |one: &str| votes.iter().filter(|it| same_address(it, one)).count();
    votes.iter().find(|it| count(it) * 2 > votes.len()).map(|it| (*it).to_owned())
}

/// The old history goes up to `offset`, the new master carries it up to its promotion.
fn lost_bytes(seen: &Look, master: &str, input: &Input) -> Option<i64> {
    let (replid, offset) = input.replid.as_deref().zip(input.offset)?;
    let node = seen.node(master)?;
    let carried = if node.replid.as_deref() == Some(replid) {
        node.offset?
    } else if node.replid2.as_deref() == Some(replid) {
        node.second_repl_offset? - 1
    } else {
        return None;
    };
    Some((offset - carried).max(0))
}

/// What is lost is declared and fails nothing: it was decided before the promotion.
fn loss(lost: Option<i64>) -> Check {
    let declared = match lost {
        Some(0) => "nothing was lost, as far as offsets say".to_owned(),
        Some(bytes) => format!(
            "at most {bytes} bytes that were seen at the old master are lost; which writes they were its way back tells (workflow redis-rejoin)"
        ),
        None => "not known: how far the old history went was not seen".to_owned(),
    };
    Check::new("loss", &[], declared)
}

/// A write that every attached replica acknowledges. The only change made here, of
/// a key of Baton's own that expires.
fn canary<H: Host>(
    cluster: &Cluster,
    master: &str,
    replicas: usize,
    host: &mut H,
) -> Result<Check, Fault> {
    if cluster.mode == Mode::Observe {
        return Ok(Check::new("canary", &[], "not written: the cluster is in mode observe"));
    }
    let key = format!("baton:canary:{}", cluster.name);
    let now_ms = host.now_ms().to_string();
    let ttl_ms = CANARY_TTL_MS.to_string();
    let commands = vec![
        Command::of(["SET", &key, &now_ms, "PX", &ttl_ms]),
        Command::of(["WAIT", &replicas.to_string(), &WAIT_MS.to_string()]),
    ];
    let result = host
        .call(&cluster.name, &[Request::new(master, commands)], TIMEOUT_MS)
        .map_or_else(|error| Some(Err(error)), |mut results| results.pop());
    let against = match result {
        // A workflow may want a verification that changes nothing: then it does not
        // grant the write, and the check says so.
        Some(Err(error)) if error.kind == ErrorKind::Denied => {
            return Ok(Check::new("canary", &[], format!("not written: {}", error.message)));
        }
        Some(Err(error)) if error.kind.is_lasting() => {
            return Err(Fault::from_redis("cannot write the canary", &error));
        }
        Some(Err(error)) => Some(format!("not written: {error}")),
        None => Some("not written: no result".into()),
        Some(Ok(replies)) => missed(&replies, replicas),
    };
    let against: Vec<String> = against.into_iter().collect();
    Ok(Check::new("canary", &against, format!("written and acknowledged by {replicas} replicas")))
}

/// Why a canary's replies are no proof. WAIT gives a count, not an error, on timeout.
fn missed(replies: &[Value], replicas: usize) -> Option<String> {
    if let Some(error) = replies.iter().find_map(Value::error) {
        return Some(format!("not written: {error}"));
    }
    let reached = replies.get(1).and_then(Value::int).and_then(|it| usize::try_from(it).ok());
    match reached {
        Some(count) if count >= replicas => None,
        other => Some(format!(
            "acknowledged by {} of {replicas} replicas within {WAIT_MS} ms",
            other.unwrap_or(0)
        )),
    }
}

baton_plugin::export!(VerifyReplication);

#[cfg(test)]
mod tests;
