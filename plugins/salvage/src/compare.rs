//! Key by key: what the node has and its successor has not, or has otherwise.

use crate::{Difference, TIMEOUT_MS};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Cluster, Fault, Host};

/// Keys asked for at a time.
const BATCH: &str = "200";

/// Differences that are listed: a person reads them.
const DIFFERENCES_MAX: usize = 100;

/// Elements, or bytes of a string, above which a value is passed over.
const LARGE: i64 = 10_000;

/// What was found.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) differences: Vec<Difference>,
    pub(crate) compared: u64,
    pub(crate) passed_over: u64,
    pub(crate) complete: bool,
    /// Why it ended early, if it did.
    pub(crate) trouble: Option<String>,
}

/// Walks the node's keys, `keys_max` at most. A member that stops answering ends the
/// walk: the file is what was to be saved.
pub(crate) fn compare<H: Host>(
    cluster: &Cluster,
    node: &str,
    master: &str,
    keys_max: u64,
    host: &mut H,
) -> Result<Comparison, Fault> {
    let mut pair = Pair { cluster, node, master, host };
    let mut found = Comparison::default();
    let mut cursor = "0".to_owned();
    loop {
        let page = match pair.scan(&cursor)? {
            Ok(page) => page,
            Err(why) => return Ok(Comparison { trouble: Some(why), ..found }),
        };
        if let Some(why) = pair.page(&page.keys, &mut found)? {
            return Ok(Comparison { trouble: Some(why), ..found });
        }
        cursor = page.cursor;
        if cursor == "0" {
            return Ok(Comparison { complete: true, ..found });
        }
        if found.compared + found.passed_over >= keys_max
            || found.differences.len() >= DIFFERENCES_MAX
        {
            return Ok(found);
        }
    }
}

struct Page {
    cursor: String,
    keys: Vec<Vec<u8>>,
}

/// Two nodes that are asked the same.
struct Pair<'a, H> {
    cluster: &'a Cluster,
    node: &'a str,
    master: &'a str,
    host: &'a mut H,
}

/// What both said; the outer error ends the step, the inner one the walk.
type Both = Result<Result<(Vec<Value>, Vec<Value>), String>, Fault>;

