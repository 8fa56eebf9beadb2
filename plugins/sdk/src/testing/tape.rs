//! A real attempt, recorded by Baton and exported by `baton tape export`, as a test.

use super::digest::{self, Asking};
use super::heard;
use crate::exec::Output;
use crate::http;
use crate::probe::Finding;
use crate::redis::{
    Compared, Holdings, Page, RedisError, Replies, Request, StreamPlace, StreamReading, Value,
};
use crate::{CallError, Cluster, Context, Done, Fault, FaultKind, Host, Level, Plugin, Sample};
use serde::Deserialize;
use serde_json::Value as Json;
use std::fmt;
use std::path::Path;

/// The format and the version of it that this SDK plays.
const FORMAT: (&str, u32) = ("baton-tape", 1);

/// A [`Host`] that answers as the world did when the attempt was recorded. A plugin that
/// asks for anything else than it did then panics, and says what.
///
/// ```no_run
/// # use baton_plugin::{Plugin, testing::Tape};
/// # fn check<Promote: Plugin>() {
/// let tape = Tape::load("tests/failover.json").expect("a tape");
/// assert_eq!(Some(tape.replay::<Promote>()), tape.end());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tape {
    context: Context,
    input: Json,
    calls: Vec<Call>,
    end: Option<End>,
    next: usize,
}

/// How a recorded attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this output.
    Output(Json),
    /// With this fault.
    Fault {
        /// Whether trying again may help.
        kind: FaultKind,
        /// Short, stable, kebab-case.
        code: String,
        /// For the operator.
        message: String,
        /// More, for machines.
        details: Json,
    },
}

/// A file is no tape that this SDK plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTape(String);

impl fmt::Display for BadTape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for BadTape {}

#[derive(Deserialize)]
struct File {
    context: FileContext,
    input: Json,
    calls: Vec<Call>,
    end: Json,
}

#[derive(Deserialize)]
struct FileContext {
    run_id: String,
    workflow: String,
    step: String,
    item: u32,
    attempt: u32,
    done: Vec<FileDone>,
}

#[derive(Deserialize)]
struct FileDone {
    attempt: u32,
    index: u32,
    request: String,
    outcome: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Call {
    index: u32,
    function: String,
    request: Vec<String>,
    digest: String,
    answer: Json,
}

impl Tape {
    /// Reads an exported tape; a relative path begins at the crate, as `cargo test` does.
    ///
    /// # Errors
    /// If there is no such file, or it is no tape that this SDK plays.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BadTape> {
        let path = path.as_ref();
        let bad = |why: String| BadTape(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        Self::read(&text).map_err(|error| bad(error.0))
    }

    /// The same from its text.
    ///
    /// # Errors
    /// If it is no tape that this SDK plays.
    pub fn read(text: &str) -> Result<Self, BadTape> {
        let bad = |error: serde_json::Error| BadTape(error.to_string());
        let json: Json = serde_json::from_str(text).map_err(bad)?;
        let (format, version) = FORMAT;
        if json["format"] != format || json["version"] != version {
            return Err(BadTape(format!(
                "it says format {} and version {}; this SDK plays \"{format}\" of version {version}",
                json["format"], json["version"]
            )));
        }
        let file: File = serde_json::from_value(json).map_err(bad)?;
        let it = file.context;
        let done = it.done.into_iter().map(|done| Done {
            attempt: done.attempt,
            index: done.index,
            request: done.request,
            outcome: done.outcome,
        });
        let context = Context {
            run_id: it.run_id,
            workflow: it.workflow,
            step: it.step,
            item: it.item,
            attempt: it.attempt,
            done: done.collect(),
        };
        let end = end(&file.end).map_err(BadTape)?;
        Ok(Self { context, input: file.input, calls: file.calls, end, next: 0 })
    }

    /// The input that the attempt was given.
    pub fn input(&self) -> &Json {
        &self.input
    }

    /// How the attempt ended; none if it was cut off.
    pub fn end(&self) -> Option<End> {
        self.end.clone()
    }

    /// Runs a plugin on the tape from its beginning.
    ///
    /// # Panics
    /// If it asks for anything else than is on the tape, or for less, or for more: then
    /// the attempt had been cut off there.
    pub fn replay<P: Plugin>(&self) -> End {
        let mut host = Self { next: 0, ..self.clone() };
        let ended = crate::run_json::<P, _>(&self.input.to_string(), &mut host);
        if let Some(call) = host.calls.get(host.next) {
            panic!("the plugin ended, but the tape goes on with {call}");
        }
        match ended {
            Ok(output) => End::Output(serde_json::from_str(&output).expect("the output is JSON")),
            Err(Fault { kind, code, message, details }) => {
                End::Fault { kind, code: code.to_owned(), message, details }
            }
        }
    }

    fn heard(&mut self, function: &str, digest: &str, asked: &dyn fmt::Debug) -> &Json {
        let at = self.next;
        let Some(call) = self.calls.get(at) else {
            panic!("the tape ends before the plugin's {function}: {asked:?}");
        };
        assert!(
            call.function == function && call.digest == digest,
            "the tape says {call}; the plugin asked for {function}: {asked:?}"
        );
        self.next += 1;
        &self.calls[at].answer
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "call {}, {} ({})", self.index, self.function, self.request.join("; "))
    }
}

