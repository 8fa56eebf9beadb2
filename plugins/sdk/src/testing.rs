//! A cluster made of answers, for unit tests: no Redis, no wasm. And, in [`Tape`], a
//! real attempt that Baton recorded, to be played again.
//!
//! [`FakeCluster`] is a [`Host`]. What a member answers is decided by a
//! [`Responder`]; [`Script`] is the simple one (replies per address and command).
//! Time stands still except in `sleep`. Every command sent is recorded.

mod digest;
mod doors;
mod heard;
mod tape;

pub use doors::FakeDoors;
pub use tape::{BadTape, End, Tape};

use crate::exec::Output;
use crate::http;
use crate::probe::Finding;
use crate::redis::{
    Command, Compared, ErrorKind, Holdings, Page, RedisError, Replies, Request, StreamPlace,
    StreamReading, Value,
};
use crate::{CallError, Cluster, Context, Host, Level, Member, MemberKind, Mode, Sample};
use std::collections::{BTreeMap, VecDeque};

/// What a member does with a command.
pub trait Responder {
    /// The reply of `address` to `command` (words as text) at `now_ms`.
    ///
    /// # Errors
    /// The member does not answer.
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError>;
}

/// Replies per address and command. A command is matched by the longest scripted
/// prefix of its words; its replies come in turn and the last one stays.
#[derive(Default)]
pub struct Script {
    replies: BTreeMap<(String, String), VecDeque<Value>>,
    down: BTreeMap<String, ErrorKind>,
}

impl Responder for Script {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        _now_ms: u64,
    ) -> Result<Value, RedisError> {
        if let Some(&kind) = self.down.get(address) {
            return Err(RedisError::new(kind, format!("{address} is scripted so")));
        }
        for words in (1..=command.len()).rev() {
            let key = (address.to_owned(), command[..words].join(" "));
            if let Some(queue) = self.replies.get_mut(&key) {
                let reply = queue.front().cloned().expect("a scripted queue is never empty");
                if queue.len() > 1 {
                    queue.pop_front();
                }
                return Ok(reply);
            }
        }
        Ok(Value::Error(format!("ERR {address} has no script for {}", command.join(" "))))
    }
}

/// A [`Host`] over a [`Responder`].
pub struct FakeCluster<R = Script> {
    /// What `describe_cluster` gives.
    pub cluster: Cluster,
    /// Who answers.
    pub responder: R,
    /// The clock, ms. `sleep` moves it.
    pub now_ms: u64,
    /// What `lineage` gives.
    pub samples: Vec<Sample>,
    /// What `divergence` gives, in turn; after the last one nobody answers.
    pub divergences: VecDeque<StreamReading>,
    /// Commands sent, as `address COMMAND words`.
    pub sent: Vec<String>,
    /// Log lines.
    pub logged: Vec<String>,
    /// Progress reports.
    pub reported: Vec<String>,
    /// What `context` gives.
    pub context: Context,
    /// Panics with [`CRASH`] once this many more commands have been sent.
    pub crash_after: Option<usize>,
    /// What stands behind the other doors; their calls stand in `sent` as well.
    pub doors: FakeDoors,
    /// What the next comparisons of keys find (`compare`, `compare_keys`, `absent`), in
    /// turn; without any, nothing.
    pub comparisons: VecDeque<Result<Compared, RedisError>>,
    /// What the next inventories find.
    pub inventories: VecDeque<Result<Holdings, RedisError>>,
}

/// The message of the panic that stands for a crash of the engine.
pub const CRASH: &str = "the engine crashed here, as the test asked";

impl FakeCluster<Script> {
    /// A cluster named `name` in mode `lead`, Sentinel's name `<name>-master`,
    /// `down_after_ms` 5000, no grace, no loss allowed.
    pub fn new(name: &str, data: &[&str], sentinels: &[&str]) -> Self {
        Self::with_responder(name, data, sentinels, Script::default())
    }

    /// Nothing but doors, for a plugin that has no use for Redis.
    pub fn doors_only() -> Self {
        Self::new("none", &[], &[])
    }

