//! What a tape's answers say, as the SDK's own types.

use crate::exec::Output;
use crate::http::Response;
use crate::probe::Finding;
use crate::redis::{
    Compared, Difference, ErrorKind, Held, Holding, Holdings, Node, RedisError, Replies,
    StreamPlace, StreamReading, Streamed, Stretch, Unread, Unreadable, Value,
};
use crate::{CallError, Cluster, Member, MemberKind, Mode, Sample};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

/// What one `redis.call` gave.
pub(super) type Called = Result<Vec<Result<Vec<Value>, RedisError>>, RedisError>;

pub(super) fn called(answer: &Json) -> Result<Called, String> {
    result(answer, |members| list(members, |member| result(member, |it| list(it, reply))))
}

pub(super) fn described(answer: &Json) -> Result<Result<Cluster, RedisError>, String> {
    result(answer, cluster)
}

pub(super) fn packed(answer: &Json) -> Result<Result<Replies, RedisError>, String> {
    result(answer, |json| bytes(json).map(Replies::new))
}

pub(super) fn compared(answer: &Json) -> Result<Result<Compared, RedisError>, String> {
    let maybe = |json: &Json| if json.is_null() { Ok(None) } else { holding(json).map(Some) };
    let difference = |json: &Json| {
        let (left, right) = (maybe(&json["left"])?, maybe(&json["right"])?);
        Ok(Difference { key: bytes(&json["key"])?, left, right })
    };
    result(answer, |json| {
        Ok(Compared {
            cursor: whole(json, "cursor")?,
            keys: number(json, "keys")?,
            slowest_us: number(json, "slowest_us")?,
            differences: list(&json["differences"], difference)?,
            unread: list(&json["unread"], unread)?,
        })
    })
}

pub(super) fn holdings(answer: &Json) -> Result<Result<Holdings, RedisError>, String> {
    let held =
        |json: &Json| Ok(Held { key: bytes(&json["key"])?, holding: holding(&json["holding"])? });
    result(answer, |json| {
        Ok(Holdings {
            cursor: whole(json, "cursor")?,
            slowest_us: number(json, "slowest_us")?,
            keys: list(&json["keys"], held)?,
            unread: list(&json["unread"], unread)?,
        })
    })
}

fn holding(json: &Json) -> Result<Holding, String> {
    Ok(Holding {
        kind: text(json, "kind")?,
        digest: text(json, "digest")?,
        size: whole(json, "size")?,
        expires_at_ms: json["expires_at_ms"].as_u64(),
    })
}

fn unread(json: &Json) -> Result<Unread, String> {
    Ok(Unread { key: bytes(&json["key"])?, reason: text(json, "reason")? })
}

fn whole(json: &Json, key: &str) -> Result<u64, String> {
    json[key].as_u64().ok_or_else(|| expected(key, json))
}

pub(super) fn http(answer: &Json) -> Result<Result<Response, CallError>, String> {
    let header = |json: &Json| match json.as_array().map(Vec::as_slice) {
        Some([Json::String(name), Json::String(value)]) => Ok((name.clone(), value.clone())),
        _ => Err(expected("a header", json)),
    };
    result(answer, |json| {
        Ok(Response {
            status: number(json, "status")?,
            headers: list(&json["headers"], header)?,
            body: bytes(&json["body"])?,
        })
    })
}

pub(super) fn exec(answer: &Json) -> Result<Result<Output, CallError>, String> {
    let maybe = |json: &Json, key: &str| {
        if json[key].is_null() { Ok(None) } else { number(json, key).map(Some) }
    };
    result(answer, |json| {
        Ok(Output {
            exit: maybe(json, "exit")?,
            signal: maybe(json, "signal")?,
            stdout: bytes(&json["stdout"])?,
            stderr: bytes(&json["stderr"])?,
            left_out: json["left_out"].as_u64().ok_or_else(|| expected("left_out", json))?,
        })
    })
}