fn end(json: &Json) -> Result<Option<End>, String> {
    if let Some(output) = json.get("output") {
        return Ok(Some(End::Output(output.clone())));
    }
    let Some(fault) = json.get("fault") else { return Ok(None) };
    let text = |key: &str| fault[key].as_str().map(str::to_owned).ok_or(format!("no `{key}`"));
    let kind = match fault["kind"].as_str() {
        Some("retryable") => FaultKind::Retryable,
        Some("permanent") => FaultKind::Permanent,
        _ => return Err("a fault of no known kind".to_owned()),
    };
    let details = fault["details"].clone();
    Ok(Some(End::Fault { kind, code: text("code")?, message: text("message")?, details }))
}

/// The tape was edited, or made by another host.
const BROKEN: &str = "the answers on a tape are as the host wrote them";

impl Host for Tape {
    fn context(&self) -> &Context {
        &self.context
    }

    fn log(&mut self, level: Level, message: &str) {
        let word = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let digest = Asking::of("log.write").text(word).text(message).digest();
        self.heard("log.write", &digest, &message);
    }

    fn now_ms(&mut self) -> u64 {
        let digest = Asking::of("clock.now").digest();
        self.heard("clock.now", &digest, &"").as_u64().expect(BROKEN)
    }

    fn sleep(&mut self, milliseconds: u32) {
        let digest = Asking::of("clock.sleep").number(&milliseconds).digest();
        self.heard("clock.sleep", &digest, &milliseconds);
    }

    fn report(&mut self, done: u64, total: Option<u64>, message: &str) {
        let asking = Asking::of("progress.report").number(&done);
        let asking = match total {
            Some(total) => asking.number(&total),
            None => asking.text(""),
        };
        let digest = asking.text(message).digest();
        self.heard("progress.report", &digest, &message);
    }

    fn describe_cluster(&mut self, name: &str) -> Result<Cluster, RedisError> {
        let digest = Asking::of("redis.describe-cluster").text(name).digest();
        heard::described(self.heard("redis.describe-cluster", &digest, &name)).expect(BROKEN)
    }

    fn lineage(&mut self, cluster: &str) -> Result<Vec<Sample>, RedisError> {
        let digest = Asking::of("redis.lineage").text(cluster).digest();
        heard::samples(self.heard("redis.lineage", &digest, &cluster)).expect(BROKEN)
    }

    fn divergence(
        &mut self,
        cluster: &str,
        address: &str,
        replid: &str,
        place: StreamPlace,
        timeout_ms: u32,
    ) -> Result<StreamReading, RedisError> {
        let digest = digest::divergence(cluster, address, replid, place, timeout_ms);
        let asked = format!("{address}> the stream from {}", place.offset);
        heard::divergence(self.heard("redis.divergence", &digest, &asked)).expect(BROKEN)
    }

    fn call(
        &mut self,
        cluster: &str,
        requests: &[Request],
        timeout_ms: u32,
    ) -> Result<Vec<Result<Vec<Value>, RedisError>>, RedisError> {
        let digest = digest::call(cluster, requests, timeout_ms);
        let asked: Vec<String> = requests
            .iter()
            .flat_map(|request| {
                let show = |command: &crate::redis::Command| {
                    format!("{}> {}", request.address, command.texts().join(" "))
                };
                request.commands.iter().map(show)
            })
            .collect();
        heard::called(self.heard("redis.call", &digest, &asked)).expect(BROKEN)
    }

    fn read_each(
        &mut self,
        cluster: &str,
        address: &str,
        command: &[&str],
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Replies, RedisError> {
        let digest = digest::each(cluster, address, command, keys, timeout_ms);
        let asked = (address, command, keys.len());
        heard::packed(self.heard("redis.read-each", &digest, &asked)).expect(BROKEN)
    }

    fn compare(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let digest = digest::page("redis.compare", &[cluster, left, right], page, timeout_ms);
        heard::compared(self.heard("redis.compare", &digest, page)).expect(BROKEN)
    }

    fn compare_keys(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        database: u32,
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let digest = digest::keys(&[cluster, left, right], database, keys, timeout_ms);
        heard::compared(self.heard("redis.compare-keys", &digest, &keys.len())).expect(BROKEN)
    }

    fn absent(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let digest = digest::page("redis.absent", &[cluster, left, right], page, timeout_ms);
        heard::compared(self.heard("redis.absent", &digest, page)).expect(BROKEN)
    }

    fn inventory(
        &mut self,
        cluster: &str,
        address: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Holdings, RedisError> {
        let digest = digest::page("redis.inventory", &[cluster, address], page, timeout_ms);
        heard::holdings(self.heard("redis.inventory", &digest, page)).expect(BROKEN)
    }

    fn http(
        &mut self,
        endpoint: &str,
        request: &http::Request,
        timeout_ms: u32,
    ) -> Result<http::Response, CallError> {
        let digest = digest::http(endpoint, request, timeout_ms);
        let asked = format!("{endpoint}> {} {}", request.method.word(), request.path);
        heard::http(self.heard("http.send", &digest, &asked)).expect(BROKEN)
    }

    fn exec(
        &mut self,
        command: &str,
        arguments: &[&str],
        timeout_ms: u32,
    ) -> Result<Output, CallError> {
        let digest = digest::exec(command, arguments, timeout_ms);
        heard::exec(self.heard("exec.run", &digest, &(command, arguments))).expect(BROKEN)
    }

    fn probe(&mut self, targets: &[&str], timeout_ms: u32) -> Result<Vec<Finding>, CallError> {
        let digest = digest::probe(targets, timeout_ms);
        heard::probe(self.heard("probe.look", &digest, &targets)).expect(BROKEN)
    }
}

#[cfg(test)]
mod tests;
