//! `redis-capacity`: how long a cluster has until it is full.
//!
//! Read-only. Two looks at every node, a while apart: what is used of memory, clients,
//! backlog and disk, how fast memory grows, and when it will be full at that rate. Each
//! figure is held against limits and is `ok`, `warn` or `critical`, with the reason.

mod judge;

use baton_plugin::redis::{Command, Info, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, MemberKind, Plugin, Table};
use serde::{Deserialize, Serialize};

/// Longest wait for a node, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;
/// Longest time of the command that tells of a disk, ms.
const COMMAND_TIMEOUT_MS: u32 = 4000;
/// Between the two looks, ms, unless the input says otherwise.
const SAMPLE_MS: u32 = 5000;

/// What is asked.
const SECTIONS: [&str; 6] = [
    "INFO memory",
    "INFO clients",
    "INFO stats",
    "INFO replication",
    "INFO server",
    "INFO keyspace",
];

/// Whom to measure, and what is too much.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Between the two looks, ms; 5000 if absent. The longer, the surer the rate.
    pub sample_ms: Option<u32>,
    /// Where warnings and alarms begin.
    #[serde(default)]
    pub limits: Limits,
    /// Command of baton.toml that prints `df -P` for a node, given `host:port`.
    #[serde(default = "machine_command")]
    pub machine_command: String,
}

fn machine_command() -> String {
    "redis-machine".to_owned()
}

/// Where warnings and alarms begin; each that is absent is as in the README.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Used memory of `maxmemory`, or of the machine where there is none, in hundredths.
    pub memory_warn_percent: u32,
    /// The same, for an alarm.
    pub memory_critical_percent: u32,
    /// Until memory is full at the present rate, hours.
    pub full_warn_h: u32,
    /// The same, for an alarm.
    pub full_critical_h: u32,
    /// Clients of `maxclients`, in hundredths.
    pub clients_warn_percent: u32,
    /// The same, for an alarm.
    pub clients_critical_percent: u32,
    /// Resident memory to used memory, in hundredths.
    pub fragmentation_warn_percent: u32,
    /// What the backlog holds at the present rate, s.
    pub backlog_warn_s: u32,
    /// The same, for an alarm.
    pub backlog_critical_s: u32,
    /// A disk's use, in hundredths.
    pub disk_warn_percent: u32,
    /// The same, for an alarm.
    pub disk_critical_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_warn_percent: 75,
            memory_critical_percent: 90,
            full_warn_h: 72,
            full_critical_h: 12,
            clients_warn_percent: 70,
            clients_critical_percent: 90,
            fragmentation_warn_percent: 150,
            backlog_warn_s: 120,
            backlog_critical_s: 30,
            disk_warn_percent: 75,
            disk_critical_percent: 90,
        }
    }
}

/// How good a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Room for a while.
    Ok,
    /// Somebody should plan.
    Warn,
    /// Somebody should act.
    Critical,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Short, stable, kebab-case.
    pub name: String,
    /// `host:port`.
    pub subject: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was measured.
    pub what: String,
    /// What happens when it runs out.
    pub why: String,
}

/// What was measured.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The cluster.
    pub cluster: String,
    /// The worst of all checks.
    pub verdict: Verdict,
    /// In one sentence.
    pub reason: String,
    /// The worst first.
    pub checks: Vec<Check>,
    /// Nodes that did not answer: of them nothing is known.
    pub silent: Vec<String>,
    /// The same for people.
    pub table: Table,
}

/// One node, at two times.
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) before: Info,
    pub(crate) after: Info,
    /// Between them, ms.
    pub(crate) took_ms: i64,
    /// What the command said of its machine.
    pub(crate) machine: Option<String>,
}

/// The plugin.
pub struct RedisCapacity;

impl Plugin for RedisCapacity {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-capacity",
            version: env!("CARGO_PKG_VERSION"),
            summary: "How long a cluster has until it is full",
            redis_commands: &["INFO"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let addresses = cluster.addresses(MemberKind::Data);
        let begun_ms = host.now_ms();
        let before = ask(&cluster, &addresses, host)?;
        host.sleep(input.sample_ms.unwrap_or(SAMPLE_MS));
        let after = ask(&cluster, &addresses, host)?;
        let took_ms = i64::try_from(host.now_ms().saturating_sub(begun_ms)).unwrap_or(0).max(1);
        let (mut nodes, mut silent) = (Vec::new(), Vec::new());
        for (address, looks) in addresses.into_iter().zip(before.into_iter().zip(after)) {
            if let (Some(before), Some(after)) = looks {
                let machine = machine(&input.machine_command, &address, host);
                nodes.push(Node { address, before, after, took_ms, machine });
            } else {
                silent.push(address);
            }
        }
        Ok(tell(cluster.name, &nodes, silent, &input.limits))
    }
}

/// INFO of each; none where it does not answer.
fn ask<H: Host>(
    cluster: &Cluster,
    addresses: &[String],
    host: &mut H,
) -> Result<Vec<Option<Info>>, Fault> {
    let commands = SECTIONS.map(Command::line).to_vec();
    let requests: Vec<Request> =
        addresses.iter().map(|it| Request::new(it.clone(), commands.clone())).collect();
    let answers = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?;
    let read = |values: Vec<Value>| {
        let mut all = Info::default();
        values.iter().filter_map(Info::from_value).for_each(|section| all.extend(section));
        all.get("used_memory").is_some().then_some(all)
    };
    Ok(answers.into_iter().map(|answer| answer.ok().and_then(read)).collect())
}

/// Where the operator listed no such command, or it fails, nothing is known of the disk.
fn machine<H: Host>(command: &str, address: &str, host: &mut H) -> Option<String> {
    let left = host.exec(command, &[address], COMMAND_TIMEOUT_MS).ok()?;
    left.is_success().then(|| String::from_utf8_lossy(&left.stdout).into_owned())
}

/// Pure: two looks in, the page out.
fn tell(cluster: String, nodes: &[Node], silent: Vec<String>, limits: &Limits) -> Output {
    let mut checks: Vec<Check> =
        nodes.iter().flat_map(|node| judge::checks(node, limits)).collect();
    checks.extend(silent.iter().map(|address| Check {
        name: "answers".into(),
        subject: address.clone(),
        verdict: Verdict::Warn,
        what: "it does not answer".into(),
        why: "nothing is known of it; one node less carries the load".into(),
    }));
    // Equal verdicts stay in the order of the nodes.
    checks.sort_by_key(|it| std::cmp::Reverse(it.verdict));
    let verdict = checks.first().map_or(Verdict::Warn, |it| it.verdict);
    let reason = match checks.first() {
        Some(worst) if verdict != Verdict::Ok => {
            format!("{}: {} of {}: {}", verdict.word(), worst.name, worst.subject, worst.what)
        }
        Some(_) => format!("{} figures of {} nodes leave room", checks.len(), nodes.len()),
        None => "there is nobody to measure".to_owned(),
    };
    let mut table = Table::new(["", "where", "what", "measured", "when it runs out"]);
    let row = |it: &Check| {
        let cells = [it.verdict.word(), &it.subject, &it.name, &it.what, &it.why];
        cells.map(str::to_owned).into()
    };
    table.rows = checks.iter().map(row).collect();
    Output { cluster, verdict, reason, checks, silent, table }
}

baton_plugin::export!(RedisCapacity);

#[cfg(test)]
mod tests;
