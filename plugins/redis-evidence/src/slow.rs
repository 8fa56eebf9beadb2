//! SLOWLOG GET without what the commands carried. Pure.

use crate::tame;
use baton_plugin::JsonSchema;
use baton_plugin::redis::Value;
use serde::Serialize;
use std::borrow::Cow;

/// Entries that are shown: the slowest.
const SHOWN_MAX: usize = 8;
/// A key, characters.
const KEY_CHARS_MAX: usize = 64;

/// Commands whose first argument is a key. Of any other nothing but the name is shown:
/// what stands there may be a password, a script or a customer's data.
const KEYED: &str = "APPEND BITCOUNT BITFIELD BITPOS BLPOP BRPOP DECR DECRBY DEL EXISTS EXPIRE \
    EXPIREAT GEOADD GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HGET HGETALL \
    HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX HVALS INCR INCRBY \
    INCRBYFLOAT LINDEX LINSERT LLEN LMOVE LPOP LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MSET \
    PERSIST PEXPIRE PEXPIREAT PFADD PFCOUNT PSETEX PTTL RENAME RESTORE RPOP RPUSH RPUSHX SADD \
    SCARD SDIFF SET SETBIT SETEX SETNX SETRANGE SINTER SISMEMBER SMEMBERS SMISMEMBER SORT SPOP \
    SRANDMEMBER SREM SSCAN STRLEN SUNION TTL TYPE UNLINK XACK XADD XDEL XLEN XRANGE XREVRANGE \
    XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM \
    ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYSCORE ZSCAN ZSCORE ZUNIONSTORE";

/// Commands that run a script: its text is left out, its first key is shown.
const SCRIPTS: [&str; 6] = ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"];

/// Commands whose second word is a part of the name.
const CONTAINERS: &str = "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE \
    OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG XGROUP XINFO";

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Slow {
    /// When, Unix s.
    pub at_s: i64,
    /// How long it held the server up, microseconds.
    pub took_us: i64,
    /// Its name, and the first key where it has one.
    pub command: String,
    /// Arguments that are left out.
    pub left_out: usize,
    /// Who sent it: a client's name, else its address.
    pub who: String,
}

impl Slow {
    /// Whether it is a script.
    pub(crate) fn is_script(&self) -> bool {
        SCRIPTS.iter().any(|it| self.command.split(' ').next() == Some(it))
    }
}

/// Reads the reply: the slowest first.
pub(crate) fn read(reply: &Value) -> Vec<Slow> {
    let mut all: Vec<Slow> = reply.items().iter().filter_map(entry).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.took_us));
    all.truncate(SHOWN_MAX);
    all
}

fn entry(value: &Value) -> Option<Slow> {
    let [_, at, took, words, who @ ..] = value.items() else { return None };
    let text = |value: &Value| value.text().map(Cow::into_owned).unwrap_or_default();
    let words: Vec<String> = words.items().iter().map(text).collect();
    let (command, shown) = cut(&words);
    let [address, name] = [0, 1].map(|at| who.get(at).map(text).unwrap_or_default());
    Some(Slow {
        at_s: at.int()?,
        took_us: took.int()?,
        command,
        left_out: words.len() - shown,
        who: tame(if name.is_empty() { &address } else { &name }, KEY_CHARS_MAX),
    })
}

/// What is shown of a command, and how many of its words that is.
fn cut(words: &[String]) -> (String, usize) {
    let Some(name) = words.first().map(|it| tame(&it.to_uppercase(), KEY_CHARS_MAX)) else {
        return (String::new(), 0);
    };
    let is_of = |list: &str| list.split_whitespace().any(|it| it == name);
    let second = if is_of(KEYED) {
        words.get(1).map(|key| tame(key, KEY_CHARS_MAX))
    } else if SCRIPTS.contains(&name.as_str()) {
        let keys = words.get(2).and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
        words.get(3).filter(|_| keys > 0).map(|key| tame(key, KEY_CHARS_MAX))
    } else if is_of(CONTAINERS) {
        words.get(1).map(|it| tame(&it.to_uppercase(), KEY_CHARS_MAX))
    } else {
        None
    };
    match second {
        Some(second) => (format!("{name} {second}"), 2),
        None => (name, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (text, shown) = cut(&words);
        format!("{text} +{}", words.len() - shown)
    }

    #[test]
    fn g9_of_a_command_its_name_and_first_key_are_shown_and_nothing_else() {
        for (line, expected) in [
            ("hset book:1 price 99.5", "HSET book:1 +2"),
            ("GET order:7", "GET order:7 +0"),
            ("AUTH hunter2", "AUTH +1"),
            ("AUTH anna hunter2", "AUTH +2"),
            ("CONFIG SET requirepass hunter2", "CONFIG SET +2"),
            ("ACL SETUSER anna >hunter2", "ACL SETUSER +2"),
            ("EVAL return(secret) 1 book:1 hunter2", "EVAL book:1 +3"),
            ("EVALSHA abc 0 hunter2", "EVALSHA +3"),
            ("MIGRATE 10.0.0.1 6379 key 0 10 AUTH hunter2", "MIGRATE +7"),
            ("KEYS customer:*", "KEYS +1"),
            ("MODULE.CMD hunter2", "MODULE.CMD +1"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn the_slowest_entries_come_first_and_others_are_left_out() {
        let entry = |took| {
            Value::List(vec![
                Value::Int(1),
                Value::Int(1_700_000_000),
                Value::Int(took),
                Value::List(vec!["GET".into(), "a\nb".into()]),
                "10.0.0.9:4001".into(),
                "api".into(),
            ])
        };
        let mut entries: Vec<Value> = (1..20).map(entry).collect();
        entries.push(Value::from("rubbish"));
        let slow = read(&Value::List(entries));
        assert_eq!((slow.len(), slow[0].took_us), (8, 19));
        assert_eq!((slow[0].command.as_str(), slow[0].who.as_str()), ("GET a b", "api"));
        assert!(read(&Value::Error("NOPERM".into())).is_empty());
    }
}
