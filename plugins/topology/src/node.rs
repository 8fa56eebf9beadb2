//! What one data node says of itself.

use baton_plugin::JsonSchema;
use baton_plugin::redis::{Command, ErrorKind, Info, RedisError, Value};
use serde::{Deserialize, Serialize};

/// Where CONFIG GET stands in [`Node::all_questions`].
const FENCE: usize = 6;

/// How a node met our connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answered INFO.
    Answers,
    /// It answered with an error only (BUSY, MISCONF, NOPERM): alive.
    Complains,
    /// Its own address refused the connection: no process listens there.
    Refused,
    /// No route, no answer in time, or the connection broke.
    Silent,
    /// It would not let us in, or did not speak RESP: says nothing about its health.
    Barred,
}

/// One data node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// It answered something.
    pub reachable: bool,
    /// How it met our connection.
    pub health: Health,
    /// What it failed or complained with.
    pub error: Option<String>,
    /// `master` or `slave`.
    pub role: Option<String>,
    /// Changes with every start of the process.
    pub run_id: Option<String>,
    /// Since its process began, s.
    #[serde(default)]
    pub uptime_s: Option<i64>,
    /// `master_replid`: the history it is on.
    pub replid: Option<String>,
    /// `master_replid2`: the history it was on before its own promotion.
    pub replid2: Option<String>,
    /// First offset that is no longer of `replid2`; -1 if none.
    pub second_repl_offset: Option<i64>,
    /// Bytes of its history: `master_repl_offset` of a master, `slave_repl_offset`
    /// (processed) of a replica; a replica that never synchronised shows 1 or less.
    /// Not ROLE's: that is -1 for every replica whose link is down.
    pub offset: Option<i64>,
    /// A replica's master.
    pub master_host_port: Option<String>,
    /// A replica's link.
    pub link_up: Option<bool>,
    /// Since a replica heard its master, s; climbs while the master hangs.
    pub last_io_s: Option<i64>,
    /// Since a replica's link is down, s.
    pub link_down_s: Option<i64>,
    /// A replica is taking a full copy.
    pub syncing: bool,
    /// It is reading its data from disk.
    pub loading: bool,
    /// `slave_priority`; 0: never promote.
    pub priority: Option<i64>,
    /// `redis_version`.
    pub version: Option<String>,
    /// Keys, over all databases.
    pub keys: Option<i64>,
    /// Attached replicas.
    pub connected_replicas: Option<i64>,
    /// Attached replicas near enough for `min-replicas-to-write`; only if that is set.
    pub min_replicas_good: Option<i64>,
    /// `min-replicas-to-write`; only where it was asked ([`crate::Scope::Whole`]).
    #[serde(default)]
    pub min_replicas: Option<i64>,
    /// Why it cannot take writes, as far as can be seen without writing.
    pub write_stalled: Option<String>,
}

impl Node {
    /// What to ask a data node. All of it is answered while loading.
    pub fn questions() -> Vec<Command> {
        ["PING", "INFO replication", "INFO server", "INFO persistence", "INFO keyspace"]
            .map(Command::line)
            .into()
    }

    /// [`Node::questions`], whether it has memory left, and whether we have fenced it.
    pub fn all_questions() -> Vec<Command> {
        let more = ["INFO memory", "CONFIG GET min-replicas-to-write"].map(Command::line);
        Self::questions().into_iter().chain(more).collect()
    }

    /// Reads the answers to [`Node::questions`] or [`Node::all_questions`].
    pub fn read(address: &str, answers: &Result<Vec<Value>, RedisError>) -> Self {
        match answers {
            Ok(values) => Self::from_values(address, values),
            Err(error) => {
                let health = match error.kind {
                    ErrorKind::Refused => Health::Refused,
                    ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Closed => {
                        Health::Silent
                    }
                    ErrorKind::Denied
                    | ErrorKind::NotFound
                    | ErrorKind::Unauthorized
                    | ErrorKind::Protocol
                    | ErrorKind::Limit
                    | ErrorKind::Internal
                    | ErrorKind::InDoubt => Health::Barred,
                };
                Self { health, error: Some(error.to_string()), ..Self::blank(address) }
            }
        }
    }

    fn blank(address: &str) -> Self {
        Self {
            address: address.into(),
            reachable: false,
            health: Health::Silent,
            error: None,
            role: None,
            run_id: None,
            uptime_s: None,
            replid: None,
            replid2: None,
            second_repl_offset: None,
            offset: None,
            master_host_port: None,
            link_up: None,
            last_io_s: None,
            link_down_s: None,
            syncing: false,
            loading: false,
            priority: None,
            version: None,
            keys: None,
            connected_replicas: None,
            min_replicas_good: None,
            min_replicas: None,
            write_stalled: None,
        }
    }

