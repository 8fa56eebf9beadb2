//! What one Sentinel says of the master it watches.

use baton_plugin::JsonSchema;
use baton_plugin::redis::{Command, ErrorKind, Info, RedisError, Value};
use serde::{Deserialize, Serialize};

/// Another Sentinel, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// `ip:port`, verbatim.
    pub address: String,
    /// Its id, verbatim.
    pub run_id: String,
}

/// One Sentinel.
#[allow(clippy::struct_excessive_bools, reason = "each is one answer, independent of the others")]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Watcher {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// It answered something.
    pub reachable: bool,
    /// Its address is refused or has no route: it is gone, not slow.
    pub gone: bool,
    /// Its own address refused the connection: its machine is reached, and no process
    /// listens there.
    #[serde(default)]
    pub refused: bool,
    /// What it failed or complained with.
    pub error: Option<String>,
    /// Its own id (`SENTINEL MYID`).
    pub run_id: Option<String>,
    /// Whom it hands out as master.
    pub master: Option<String>,
    /// Flags of the master as it sees it: `master,s_down,o_down`.
    pub flags: String,
    /// Epoch of the configuration it follows.
    pub config_epoch: Option<i64>,
    /// The highest epoch it shows anywhere: its own is not readable, but its
    /// configuration's and the votes it knows of are.
    pub current_epoch: Option<i64>,
    /// A failover is under way, as it sees it.
    pub failover_in_progress: bool,
    /// It does not trust its own clock and does not act.
    pub tilt: bool,
    /// Sentinels beside it.
    pub num_other_sentinels: Option<i64>,
    /// How many must agree that the master is down.
    pub quorum: Option<i64>,
    /// `failover-timeout`, ms: after twice that nothing begun before goes on.
    pub failover_timeout_ms: Option<i64>,
    /// The Sentinels it knows.
    pub known: Vec<Peer>,
}

impl Watcher {
    /// What to ask a Sentinel.
    pub fn questions(master_name: &str) -> Vec<Command> {
        vec![
            Command::of(["SENTINEL", "MASTER", master_name]),
            Command::of(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master_name]),
            Command::of(["SENTINEL", "SENTINELS", master_name]),
            Command::line("SENTINEL MYID"),
            Command::line("INFO sentinel"),
        ]
    }

    /// Reads the answers to [`Watcher::questions`].
    pub fn read(address: &str, answers: &Result<Vec<Value>, RedisError>) -> Self {
        match answers {
            Ok(values) => Self::from_values(address, values),
            Err(error) => Self {
                gone: matches!(error.kind, ErrorKind::Refused | ErrorKind::Unreachable),
                refused: error.kind == ErrorKind::Refused,
                error: Some(error.to_string()),
                ..Self::blank(address)
            },
        }
    }

    fn blank(address: &str) -> Self {
        Self {
            address: address.into(),
            reachable: false,
            gone: false,
            refused: false,
            error: None,
            run_id: None,
            master: None,
            flags: String::new(),
            config_epoch: None,
            current_epoch: None,
            failover_in_progress: false,
            tilt: false,
            num_other_sentinels: None,
            quorum: None,
            failover_timeout_ms: None,
            known: Vec::new(),
        }
    }

    fn from_values(address: &str, values: &[Value]) -> Self {
        let nothing = Value::Null;
        let value = |index: usize| values.get(index).unwrap_or(&nothing);
        let master = value(0);
        let number = |name: &str| master.field(name).and_then(Value::int);
        let flags = master.field_text("flags").unwrap_or_default();
        let peers = value(2).items();
        let votes = peers.iter().filter_map(|peer| peer.field("voted-leader-epoch")?.int());
        let config_epoch = number("config-epoch");
        Self {
            address: address.into(),
            reachable: true,
            gone: false,
            refused: false,
            error: values.iter().find_map(Value::error).map(str::to_owned),
            run_id: value(3).text().map(std::borrow::Cow::into_owned),
            master: pair(value(1)),
            failover_in_progress: flags.split(',').any(|it| it == "failover_in_progress")
                || master.field("failover-state").is_some(),
            flags,
            config_epoch,
            current_epoch: votes.chain(config_epoch).max(),
            tilt: Info::from_value(value(4)).is_some_and(|info| info.is_set("sentinel_tilt")),
            num_other_sentinels: number("num-other-sentinels"),
            quorum: number("quorum"),
            failover_timeout_ms: number("failover-timeout"),
            known: peers.iter().filter_map(peer).collect(),
        }
    }

    /// Whether it takes the master for dead.
    pub fn says_down(&self) -> bool {
        self.flags.split(',').any(|flag| flag == "s_down" || flag == "o_down")
    }

    /// Whether it hands out that node as master.
    pub fn names(&self, address: &str) -> bool {
        self.master.as_deref().is_some_and(|it| crate::same_address(it, address))
    }
}

fn pair(value: &Value) -> Option<String> {
    let [host, port] = value.items() else { return None };
    Some(format!("{}:{}", host.text()?, port.text()?))
}

fn peer(value: &Value) -> Option<Peer> {
    Some(Peer {
        address: format!("{}:{}", value.field_text("ip")?, value.field_text("port")?),
        run_id: value.field_text("runid").filter(|id| !id.is_empty())?,
    })
}