    /// What an endpoint answers to a request (`GET /path`, the query left out), in turn;
    /// the last one stays.
    #[must_use]
    pub fn on_http(
        mut self,
        endpoint: &str,
        request: &str,
        answers: Vec<Result<http::Response, CallError>>,
    ) -> Self {
        self.doors.on_http(endpoint, request, answers);
        self
    }

    /// What a command leaves when it is run with `arguments`, joined by spaces, in turn;
    /// the last one stays.
    #[must_use]
    pub fn on_exec(
        mut self,
        command: &str,
        arguments: &str,
        answers: Vec<Result<Output, CallError>>,
    ) -> Self {
        self.doors.on_exec(command, arguments, answers);
        self
    }

    /// What a look at a target finds.
    #[must_use]
    pub fn on_probe(mut self, target: &str, finding: Finding) -> Self {
        self.doors.on_probe(target, finding);
        self
    }

    /// The replies of a member to a command, in turn; the last one stays.
    #[must_use]
    pub fn on(mut self, address: &str, command: &str, replies: Vec<Value>) -> Self {
        assert!(!replies.is_empty(), "a script needs at least one reply");
        self.responder.replies.insert((address.into(), command.into()), replies.into());
        self
    }

    /// A member that does not answer.
    #[must_use]
    pub fn down(mut self, address: &str, kind: ErrorKind) -> Self {
        self.responder.down.insert(address.into(), kind);
        self
    }
}

impl<R> FakeCluster<R> {
    /// One more call is made, unless the engine crashes before it.
    fn note(&mut self, call: String) {
        if let Some(left) = &mut self.crash_after {
            assert!(*left > 0, "{CRASH}");
            *left -= 1;
        }
        self.sent.push(call);
    }

    /// As [`FakeCluster::new`], with another responder.
    pub fn with_responder(name: &str, data: &[&str], sentinels: &[&str], responder: R) -> Self {
        let member = |kind| {
            move |address: &&str| Member { address: (*address).to_owned(), kind, zone: None }
        };
        let members = data
            .iter()
            .map(member(MemberKind::Data))
            .chain(sentinels.iter().map(member(MemberKind::Sentinel)))
            .collect();
        Self {
            cluster: Cluster {
                name: name.into(),
                master_name: format!("{name}-master"),
                mode: Mode::Lead,
                members,
                down_after_ms: 5000,
                restart_grace_ms: 0,
                max_lost_bytes: 0,
            },
            responder,
            now_ms: 1_700_000_000_000,
            samples: Vec::new(),
            divergences: VecDeque::new(),
            sent: Vec::new(),
            logged: Vec::new(),
            reported: Vec::new(),
            context: Context { attempt: 1, ..Context::default() },
            crash_after: None,
            doors: FakeDoors::default(),
            comparisons: VecDeque::new(),
            inventories: VecDeque::new(),
        }
    }

    fn comparison(&mut self, asked: String) -> Result<Compared, RedisError> {
        self.note(asked);
        self.comparisons.pop_front().unwrap_or_else(|| Ok(Compared::default()))
    }

    /// How often a command was sent, to whomever.
    pub fn count_sent(&self, part: &str) -> usize {
        self.sent.iter().filter(|line| line.contains(part)).count()
    }
}

impl<R: Responder> FakeCluster<R> {
    /// Sends one command, as somebody beside the plugin would; the words of `line`
    /// hold no spaces.
    pub fn call_as_test(&mut self, address: &str, line: &str) -> Value {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let reply = self.responder.respond(address, &words, self.now_ms);
        reply.expect("a member that a test speaks to answers")
    }
}

impl<R: Responder> Host for FakeCluster<R> {
    fn context(&self) -> &Context {
        &self.context
    }

    fn log(&mut self, _level: Level, message: &str) {
        self.logged.push(message.into());
    }

    fn now_ms(&mut self) -> u64 {
        self.now_ms
    }

    fn sleep(&mut self, milliseconds: u32) {
        self.now_ms += u64::from(milliseconds);
    }

    fn report(&mut self, _done: u64, _total: Option<u64>, message: &str) {
        self.reported.push(message.into());
    }

    fn describe_cluster(&mut self, name: &str) -> Result<Cluster, RedisError> {
        if name == self.cluster.name {
            Ok(self.cluster.clone())
        } else {
            Err(RedisError::new(ErrorKind::NotFound, format!("no cluster `{name}`")))
        }
    }