    fn from_values(address: &str, values: &[Value]) -> Self {
        let complaint = values.iter().find_map(Value::error).map(str::to_owned);
        let mut all = Info::default();
        for value in values.iter().skip(1) {
            if let Some(info) = Info::from_value(value) {
                all.extend(info);
            }
        }
        let Some(said) = all.get("role") else {
            let health = if complaint.as_deref().is_some_and(is_about_rights) {
                Health::Barred
            } else {
                Health::Complains
            };
            let stalled = complaint.clone().filter(|_| health == Health::Complains);
            return Self {
                reachable: true,
                health,
                error: complaint,
                write_stalled: stalled,
                ..Self::blank(address)
            };
        };
        let text = |name: &str| all.get(name).map(str::to_owned);
        let offset =
            all.int(if said == "slave" { "slave_repl_offset" } else { "master_repl_offset" });
        let master = all.get("master_host").zip(all.get("master_port"));
        let min_replicas =
            values.get(FENCE).and_then(|it| it.field("min-replicas-to-write")?.int());
        Self {
            address: address.into(),
            reachable: true,
            health: Health::Answers,
            write_stalled: stalled(&all, complaint.as_deref(), min_replicas),
            error: complaint,
            role: Some(said.to_owned()),
            run_id: text("run_id"),
            uptime_s: all.int("uptime_in_seconds"),
            replid: text("master_replid"),
            replid2: text("master_replid2"),
            second_repl_offset: all.int("second_repl_offset"),
            offset,
            master_host_port: master.map(|(host, port)| format!("{host}:{port}")),
            link_up: all.get("master_link_status").map(|status| status == "up"),
            last_io_s: all.int("master_last_io_seconds_ago"),
            link_down_s: all.int("master_link_down_since_seconds"),
            syncing: all.is_set("master_sync_in_progress"),
            loading: all.is_set("loading") || all.is_set("async_loading"),
            priority: all.int("slave_priority"),
            version: text("redis_version"),
            keys: keys(&all, values.get(4)),
            connected_replicas: all.int("connected_slaves"),
            min_replicas_good: all.int("min_slaves_good_slaves"),
            min_replicas: values.get(FENCE).and_then(|it| it.field("min-replicas-to-write")?.int()),
        }
    }

    /// It answered and says it is master.
    pub fn is_master(&self) -> bool {
        self.role.as_deref() == Some("master")
    }

    /// It answered and says it is a replica.
    pub fn is_replica(&self) -> bool {
        self.role.as_deref() == Some("slave")
    }

    /// It takes no writes because we have set it so.
    pub fn is_fenced(&self) -> bool {
        self.min_replicas.is_some_and(crate::is_fence)
    }

    /// It is a replica of that node, as far as it says.
    pub fn follows(&self, address: &str) -> bool {
        self.is_replica()
            && self.master_host_port.as_deref().is_some_and(|it| crate::same_address(it, address))
    }

    /// How far it carries that history, bytes: a node that was promoted since has gone
    /// on alone. None if it is of another.
    pub fn offset_of(&self, replid: &str) -> Option<i64> {
        if self.replid.as_deref() == Some(replid) {
            return self.offset;
        }
        self.second_repl_offset.filter(|_| self.is_of(replid)).map(|it| it - 1)
    }

    /// It is of that history: on it now, or was until its own promotion.
    pub fn is_of(&self, replid: &str) -> bool {
        self.replid.as_deref() == Some(replid)
            || (self.is_master() && self.replid2.as_deref() == Some(replid))
    }
}

/// Keys over all databases; none where INFO keyspace was not answered.
fn keys(all: &Info, keyspace: Option<&Value>) -> Option<i64> {
    keyspace?.text()?;
    let count = |value: &str| value.strip_prefix("keys=")?.split(',').next()?.parse::<i64>().ok();
    let databases = all.iter().filter(|(name, _)| name.starts_with("db"));
    Some(databases.filter_map(|(_, value)| count(value)).sum())
}

/// NOAUTH and NOPERM are about us, not about the node.
fn is_about_rights(error: &str) -> bool {
    ["NOAUTH", "NOPERM", "WRONGPASS", "DENIED"].iter().any(|it| error.starts_with(it))
}

/// What stops writes, where it shows without writing. Without its `min-replicas` only
/// that no replica is near can be seen, not that too few are.
fn stalled(all: &Info, complaint: Option<&str>, min_replicas: Option<i64>) -> Option<String> {
    let known = ["MISCONF", "OOM", "BUSY", "LOADING", "NOREPLICAS"];
    if let Some(error) = complaint.filter(|it| known.iter().any(|known| it.starts_with(known))) {
        return Some(error.to_owned());
    }
    if all.is_set("loading") {
        return Some("LOADING: it is reading its data from disk".into());
    }
    if all.get("aof_last_write_status") == Some("err") {
        return Some("MISCONF: its last write to the append-only file failed".into());
    }
    if is_full(all) {
        return Some("OOM: it uses all of its maxmemory and evicts nothing".into());
    }
    let near = all.int("min_slaves_good_slaves")?;
    let wanted = min_replicas.unwrap_or(1);
    if all.get("role") == Some("master") && near < wanted {
        return Some(format!(
            "NOREPLICAS: min-replicas-to-write wants {wanted}, and {near} are near"
        ));
    }
    None
}

/// Whether writes that need memory are refused (Redis 7.0 evict.c, getMaxmemoryState):
/// replication buffers do not count.
fn is_full(all: &Info) -> bool {
    let limit = all.int("maxmemory").unwrap_or(0);
    let used = all.int("used_memory").unwrap_or(0);
    let beside = all.int("mem_not_counted_for_evict").unwrap_or(0);
    limit > 0 && all.get("maxmemory_policy") == Some("noeviction") && used - beside > limit
}
