//! What `http`, `exec` and `probe` tell.

use baton_core::Json;
use serde_json::json;

use super::{Answer, Refusal, Words, bytes, bytes_to_json, expected, name, named, text};
use crate::guest::wit::exec::Output;
use crate::guest::wit::http::{Header, Response};
use crate::guest::wit::probe::Finding;
use crate::guest::wit::types::{Error, ErrorKind};

const KINDS: Words<ErrorKind> = &[
    (ErrorKind::Denied, "denied"),
    (ErrorKind::NotFound, "not-found"),
    (ErrorKind::Refused, "refused"),
    (ErrorKind::Unreachable, "unreachable"),
    (ErrorKind::TimedOut, "timed-out"),
    (ErrorKind::Closed, "closed"),
    (ErrorKind::Protocol, "protocol"),
    (ErrorKind::Limit, "limit"),
    (ErrorKind::Internal, "internal"),
    (ErrorKind::InDoubt, "in-doubt"),
];

impl Refusal for Error {
    fn to_json(&self) -> Json {
        json!({ "kind": name(KINDS, self.kind), "message": self.message })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self { kind: named(KINDS, json, "kind")?, message: text(json, "message")? })
    }
}

impl Answer for Response {
    fn to_json(&self) -> Json {
        let header = |it: &Header| json!([it.name, it.value]);
        json!({
            "status": self.status,
            "headers": self.headers.iter().map(header).collect::<Vec<_>>(),
            "body": bytes_to_json(&self.body),
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let headers = json["headers"].as_array().ok_or_else(|| expected("headers", json))?;
        let header = |json: &Json| match json.as_array().map(Vec::as_slice) {
            Some([Json::String(name), Json::String(value)]) => {
                Ok(Header { name: name.clone(), value: value.clone() })
            }
            _ => Err(expected("name and value of a header", json)),
        };
        Ok(Self {
            status: number(json, "status")?,
            headers: headers.iter().map(header).collect::<Result<_, _>>()?,
            body: bytes(&json["body"])?,
        })
    }
}

impl Answer for Output {
    fn to_json(&self) -> Json {
        json!({
            "exit": self.exit,
            "signal": self.signal,
            "stdout": bytes_to_json(&self.stdout),
            "stderr": bytes_to_json(&self.stderr),
            "left_out": self.left_out,
        })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let maybe = |key: &str| {
            if json[key].is_null() { Ok(None) } else { number(json, key).map(Some) }
        };
        Ok(Self {
            exit: maybe("exit")?,
            signal: maybe("signal")?,
            stdout: bytes(&json["stdout"])?,
            stderr: bytes(&json["stderr"])?,
            left_out: u64::from_json(&json["left_out"])?,
        })
    }
}

impl Answer for Finding {
    fn to_json(&self) -> Json {
        json!({ "up": self.up, "latency_ms": self.latency_ms, "reason": self.reason })
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self {
            up: json["up"].as_bool().ok_or_else(|| expected("`up`", json))?,
            latency_ms: number(json, "latency_ms")?,
            reason: text(json, "reason")?,
        })
    }
}

fn number<T: TryFrom<i64>>(json: &Json, key: &str) -> Result<T, String> {
    let number = json[key].as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| expected(&format!("a number as `{key}`"), json))
}
