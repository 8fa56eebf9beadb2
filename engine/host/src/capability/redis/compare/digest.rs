//! A value in canonical form, as a digest: the same for equal values, however a node
//! keeps them. Sets and hashes have no order, so their elements' digests are sorted.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::super::packed::{Value, Walk};
use super::kind::{At, Kind, piece};
use crate::guest::wit::redis::Holding;

/// Elements of one set or hash whose digests are kept until all are there, 16 bytes each.
const ELEMENTS_MAX: usize = 4_000_000;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has another type than it had a moment ago.
    Changed,
    Because(String),
}

/// A value that is being read.
pub(super) struct Digester {
    pub(super) kind: Kind,
    pub(super) at: At,
    /// Elements that are asked for at a time.
    pub(super) elements: usize,
    whole: Sha256,
    /// Of a set or hash.
    parts: Vec<u128>,
    size: u64,
}

impl Digester {
    pub(super) fn new(kind: Kind, elements: usize) -> Self {
        let mut whole = Sha256::new();
        field(&mut whole, kind.word().as_bytes());
        let at = At::beginning(kind);
        Self { kind, at, elements, whole, parts: Vec::new(), size: 0 }
    }

    /// Takes the answer to what [`At::ask`] asked.
    pub(super) fn feed(&mut self, reply: &[u8]) -> Result<(), Unread> {
        let mut walk = Walk(reply);
        if let Some(Value::Error(text)) = walk.next() {
            if text.starts_with(b"WRONGTYPE") {
                return Err(Unread::Changed);
            }
            // The stream went between two answers; its beginning is compared again anyway.
            if self.kind == Kind::Stream && text.starts_with(b"ERR no such key") {
                self.at = At::End;
                return Ok(());
            }
            return Err(Unread::Because(String::from_utf8_lossy(text).into_owned()));
        }
        let walk = Walk(reply);
        self.at = match (std::mem::replace(&mut self.at, At::End), self.kind) {
            (At::Place(from), Kind::String) => self.string(from, walk),
            (At::Place(from), Kind::List) => self.list(from, walk),
            (At::Place(from), _) => self.sorted_set(from, walk),
            (At::Cursor(_), kind) => self.scanned(kind, walk),
            (At::Entry(_), _) => self.entries(walk),
            (At::Info, _) => self.info(walk),
            (At::Groups, _) => self.groups(walk),
            (At::End, _) => Some(At::End),
        }
        .ok_or_else(|| Unread::Because("its value is answered in no form that is known".into()))?;
        if self.parts.len() > ELEMENTS_MAX {
            return Err(Unread::Because(format!("it has more than {ELEMENTS_MAX} elements")));
        }
        Ok(())
    }

    /// What was read. None: it went away meanwhile.
    pub(super) fn end(mut self, expires_at_ms: Option<u64>) -> Option<Holding> {
        if matches!(self.kind, Kind::Set | Kind::Hash) {
            // A scan may give an element twice.
            self.parts.sort_unstable();
            self.parts.dedup();
            self.size = self.parts.len() as u64;
            for part in &self.parts {
                self.whole.update(part.to_be_bytes());
            }
        }
        let digest = hexadecimal(&self.whole.finalize()[..16]);
        let kind = self.kind.word().to_owned();
        // Only streams and strings may be empty; of a string nothing is told from "".
        let is_there = self.size > 0 || matches!(self.kind, Kind::Stream | Kind::String);
        is_there.then_some(Holding { kind, digest, size: self.size, expires_at_ms })
    }

    fn string(&mut self, from: usize, mut walk: Walk<'_>) -> Option<At> {
        let text = walk.text()?;
        self.whole.update(text);
        self.size += text.len() as u64;
        Some(if text.len() < piece(from) { At::End } else { At::Place(from + text.len()) })
    }

    fn list(&mut self, from: usize, mut walk: Walk<'_>) -> Option<At> {
        let count = walk.array()? as usize;
        for _ in 0..count {
            field(&mut self.whole, walk.text()?);
        }
        self.size += count as u64;
        Some(if count < self.elements { At::End } else { At::Place(from + count) })
    }

    fn sorted_set(&mut self, from: usize, mut walk: Walk<'_>) -> Option<At> {
        let count = walk.array()? as usize / 2;
        for _ in 0..count {
            field(&mut self.whole, walk.text()?);
            let score: f64 = std::str::from_utf8(walk.text()?).ok()?.parse().ok()?;
            self.whole.update(score.to_be_bytes());
        }
        self.size += count as u64;
        Some(if count < self.elements { At::End } else { At::Place(from + count) })
    }

    fn scanned(&mut self, kind: Kind, mut walk: Walk<'_>) -> Option<At> {
        walk.array().filter(|parts| *parts == 2)?;
        let cursor = walk.text()?.to_vec();
        let words = if kind == Kind::Hash { 2 } else { 1 };
        for _ in 0..walk.array()? / words {
            let mut part = Sha256::new();
            for _ in 0..words {
                field(&mut part, walk.text()?);
            }
            let digest = part.finalize();
            self.parts.push(u128::from_be_bytes(digest[..16].try_into().ok()?));
        }
        Some(if cursor == b"0" { At::End } else { At::Cursor(cursor) })
    }

    fn entries(&mut self, mut walk: Walk<'_>) -> Option<At> {
        let count = walk.array()? as usize;
        let mut last = Vec::new();
        for _ in 0..count {
            walk.array().filter(|parts| *parts == 2)?;
            let id = walk.text()?;
            field(&mut self.whole, id);
            last = id.to_vec();
            let words = walk.array()?;
            self.whole.update(words.to_be_bytes());
            for _ in 0..words {
                field(&mut self.whole, walk.text()?);
            }
        }
        self.size += count as u64;
        Some(if count < self.elements { At::Info } else { At::Entry(last) })
    }

    /// Where the stream stands. How a node keeps it (radix trees) is left out.
    fn info(&mut self, walk: Walk<'_>) -> Option<At> {
        self.named(walk, &["last-generated-id", "max-deleted-entry-id", "entries-added"])?;
        Some(At::Groups)
    }

    /// Its groups. Their consumers come and go with reads that are not replicated.
    fn groups(&mut self, mut walk: Walk<'_>) -> Option<At> {
        for _ in 0..walk.array()? {
            self.whole.update(b"group");
            self.named(walk, &["name", "pending", "last-delivered-id"])?;
            walk.pass()?;
        }
        Some(At::End)
    }

    /// Takes the fields of these names from a flat list, in its order.
    fn named(&mut self, mut walk: Walk<'_>, names: &[&str]) -> Option<()> {
        for _ in 0..walk.array()? / 2 {
            let name = walk.text()?;
            let mut value = walk;
            walk.pass()?;
            if !names.iter().any(|known| known.as_bytes() == name) {
                continue;
            }
            match value.next()? {
                Value::Text(text) => field(&mut self.whole, text),
                Value::Integer(number) => self.whole.update(number.to_be_bytes()),
                Value::Null | Value::Error(_) | Value::Array(_) | Value::Other => {}
            }
        }
        Some(())
    }
}

/// Two elements never read as one: each comes behind its length.
fn field(into: &mut Sha256, bytes: &[u8]) {
    into.update((bytes.len() as u64).to_be_bytes());
    into.update(bytes);
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes everything");
        text
    })
}