    fn lineage(&mut self, cluster: &str) -> Result<Vec<Sample>, RedisError> {
        self.describe_cluster(cluster)?;
        Ok(self.samples.clone())
    }

    fn divergence(
        &mut self,
        cluster: &str,
        address: &str,
        replid: &str,
        place: StreamPlace,
        _timeout_ms: u32,
    ) -> Result<StreamReading, RedisError> {
        self.describe_cluster(cluster)?;
        self.note(format!("{address} stream of {replid} from {}", place.offset));
        let silent = || RedisError::new(ErrorKind::TimedOut, format!("{address} says nothing"));
        self.divergences.pop_front().ok_or_else(silent)
    }

    fn call(
        &mut self,
        cluster: &str,
        requests: &[Request],
        _timeout_ms: u32,
    ) -> Result<Vec<Result<Vec<Value>, RedisError>>, RedisError> {
        self.describe_cluster(cluster)?;
        let mut results = Vec::new();
        for request in requests {
            if !self.cluster.members.iter().any(|it| it.address == request.address) {
                let why = format!("no member {}", request.address);
                results.push(Err(RedisError::new(ErrorKind::NotFound, why)));
                continue;
            }
            let mut replies = Ok(Vec::new());
            for command in &request.commands {
                let words = command.texts();
                self.note(format!("{} {}", request.address, words.join(" ")));
                let reply = self.responder.respond(&request.address, &words, self.now_ms);
                replies = match (replies, reply) {
                    (Ok(mut replies), Ok(reply)) => {
                        replies.push(reply);
                        Ok(replies)
                    }
                    (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                };
            }
            results.push(replies);
        }
        Ok(results)
    }

    fn read_each(
        &mut self,
        cluster: &str,
        address: &str,
        command: &[&str],
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Replies, RedisError> {
        let with = |key: &&[u8]| {
            let words = command.iter().map(|word| word.as_bytes().to_vec());
            let mut words: Vec<Vec<u8>> = words.collect();
            words.insert(words.len().min(1), key.to_vec());
            Command::of(words)
        };
        let requests = [Request::new(address, keys.iter().map(with).collect())];
        let replies = self.call(cluster, &requests, timeout_ms)?.remove(0)?;
        Ok(Replies::pack(&replies))
    }

    fn compare(
        &mut self,
        _cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        _timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let Page { database, cursor, pattern, count } = page;
        self.comparison(format!("compare {left} {right} {database} {pattern} {cursor} {count}"))
    }

    fn compare_keys(
        &mut self,
        _cluster: &str,
        left: &str,
        right: &str,
        database: u32,
        keys: &[&[u8]],
        _timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
        self.comparison(format!("compare-keys {left} {right} {database} {}", keys.join(" ")))
    }

    fn absent(
        &mut self,
        _cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        _timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let Page { database, cursor, pattern, count } = page;
        self.comparison(format!("absent {left} {right} {database} {pattern} {cursor} {count}"))
    }

    fn inventory(
        &mut self,
        _cluster: &str,
        address: &str,
        page: &Page,
        _timeout_ms: u32,
    ) -> Result<Holdings, RedisError> {
        let Page { database, cursor, pattern, count } = page;
        self.note(format!("inventory {address} {database} {pattern} {cursor} {count}"));
        self.inventories.pop_front().unwrap_or_else(|| Ok(Holdings::default()))
    }

    fn http(
        &mut self,
        endpoint: &str,
        request: &http::Request,
        _timeout_ms: u32,
    ) -> Result<http::Response, CallError> {
        self.note(format!("{endpoint} {} {}", request.method.word(), request.path));
        self.doors.http(endpoint, request)
    }

    fn exec(
        &mut self,
        command: &str,
        arguments: &[&str],
        _timeout_ms: u32,
    ) -> Result<Output, CallError> {
        self.note([&[command], arguments].concat().join(" "));
        self.doors.exec(command, arguments)
    }

    fn probe(&mut self, targets: &[&str], _timeout_ms: u32) -> Result<Vec<Finding>, CallError> {
        self.note(format!("look at {}", targets.join(" ")));
        self.doors.probe(targets)
    }
}
