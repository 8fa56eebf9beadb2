//! Answers as text. One way to write and read each type that crosses the wall as an
//! answer; what they are together is [`crate::TAPE_VERSION`].
//!
//! Bytes are text where they are UTF-8, else `{"base64": …}`. A reply is the flat list
//! of its nodes, as in the WIT. Reading never panics: a tape may come from a file.

mod divergence;
mod doors;
mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_core::Json;
use serde_json::json;

pub(crate) use keys::Bytes;

use crate::guest::wit::redis::{Cluster, Error, ErrorKind, Member, MemberKind, Mode, Node, Sample};

/// Something that a guest is told.
pub(crate) trait Answer: Sized {
    fn to_json(&self) -> Json;
    /// # Errors
    /// In words, if `json` is none.
    fn from_json(json: &Json) -> Result<Self, String>;
}

pub(super) fn write<T: Answer>(answer: &T) -> String {
    answer.to_json().to_string()
}

pub(super) fn read<T: Answer>(text: &str) -> Result<T, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    T::from_json(&json)
}

impl Answer for () {
    fn to_json(&self) -> Json {
        Json::Null
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        if json.is_null() { Ok(()) } else { Err(expected("null", json)) }
    }
}

impl Answer for u64 {
    fn to_json(&self) -> Json {
        json!(self)
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        json.as_u64().ok_or_else(|| expected("a whole number", json))
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn to_json(&self) -> Json {
        Json::Array(self.iter().map(Answer::to_json).collect())
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        json.as_array().ok_or_else(|| expected("a list", json))?.iter().map(T::from_json).collect()
    }
}

/// Why there is nothing to tell: `{"kind": …, "message": …}`.
trait Refusal: Sized {
    fn to_json(&self) -> Json;
    fn from_json(json: &Json) -> Result<Self, String>;
}

impl<T: Answer, E: Refusal> Answer for Result<T, E> {
    fn to_json(&self) -> Json {
        match self {
            Ok(answer) => json!({ "ok": answer.to_json() }),
            Err(error) => json!({ "error": error.to_json() }),
        }
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        match only(json)? {
            ("ok", answer) => T::from_json(answer).map(Ok),
            ("error", error) => E::from_json(error).map(Err),
            _ => Err(expected("`ok` or `error`", json)),
        }
    }
}

impl Refusal for Error {
    fn to_json(&self) -> Json {
        json!({ "kind": name(KINDS, self.kind), "message": self.message })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self { kind: named(KINDS, json, "kind")?, message: text(json, "message")? })
    }
}

impl Answer for Node {
    fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Boolean(it) => json!(it),
            Self::Integer(it) => json!(it),
            // Text, so that infinities and every digit survive.
            Self::Double(it) => json!({ "double": it.to_string() }),
            Self::Bulk(bytes) => bytes_to_json(bytes),
            Self::Simple(it) => json!({ "simple": it }),
            Self::Error(it) => json!({ "error": it }),
            Self::BigNumber(it) => json!({ "big": it }),
            Self::Array(it) => json!({ "array": it }),
            Self::Map(it) => json!({ "map": it }),
            Self::Set(it) => json!({ "set": it }),
            Self::Push(it) => json!({ "push": it }),
        }
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let (kind, value) = match json {
            Json::Null => return Ok(Self::Null),
            Json::Bool(it) => return Ok(Self::Boolean(*it)),
            Json::String(it) => return Ok(Self::Bulk(it.as_bytes().to_vec())),
            Json::Number(it) => {
                return it.as_i64().map(Self::Integer).ok_or_else(|| expected("an integer", json));
            }
            Json::Array(_) => return Err(expected("a node of a reply", json)),
            Json::Object(_) => only(json)?,
        };
        let said = || value.as_str().ok_or_else(|| expected("text", value));
        let count = || {
            let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
            count.ok_or_else(|| expected("a count", value))
        };
        Ok(match kind {
            "double" => Self::Double(said()?.parse().map_err(|_| expected("a double", value))?),
            "base64" => Self::Bulk(STANDARD.decode(said()?).map_err(|error| error.to_string())?),
            "simple" => Self::Simple(said()?.to_owned()),
            "error" => Self::Error(said()?.to_owned()),
            "big" => Self::BigNumber(said()?.to_owned()),
            "array" => Self::Array(count()?),
            "map" => Self::Map(count()?),
            "set" => Self::Set(count()?),
            "push" => Self::Push(count()?),
            _ => return Err(expected("a node of a reply", json)),
        })
    }
}

