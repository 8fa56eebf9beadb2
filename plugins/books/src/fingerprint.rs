//! What the books were at one time, small enough to be kept: one line an instrument.

use crate::source::{KeyList, is_wrong_type};
use crate::{Fields, Keys, Meta, Source, Template, number};
use baton_plugin::redis::View;
use baton_plugin::redis::{Command, Value};
use baton_plugin::{Fault, Host, JsonSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often the instruments that moved while they were read are read again.
const ROUNDS_MAX: u32 = 20;
/// Instruments read between two looks at their meta hashes.
const BATCH: usize = 500;
/// Where snapshot-orderbook stores it.
pub const KEY: &str = "baton:orderbook:fingerprint";
/// As long as a fingerprint's text may be: it is the output of a step, which has 1 MiB.
pub const BYTES_MAX: usize = 960 * 1024;

/// The books at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// When it was taken, Unix ms.
    pub taken_at_ms: u64,
    /// The node that was read.
    pub master: String,
    /// Each instrument, by name.
    pub instruments: Vec<Line>,
}

/// One instrument: name, seq, checksum, sum of the bids, sum of the asks, members of the
/// bids, members of the asks, trades ever added to the stream (null: the node does not
/// say).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line(
    pub String,
    pub u64,
    pub String,
    pub String,
    pub String,
    pub u64,
    pub u64,
    pub Option<u64>,
);

impl Line {
    /// What was read of an instrument; none where its seq is no number.
    pub fn of(
        isin: &str,
        meta: &Meta<'_>,
        bids: u64,
        asks: u64,
        trades: Option<u64>,
    ) -> Option<Self> {
        let text = |it: Option<&[u8]>| String::from_utf8_lossy(it.unwrap_or_default()).into_owned();
        Some(Self(
            isin.to_owned(),
            number(meta.seq)?,
            text(meta.checksum),
            text(meta.bid_qty),
            text(meta.ask_qty),
            bids,
            asks,
            trades,
        ))
    }

    /// The instrument.
    pub fn isin(&self) -> &str {
        &self.0
    }

    /// The number of its last event.
    pub fn seq(&self) -> u64 {
        self.1
    }

    /// Trades ever added to its stream.
    pub fn trades(&self) -> Option<u64> {
        self.7
    }

    /// What is not as in `then`, in words, where both are of one sequence number.
    pub fn differs(&self, then: &Self) -> Option<String> {
        let mut all = Vec::new();
        let pairs = [
            ("checksum", &self.2, &then.2),
            ("the bids' sum", &self.3, &then.3),
            ("the asks' sum", &self.4, &then.4),
        ];
        for (what, now, before) in pairs.into_iter().filter(|(_, now, before)| now != before) {
            all.push(format!("{what} is {now} and was {before}"));
        }
        let counts = [
            ("bids", Some(self.5), Some(then.5)),
            ("asks", Some(self.6), Some(then.6)),
            ("trades ever", self.7, then.7),
        ];
        for (what, now, before) in counts {
            if let (Some(now), Some(before)) = (now, before)
                && now != before
            {
                all.push(format!("there are {now} {what} and were {before}"));
            }
        }
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// An earlier fingerprint: itself, or where it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Since {
    /// `redis`: the newest that snapshot-orderbook has stored on the node that is read.
    Stored(String),
    /// As snapshot-orderbook gave it.
    Taken(Fingerprint),
}

/// Finds the fingerprint.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn find<H: Host>(
    since: &Since,
    source: &Source,
    key: &str,
    host: &mut H,
) -> Result<Fingerprint, Fault> {
    let word = match since {
        Since::Taken(fingerprint) => return Ok(fingerprint.clone()),
        Since::Stored(word) => word,
    };
    if word != "redis" {
        let why = format!("`since` is `{word}`: give `redis`, or a fingerprint");
        return Err(Fault::permanent("bad-since", why));
    }
    let stored = source.ask(&[Command::of(["GET", key])], host)?.pop().unwrap_or(Value::Null);
    let Some(text) = stored.text().filter(|it| it.len() <= BYTES_MAX * 2) else {
        let why = format!(
            "{} holds no fingerprint at {key}: run snapshot-orderbook first, or leave `since` out",
            source.address
        );
        return Err(Fault::permanent("no-fingerprint", why));
    };
    serde_json::from_str(&text).map_err(|error| {
        let why = format!("{key} on {} is no fingerprint: {error}", source.address);
        Fault::permanent("bad-fingerprint", why)
    })
}

