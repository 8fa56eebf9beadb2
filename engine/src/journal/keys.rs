//! Where things stand in the store: one ordered space of keys, so that one batch is
//! atomic over records and indexes alike.
//!
//! ```text
//! e <run> 0 <seq> <part>   a part of a record
//! o <run>                  the run is open; when it began
//! c <closed_at> <run>      the run is closed; in short
//! x <run>                  the run is closed; when
//! u <run>                  the run may lack its end; why
//! n                        how much there is, where a store keeps count
//! ```
//! Numbers are big-endian, so that their order is the keys' order.

use std::str::FromStr;

use baton_core::Millis;
use baton_core::id::RunId;

/// A record is cut into parts of at most this many bytes, so that a page of sled (up to
/// 17 entries, a few more after a merge) stays below 128 KiB: above that sled 0.34.7
/// writes the page to a file under its own `blobs/`, which it never syncs (logger.rs,
/// `reserve_inner`; node.rs, `should_split`).
pub(super) const PART_BYTES_MAX: usize = 4 * 1024;

/// Prefix of all records.
const RECORD: u8 = b'e';
/// Prefix of the index of open runs.
pub(super) const OPEN: u8 = b'o';
/// Prefix of the index of closed runs, by time.
pub(super) const CLOSED: u8 = b'c';
/// Prefix of the index of closed runs, by run.
pub(super) const CLOSED_AT: u8 = b'x';

/// Prefix of the index of runs that may lack their end.
const DOUBT: u8 = b'u';

/// Prefix of all records of all runs.
pub(super) const RECORDS: &[u8] = &[RECORD];

/// Where it says how much there is.
pub(super) const COUNT: &[u8] = b"n";

/// Prefix of all parts of all records of a run. No run id contains 0.
pub(super) fn records(run: &RunId) -> Vec<u8> {
    let mut key = with_run(RECORD, run);
    key.push(0);
    key
}

/// Prefix of all parts of one record.
pub(super) fn record(run: &RunId, seq: u64) -> Vec<u8> {
    let mut key = records(run);
    key.extend(seq.to_be_bytes());
    key
}

/// One part of a record.
pub(super) fn part(run: &RunId, seq: u64, part: u16) -> Vec<u8> {
    let mut key = record(run, seq);
    key.extend(part.to_be_bytes());
    key
}

/// Whose record, its number and the part, of a key of a record.
pub(super) fn part_of(key: &[u8]) -> Option<(RunId, u64, u16)> {
    let (name, tail) = key.strip_prefix(RECORDS)?.split_last_chunk::<11>()?;
    let (seq, part) = tail[1..].split_first_chunk::<8>()?;
    let part = u16::from_be_bytes(part.try_into().ok()?);
    Some((run(name)?, u64::from_be_bytes(*seq), part))
}

/// The run that a key is about; none: about all of them.
pub(super) fn about(key: &[u8]) -> Option<RunId> {
    match *key.first()? {
        RECORD => part_of(key).map(|(run, _, _)| run),
        OPEN | CLOSED_AT | DOUBT => run(&key[1..]),
        CLOSED => closed_run(key),
        _ => None,
    }
}

/// Where it says that the run may lack its end.
pub(super) fn doubt(run: &RunId) -> Vec<u8> {
    with_run(DOUBT, run)
}

/// The record's number in a key that begins with `prefix`, as [`records`] gave it.
pub(super) fn seq(prefix: &[u8], key: &[u8]) -> Option<u64> {
    let tail: &[u8; 10] = key.strip_prefix(prefix)?.try_into().ok()?;
    tail.first_chunk().map(|seq| u64::from_be_bytes(*seq))
}

/// The run's place among the open ones.
pub(super) fn open(run: &RunId) -> Vec<u8> {
    with_run(OPEN, run)
}

/// The run in a key of the index of open runs.
pub(super) fn open_run(key: &[u8]) -> Option<RunId> {
    run(key.strip_prefix(&[OPEN])?)
}

/// The run's place among the closed ones.
pub(super) fn closed(at: Millis, run: &RunId) -> Vec<u8> {
    let mut key = vec![CLOSED];
    key.extend(at.to_be_bytes());
    key.extend(run.as_str().as_bytes());
    key
}

/// The run in a key of the index of closed runs.
pub(super) fn closed_run(key: &[u8]) -> Option<RunId> {
    run(key.get(9..)?)
}

/// Where it says when a run closed.
pub(super) fn closed_at(run: &RunId) -> Vec<u8> {
    with_run(CLOSED_AT, run)
}

/// A number or a time as a value.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

fn with_run(kind: u8, run: &RunId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(run.as_str().as_bytes());
    key
}

fn run(bytes: &[u8]) -> Option<RunId> {
    std::str::from_utf8(bytes).ok().and_then(|text| RunId::from_str(text).ok())
}