impl<H: Host> Pair<'_, H> {
    fn send(&mut self, requests: &[Request]) -> Result<Result<Vec<Vec<Value>>, String>, Fault> {
        let results = self
            .host
            .call(&self.cluster.name, requests, TIMEOUT_MS)
            .map_err(|error| Fault::from_redis("cannot compare keys", &error))?;
        let mut all = Vec::new();
        for (request, result) in requests.iter().zip(results) {
            match result {
                Ok(replies) => all.push(replies),
                Err(error) => return Ok(Err(format!("{}: {error}", request.address))),
            }
        }
        Ok(Ok(all))
    }

    fn both(&mut self, commands: Vec<Command>) -> Both {
        let requests =
            [Request::new(self.node, commands.clone()), Request::new(self.master, commands)];
        Ok(self.send(&requests)?.map(|all| {
            let mut all = all.into_iter();
            (all.next().unwrap_or_default(), all.next().unwrap_or_default())
        }))
    }

    fn scan(&mut self, cursor: &str) -> Result<Result<Page, String>, Fault> {
        let command = Command::of(["SCAN", cursor, "COUNT", BATCH]);
        let sent = self.send(&[Request::new(self.node, vec![command])])?;
        Ok(sent.and_then(|mut all| {
            let reply = all.pop().and_then(|mut it| it.pop()).unwrap_or(Value::Null);
            let [cursor, keys] = reply.items() else {
                return Err(format!("SCAN: {}", reply.error().unwrap_or("no cursor")));
            };
            let cursor = cursor.text().ok_or("SCAN: no cursor")?.into_owned();
            let bytes = |key: &Value| {
                if let Value::Bulk(bytes) = key { Some(bytes.clone()) } else { None }
            };
            Ok(Page { cursor, keys: keys.items().iter().filter_map(bytes).collect() })
        }))
    }

    /// Compares some keys: their types, their sizes, their values. Gives why it must end.
    fn page(&mut self, keys: &[Vec<u8>], found: &mut Comparison) -> Result<Option<String>, Fault> {
        if keys.is_empty() {
            return Ok(None);
        }
        let types = keys.iter().map(|key| Command::of([&b"TYPE"[..], key])).collect();
        let (ours, theirs) = match self.both(types)? {
            Ok(both) => both,
            Err(why) => return Ok(Some(why)),
        };
        let mut alike = Vec::new();
        for ((key, own), other) in keys.iter().zip(ours).zip(theirs) {
            let (Some(own), Some(other)) = (own.text(), other.text()) else { continue };
            if own == "none" {
                // It has expired meanwhile.
                continue;
            }
            if own == other && Kind::of(&own).is_some() {
                alike.push((key.clone(), own.into_owned()));
                continue;
            }
            found.compared += 1;
            let what = if other == "none" { "only here" } else { "differs" };
            note(found, key, &own, what);
        }
        for question in [Kind::size, Kind::value] {
            let commands =
                alike.iter().filter_map(|(key, kind)| Some(question(Kind::of(kind)?, key)));
            let commands: Vec<Command> = commands.collect();
            if commands.is_empty() {
                return Ok(None);
            }
            let is_size = commands[0].words()[0].ends_with(b"LEN")
                || commands[0].words()[0].ends_with(b"CARD");
            let (ours, theirs) = match self.both(commands)? {
                Ok(both) => both,
                Err(why) => return Ok(Some(why)),
            };
            let mut left = Vec::new();
            for (((key, kind), own), other) in alike.into_iter().zip(ours).zip(theirs) {
                let same = canonical(&kind, &own) == canonical(&kind, &other);
                if !same {
                    found.compared += 1;
                    note(found, &key, &kind, "differs");
                } else if is_size && own.int().is_none_or(|size| size > LARGE) {
                    found.passed_over += 1;
                } else if is_size {
                    left.push((key, kind));
                } else {
                    found.compared += 1;
                }
            }
            alike = left;
        }
        Ok(None)
    }
}

/// How to ask for a value of a type.
struct Kind {
    size: &'static str,
    value: &'static [&'static str],
}

impl Kind {
    /// None for what a module brought.
    fn of(name: &str) -> Option<Self> {
        let (size, value): (_, &[&str]) = match name {
            "string" => ("STRLEN", &["GET"]),
            "hash" => ("HLEN", &["HGETALL"]),
            "list" => ("LLEN", &["LRANGE", "0", "-1"]),
            "set" => ("SCARD", &["SMEMBERS"]),
            "zset" => ("ZCARD", &["ZRANGE", "0", "-1", "WITHSCORES"]),
            "stream" => ("XLEN", &["XRANGE", "-", "+"]),
            _ => return None,
        };
        Some(Self { size, value })
    }

    fn size(self, key: &[u8]) -> Command {
        Command::of([self.size.as_bytes(), key])
    }

    fn value(self, key: &[u8]) -> Command {
        let (name, rest) = self.value.split_first().unwrap_or((&"GET", &[]));
        let rest = rest.iter().map(|word| word.as_bytes());
        Command::of([name.as_bytes(), key].into_iter().chain(rest))
    }
}

/// A value without the order that Redis does not promise.
fn canonical(kind: &str, value: &Value) -> Vec<String> {
    let mut all: Vec<String> = match (kind, value) {
        ("hash", _) => {
            value.pairs().iter().map(|(field, it)| format!("{field:?}={it:?}")).collect()
        }
        (_, Value::List(items)) => items.iter().map(|it| format!("{it:?}")).collect(),
        _ => return vec![format!("{value:?}")],
    };
    if all.is_empty() {
        all.push(format!("{value:?}"));
    }
    if matches!(kind, "hash" | "set") {
        all.sort_unstable();
    }
    all
}

fn note(found: &mut Comparison, key: &[u8], kind: &str, what: &str) {
    if found.differences.len() < DIFFERENCES_MAX {
        found.differences.push(Difference {
            key: String::from_utf8_lossy(key).into_owned(),
            kind: kind.into(),
            what: what.into(),
        });
    }
}
