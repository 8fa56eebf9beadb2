//! What `redis.divergence` tells.

use baton_core::Json;
use serde_json::json;

use super::{Answer, Words, bytes, bytes_to_json, expected, name, named, only, text};
use crate::guest::wit::redis::{StreamPlace, StreamReading, Streamed, Stretch, Unreadable};

const REASONS: Words<Unreadable> = &[
    (Unreadable::AnotherHistory, "another-history"),
    (Unreadable::Overwritten, "overwritten"),
    (Unreadable::Refused, "refused"),
];

impl Answer for StreamReading {
    fn to_json(&self) -> Json {
        match self {
            Self::Read(stretch) => json!({ "read": stretch.to_json() }),
            Self::Unreadable((why, message)) => {
                json!({ "unreadable": { "why": name(REASONS, *why), "message": message } })
            }
        }
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        match only(json)? {
            ("read", stretch) => Stretch::from_json(stretch).map(Self::Read),
            ("unreadable", it) => {
                Ok(Self::Unreadable((named(REASONS, it, "why")?, text(it, "message")?)))
            }
            _ => Err(expected("`read` or `unreadable`", json)),
        }
    }
}

impl Answer for Stretch {
    fn to_json(&self) -> Json {
        json!({
            "end": self.end,
            "writes": self.writes.to_json(),
            "idle_bytes": self.idle_bytes,
            "next": self.next.as_ref().map(Answer::to_json),
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let next = &json["next"];
        Ok(Self {
            end: whole(json, "end")?,
            writes: Vec::from_json(&json["writes"])?,
            idle_bytes: u64::from_json(&json["idle_bytes"])?,
            next: if next.is_null() { None } else { Some(StreamPlace::from_json(next)?) },
        })
    }
}

impl Answer for StreamPlace {
    fn to_json(&self) -> Json {
        json!({
            "offset": self.offset,
            "database": self.database,
            "transaction": self.transaction,
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self {
            offset: whole(json, "offset")?,
            database: database(json)?,
            transaction: json["transaction"].as_i64(),
        })
    }
}

impl Answer for Streamed {
    fn to_json(&self) -> Json {
        let keys =
            |keys: &Vec<Vec<u8>>| keys.iter().map(|it| bytes_to_json(it)).collect::<Vec<_>>();
        json!({
            "offset": self.offset,
            "size": self.size,
            "database": self.database,
            "transaction": self.transaction,
            "name": self.name,
            "keys": self.keys.as_ref().map(keys),
            "whole": self.whole,
            "text": self.text,
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let list = |keys: &Vec<Json>| keys.iter().map(bytes).collect::<Result<_, _>>();
        Ok(Self {
            offset: whole(json, "offset")?,
            size: u64::from_json(&json["size"])?,
            database: database(json)?,
            transaction: json["transaction"].as_i64(),
            name: text(json, "name")?,
            keys: json["keys"].as_array().map(list).transpose()?,
            whole: json["whole"].as_bool().ok_or_else(|| expected("`whole`", json))?,
            text: text(json, "text")?,
        })
    }
}

fn whole(json: &Json, key: &str) -> Result<i64, String> {
    json[key].as_i64().ok_or_else(|| expected(&format!("a whole number as `{key}`"), json))
}

fn database(json: &Json) -> Result<Option<u32>, String> {
    let database = &json["database"];
    let number = || database.as_u64().and_then(|number| u32::try_from(number).ok());
    if database.is_null() {
        return Ok(None);
    }
    number().map(Some).ok_or_else(|| expected("a database", database))
}
