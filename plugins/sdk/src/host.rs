//! The doors in the sandbox wall, as a plugin sees them.

use crate::CallError;
use crate::exec::Output;
use crate::http;
use crate::probe::Finding;
use crate::redis::{
    Compared, Holdings, Page, RedisError, Replies, Request, StreamPlace, StreamReading, Value,
};

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For the reader of the run.
    Info,
    /// Odd, and survived.
    Warn,
    /// Wrong.
    Error,
}

/// What a member of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// Holds data.
    Data,
    /// Watches.
    Sentinel,
}

/// One process of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// What it is.
    pub kind: MemberKind,
    /// Its failure domain, where baton.toml names one.
    pub zone: Option<String>,
}

/// What a data node said of itself at one time, as the host kept it: no plugin and no
/// step has a hand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// When, Unix ms.
    pub at_ms: u64,
    /// Changes with every start of the process.
    pub run_id: String,
    /// It was a master.
    pub master: bool,
    /// `master_replid`: the history it was on.
    pub replid: String,
    /// `master_replid2`: the history before its own promotion; all zeros if none.
    pub replid2: String,
    /// First offset that is no longer of `replid2`; -1 if none.
    pub second_offset: i64,
    /// How far it was, bytes.
    pub offset: i64,
    /// Keys, over all databases; none where that was not asked.
    pub keys: Option<u64>,
}

/// Who acts on this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Detect and report; the host refuses every change.
    Observe,
    /// Sentinel acts; Baton takes over when it does not.
    Assist,
    /// Baton acts on evidence.
    Lead,
}

impl Mode {
    /// As baton.toml spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Assist => "assist",
            Self::Lead => "lead",
        }
    }
}

/// A cluster of baton.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in baton.toml.
    pub name: String,
    /// What Sentinel calls its master.
    pub master_name: String,
    /// Who acts.
    pub mode: Mode,
    /// Every process of it.
    pub members: Vec<Member>,
    /// Sentinel's down-after-milliseconds as configured in baton.toml.
    pub down_after_ms: u32,
    /// A supervisor may restart a killed master within this time, ms.
    pub restart_grace_ms: u32,
    /// Loss ceiling: bytes of replication stream that a promotion may lose.
    pub max_lost_bytes: u64,
}

impl Cluster {
    /// Addresses of one kind, in baton.toml's order.
    pub fn addresses(&self, kind: MemberKind) -> Vec<String> {
        self.members.iter().filter(|m| m.kind == kind).map(|m| m.address.clone()).collect()
    }
}

/// A changing call that an earlier, interrupted attempt of this step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Which changing call of that attempt.
    pub index: u32,
    /// The command, redacted.
    pub request: String,
    /// What came back; none: in doubt.
    pub outcome: Option<String>,
}

/// Which attempt this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The run's id.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The step's name.
    pub step: String,
    /// Which `for_each` item, from 0.
    pub item: u32,
    /// From 1.
    pub attempt: u32,
    /// Changing calls of interrupted attempts, oldest first.
    pub done: Vec<Done>,
}

/// All that a plugin can touch.
pub trait Host {
    /// Which attempt this is.
    fn context(&self) -> &Context;

    /// Writes one line to the run's log.
    fn log(&mut self, level: Level, message: &str);

    /// Milliseconds since the Unix epoch.
    fn now_ms(&mut self) -> u64;

    /// Lets time pass, ms.
    fn sleep(&mut self, milliseconds: u32);

    /// Tells people how far the step is; `total` where it is known.
    fn report(&mut self, done: u64, total: Option<u64>, message: &str);

    /// A cluster that the step was granted.
    ///
    /// # Errors
    /// Not granted, or no such cluster.
    fn describe_cluster(&mut self, name: &str) -> Result<Cluster, RedisError>;

    /// What the host has kept of what the data nodes of a cluster said of themselves
    /// (INFO, whoever asked), oldest first for each node. Of each stretch of a node on
    /// one history the first and the newest sample, for the last stretches.
    ///
    /// # Errors
    /// Not granted, or no such cluster.
    fn lineage(&mut self, cluster: &str) -> Result<Vec<Sample>, RedisError>;

    /// Reads a master's replication stream from a place on, at most `timeout_ms`: what it
    /// wrote that nobody else got. It must be fenced, and no Sentinel may have it for its
    /// master: while it is read it counts one replica more.
    ///
    /// # Errors
    /// Not granted, or the node cannot be reached or asked.
    fn divergence(
        &mut self,
        cluster: &str,
        address: &str,
        replid: &str,
        place: StreamPlace,
        timeout_ms: u32,
    ) -> Result<StreamReading, RedisError>;

    /// Sends to many members at once and waits for all, at most `timeout_ms` each,
    /// connecting included. Results stand in the order of the requests, replies in
    /// the order of their commands; an error *reply* is a [`Value::Error`].
    ///
    /// # Errors
    /// The outer one: nothing was sent at all. The inner ones: a member that did
    /// not answer; a change sent to it is then in doubt unless it was refused.
    fn call(
        &mut self,
        cluster: &str,
        requests: &[Request],
        timeout_ms: u32,
    ) -> Result<Vec<Result<Vec<Value>, RedisError>>, RedisError>;

    /// Sends one read for each of many keys (10,000 at most) to one member and gives the
    /// replies packed, in the order of the keys. `command` is the command without its
    /// key, which becomes its second word: `["HMGET", "isin", "side"]`. Counts as one call.
    ///
    /// # Errors
    /// Not granted for one of the keys, no plain read, or the member did not answer.
    fn read_each(
        &mut self,
        cluster: &str,
        address: &str,
        command: &[&str],
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Replies, RedisError>;

    /// Walks over a page of `left`'s keys and compares what both data nodes hold under
    /// each: type, value, expiry. The host reads and compares; only differences, which
    /// were read twice, come back.
    ///
    /// # Errors
    /// Not granted, or one of them did not answer.
    fn compare(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError>;

    /// The same for keys that are named, 10,000 at most.
    ///
    /// # Errors
    /// As [`Host::compare`].
    fn compare_keys(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        database: u32,
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Compared, RedisError>;

    /// Walks over a page of `left`'s keys and tells those that `right` has not.
    ///
    /// # Errors
    /// As [`Host::compare`].
    fn absent(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError>;

    /// Walks over a page of a data node's keys and tells what each holds.
    ///
    /// # Errors
    /// Not granted, or it did not answer.
    fn inventory(
        &mut self,
        cluster: &str,
        address: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Holdings, RedisError>;

    /// Sends one request to an endpoint that the step was granted and gives whatever is
    /// answered, within `timeout_ms`.
    ///
    /// # Errors
    /// There is no whole answer; a change that was sent is then in doubt, unless the
    /// message says what its status was.
    fn http(
        &mut self,
        endpoint: &str,
        request: &http::Request,
        timeout_ms: u32,
    ) -> Result<http::Response, CallError>;

    /// Runs a command that the step was granted, at most `timeout_ms`. Another exit code
    /// than 0 is no error here.
    ///
    /// # Errors
    /// It was not run, or did not end in time; a change is then in doubt.
    fn exec(
        &mut self,
        command: &str,
        arguments: &[&str],
        timeout_ms: u32,
    ) -> Result<Output, CallError>;

    /// Looks at targets that the step was granted, all at once, at most `timeout_ms`.
    ///
    /// # Errors
    /// Nothing was looked at.
    fn probe(&mut self, targets: &[&str], timeout_ms: u32) -> Result<Vec<Finding>, CallError>;
}