/// What was read of many instruments, each at one sequence number.
#[derive(Debug, Default)]
pub struct Taken {
    /// Those that have a meta hash with a seq, by name.
    pub lines: BTreeMap<String, Line>,
    /// Those that never stood still.
    pub moving: Vec<String>,
}

/// Reads the line of each instrument; those that moved meanwhile again.
///
/// # Errors
/// The node does not answer, or not this.
pub fn take<H: Host>(
    source: &Source,
    keys: &Keys,
    names: &Fields,
    isins: &[String],
    host: &mut H,
) -> Result<Taken, Fault> {
    let mut taken = Taken::default();
    let mut pending: Vec<&str> = isins.iter().map(String::as_str).collect();
    let mut size = BATCH;
    for _ in 0..ROUNDS_MAX {
        let mut moved = Vec::new();
        for batch in pending.chunks(size) {
            read(source, keys, names, batch, &mut taken, &mut moved, host)?;
        }
        pending = moved;
        size = 1;
    }
    taken.moving = pending.into_iter().map(str::to_owned).collect();
    Ok(taken)
}

fn read<'i, H: Host>(
    source: &Source,
    keys: &Keys,
    names: &Fields,
    batch: &[&'i str],
    taken: &mut Taken,
    moved: &mut Vec<&'i str>,
    host: &mut H,
) -> Result<(), Fault> {
    let metas = key_list(&keys.meta, batch);
    let command = Meta::command(names);
    let before = source.each(&command, &metas, host)?;
    let bids = source.each(&["ZCARD"], &key_list(&keys.bids, batch), host)?;
    let asks = source.each(&["ZCARD"], &key_list(&keys.asks, batch), host)?;
    let trades = added(source, &keys.trades, batch, host)?;
    let after = source.each(&command, &metas, host)?;
    let counts = bids.iter().zip(asks.iter()).zip(trades);
    let (mut before, mut after) = (before.cursor(), after.cursor());
    for (isin, ((bids, asks), trades)) in batch.iter().zip(counts) {
        let before = Meta::read(&mut before, source)?;
        if before != Meta::read(&mut after, source)? {
            moved.push(isin);
            continue;
        }
        let (bids, asks) = (count(source, bids)?, count(source, asks)?);
        if let Some(line) = Line::of(isin, &before, bids, asks, trades) {
            taken.lines.insert((*isin).to_owned(), line);
        }
    }
    Ok(())
}

/// A list of keys of one template.
pub fn key_list<S: AsRef<str>>(template: &str, values: &[S]) -> KeyList {
    let template = Template::of(template);
    let mut keys = KeyList::default();
    for value in values {
        keys.push(|out| template.write(value.as_ref().as_bytes(), out));
    }
    keys
}

/// A count; 0 where the key holds another type, which is somebody else's finding.
fn count(source: &Source, reply: View<'_>) -> Result<u64, Fault> {
    if is_wrong_type(reply) {
        return Ok(0);
    }
    source.int(reply, "ZCARD").map(|it| u64::try_from(it).unwrap_or(0))
}

/// How many entries each stream was ever given; 0 where there is none, none where the
/// node does not say (Redis before 7.0).
fn added<H: Host>(
    source: &Source,
    template: &str,
    batch: &[&str],
    host: &mut H,
) -> Result<Vec<Option<u64>>, Fault> {
    let infos = stream_infos(source, &key_list(template, batch), host)?;
    let added = |info: &Value| match info.error() {
        Some(_) => Some(0),
        None => info.field("entries-added").and_then(Value::int).and_then(|it| it.try_into().ok()),
    };
    Ok(infos.iter().map(added).collect())
}

/// XINFO STREAM of each key; an error where there is no stream.
///
/// # Errors
/// The node does not answer, or not this.
pub fn stream_infos<H: Host>(
    source: &Source,
    keys: &KeyList,
    host: &mut H,
) -> Result<Vec<Value>, Fault> {
    let commands: Vec<Command> =
        keys.iter().map(|key| Command::of([b"XINFO".as_slice(), b"STREAM", key])).collect();
    let mut all = Vec::with_capacity(commands.len());
    for piece in commands.chunks(BATCH) {
        for (command, reply) in piece.iter().zip(source.replies(piece, host)?) {
            match reply.error() {
                Some(error) if !is_no_stream(error) => {
                    return Err(source.refused(&command.texts(), error));
                }
                Some(_) | None => all.push(reply),
            }
        }
    }
    Ok(all)
}

fn is_no_stream(error: &str) -> bool {
    error.starts_with("WRONGTYPE") || error.starts_with("ERR no such key")
}
