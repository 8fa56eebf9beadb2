//! Asking everybody, in two rounds a while apart.

use baton_plugin::redis::{Command, Info, RedisError, Request, Value};
use baton_plugin::{Cluster, Fault, Host, MemberKind};
use baton_topology::{Look, Scope, look};
use std::collections::BTreeMap;

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1000;

/// Between two looks at the master's offset, ms: how fast it is written to.
const RATE_MS: u32 = 1000;

/// Settings that matter. The last two are asked for by a pattern: the host then shows
/// whether there is a password, and not which.
const SETTINGS: [&str; 17] = [
    "appendonly",
    "appendfsync",
    "save",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "repl-backlog-size",
    "repl-timeout",
    "repl-ping-replica-period",
    "replica-priority",
    "replica-read-only",
    "replica-serve-stale-data",
    "maxmemory",
    "maxmemory-policy",
    "latency-monitor-threshold",
    "stop-writes-on-bgsave-error",
    "masterauth*",
    "requirepass*",
];

/// One data node, as far as it answers.
pub(crate) struct DataNode {
    pub(crate) address: String,
    pub(crate) settings: BTreeMap<String, String>,
    /// All sections.
    pub(crate) info: Info,
    /// Its clock against ours, ms; none where it did not say.
    pub(crate) skew_ms: Option<i64>,
}

impl DataNode {
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.parse().ok()
    }
}

/// One Sentinel, beside what every look shows of it.
pub(crate) struct Sentinel {
    pub(crate) address: String,
    /// `SENTINEL MASTER`.
    pub(crate) master: BTreeMap<String, String>,
    /// Its answer to CKQUORUM, where that is an error.
    pub(crate) no_quorum: Option<String>,
    /// Since it last heard any other one on the hello channel, ms.
    pub(crate) silent_ms: Option<i64>,
    /// Replicas it knows, by address.
    pub(crate) replicas: Vec<String>,
}

/// Everything.
pub(crate) struct Seen {
    pub(crate) cluster: Cluster,
    pub(crate) look: Look,
    pub(crate) nodes: Vec<DataNode>,
    pub(crate) sentinels: Vec<Sentinel>,
    /// Bytes a second of the master's replication stream.
    pub(crate) bytes_per_s: i64,
}

impl Seen {
    /// Asks everybody.
    ///
    /// # Errors
    /// A [`Fault`] where the step may not ask at all.
    pub(crate) fn ask<H: Host>(cluster: Cluster, host: &mut H) -> Result<Self, Fault> {
        let before = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        host.sleep(RATE_MS);
        let look = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        let nodes = ask_nodes(&cluster, &look, host)?;
        let sentinels = ask_sentinels(&cluster, &look, host)?;
        let bytes_per_s = rate(&before, &look);
        Ok(Self { cluster, look, nodes, sentinels, bytes_per_s })
    }
}

fn rate(before: &Look, after: &Look) -> i64 {
    let Some(master) = after.masters().next() else { return 0 };
    let was = before.node(&master.address).filter(|it| it.run_id == master.run_id);
    let grown = master.offset.zip(was.and_then(|it| it.offset)).map_or(0, |(now, was)| now - was);
    let took_ms = i64::try_from(after.at_ms.saturating_sub(before.at_ms)).unwrap_or(0).max(1);
    grown.max(0).saturating_mul(1000) / took_ms
}

fn call<H: Host>(
    cluster: &Cluster,
    addresses: &[String],
    commands: &[Command],
    host: &mut H,
) -> Result<Vec<Result<Vec<Value>, RedisError>>, Fault> {
    let requests: Vec<Request> =
        addresses.iter().map(|it| Request::new(it.clone(), commands.to_vec())).collect();
    host.call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))
}

fn ask_nodes<H: Host>(
    cluster: &Cluster,
    look: &Look,
    host: &mut H,
) -> Result<Vec<DataNode>, Fault> {
    let addresses = look.reachable();
    let words: Vec<&str> = ["CONFIG", "GET"].into_iter().chain(SETTINGS).collect();
    let sections = ["server", "memory", "persistence", "stats", "replication"];
    let commands: Vec<Command> = [Command::of(&words), Command::line("TIME")]
        .into_iter()
        .chain(sections.map(|section| Command::of(["INFO", section])))
        .collect();
    let answers = call(cluster, &addresses, &commands, host)?;
    let now_ms = i64::try_from(host.now_ms()).unwrap_or(i64::MAX);
    let node = |(address, answer): (String, Result<Vec<Value>, _>)| {
        let values = answer.ok()?;
        let mut info = Info::default();
        for value in values.get(2..).unwrap_or_default() {
            if let Some(section) = Info::from_value(value) {
                info.extend(section);
            }
        }
        let skew_ms = values.get(1).and_then(time_ms).map(|ms| ms - now_ms);
        Some(DataNode { address, settings: texts(values.first()?), info, skew_ms })
    };
    Ok(addresses.into_iter().zip(answers).filter_map(node).collect())
}

fn ask_sentinels<H: Host>(
    cluster: &Cluster,
    look: &Look,
    host: &mut H,
) -> Result<Vec<Sentinel>, Fault> {
    let known = cluster.addresses(MemberKind::Sentinel);
    let up =
        |address: &String| look.sentinels.iter().any(|it| it.address == *address && it.reachable);
    let addresses: Vec<String> = known.into_iter().filter(up).collect();
    let name = cluster.master_name.as_str();
    let commands = [
        Command::of(["SENTINEL", "MASTER", name]),
        Command::of(["SENTINEL", "CKQUORUM", name]),
        Command::of(["SENTINEL", "SENTINELS", name]),
        Command::of(["SENTINEL", "REPLICAS", name]),
    ];
    let answers = call(cluster, &addresses, &commands, host)?;
    let sentinel = |(address, answer): (String, Result<Vec<Value>, _>)| {
        let values = answer.ok()?;
        let peers = values.get(2).map(Value::items).unwrap_or_default();
        let heard = peers.iter().filter_map(|it| it.field_text("last-hello-message")?.parse().ok());
        let replicas = values.get(3).map(Value::items).unwrap_or_default();
        let address_of =
            |it: &Value| Some(format!("{}:{}", it.field_text("ip")?, it.field_text("port")?));
        Some(Sentinel {
            address,
            master: texts(values.first()?),
            no_quorum: values.get(1).and_then(Value::error).map(str::to_owned),
            silent_ms: heard.min(),
            replicas: replicas.iter().filter_map(address_of).collect(),
        })
    };
    Ok(addresses.into_iter().zip(answers).filter_map(sentinel).collect())
}

/// Names and their values.
fn texts(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.text().map(std::borrow::Cow::into_owned);
    value.pairs().into_iter().filter_map(|(key, it)| Some((text(key)?, text(it)?))).collect()
}

/// `TIME`: seconds and microseconds.
fn time_ms(value: &Value) -> Option<i64> {
    let [seconds, micros] = value.items() else { return None };
    let number = |value: &Value| value.text()?.parse::<i64>().ok();
    Some(number(seconds)?.checked_mul(1000)? + number(micros)? / 1000)
}
