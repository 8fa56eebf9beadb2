//! `redis-evidence`: what the nodes still say of why an incident came.
//!
//! Read-only and best effort: a node that is dead did not answer, a command that is not
//! allowed is said to be so, and neither is a fault. Slow log, latency, errors, memory,
//! persistence and clients are gone with the process, so they are asked soon; the log and
//! the machine are asked by commands of baton.toml, where the operator listed them.

mod ask;
mod clients;
mod findings;
mod machine;
mod slow;

pub use clients::{Buffer, Clients, Count};
pub use slow::Slow;

use ask::Node;
use baton_plugin::{About, Fault, Host, JsonSchema, MemberKind, Plugin, Table};
use machine::Machine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whom to ask.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Command of baton.toml that prints the end of a node's log; it is given `host:port`.
    #[serde(default = "log_command")]
    pub log_command: String,
    /// The same for the node's machine: `df -P`, `/proc/meminfo`.
    #[serde(default = "machine_command")]
    pub machine_command: String,
}

fn log_command() -> String {
    "redis-log".to_owned()
}

fn machine_command() -> String {
    "redis-machine".to_owned()
}

/// Something that can be a cause, or is a trace of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Short, stable, kebab-case.
    pub code: String,
    /// `host:port`.
    pub subject: String,
    /// What was seen.
    pub what: String,
    /// What it does to a node.
    pub why: String,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Silent {
    /// `host:port`.
    pub address: String,
    /// How it did not.
    pub error: String,
}

/// What one node said.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Said {
    /// `host:port`.
    pub address: String,
    /// Figures of INFO that matter here, as Redis spells them.
    pub figures: BTreeMap<String, String>,
    /// Commands by the time they took in all, the longest first.
    pub commands: Vec<String>,
    /// Errors that it has answered with, the most frequent first.
    pub errors: Vec<String>,
    /// The slowest commands of the slow log; arguments but the first key are left out.
    pub slow: Vec<Slow>,
    /// What LATENCY LATEST has seen.
    pub latency: Vec<String>,
    /// Who is connected.
    pub clients: Option<Clients>,
    /// What MEMORY DOCTOR says.
    pub memory_doctor: Option<String>,
    /// The end of its log.
    pub log: Vec<String>,
    /// What was not told, and why.
    pub not_told: Vec<String>,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The cluster.
    pub cluster: String,
    /// In one sentence.
    pub reason: String,
    /// What weighs most first.
    pub findings: Vec<Finding>,
    /// Nodes that did not answer.
    pub silent: Vec<Silent>,
    /// What the others said.
    pub nodes: Vec<Said>,
    /// Findings, then each node in figures, for people.
    pub table: Table,
}

/// The plugin.
pub struct RedisEvidence;

impl Plugin for RedisEvidence {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-evidence",
            version: env!("CARGO_PKG_VERSION"),
            summary: "What the nodes of a cluster say of why an incident came",
            redis_commands: &[
                "INFO",
                "SLOWLOG|GET",
                "LATENCY|LATEST",
                "LATENCY|HISTORY",
                "MEMORY|DOCTOR",
                "MEMORY|STATS",
                "CLIENT|LIST",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let (nodes, silent) = ask::ask(&cluster, host)?;
        let addresses = cluster.addresses(MemberKind::Data);
        let machines = machine::ask(&input, &addresses, host);
        Ok(tell(cluster.name, nodes, silent, machines))
    }
}

/// Pure: the answers in, the page out.
fn tell(cluster: String, nodes: Vec<Node>, silent: Vec<Silent>, machines: Vec<Machine>) -> Output {
    let mut all: Vec<(u8, Finding)> = silent.iter().map(findings::silent).collect();
    all.extend(nodes.iter().flat_map(findings::of_node));
    all.extend(machines.iter().flat_map(findings::of_machine));
    // Equal weights stay in the order of the nodes.
    all.sort_by_key(|(weight, _)| *weight);
    let findings: Vec<Finding> = all.into_iter().map(|(_, it)| it).collect();
    let mut table = Table::new(["where", "what", "what it means"]);
    table.rows = findings
        .iter()
        .map(|it| [&it.subject, &it.what, &it.why].map(String::clone).into())
        .collect();
    for machine in machines.iter().filter(|it| silent.iter().any(|at| at.address == it.address)) {
        let last = machine.log.last().map(|line| format!("the last line of its log: {line}"));
        let row = |what| vec![machine.address.clone(), what, "what it said before it died".into()];
        table.rows.extend(last.map(row));
    }
    table.rows.extend(nodes.iter().map(Node::row));
    let reason = sentence(nodes.len(), &silent, &findings);
    let mut said: Vec<Said> = nodes.into_iter().map(Node::said).collect();
    for machine in machines {
        // The log of a dead node is worth most: it has a place of its own.
        if let Some(said) = said.iter_mut().find(|it| it.address == machine.address) {
            said.log = machine.log;
            said.not_told.extend(machine.not_told);
        } else {
            said.push(Node::dead(machine));
        }
    }
    Output { cluster, reason, findings, silent, nodes: said, table }
}

fn sentence(answered: usize, silent: &[Silent], findings: &[Finding]) -> String {
    let dead: Vec<&str> = silent.iter().map(|it| it.address.as_str()).collect();
    let dead = if dead.is_empty() {
        "all nodes answered".to_owned()
    } else {
        format!("{answered} nodes answered, {} did not", dead.join(" and "))
    };
    match findings.iter().find(|it| it.code != "no-answer") {
        Some(first) => {
            format!(
                "{dead}; of {} findings the first is {}: {}",
                findings.len(),
                first.subject,
                first.what
            )
        }
        None => format!("{dead}; nothing that they say explains it"),
    }
}

/// Text of somebody else: no control characters, at most so many characters.
pub(crate) fn tame(text: &str, chars_max: usize) -> String {
    let mut tame: String =
        text.chars().take(chars_max).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(chars_max).is_some() {
        tame.push('…');
    }
    tame
}

/// A time for people: `2026-11-28 18:02:47 UTC`. Days to dates by the proleptic Gregorian
/// calendar's 400-year cycle (H. Hinnant, "chrono-compatible low-level date algorithms").
pub(crate) fn utc(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (cycle, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + cycle * 400 + turn;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

baton_plugin::export!(RedisEvidence);

#[cfg(test)]
mod tests;