pub(super) fn probe(answer: &Json) -> Result<Result<Vec<Finding>, CallError>, String> {
    let finding = |json: &Json| {
        Ok(Finding {
            up: json["up"].as_bool().ok_or_else(|| expected("up", json))?,
            latency_ms: number(json, "latency_ms")?,
            reason: text(json, "reason")?,
        })
    };
    result(answer, |json| list(json, finding))
}

fn number<T: TryFrom<i64>>(json: &Json, key: &str) -> Result<T, String> {
    let number = json[key].as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| expected(key, json))
}

/// Text where it is UTF-8, else `{"base64": …}`.
fn bytes(json: &Json) -> Result<Vec<u8>, String> {
    match (json.as_str(), json["base64"].as_str()) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).map_err(|error| error.to_string()),
        (None, None) => Err(expected("bytes", json)),
    }
}

pub(super) fn samples(answer: &Json) -> Result<Result<Vec<Sample>, RedisError>, String> {
    result(answer, |samples| list(samples, sample))
}

pub(super) fn divergence(answer: &Json) -> Result<Result<StreamReading, RedisError>, String> {
    result(answer, |json| {
        if let Some(json) = json.get("read") {
            let next = &json["next"];
            return Ok(StreamReading::Read(Stretch {
                end: number(json, "end")?,
                writes: list(&json["writes"], streamed)?,
                idle_bytes: number(json, "idle_bytes")?,
                next: if next.is_null() { None } else { Some(place(next)?) },
            }));
        }
        let it = &json["unreadable"];
        let why = Unreadable::ALL.into_iter().find(|why| it["why"] == why.code());
        let why = why.ok_or_else(|| expected("`read` or `unreadable`", json))?;
        Ok(StreamReading::Unreadable(why, text(it, "message")?))
    })
}

fn place(json: &Json) -> Result<StreamPlace, String> {
    Ok(StreamPlace {
        offset: number(json, "offset")?,
        database: json["database"].as_u64().and_then(|number| u32::try_from(number).ok()),
        transaction: json["transaction"].as_i64(),
    })
}

fn streamed(json: &Json) -> Result<Streamed, String> {
    let StreamPlace { offset, database, transaction } = place(json)?;
    let keys = &json["keys"];
    Ok(Streamed {
        offset,
        size: number(json, "size")?,
        database,
        transaction,
        name: text(json, "name")?,
        keys: if keys.is_null() { None } else { Some(list(keys, bytes)?) },
        whole: json["whole"].as_bool().ok_or_else(|| expected("`whole`", json))?,
        text: text(json, "text")?,
    })
}

fn list<T>(json: &Json, of: impl Fn(&Json) -> Result<T, String>) -> Result<Vec<T>, String> {
    json.as_array().ok_or_else(|| expected("a list", json))?.iter().map(of).collect()
}

fn result<T>(
    json: &Json,
    ok: impl Fn(&Json) -> Result<T, String>,
) -> Result<Result<T, RedisError>, String> {
    if let Some(answer) = json.get("ok") {
        return ok(answer).map(Ok);
    }
    let error = json.get("error").ok_or_else(|| expected("`ok` or `error`", json))?;
    let kind = ErrorKind::ALL.into_iter().find(|kind| error["kind"] == kind.code());
    let kind = kind.ok_or_else(|| expected("a kind of error", &error["kind"]))?;
    Ok(Err(RedisError::new(kind, text(error, "message")?)))
}

fn reply(json: &Json) -> Result<Value, String> {
    Value::from_nodes(list(json, node)?).map_err(|why| why.to_string())
}

