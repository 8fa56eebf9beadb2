//! Where books are read: one node, many keys at a time, nothing copied.

use crate::{Keys, Template};
use baton_plugin::redis::{Command, ErrorKind, RedisError, Request, Role, Value};
use baton_plugin::redis::{Flat, Head, Items, Replies, View};
use baton_plugin::{Cluster, Fault, Host, MemberKind};
use std::borrow::Cow;

/// Longest wait for one pipeline, ms.
const TIMEOUT_MS: u32 = 10_000;
/// Longest wait for a node's ROLE, ms.
const ROLE_TIMEOUT_MS: u32 = 1000;
/// Keys that one call takes.
const KEYS_MAX: usize = 10_000;
/// What SCAN is asked to look at in one go.
const SCAN_COUNT: &str = "5000";

/// Keys for one command each, in one piece of memory.
#[derive(Debug, Default)]
pub struct KeyList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyList {
    /// Adds the key that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// None any more; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let start = |index: usize| if index == 0 { 0 } else { self.ends[index - 1] };
        (0..self.ends.len()).map(move |index| &self.bytes[start(index)..self.ends[index]])
    }
}

/// Replies to one command of many keys, in their order.
#[derive(Debug, Default)]
pub struct Answers(Vec<Replies>);

impl Answers {
    /// The same, each byte read once: for what is read by the million.
    pub fn cursor(&self) -> Cursor<'_> {
        let mut pieces = self.0.iter();
        let now = pieces.next().map(Replies::flat);
        Cursor { pieces, now }
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = View<'_>> {
        self.0.iter().flat_map(Replies::iter)
    }
}

/// Goes through answers value by value.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    pieces: std::slice::Iter<'a, Replies>,
    now: Option<Flat<'a>>,
}

impl<'a> Cursor<'a> {
    /// The next value.
    pub fn head(&mut self) -> Option<Head<'a>> {
        loop {
            if let Some(head) = self.now.as_mut()?.head() {
                return Some(head);
            }
            self.now = self.pieces.next().map(Replies::flat);
        }
    }

    /// The text that comes next, within a reply.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        self.now.as_mut()?.text()
    }

    /// Passes over so many values within a reply.
    pub fn pass(&mut self, count: u32) {
        if let Some(now) = &mut self.now {
            now.pass(count);
        }
    }

    /// Opens the next reply and says how many values are in it, 0 of one that is nothing;
    /// none where the key holds another type.
    ///
    /// # Errors
    /// It is another error.
    pub fn open(&mut self, source: &Source, command: &str) -> Result<Option<u32>, Fault> {
        match self.head() {
            Some(Head::List(count)) => Ok(Some(count)),
            Some(Head::Error(error)) if error.starts_with(b"WRONGTYPE") => Ok(None),
            Some(Head::Error(error)) => {
                Err(source.refused(&[command.to_owned()], &String::from_utf8_lossy(error)))
            }
            Some(Head::Null | Head::Bool(_) | Head::Int(_) | Head::Double(_) | Head::Text(_))
            | None => Ok(Some(0)),
        }
    }

    /// The first texts of the next reply, a list; the rest is passed over. None where the
    /// key holds another type.
    ///
    /// # Errors
    /// It is another error.
    pub fn texts<const N: usize>(
        &mut self,
        source: &Source,
        command: &str,
    ) -> Result<Option<[Option<&'a [u8]>; N]>, Fault> {
        let Some(count) = self.open(source, command)? else { return Ok(None) };
        let mut texts = [None; N];
        let own = usize::try_from(count).unwrap_or(N).min(N);
        for text in &mut texts[..own] {
            *text = self.text();
        }
        self.pass(count.saturating_sub(u32::try_from(N).unwrap_or(u32::MAX)));
        Ok(Some(texts))
    }
}

/// One node of a cluster.
#[derive(Clone, Debug)]
pub struct Source {
    /// The cluster's name in baton.toml.
    pub cluster: String,
    /// `host:port`, as baton.toml spells it.
    pub address: String,
}

