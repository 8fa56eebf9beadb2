//! One batch in the log.
//!
//! ```text
//! <magic, 4> <crc of what follows up to the body, 4>
//! <batch, 8> <changes that are news, 4> <bytes of runs, 4> <bytes of body, 4> <crc of body, 4>
//! <runs: their ids, a line each>
//! <body: changes, each <0 or 1> <bytes of key, 2> <bytes of value, 4> <key> <value>>
//! ```
//! Numbers are big-endian. The runs that a batch is about have a checksum of their own, so
//! that a damaged body still says whom it concerned.

use std::collections::BTreeSet;

use baton_core::id::RunId;

use crate::journal::keys;
use crate::journal::ledger::Change;

const MAGIC: [u8; 4] = *b"BJ\xf7\x01";
const HEAD_BYTES: usize = 32;
const CHANGE_HEAD_BYTES: usize = 7;

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Frame {
    /// Its number.
    pub(in crate::journal) batch: u64,
    /// What changed.
    pub(in crate::journal) changes: Vec<Change>,
    /// The first so many of these are news. The others were true already, and are
    /// written again so that an older segment can go.
    pub(in crate::journal) news: usize,
}

/// What is found in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Piece {
    /// A whole frame.
    Frame(Frame),
    /// A frame whose body is damaged or cut short.
    Headed {
        /// Its number.
        batch: u64,
        /// The runs that it was about.
        runs: BTreeSet<RunId>,
    },
    /// Bytes that are no frame.
    Rubble,
}

impl Frame {
    /// As bytes.
    pub(in crate::journal) fn encode(&self) -> Vec<u8> {
        let runs: BTreeSet<RunId> =
            self.changes.iter().filter_map(|(key, _)| keys::about(key)).collect();
        let runs: String = runs.iter().flat_map(|run| [run.as_str(), "\n"]).collect();
        let mut body = Vec::new();
        for (key, value) in &self.changes {
            let bytes = value.as_deref().unwrap_or_default();
            body.push(u8::from(value.is_some()));
            body.extend(u16::try_from(key.len()).expect("keys are short").to_be_bytes());
            body.extend(count(bytes.len()));
            body.extend(key);
            body.extend(bytes);
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + runs.len() + body.len());
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(self.batch.to_be_bytes());
        bytes.extend(count(self.news));
        bytes.extend(count(runs.len()));
        bytes.extend(count(body.len()));
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
        bytes.extend(runs.as_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        bytes.extend(body);
        bytes
    }
}

fn count(things: usize) -> [u8; 4] {
    u32::try_from(things).expect("a batch is far below 4 GiB").to_be_bytes()
}

/// The pieces of a segment, in order.
pub(in crate::journal) struct Pieces<'b> {
    bytes: &'b [u8],
    /// Where the next one begins.
    pub(in crate::journal) at: usize,
}

impl<'b> Pieces<'b> {
    /// From byte `at` on, where a piece begins.
    pub(in crate::journal) fn from(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let Some(head) = Head::read(rest) else {
            let next = (1..rest.len()).find(|at| Head::read(&rest[*at..]).is_some());
            self.at += next.unwrap_or(rest.len());
            return Some(Piece::Rubble);
        };
        let (from, to) = (head.body_at, head.body_at + head.body_bytes);
        self.at += to.min(rest.len());
        let changes =
            rest.get(from..to).filter(|body| crc32fast::hash(body) == head.crc).and_then(changes);
        Some(match changes {
            Some(changes) => Piece::Frame(Frame { batch: head.batch, changes, news: head.news }),
            None => Piece::Headed { batch: head.batch, runs: head.runs },
        })
    }
}

struct Head {
    batch: u64,
    news: usize,
    runs: BTreeSet<RunId>,
    body_at: usize,
    body_bytes: usize,
    crc: u32,
}

impl Head {
    /// The head at the beginning of `bytes`, if it is whole.
    fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.strip_prefix(&MAGIC).and(bytes.first_chunk::<HEAD_BYTES>())?;
        let word = |at: usize| {
            let word = head[at..].first_chunk::<4>().expect("the head has 32 bytes");
            u32::from_be_bytes(*word)
        };
        let size = |at: usize| usize::try_from(word(at)).unwrap_or(usize::MAX);
        let body_at = HEAD_BYTES.checked_add(size(20))?;
        if crc32fast::hash(bytes.get(8..body_at)?) != word(4) {
            return None;
        }
        let runs = std::str::from_utf8(&bytes[HEAD_BYTES..body_at]).ok()?;
        Some(Self {
            batch: keys::number(&head[8..16])?,
            news: size(16),
            runs: runs.lines().filter_map(|run| run.parse().ok()).collect(),
            body_at,
            body_bytes: size(24),
            crc: word(28),
        })
    }
}

fn changes(mut body: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_first_chunk::<CHANGE_HEAD_BYTES>()?;
        let key_bytes = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let value_bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let (key, rest) = rest.split_at_checked(key_bytes)?;
        let (value, rest) = rest.split_at_checked(usize::try_from(value_bytes).ok()?)?;
        changes.push((key.to_vec(), (head[0] == 1).then(|| value.to_vec())));
        body = rest;
    }
    Some(changes)
}
