//! Carries what is still true out of the log's oldest segment, until it can go.

use std::fs;

use crate::journal::disk::{Count, Disk};
use crate::journal::folder::sync_folder;
use crate::journal::keys;
use crate::journal::ledger::{Change, Shelf as _, Trouble};
use crate::journal::log::{Log, Piece, Pieces};

/// A log is cleaned once it is this many times what is true of it,
const LOG_SHARE: u64 = 2;
/// and this much: a small journal is left alone,
const LOG_BYTES_MIN: u64 = 32 * 1024 * 1024;
/// or once it has so many segments: each start that writes makes one.
const SEGMENTS_MAX: usize = 64;

/// The oldest segment, and how far it is carried.
#[derive(Debug)]
struct Segment {
    first: u64,
    bytes: Vec<u8>,
    /// Up to here, once what was handed out last is stored.
    at: usize,
    /// Up to here for certain.
    stored: usize,
    /// The last batch seen; and for certain.
    last: u64,
    stored_last: u64,
}

/// Cleans the log.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    segment: Option<Segment>,
    /// A segment that is damaged is not cleaned: what it does not say would be lost to the
    /// log. The store still has it.
    stuck: bool,
}

impl Cleaner {
    /// Whether there is enough to clean.
    pub(super) fn is_due(&self, log: &Log, count: Count) -> bool {
        let large = log.bytes() > (count.bytes * LOG_SHARE).max(LOG_BYTES_MIN);
        !self.stuck
            && log.oldest_sealed().is_some()
            && (large || log.segments() > SEGMENTS_MAX || self.segment.is_some())
    }

    /// What is still true in the next `looked` bytes of the oldest segment.
    pub(super) fn carry(&mut self, disk: &Disk, looked: usize) -> Result<Vec<Change>, Trouble> {
        let Some(segment) = self.open(&disk.log)? else { return Ok(Vec::new()) };
        let void = disk.log.void_from(segment.first);
        let end = segment.at.saturating_add(looked);
        let mut carried = Vec::new();
        let mut pieces = Pieces::from(&segment.bytes, segment.at);
        let (mut last, mut at) = (segment.last, segment.at);
        while at < end {
            let Some(piece) = pieces.next() else { break };
            at = pieces.at;
            let Piece::Frame(frame) = piece else { continue };
            if frame.batch != last + 1 || frame.batch >= void {
                continue;
            }
            last = frame.batch;
            for (key, value) in frame.changes {
                if value.is_some() && key != keys::COUNT && disk.shelf.get(&key)? == value {
                    carried.push((key, value));
                }
            }
        }
        (segment.last, segment.at) = (last, at);
        Ok(carried)
    }

    fn open(&mut self, log: &Log) -> Result<Option<&mut Segment>, Trouble> {
        if self.segment.is_none() {
            let Some(first) = log.oldest_sealed() else { return Ok(None) };
            let read = log.read(first);
            let read = read.map_err(|error| format!("{}: {error}", log.path(first).display()))?;
            let bytes = read.unwrap_or_default();
            let (last, stored_last) = (first - 1, first - 1);
            self.segment = Some(Segment { first, bytes, at: 0, stored: 0, last, stored_last });
        }
        Ok(self.segment.as_mut())
    }

    /// What was handed out is not stored: it is handed out again.
    pub(super) fn missed(&mut self) {
        if let Some(segment) = &mut self.segment {
            (segment.at, segment.last) = (segment.stored, segment.stored_last);
        }
    }

    /// What was handed out is stored; a segment of which all is can go.
    pub(super) fn took(&mut self, disk: &mut Disk) {
        let Some(segment) = &mut self.segment else { return };
        (segment.stored, segment.stored_last) = (segment.at, segment.last);
        if segment.stored < segment.bytes.len() {
            return;
        }
        let Some(segment) = self.segment.take() else { return };
        let next = disk.log.void_from(segment.first);
        if segment.last + 1 != next {
            self.stuck = true;
            tracing::error!(
                "{} is damaged: batch {} is missing. The store has what it held; stop Baton and \
                 run `baton journal compact` to write the log anew",
                disk.log.path(segment.first).display(),
                segment.last + 1
            );
            return;
        }
        // The mark first: a log that begins later than it says would seem to lack something.
        let gone = disk
            .mark
            .change_durably(|said| said.first = next)
            .and_then(|()| disk.log.remove(segment.first))
            .and_then(|()| sync_folder(disk.log.folder()));
        if let Err(error) = gone {
            self.stuck = fs::exists(disk.log.path(segment.first)).unwrap_or(true);
            tracing::warn!(%error, "a segment of the journal's log could not be removed");
        }
    }
}
