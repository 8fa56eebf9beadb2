//! A Redis in memory, with as many commands as the tests of these plugins need. What it
//! answers was taken from redis-server 7.0; a test of the project holds the plugins
//! against the real one.

use baton_plugin::redis::{RedisError, Value};
use baton_plugin::testing::Responder;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A command, word by word.
pub type Command = Vec<String>;

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Text(String),
    Hash(BTreeMap<String, String>),
    Set(Vec<(String, f64)>),
    Stream(Stream),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Stream {
    entries: Vec<(u64, Vec<String>)>,
    added: u64,
    last: u64,
    deleted: u64,
}

/// Called before each command, with the number of commands so far.
pub type Meanwhile = Box<dyn FnMut(&mut Data, usize)>;

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stream's id of it.
    pub id: String,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
}

/// The data of one node.
#[derive(Clone, Debug, Default)]
pub struct Data {
    keys: BTreeMap<String, Held>,
}

/// A node, shared: a test changes it under a plugin.
#[derive(Clone, Default)]
pub struct Store {
    /// Its data.
    pub data: Rc<RefCell<Data>>,
    /// Who works beside the plugin.
    pub meanwhile: Rc<RefCell<Option<Meanwhile>>>,
    commands: usize,
    /// Speaks RESP3.
    pub resp3: bool,
    /// Keys that one SCAN looks at; 0: all.
    pub scan_count: usize,
}

impl Store {
    /// Holding what these commands made.
    pub fn of(commands: &[Command]) -> Self {
        let store = Self::default();
        store.data.borrow_mut().apply(commands);
        store
    }

    /// With somebody at work beside the plugin.
    #[must_use]
    pub fn beside(self, meanwhile: impl FnMut(&mut Data, usize) + 'static) -> Self {
        *self.meanwhile.borrow_mut() = Some(Box::new(meanwhile));
        self
    }
}