impl Source {
    /// The node that is given, or the one data node that says it is master.
    ///
    /// # Errors
    /// No such cluster; no master, or several.
    pub fn find<H: Host>(cluster: &str, master: Option<&str>, host: &mut H) -> Result<Self, Fault> {
        let cluster = host
            .describe_cluster(cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let address = match master {
            Some(master) => master.to_owned(),
            None => find_master(&cluster, host)?,
        };
        Ok(Self { cluster: cluster.name, address })
    }

    /// One command of each key: `["HMGET", "seq"]` is sent as `HMGET <key> seq`. Where
    /// the answers are too large for one call it takes several.
    ///
    /// # Errors
    /// The node does not answer, or not this.
    pub fn each<H: Host>(
        &self,
        command: &[&str],
        keys: &KeyList,
        host: &mut H,
    ) -> Result<Answers, Fault> {
        let keys: Vec<&[u8]> = keys.iter().collect();
        let mut answers = Answers::default();
        for piece in keys.chunks(KEYS_MAX) {
            self.piece(command, piece, &mut answers, host)?;
        }
        Ok(answers)
    }

    fn piece<H: Host>(
        &self,
        command: &[&str],
        keys: &[&[u8]],
        answers: &mut Answers,
        host: &mut H,
    ) -> Result<(), Fault> {
        match host.read_each(&self.cluster, &self.address, command, keys, TIMEOUT_MS) {
            Ok(replies) => {
                answers.0.push(replies);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Limit && keys.len() > 1 => {
                let (first, second) = keys.split_at(keys.len() / 2);
                self.piece(command, first, answers, host)?;
                self.piece(command, second, answers, host)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &RedisError) -> Fault {
        Fault::from_redis(&format!("cannot read {}", self.address), error)
    }

    /// Some commands, each with a reply as a tree.
    ///
    /// # Errors
    /// The node does not answer, or refuses one.
    pub fn ask<H: Host>(&self, commands: &[Command], host: &mut H) -> Result<Vec<Value>, Fault> {
        let replies = self.replies(commands, host)?;
        for (command, reply) in commands.iter().zip(&replies) {
            if let Some(error) = reply.error() {
                return Err(self.refused(&command.texts(), error));
            }
        }
        Ok(replies)
    }

    /// As [`Source::ask`], errors being replies like others.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn replies<H: Host>(
        &self,
        commands: &[Command],
        host: &mut H,
    ) -> Result<Vec<Value>, Fault> {
        let request = Request::new(&self.address, commands.to_vec());
        host.call(&self.cluster, &[request], TIMEOUT_MS)
            .and_then(|mut all| all.pop().unwrap_or_else(|| Ok(Vec::new())))
            .map_err(|error| self.failed(&error))
    }

    /// Every key that SCAN finds of a pattern; one that moves is told twice.
    ///
    /// # Errors
    /// The node does not answer, or not this.
    pub fn scan<H: Host>(
        &self,
        pattern: &str,
        host: &mut H,
        mut found: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let mut cursor = "0".to_owned();
        loop {
            let command = Command::of(["SCAN", &cursor, "MATCH", pattern, "COUNT", SCAN_COUNT]);
            let reply = self.ask(&[command], host)?.pop().unwrap_or(Value::Null);
            let (Some(next), Some(keys)) = (reply.items().first(), reply.items().get(1)) else {
                return Err(self.no_scan());
            };
            for key in keys.items() {
                if let Value::Bulk(key) = key {
                    found(key);
                }
            }
            cursor = next.text().ok_or_else(|| self.no_scan())?.into_owned();
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// The instruments that are wanted, or all that have a meta hash; sorted, each once.
    ///
    /// # Errors
    /// The node does not answer, or not this.
    pub fn instruments<H: Host>(
        &self,
        keys: &Keys,
        wanted: Option<&[String]>,
        pattern: Option<&str>,
        host: &mut H,
    ) -> Result<Vec<String>, Fault> {
        let mut isins = wanted.map(<[String]>::to_vec).unwrap_or_default();
        if wanted.is_none() {
            let own = Keys::pattern(&keys.meta);
            let template = Template::of(&keys.meta);
            self.scan(pattern.unwrap_or(&own), host, |key| {
                let isin = template.value(key).map(String::from_utf8_lossy);
                isins.extend(isin.map(Cow::into_owned));
            })?;
        }
        isins.sort_unstable();
        isins.dedup();
        Ok(isins)
    }

    fn no_scan(&self) -> Fault {
        Fault::permanent("protocol", format!("{}: SCAN gave no cursor and keys", self.address))
    }

    /// The elements of a reply; none of one that is nothing.
    ///
    /// # Errors
    /// It is an error.
    pub fn list<'a>(&self, reply: View<'a>, command: &str) -> Result<Items<'a>, Fault> {
        match reply.error() {
            Some(error) => Err(self.refused(&[command.to_owned()], &error)),
            None => Ok(reply.items()),
        }
    }

    /// As [`Source::list`]; none where the key holds another type.
    ///
    /// # Errors
    /// It is another error.
    pub fn typed<'a>(&self, reply: View<'a>, command: &str) -> Result<Option<Items<'a>>, Fault> {
        if is_wrong_type(reply) { Ok(None) } else { self.list(reply, command).map(Some) }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is an error, or no number.
    pub fn int(&self, reply: View<'_>, command: &str) -> Result<i64, Fault> {
        if let View::Int(number) = reply {
            return Ok(number);
        }
        self.list(reply, command)?;
        let why = format!("{}: {command} gave no number", self.address);
        Err(Fault::permanent("protocol", why))
    }

    /// What a node says no to.
    pub fn refused(&self, command: &[String], error: &str) -> Fault {
        let shown = command.get(..2).map_or_else(|| command.join(" "), |it| it.join(" "));
        let why = format!("{} refused {shown}: {error}", self.address);
        // LOADING, BUSY and their like pass; NOPERM stays.
        let lasting = ["WRONGTYPE", "NOPERM", "NOAUTH", "ERR"];
        if lasting.iter().any(|it| error.starts_with(it)) {
            Fault::permanent("refused", why)
        } else {
            Fault::retryable("refused", why)
        }
    }
}

/// Whether a key holds another type than was asked for.
pub fn is_wrong_type(reply: View<'_>) -> bool {
    matches!(reply, View::Error(error) if error.starts_with(b"WRONGTYPE"))
}

/// The one data node that says it is master.
fn find_master<H: Host>(cluster: &Cluster, host: &mut H) -> Result<String, Fault> {
    let nodes = cluster.addresses(MemberKind::Data);
    let requests: Vec<Request> =
        nodes.iter().map(|it| Request::new(it.clone(), vec![Command::line("ROLE")])).collect();
    let results = host
        .call(&cluster.name, &requests, ROLE_TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot look for the master", &error))?;
    let is_master = |result: &Result<Vec<_>, _>| {
        let role = result.as_ref().ok().and_then(|it| Role::from_value(it.first()?));
        matches!(role, Some(Role::Master { .. }))
    };
    let masters: Vec<String> = nodes
        .into_iter()
        .zip(&results)
        .filter(|(_, result)| is_master(result))
        .map(|(address, _)| address)
        .collect();
    match &masters[..] {
        [one] => Ok(one.clone()),
        [] => Err(Fault::retryable("no-master", "no reachable node is master: give `master`")),
        all => {
            let why = format!("{} all are master: give `master`", all.join(" and "));
            Err(Fault::permanent("split-brain", why))
        }
    }
}
