//! `torture`: commands that must happen once, each leaving a trace by which a test can
//! count it. For the tests that kill the engine in between; not shipped.
//!
//! It behaves as the contract asks of a plugin with such commands: what an earlier
//! attempt has done is not done again, and where that is in doubt it looks.

mod act;

use act::{Entry, Kind};
use baton_plugin::redis::{Command, RedisError, Request, Value};
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};

/// Longest wait for the server, ms.
const TIMEOUT_MS: u32 = 2_000;
/// Looks at the world after a call in doubt. More would hide what the test looks for.
const LOOKS_MAX: u32 = 3;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The server, `host:port`.
    pub address: String,
    /// All keys begin with it.
    pub book: String,
    /// What its entries are called; no two steps have the same.
    pub name: String,
    /// One after the other.
    pub acts: Vec<Act>,
    /// What it relies on after a crash.
    pub memory: Memory,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Reads.
    Look,
    /// Sets a key: harmless to repeat.
    Set,
    /// INCR of a counter of its own.
    Count,
    /// RPUSH to the ledger.
    Push,
    /// LPUSH to the ledger.
    Left,
    /// XADD to the stream.
    Note,
    /// RPUSH to the ledger, INCR and XADD in one pipeline.
    All,
    /// RPUSH to the notifications.
    Notify,
    /// Fails in the first attempt, and may be tried again.
    Stumble,
    /// Fails.
    Fail,
}

/// What a later attempt relies on.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// `context.done`: it is run anew and told what was done.
    Done,
    /// The tape: it is run again on recorded results, and need not ask.
    Tape,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// How the entries are called.
    pub name: String,
    /// Traces found in the end, in order; each has been left once.
    pub entries: Vec<String>,
}

/// The plugin.
pub struct Torture;

impl Plugin for Torture {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "torture",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Makes commands that must happen once",
            redis_commands: &["GET", "LRANGE", "XRANGE", "SET", "INCR", "RPUSH", "LPUSH", "XADD"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let mut left = Vec::new();
        for (number, act) in input.acts.iter().enumerate() {
            let id = format!("{}.{number}", input.name);
            match act {
                Act::Stumble if host.context().attempt == 1 => {
                    return Err(Fault::retryable("stumbled", "as it was told to, once"));
                }
                Act::Stumble => {}
                Act::Fail => return Err(Fault::permanent("failed", "as it was told to")),
                Act::Look => drop(trace(host, &input, &Entry::new(Kind::Push, &id))?),
                Act::Set => {
                    let key = format!("{}:set:{id}", input.book);
                    ask(host, &input, vec![Command::of(["SET", &key, "yes"])])
                        .map_err(|error| Fault::from_redis("SET", &error))?;
                }
                Act::Count | Act::Push | Act::Left | Act::Note | Act::All | Act::Notify => {
                    let entries = Entry::of(*act, &id);
                    leave(host, &input, &entries)?;
                    left.extend(entries);
                }
            }
        }
        let entries = left
            .iter()
            .map(|entry| Ok(format!("{entry} {}", trace(host, &input, entry)?)))
            .collect::<Result<_, Fault>>()?;
        Ok(Output { name: input.name, entries })
    }
}

/// Leaves each entry once, whatever an earlier attempt has done of it.
fn leave<H: Host>(host: &mut H, input: &Input, entries: &[Entry]) -> Result<(), Fault> {
    let mut missing = Vec::new();
    for entry in entries {
        if input.memory == Memory::Tape || !is_done(host, input, entry)? {
            missing.push(entry);
        }
    }
    for _ in 0..LOOKS_MAX {
        if missing.is_empty() {
            return Ok(());
        }
        let commands = missing.iter().map(|entry| entry.command(&input.book)).collect();
        match ask(host, input, commands) {
            Ok(replies) => return refused(&replies),
            // What was not told to be in doubt was not sent: the engine may try again.
            Err(error) if !in_doubt(&error) => return Err(Fault::from_redis("leave", &error)),
            Err(_) => {}
        }
        let mut still = Vec::new();
        for entry in missing {
            if trace(host, input, entry)? == 0 {
                still.push(entry);
            }
        }
        missing = still;
    }
    Err(Fault::permanent("in-doubt", format!("{} stay in doubt", missing.len())))
}

/// Whether an earlier attempt has left `entry`. Where it may have, the world is asked.
fn is_done<H: Host>(host: &mut H, input: &Input, entry: &Entry) -> Result<bool, Fault> {
    let last = host.context().done.iter().rev().find(|done| entry.is_asked_by(&done.request));
    match last.map(|done| done.outcome.clone()) {
        None => Ok(false),
        Some(Some(outcome)) => Ok(!outcome.starts_with("not sent")),
        Some(None) => Ok(trace(host, input, entry)? > 0),
    }
}

/// How often `entry` is there.
fn trace<H: Host>(host: &mut H, input: &Input, entry: &Entry) -> Result<u64, Fault> {
    let replies = ask(host, input, vec![entry.question(&input.book)])
        .map_err(|error| Fault::from_redis("look", &error))?;
    Ok(replies.first().map_or(0, |reply| entry.count(reply)))
}

fn ask<H: Host>(
    host: &mut H,
    input: &Input,
    commands: Vec<Command>,
) -> Result<Vec<Value>, RedisError> {
    let request = Request::new(input.address.clone(), commands);
    host.call(&input.cluster, &[request], TIMEOUT_MS)?.pop().unwrap_or_else(|| Ok(Vec::new()))
}

/// The words are the host's: it knows what was sent, and says what may have been done.
fn in_doubt(error: &RedisError) -> bool {
    error.kind.code() == "in-doubt" || error.message.contains("in doubt")
}

fn refused(replies: &[Value]) -> Result<(), Fault> {
    match replies.iter().find_map(Value::error) {
        Some(text) => Err(Fault::permanent("refused", format!("the server refused: {text}"))),
        None => Ok(()),
    }
}

baton_plugin::export!(Torture);

#[cfg(test)]
mod tests;