impl Answer for Cluster {
    fn to_json(&self) -> Json {
        let member = |member: &Member| json!({ "address": member.address, "kind": name(MEMBERS, member.kind), "zone": member.zone });
        json!({
            "name": self.name,
            "master_name": self.master_name,
            "mode": name(MODES, self.mode),
            "members": self.members.iter().map(member).collect::<Vec<_>>(),
            "down_after_ms": self.down_after_ms,
            "restart_grace_ms": self.restart_grace_ms,
            "max_lost_bytes": self.max_lost_bytes,
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let member = |json: &Json| {
            Ok(Member {
                address: text(json, "address")?,
                kind: named(MEMBERS, json, "kind")?,
                // Tapes of before there were zones name none.
                zone: json["zone"].as_str().map(str::to_owned),
            })
        };
        let members = json["members"].as_array().ok_or_else(|| expected("members", json))?;
        let small = |key: &str| {
            let number = json[key].as_u64().and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| format!("`{key}` is no number of milliseconds"))
        };
        Ok(Self {
            name: text(json, "name")?,
            master_name: text(json, "master_name")?,
            mode: named(MODES, json, "mode")?,
            members: members.iter().map(member).collect::<Result<_, String>>()?,
            down_after_ms: small("down_after_ms")?,
            restart_grace_ms: small("restart_grace_ms")?,
            max_lost_bytes: u64::from_json(&json["max_lost_bytes"])?,
        })
    }
}

impl Answer for Sample {
    fn to_json(&self) -> Json {
        json!({
            "address": self.address,
            "at_ms": self.at_ms,
            "run_id": self.run_id,
            "master": self.master,
            "replid": self.replid,
            "replid2": self.replid2,
            "second_offset": self.second_offset,
            "offset": self.offset,
            "keys": self.keys,
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let whole =
            |key: &str| json[key].as_i64().ok_or_else(|| expected("a whole number", &json[key]));
        Ok(Self {
            address: text(json, "address")?,
            at_ms: u64::from_json(&json["at_ms"])?,
            run_id: text(json, "run_id")?,
            master: json["master"].as_bool().ok_or_else(|| expected("`master`", json))?,
            replid: text(json, "replid")?,
            replid2: text(json, "replid2")?,
            second_offset: whole("second_offset")?,
            offset: whole("offset")?,
            keys: json["keys"].as_u64(),
        })
    }
}

/// The words for the values of an enum of the WIT, spelt as there.
type Words<T> = &'static [(T, &'static str)];

const KINDS: Words<ErrorKind> = &[
    (ErrorKind::Denied, "denied"),
    (ErrorKind::NotFound, "not-found"),
    (ErrorKind::Refused, "refused"),
    (ErrorKind::Unreachable, "unreachable"),
    (ErrorKind::TimedOut, "timed-out"),
    (ErrorKind::Closed, "closed"),
    (ErrorKind::Unauthorized, "unauthorized"),
    (ErrorKind::Protocol, "protocol"),
    (ErrorKind::Limit, "limit"),
    (ErrorKind::Internal, "internal"),
    (ErrorKind::InDoubt, "in-doubt"),
];
const MODES: Words<Mode> =
    &[(Mode::Observe, "observe"), (Mode::Assist, "assist"), (Mode::Lead, "lead")];
const MEMBERS: Words<MemberKind> =
    &[(MemberKind::Data, "data"), (MemberKind::Sentinel, "sentinel")];

fn name<T: PartialEq + Copy>(words: Words<T>, value: T) -> &'static str {
    words.iter().find(|(known, _)| *known == value).map_or("unknown", |(_, word)| word)
}

fn named<T: Copy>(words: Words<T>, json: &Json, key: &str) -> Result<T, String> {
    let word = text(json, key)?;
    let known = words.iter().find(|(_, known)| *known == word);
    known.map(|(value, _)| *value).ok_or_else(|| format!("`{key}` is none that is known: {word}"))
}

fn text(json: &Json, key: &str) -> Result<String, String> {
    json[key].as_str().map(str::to_owned).ok_or_else(|| expected(&format!("text as `{key}`"), json))
}

fn bytes_to_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// As [`bytes_to_json`] writes them.
fn bytes(json: &Json) -> Result<Vec<u8>, String> {
    if let Some(text) = json.as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    match only(json)? {
        ("base64", Json::String(text)) => STANDARD.decode(text).map_err(|error| error.to_string()),
        _ => Err(expected("bytes", json)),
    }
}

/// The one member of an object.
fn only(json: &Json) -> Result<(&str, &Json), String> {
    let object = json.as_object().filter(|object| object.len() == 1);
    let first = object.and_then(|object| object.iter().next());
    first.map(|(key, value)| (key.as_str(), value)).ok_or_else(|| expected("one member", json))
}

fn expected(what: &str, json: &Json) -> String {
    let shown: String = json.to_string().chars().take(60).collect();
    format!("{what} is expected, not {shown}")
}