fn node(json: &Json) -> Result<Node, String> {
    let object = match json {
        Json::Null => return Ok(Node::Null),
        Json::Bool(it) => return Ok(Node::Bool(*it)),
        Json::String(it) => return Ok(Node::Bulk(it.as_bytes().to_vec())),
        Json::Number(it) => {
            return it.as_i64().map(Node::Int).ok_or_else(|| expected("an integer", json));
        }
        Json::Array(_) => return Err(expected("a node of a reply", json)),
        Json::Object(object) => object,
    };
    let (kind, value) = object.iter().next().ok_or_else(|| expected("a node", json))?;
    let said = || value.as_str().map(str::to_owned).ok_or_else(|| expected("text", value));
    let count = || {
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| expected("a count", value))
    };
    Ok(match kind.as_str() {
        "double" => Node::Double(said()?.parse().map_err(|_| expected("a double", value))?),
        "base64" => Node::Bulk(STANDARD.decode(said()?).map_err(|error| error.to_string())?),
        "simple" => Node::Simple(said()?),
        "error" => Node::Error(said()?),
        "big" => Node::BigNumber(said()?),
        "array" => Node::Array(count()?),
        "map" => Node::Map(count()?),
        "set" => Node::Set(count()?),
        "push" => Node::Push(count()?),
        _ => return Err(expected("a node of a reply", json)),
    })
}

fn cluster(json: &Json) -> Result<Cluster, String> {
    let member = |json: &Json| {
        let kind = match json["kind"].as_str() {
            Some("data") => MemberKind::Data,
            Some("sentinel") => MemberKind::Sentinel,
            _ => return Err(expected("a member", json)),
        };
        // Tapes of before there were zones name none.
        let zone = json["zone"].as_str().map(str::to_owned);
        Ok(Member { address: text(json, "address")?, kind, zone })
    };
    let modes = [Mode::Observe, Mode::Assist, Mode::Lead];
    let mode = modes.into_iter().find(|mode| json["mode"] == mode.name());
    let small = |key: &str| {
        let number = json[key].as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| expected(key, json))
    };
    Ok(Cluster {
        name: text(json, "name")?,
        master_name: text(json, "master_name")?,
        mode: mode.ok_or_else(|| expected("a mode", json))?,
        members: list(&json["members"], member)?,
        down_after_ms: small("down_after_ms")?,
        restart_grace_ms: small("restart_grace_ms")?,
        max_lost_bytes: json["max_lost_bytes"].as_u64().ok_or_else(|| expected("bytes", json))?,
    })
}

fn sample(json: &Json) -> Result<Sample, String> {
    let whole = |key: &str| json[key].as_i64().ok_or_else(|| expected(key, json));
    Ok(Sample {
        address: text(json, "address")?,
        at_ms: json["at_ms"].as_u64().ok_or_else(|| expected("at_ms", json))?,
        run_id: text(json, "run_id")?,
        master: json["master"].as_bool().ok_or_else(|| expected("master", json))?,
        replid: text(json, "replid")?,
        replid2: text(json, "replid2")?,
        second_offset: whole("second_offset")?,
        offset: whole("offset")?,
        keys: json["keys"].as_u64(),
    })
}

fn text(json: &Json, key: &str) -> Result<String, String> {
    json[key].as_str().map(str::to_owned).ok_or_else(|| expected(key, json))
}

