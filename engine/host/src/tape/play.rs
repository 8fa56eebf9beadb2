//! The tape of an attempt that was cut off, call by call, and how a guest leaves it.

use std::fmt;
use std::sync::Arc;

use baton_core::run::event::{Call, TapeEntry};

use super::Asked;
use crate::trap::Stop;

/// Plays a tape.
pub(super) struct Player {
    entries: Vec<Arc<TapeEntry>>,
    /// Number of the entry that comes next.
    next: usize,
    /// Changing calls with intents on disk; those behind the last entry were in flight.
    calls: Vec<Call>,
    beyond: Beyond,
}

/// What comes after the last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// The world.
    Live,
    /// Nothing: the guest is stopped.
    Stop,
}

/// What the tape holds for a call.
pub(super) enum Next {
    /// Its answer.
    Heard(Arc<TapeEntry>),
    /// Nothing more. These changes of the call were on their way.
    End(Vec<Call>),
}

/// A guest did not do again what its tape says. Its display is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Number of the host call.
    pub index: u32,
    /// How many calls of the tape were made again before, the same.
    pub same: usize,
    /// What the tape has there, in words; none: it ends before.
    pub taped: Option<String>,
    /// What the guest asked, in words; none: it had ended.
    pub asked: Option<String>,
    why: String,
}

impl Player {
    pub(super) fn new(entries: Vec<Arc<TapeEntry>>, calls: Vec<Call>, beyond: Beyond) -> Self {
        Self { entries, next: 0, calls, beyond }
    }

    pub(super) fn next(
        &mut self,
        first: u32,
        numbers: u32,
        asked: &Asked,
    ) -> Result<Next, wasmtime::Error> {
        let words = named(asked.function, &asked.request);
        let Some(entry) = self.entries.get(self.next) else {
            return self.at_end(first, numbers, words).map_err(|left| Stop::from(left).into());
        };
        let same = entry.index == first
            && entry.function == asked.function
            && entry.digest == asked.digest;
        if !same {
            let taped = named(&entry.function, &entry.request);
            return Err(Stop::from(self.left(first, Some(taped), Some(words))).into());
        }
        self.next += 1;
        Ok(Next::Heard(Arc::clone(entry)))
    }

    fn at_end(&self, first: u32, numbers: u32, words: String) -> Result<Next, Divergence> {
        if self.beyond == Beyond::Stop {
            return Err(self.left(first, None, Some(words)));
        }
        let in_flight = self.calls.iter().filter(|call| call.index >= first);
        let cut: Vec<Call> = in_flight.cloned().collect();
        // One call at a time: whatever was in flight, this is it.
        match cut.iter().find(|call| call.index - first >= numbers) {
            Some(other) => Err(self.left(first, Some(other.request.clone()), Some(words))),
            None => Ok(Next::End(cut)),
        }
    }

    pub(super) fn end(&self, numbers: u32) -> Result<(), Divergence> {
        if let Some(entry) = self.entries.get(self.next) {
            let taped = named(&entry.function, &entry.request);
            return Err(self.left(entry.index, Some(taped), None));
        }
        match self.calls.iter().find(|call| call.index >= numbers) {
            Some(call) => Err(self.left(call.index, Some(call.request.clone()), None)),
            None => Ok(()),
        }
    }

    fn left(&self, index: u32, taped: Option<String>, asked: Option<String>) -> Divergence {
        let was = |it: &str| format!("the tape says that call {index} was {it}");
        let why = match (&taped, &asked) {
            (Some(taped), Some(asked)) if taped == asked => {
                format!(
                    "{}; replayed, the plugin asked for the same with other arguments than are shown",
                    was(taped)
                )
            }
            (Some(taped), Some(asked)) => {
                format!("{}; replayed, the plugin asked for {asked}", was(taped))
            }
            (Some(taped), None) => format!("{}; replayed, the plugin ended before it", was(taped)),
            (None, Some(asked)) => format!("the tape ends before call {index}: {asked}"),
            (None, None) => format!("the tape ends at call {index}"),
        };
        Divergence { index, same: self.next, taped, asked, why }
    }
}

impl Divergence {
    /// An entry that says nothing to this host.
    pub(super) fn unreadable(entry: &TapeEntry, why: &str) -> Self {
        let taped = named(&entry.function, &entry.request);
        let why = format!("the answer to call {}, {taped}, cannot be read: {why}", entry.index);
        Self { index: entry.index, same: 0, taped: Some(taped.clone()), asked: Some(taped), why }
    }

    /// A change that was in flight, and is not the one that the guest now asks for.
    pub(crate) fn in_flight(index: u32, taped: &str, now: &str) -> Self {
        let why = format!(
            "call {index}, {taped}, was on its way when the attempt was cut off; replayed, {now}"
        );
        let (taped, asked) = (Some(taped.to_owned()), Some(now.to_owned()));
        Self { index, same: 0, taped, asked, why }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// `redis.call (127.0.0.1:7001> PING)`.
fn named(function: &str, request: &str) -> String {
    if request.is_empty() {
        return function.to_owned();
    }
    format!("{function} ({})", request.replace('\n', "; "))
}