impl Responder for Store {
    fn respond(
        &mut self,
        _address: &str,
        command: &[String],
        _now_ms: u64,
    ) -> Result<Value, RedisError> {
        self.commands += 1;
        if let Some(meanwhile) = self.meanwhile.borrow_mut().as_mut() {
            meanwhile(&mut self.data.borrow_mut(), self.commands);
        }
        Ok(self.data.borrow_mut().run(command, self.resp3, self.scan_count))
    }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn wrong_type() -> Value {
    Value::Error("WRONGTYPE Operation against a key holding the wrong kind of value".into())
}

fn entry_id(id: u64) -> String {
    format!("{id}-0")
}

fn parse_id(text: &str) -> u64 {
    text.trim_start_matches('(').split('-').next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

impl Data {
    /// Runs commands whose replies nobody wants; each must work.
    pub fn apply(&mut self, commands: &[Command]) {
        for command in commands {
            let reply = self.run(command, false, 0);
            assert!(reply.error().is_none(), "{command:?}: {reply:?}");
        }
    }

    /// Runs one line whose words hold no spaces; it must work.
    pub fn line(&mut self, line: &str) -> Value {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let reply = self.run(&words, false, 0);
        assert!(reply.error().is_none(), "{line}: {reply:?}");
        reply
    }

    /// A field's text.
    pub fn field(&self, key: &str, name: &str) -> Option<String> {
        match self.keys.get(key) {
            Some(Held::Hash(fields)) => fields.get(name).cloned(),
            Some(Held::Text(_) | Held::Set(_) | Held::Stream(_)) | None => None,
        }
    }

    /// All fields of a hash.
    pub fn fields(&self, key: &str) -> BTreeMap<String, String> {
        match self.keys.get(key) {
            Some(Held::Hash(fields)) => fields.clone(),
            Some(Held::Text(_) | Held::Set(_) | Held::Stream(_)) | None => BTreeMap::new(),
        }
    }

    /// Members of a sorted set, best score last.
    pub fn members(&self, key: &str) -> Vec<(String, f64)> {
        self.set(key).unwrap_or_default()
    }

    /// Entries of a stream.
    pub fn entries(&self, key: &str) -> Vec<Entry> {
        let entry = |(id, words): &(u64, Vec<String>)| Entry {
            id: entry_id(*id),
            fields: words.chunks_exact(2).map(|it| (it[0].clone(), it[1].clone())).collect(),
        };
        let stream = self.stream(key).ok().flatten();
        stream.map(|it| it.entries.iter().map(entry).collect()).unwrap_or_default()
    }

    /// Changes one field of an entry that is there, as nothing in Redis could.
    pub fn rewrite(&mut self, key: &str, id: &str, name: &str, value: &str) {
        let stream = self.stream_mut(key).expect("a stream");
        let entry = stream.entries.iter_mut().find(|(it, _)| entry_id(*it) == id);
        let words = &mut entry.expect("an entry").1;
        let at = words.chunks_exact(2).position(|it| it[0] == name).expect("a field");
        words[at * 2 + 1] = value.into();
    }

    /// Names of all keys that begin so.
    pub fn keys(&self, before: &str) -> Vec<String> {
        self.keys.keys().filter(|it| it.starts_with(before)).cloned().collect()
    }

    fn hash(&self, key: &str) -> Result<Option<&BTreeMap<String, String>>, Value> {
        match self.keys.get(key) {
            Some(Held::Hash(fields)) => Ok(Some(fields)),
            Some(Held::Text(_) | Held::Set(_) | Held::Stream(_)) => Err(wrong_type()),
            None => Ok(None),
        }
    }

    fn run(&mut self, command: &[String], resp3: bool, scan_count: usize) -> Value {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let done = match words[..] {
            ["ROLE"] => Ok(Value::List(vec![text("master"), Value::Int(1), Value::List(vec![])])),
            ["SCAN", cursor, "MATCH", pattern, "COUNT", _] => {
                Ok(self.scan(cursor, pattern, scan_count))
            }
            ["GET", key] => match self.keys.get(key) {
                Some(Held::Text(it)) => Ok(text(it)),
                Some(Held::Hash(_) | Held::Set(_) | Held::Stream(_)) => Err(wrong_type()),
                None => Ok(Value::Null),
            },
            ["EXISTS", key] => Ok(Value::Int(i64::from(self.keys.contains_key(key)))),
            ["HGET", key, name] => self.values(key, &[name]).map(|mut it| it.remove(0)),
            ["HMGET", key, ref names @ ..] => self.values(key, names).map(Value::List),
            ["HGETALL", key] => self.hash(key).map(|it| pairs(it, resp3)),
            ["ZRANGE", key, "0", "-1", "WITHSCORES"] => self.set(key).map(|it| scored(&it, resp3)),
            ["ZRANGE", key, "0", "-1"] => {
                self.set(key).map(|it| Value::List(it.iter().map(|(id, _)| text(id)).collect()))
            }
            ["ZCARD", key] => {
                self.set(key).map(|it| Value::Int(i64::try_from(it.len()).expect("few")))
            }
            ["XRANGE", key, start, "+", "COUNT", count] => self.range(key, start, count),
            ["XINFO", "STREAM", key] => self.info(key, resp3),
            _ => self.change(&words),
        };
        done.unwrap_or_else(|error| error)
    }

    fn change(&mut self, words: &[&str]) -> Result<Value, Value> {
        match *words {
            ["SET", key, value] => {
                self.keys.insert(key.into(), Held::Text(value.into()));
            }
            ["DEL", key] => {
                self.keys.remove(key);
            }
            ["HSET", key, ref fields @ ..] => {
                let hash = self.hash_mut(key)?;
                for pair in fields.chunks_exact(2) {
                    hash.insert(pair[0].into(), pair[1].into());
                }
            }
            ["HINCRBY", key, name, by] => {
                let hash = self.hash_mut(key)?;
                let old: i64 = hash.get(name).map_or(0, |it| it.parse().expect("a number"));
                hash.insert(name.into(), (old + by.parse::<i64>().expect("a number")).to_string());
            }
            ["HDEL", key, ref names @ ..] => {
                let hash = self.hash_mut(key)?;
                for name in names {
                    hash.remove(*name);
                }
                if hash.is_empty() {
                    self.keys.remove(key);
                }
            }
            ["ZADD", key, score, id] => {
                let set = self.set_mut(key)?;
                set.retain(|(it, _)| it != id);
                set.push((id.into(), score.parse().expect("a score")));
                set.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
            }
            ["ZREM", key, id] => {
                let set = self.set_mut(key)?;
                set.retain(|(it, _)| it != id);
                if set.is_empty() {
                    self.keys.remove(key);
                }
            }
            ["XADD", key, _, ref fields @ ..] => {
                let stream = self.stream_mut(key)?;
                stream.last += 1;
                stream.added += 1;
                let fields = fields.iter().map(|it| (*it).to_owned()).collect();
                stream.entries.push((stream.last, fields));
            }
            ["XDEL", key, id] => {
                let id = parse_id(id);
                let stream = self.stream_mut(key)?;
                stream.entries.retain(|(it, _)| *it != id);
                stream.deleted = stream.deleted.max(id);
            }
            ["XTRIM", key, "MAXLEN", keep] => {
                let keep: usize = keep.parse().expect("a number");
                let stream = self.stream_mut(key)?;
                stream.entries.drain(..stream.entries.len().saturating_sub(keep));
            }
            _ => return Err(Value::Error(format!("ERR unknown command {}", words.join(" ")))),
        }
        Ok(Value::Simple("OK".into()))
    }

    fn hash_mut(&mut self, key: &str) -> Result<&mut BTreeMap<String, String>, Value> {
        let held = self.keys.entry(key.into()).or_insert_with(|| Held::Hash(BTreeMap::new()));
        if let Held::Hash(it) = held { Ok(it) } else { Err(wrong_type()) }
    }

    fn set_mut(&mut self, key: &str) -> Result<&mut Vec<(String, f64)>, Value> {
        let held = self.keys.entry(key.into()).or_insert_with(|| Held::Set(Vec::new()));
        if let Held::Set(it) = held { Ok(it) } else { Err(wrong_type()) }
    }

    fn stream_mut(&mut self, key: &str) -> Result<&mut Stream, Value> {
        let held = self.keys.entry(key.into()).or_insert_with(|| Held::Stream(Stream::default()));
        if let Held::Stream(it) = held { Ok(it) } else { Err(wrong_type()) }
    }

    fn set(&self, key: &str) -> Result<Vec<(String, f64)>, Value> {
        match self.keys.get(key) {
            Some(Held::Set(it)) => Ok(it.clone()),
            Some(Held::Text(_) | Held::Hash(_) | Held::Stream(_)) => Err(wrong_type()),
            None => Ok(Vec::new()),
        }
    }

    fn values(&self, key: &str, names: &[&str]) -> Result<Vec<Value>, Value> {
        let hash = self.hash(key)?;
        let value =
            |name: &&str| hash.and_then(|it| it.get(*name)).map_or(Value::Null, |it| text(it));
        Ok(names.iter().map(value).collect())
    }

    /// In pieces, the last key of each told twice, as a table that is growing does.
    fn scan(&self, cursor: &str, pattern: &str, count: usize) -> Value {
        let (before, after) = pattern.split_once('*').expect("a pattern with one star");
        let from: usize = cursor.parse().expect("a cursor");
        let to = if count == 0 { self.keys.len() } else { (from + count).min(self.keys.len()) };
        let found = self.keys.keys().skip(from.saturating_sub(1)).take(to - from.saturating_sub(1));
        let fits = |it: &&String| it.starts_with(before) && it.ends_with(after);
        let keys = found.filter(fits).map(|it| text(it)).collect();
        let next = if to == self.keys.len() { 0 } else { to };
        Value::List(vec![text(&next.to_string()), Value::List(keys)])
    }

    fn stream(&self, key: &str) -> Result<Option<&Stream>, Value> {
        match self.keys.get(key) {
            Some(Held::Stream(it)) => Ok(Some(it)),
            Some(Held::Text(_) | Held::Hash(_) | Held::Set(_)) => Err(wrong_type()),
            None => Ok(None),
        }
    }

    fn range(&self, key: &str, start: &str, count: &str) -> Result<Value, Value> {
        let Some(stream) = self.stream(key)? else { return Ok(Value::List(Vec::new())) };
        let after = if start == "-" { 0 } else { parse_id(start) };
        let count: usize = count.parse().expect("a number");
        let entries = stream.entries.iter().filter(|(id, _)| *id > after).take(count);
        let entry = |(id, fields): &(u64, Vec<String>)| {
            let fields = fields.iter().map(|it| text(it)).collect();
            Value::List(vec![text(&entry_id(*id)), Value::List(fields)])
        };
        Ok(Value::List(entries.map(entry).collect()))
    }

    fn info(&self, key: &str, resp3: bool) -> Result<Value, Value> {
        let Some(stream) = self.stream(key)? else {
            return Err(Value::Error("ERR no such key".into()));
        };
        let int = |it: u64| Value::Int(i64::try_from(it).expect("few"));
        let fields = vec![
            (text("length"), int(stream.entries.len() as u64)),
            (text("last-generated-id"), text(&entry_id(stream.last))),
            (text("max-deleted-entry-id"), text(&entry_id(stream.deleted))),
            (text("entries-added"), int(stream.added)),
        ];
        Ok(if resp3 {
            Value::Map(fields)
        } else {
            Value::List(fields.into_iter().flat_map(|(name, it)| [name, it]).collect())
        })
    }
}

fn pairs(hash: Option<&BTreeMap<String, String>>, resp3: bool) -> Value {
    let fields = hash.into_iter().flatten().map(|(name, it)| (text(name), text(it)));
    if resp3 {
        Value::Map(fields.collect())
    } else {
        Value::List(fields.flat_map(|(name, it)| [name, it]).collect())
    }
}

fn scored(set: &[(String, f64)], resp3: bool) -> Value {
    let member = |(id, score): &(String, f64)| {
        if resp3 {
            vec![Value::List(vec![text(id), Value::Double(*score)])]
        } else {
            vec![text(id), text(&score.to_string())]
        }
    };
    Value::List(set.iter().flat_map(member).collect())
}