fn expected(what: &str, json: &Json) -> String {
    let shown: String = json.to_string().chars().take(60).collect();
    format!("{what} is expected, not {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_read_as_what_the_plugin_heard() {
        let answer = json!({ "ok": [
            { "ok": [[{ "simple": "OK" }], [{ "array": 2 }, "a", { "base64": "/w==" }]] },
            { "error": { "kind": "in-doubt", "message": "look" } },
        ] });
        let expected = Ok(vec![
            Ok(vec![
                Value::Simple("OK".into()),
                Value::List(vec!["a".into(), Value::Bulk(vec![0xff])]),
            ]),
            Err(RedisError::new(ErrorKind::InDoubt, "look")),
        ]);
        assert_eq!(called(&answer), Ok(expected));
    }

    #[test]
    fn answers_of_the_other_doors_are_read() {
        let answer = json!({ "ok": { "status": 200, "headers": [["a", "b"]], "body": "ä" } });
        let response = http(&answer).unwrap().unwrap();
        assert_eq!((response.status, response.body), (200, "ä".into()));
        assert_eq!(response.headers, [("a".to_owned(), "b".to_owned())]);
        let answer = json!({ "ok": { "exit": null, "signal": 9, "stdout": { "base64": "/w==" },
            "stderr": "", "left_out": 7 } });
        let output = exec(&answer).unwrap().unwrap();
        assert_eq!((output.exit, output.signal, output.left_out), (None, Some(9), 7));
        assert_eq!(output.stdout, [0xff]);
        let answer = json!({ "ok": [{ "up": true, "latency_ms": 3, "reason": "it is" }] });
        assert_eq!(probe(&answer).unwrap().unwrap()[0].latency_ms, 3);
        let answer = json!({ "error": { "kind": "timed-out", "message": "late" } });
        assert_eq!(probe(&answer), Ok(Err(CallError::new(ErrorKind::TimedOut, "late"))));
    }

    #[test]
    fn samples_are_read_as_the_host_writes_them() {
        let (run_id, replid) = ("a".repeat(40), "b".repeat(40));
        let answer = json!({ "ok": [{ "address": "h:1", "at_ms": 7, "run_id": run_id,
            "master": true, "replid": replid, "replid2": "0", "second_offset": -1, "offset": 9,
            "keys": null }] });
        let read = samples(&answer).unwrap().unwrap();
        assert_eq!((read[0].offset, read[0].keys, read[0].master), (9, None, true));
        assert!(samples(&json!({ "ok": [{ "address": "h:1" }] })).is_err());
    }

    #[test]
    fn a_stretch_of_a_stream_is_read_as_the_host_writes_it() {
        let write = json!({ "offset": 7, "size": 30, "database": null, "transaction": 5,
            "name": "SET", "keys": ["a", { "base64": "/w==" }], "whole": true, "text": "SET a 1" });
        let answer = json!({ "ok": { "read": { "end": 40, "writes": [write], "idle_bytes": 14,
            "next": { "offset": 37, "database": 3, "transaction": null } } } });
        let Ok(StreamReading::Read(stretch)) = divergence(&answer).unwrap() else {
            panic!("it was read");
        };
        assert_eq!((stretch.end, stretch.idle_bytes), (40, 14));
        let write = &stretch.writes[0];
        assert_eq!((write.offset, write.database, write.transaction), (7, None, Some(5)));
        assert_eq!(write.keys, Some(vec![b"a".to_vec(), vec![0xff]]));
        assert_eq!(stretch.next.map(|it| (it.offset, it.database)), Some((37, Some(3))));
        let answer =
            json!({ "ok": { "unreadable": { "why": "overwritten", "message": "too late" } } });
        let expected = StreamReading::Unreadable(Unreadable::Overwritten, "too late".into());
        assert_eq!(divergence(&answer), Ok(Ok(expected)));
        assert!(divergence(&json!({ "ok": { "unreadable": { "why": "bored" } } })).is_err());
    }

    #[test]
    fn rubbish_is_refused_in_words() {
        for rubbish in [
            json!(null),
            json!({}),
            json!({ "ok": 1 }),
            json!({ "ok": [{ "ok": [[[]]] }] }),
            json!({ "ok": [{ "ok": [[{ "array": 9 }]] }] }),
            json!({ "ok": [{ "error": { "kind": "bored", "message": "" } }] }),
        ] {
            assert!(called(&rubbish).is_err(), "{rubbish}");
            assert!(described(&rubbish).is_err(), "{rubbish}");
            assert!(http(&rubbish).is_err(), "{rubbish}");
            assert!(exec(&rubbish).is_err(), "{rubbish}");
            assert!(probe(&rubbish).is_err(), "{rubbish}");
            assert!(divergence(&rubbish).is_err(), "{rubbish}");
        }
    }
}
