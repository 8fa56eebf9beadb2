//! Asking every data node, in two rounds: what answers gladly first, then what can be long.

use crate::clients::{self, Clients};
use crate::slow::{self, Slow};
use crate::{Said, Silent, machine::Machine, tame, utc};
use baton_plugin::redis::{Command, Info, Request, Value};
use baton_plugin::{Cluster, Fault, Host, MemberKind};
use std::collections::BTreeMap;

/// Longest wait for a node, ms, connecting included.
const TIMEOUT_MS: u32 = 1500;

/// Of the slow log.
const SLOW_ENTRIES: &str = "64";
/// Of more clients there is no list: it would be megabytes.
const LISTED_CLIENTS_MAX: i64 = 5000;
/// Events of the latency monitor whose history is asked.
const HISTORIES_MAX: usize = 5;
/// Commands and errors that are shown.
const SHOWN_MAX: usize = 5;
/// What somebody else wrote, characters.
const TEXT_CHARS_MAX: usize = 600;

/// The questions of the first round, in the order of their answers.
const QUESTIONS: [&str; 12] = [
    "INFO server",
    "INFO clients",
    "INFO memory",
    "INFO persistence",
    "INFO stats",
    "INFO replication",
    "INFO errorstats",
    "INFO commandstats",
    "LATENCY LATEST",
    "MEMORY DOCTOR",
    "MEMORY STATS",
    "SLOWLOG GET",
];
/// So many of them are INFO.
const SECTIONS: usize = 8;

/// Figures that are shown.
const FIGURES: [&str; 22] = [
    "redis_version",
    "uptime_in_seconds",
    "role",
    "connected_clients",
    "blocked_clients",
    "used_memory",
    "used_memory_peak",
    "used_memory_rss",
    "maxmemory",
    "mem_fragmentation_ratio",
    "mem_clients_normal",
    "evicted_keys",
    "rejected_connections",
    "instantaneous_ops_per_sec",
    "latest_fork_usec",
    "rdb_last_bgsave_status",
    "aof_last_bgrewrite_status",
    "aof_last_write_status",
    "aof_delayed_fsync",
    "sync_full",
    "sync_partial_err",
    "total_error_replies",
];

/// An event of the latency monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) event: String,
    /// The latest, Unix s.
    pub(crate) at_s: i64,
    pub(crate) latest_ms: i64,
    pub(crate) max_ms: i64,
    /// How often in its history; none where that was not asked.
    pub(crate) times: Option<usize>,
}

/// A node that answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) address: String,
    /// It answers nothing but this: a script runs, or it reads its data.
    pub(crate) complaint: Option<String>,
    pub(crate) info: Info,
    pub(crate) latency: Vec<Latency>,
    pub(crate) slow: Vec<Slow>,
    pub(crate) clients: Option<Clients>,
    pub(crate) memory_doctor: Option<String>,
    /// Of its peak, in hundredths.
    pub(crate) peak_percent: Option<f64>,
    pub(crate) not_told: Vec<String>,
}

/// Asks all data nodes.
///
/// # Errors
/// A [`Fault`] where the step may not ask at all.
pub(crate) fn ask<H: Host>(
    cluster: &Cluster,
    host: &mut H,
) -> Result<(Vec<Node>, Vec<Silent>), Fault> {
    let addresses = cluster.addresses(MemberKind::Data);
    let questions: Vec<Command> = QUESTIONS
        .iter()
        .map(|it| if *it == "SLOWLOG GET" { format!("{it} {SLOW_ENTRIES}") } else { (*it).into() })
        .map(|line| Command::line(&line))
        .collect();
    let requests: Vec<Request> =
        addresses.iter().map(|it| Request::new(it.clone(), questions.clone())).collect();
    let answers = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?;
    let (mut nodes, mut silent) = (Vec::new(), Vec::new());
    for (address, answer) in addresses.into_iter().zip(answers) {
        match answer {
            Ok(values) => nodes.push(first_round(address, &values)),
            Err(error) => silent.push(Silent { address, error: error.to_string() }),
        }
    }
    second_round(cluster, &mut nodes, host)?;
    Ok((nodes, silent))
}

fn first_round(address: String, values: &[Value]) -> Node {
    let mut node = Node { address, ..Node::default() };
    for value in values.iter().take(SECTIONS) {
        if let Some(section) = Info::from_value(value) {
            node.info.extend(section);
        }
    }
    let errors: Vec<(&str, &str)> = QUESTIONS
        .iter()
        .zip(values)
        .filter_map(|(asked, it)| Some((*asked, it.error()?)))
        .collect();
    if errors.len() == QUESTIONS.len() {
        node.complaint = errors.first().map(|(_, error)| tame(error, TEXT_CHARS_MAX));
    }
    node.not_told =
        errors.iter().map(|(asked, error)| format!("{asked}: {}", tame(error, 200))).collect();
    let value = |at: usize| values.get(at).unwrap_or(&Value::Null);
    node.latency = value(SECTIONS).items().iter().filter_map(latency).collect();
    node.memory_doctor = value(9).text().map(|it| tame(it.trim(), TEXT_CHARS_MAX));
    node.peak_percent = value(10).field("peak.percentage").and_then(Value::double);
    node.slow = slow::read(value(11));
    node
}

fn latency(value: &Value) -> Option<Latency> {
    let [event, at, latest, max, ..] = value.items() else { return None };
    Some(Latency {
        event: tame(&event.text()?, 40),
        at_s: at.int()?,
        latest_ms: latest.int()?,
        max_ms: max.int()?,
        times: None,
    })
}

