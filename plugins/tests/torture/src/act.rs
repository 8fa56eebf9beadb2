//! Entries: commands that must happen once, and how to see whether they did.

use crate::Act;
use baton_plugin::redis::{Command, Value};
use std::fmt;

/// By which command an entry is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Push,
    Left,
    Note,
    Notify,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    kind: Kind,
    id: String,
}

impl Entry {
    pub(crate) fn new(kind: Kind, id: &str) -> Self {
        Self { kind, id: id.to_owned() }
    }

    /// The entries of an act; none if it leaves none.
    pub(crate) fn of(act: Act, id: &str) -> Vec<Self> {
        let kinds: &[Kind] = match act {
            Act::Look | Act::Set | Act::Stumble | Act::Fail => &[],
            Act::Count => &[Kind::Count],
            Act::Push => &[Kind::Push],
            Act::Left => &[Kind::Left],
            Act::Note => &[Kind::Note],
            Act::All => &[Kind::Push, Kind::Count, Kind::Note],
            Act::Notify => &[Kind::Notify],
        };
        kinds.iter().map(|kind| Self::new(*kind, id)).collect()
    }

    fn key(&self, book: &str) -> String {
        match self.kind {
            Kind::Count => format!("{book}:count:{}", self.id),
            Kind::Push | Kind::Left => format!("{book}:ledger"),
            Kind::Note => format!("{book}:stream"),
            Kind::Notify => format!("{book}:notified"),
        }
    }

    /// Leaves it. The id ends the command, so that its request can be told.
    pub(crate) fn command(&self, book: &str) -> Command {
        let key = self.key(book);
        match self.kind {
            Kind::Count => Command::of(["INCR", &key]),
            Kind::Push | Kind::Notify => Command::of(["RPUSH", &key, &self.id]),
            Kind::Left => Command::of(["LPUSH", &key, &self.id]),
            Kind::Note => Command::of(["XADD", &key, "*", "id", &self.id]),
        }
    }

    /// Whether `request`, as the engine shows it, is the command of this entry.
    pub(crate) fn is_asked_by(&self, request: &str) -> bool {
        let (verb, before) = match self.kind {
            Kind::Count => ("INCR", ':'),
            Kind::Push | Kind::Notify => ("RPUSH", ' '),
            Kind::Left => ("LPUSH", ' '),
            Kind::Note => ("XADD", ' '),
        };
        let start = request.strip_suffix(&self.id);
        request.contains(verb) && start.is_some_and(|start| start.ends_with(before))
    }

    /// Asks for what [`Entry::count`] reads.
    pub(crate) fn question(&self, book: &str) -> Command {
        let key = self.key(book);
        match self.kind {
            Kind::Count => Command::of(["GET", &key]),
            Kind::Push | Kind::Left | Kind::Notify => Command::of(["LRANGE", &key, "0", "-1"]),
            Kind::Note => Command::of(["XRANGE", &key, "-", "+"]),
        }
    }

    /// How often it is there, by the reply.
    pub(crate) fn count(&self, reply: &Value) -> u64 {
        let is = |value: &Value| value.text().is_some_and(|text| text == self.id);
        let count = match self.kind {
            Kind::Count => return reply.int().and_then(|it| it.try_into().ok()).unwrap_or(0),
            Kind::Push | Kind::Left | Kind::Notify => {
                reply.items().iter().filter(|item| is(item)).count()
            }
            // Each is a list of its own id and of fields.
            Kind::Note => {
                let fields = reply.items().iter().filter_map(|note| note.items().get(1));
                fields.filter_map(|fields| fields.field("id")).filter(|id| is(id)).count()
            }
        };
        count.try_into().unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Count => "count",
            Kind::Push | Kind::Left => "ledger",
            Kind::Note => "stream",
            Kind::Notify => "notified",
        };
        write!(out, "{kind}:{}", self.id)
    }
}