/// What can be long, and needs the first round's answers.
fn second_round<H: Host>(cluster: &Cluster, nodes: &mut [Node], host: &mut H) -> Result<(), Fault> {
    let listed =
        |node: &Node| node.info.int("connected_clients").is_some_and(|it| it <= LISTED_CLIENTS_MAX);
    let request = |node: &Node| {
        let events = node.latency.iter().take(HISTORIES_MAX);
        let mut commands: Vec<Command> =
            events.map(|it| Command::of(["LATENCY", "HISTORY", &it.event])).collect();
        if listed(node) {
            commands.push(Command::line("CLIENT LIST"));
        }
        Request::new(node.address.clone(), commands)
    };
    let (at, requests): (Vec<usize>, Vec<Request>) =
        nodes.iter().map(request).enumerate().filter(|(_, it)| !it.commands.is_empty()).unzip();
    if requests.is_empty() {
        return Ok(());
    }
    let answers = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?;
    for (at, answer) in at.into_iter().zip(answers) {
        let node = &mut nodes[at];
        let values = match answer {
            Ok(values) => values,
            Err(error) => {
                node.not_told.push(format!("LATENCY HISTORY, CLIENT LIST: {error}"));
                continue;
            }
        };
        for (event, history) in node.latency.iter_mut().take(HISTORIES_MAX).zip(&values) {
            event.times = Some(history.items().len());
        }
        if !listed(node) {
            let most = LISTED_CLIENTS_MAX;
            node.not_told.push(format!("CLIENT LIST: not asked with more than {most} clients"));
        } else if let Some(list) = values.last().and_then(Value::text) {
            node.clients = Some(clients::read(&list));
        } else {
            node.not_told.push("CLIENT LIST: an error, or no text".into());
        }
    }
    Ok(())
}

impl Node {
    pub(crate) fn figure(&self, name: &str) -> i64 {
        self.info.int(name).unwrap_or(0)
    }

    /// `errorstat_OOM:count=3` as `("OOM", 3)`, the most frequent first.
    pub(crate) fn errors(&self) -> Vec<(String, i64)> {
        let count = |value: &str| value.strip_prefix("count=")?.parse::<i64>().ok();
        let read = |(name, value): (&str, &str)| {
            Some((tame(name.strip_prefix("errorstat_")?, 40), count(value)?))
        };
        let counts: BTreeMap<String, i64> = self.info.iter().filter_map(read).collect();
        let mut errors: Vec<(String, i64)> = counts.into_iter().collect();
        errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        errors
    }

    /// One line of figures for people.
    pub(crate) fn row(&self) -> Vec<String> {
        let mib = |name: &str| format!("{:.1} MiB", mebibytes(self.figure(name)));
        let clients = self.clients.as_ref().map_or(String::new(), |it| {
            let groups: Vec<String> =
                it.groups.iter().take(3).map(|it| format!("{} ×{}", it.who, it.clients)).collect();
            format!(" ({}; {} blocked)", groups.join(", "), it.blocked)
        });
        let figures = format!(
            "up {} s, {} of memory (peak {}), {} clients{clients}, {} operations/s",
            self.figure("uptime_in_seconds"),
            mib("used_memory"),
            mib("used_memory_peak"),
            self.figure("connected_clients"),
            self.figure("instantaneous_ops_per_sec"),
        );
        let slow = self.slow.first().map_or("none".to_owned(), |it| {
            format!("{} by {}, {} ms", it.command, it.who, it.took_us / 1000)
        });
        vec![self.address.clone(), figures, format!("in figures; slowest command: {slow}")]
    }

    pub(crate) fn said(self) -> Said {
        let figures = FIGURES.iter().filter_map(|name| Some((*name, self.info.get(name)?)));
        let figures: BTreeMap<String, String> =
            figures.map(|(name, value)| (name.to_owned(), tame(value, 60))).collect();
        let latency = |it: &Latency| {
            let times = it.times.map_or(String::new(), |times| format!(", {times} times"));
            format!(
                "{}: {} ms at {}, at most {} ms{times}",
                it.event,
                it.latest_ms,
                utc(it.at_s),
                it.max_ms
            )
        };
        let errors = self.errors();
        Said {
            figures,
            commands: self.commands(),
            errors: errors
                .into_iter()
                .take(SHOWN_MAX)
                .map(|(it, n)| format!("{it}: {n}"))
                .collect(),
            latency: self.latency.iter().map(latency).collect(),
            address: self.address,
            slow: self.slow,
            clients: self.clients,
            memory_doctor: self.memory_doctor,
            log: Vec::new(),
            not_told: self.not_told,
        }
    }

    /// What is known of a node that did not answer.
    pub(crate) fn dead(machine: Machine) -> Said {
        let node = Self { address: machine.address, ..Self::default() };
        Said { log: machine.log, not_told: machine.not_told, ..node.said() }
    }

    fn commands(&self) -> Vec<String> {
        let read = |(name, value): (&str, &str)| {
            let name = name.strip_prefix("cmdstat_")?;
            let field = |wanted: &str| {
                let mut fields = value.split(',').filter_map(|it| it.split_once('='));
                fields.find(|(name, _)| *name == wanted).map(|(_, it)| it.to_owned())
            };
            let took_us = field("usec")?.parse::<u64>().ok()?;
            let each = format!("{}, {} us each", field("calls")?, field("usec_per_call")?);
            Some((format!("{}: {} ms in {each}", tame(name, 40), took_us / 1000), took_us))
        };
        let all: BTreeMap<String, u64> = self.info.iter().filter_map(read).collect();
        let mut all: Vec<(String, u64)> = all.into_iter().collect();
        all.sort_by_key(|(_, took_us)| std::cmp::Reverse(*took_us));
        all.into_iter().take(SHOWN_MAX).map(|(text, _)| text).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, with one digit behind the point")]
pub(crate) fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
