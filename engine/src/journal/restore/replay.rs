//! The log read from some batch on: what it has, what is missing, and whom that concerns.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::id::RunId;

use crate::journal::keys;
use crate::journal::ledger::{self, Change, Shelf, Trouble};
use crate::journal::log::{Log, Piece, Pieces};

/// Applied at a time: a store takes many small batches slowly.
const APPLIED_BYTES: usize = 256 * 1024;

/// Batches that the log does not have.
#[derive(Debug, PartialEq, Eq)]
struct Hole {
    first: u64,
    last: u64,
    /// The store does not have them either.
    lost: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The last batch.
    pub(super) last: u64,
    holes: Vec<Hole>,
    /// Whom damaged frames were about.
    headed: BTreeMap<u64, BTreeSet<RunId>>,
    /// The last batch that brought a run something new.
    touched: BTreeMap<RunId, u64>,
}

/// Reads the batches after `after`, in order, and applies them.
pub(super) fn replay(
    log: &Log,
    after: u64,
    mut apply: impl FnMut(Vec<Change>) -> Result<(), Trouble>,
) -> Result<Survey, Trouble> {
    let firsts = log.firsts();
    let from = firsts.iter().copied().rfind(|first| *first <= after + 1);
    let from = from.or(firsts.first().copied()).unwrap_or(u64::MAX);
    // The segments before this one ended below it.
    let mut survey = Survey { last: after.min(from.saturating_sub(1)), ..Survey::default() };
    let (mut held, mut held_bytes) = (Vec::new(), 0);
    for first in firsts.into_iter().filter(|first| *first >= from) {
        let read =
            log.read(first).map_err(|error| format!("{}: {error}", log.path(first).display()))?;
        let bytes = read.unwrap_or_default();
        let void = log.void_from(first);
        for piece in Pieces::from(&bytes, 0) {
            match piece {
                Piece::Frame(frame) if frame.batch < void && frame.batch > survey.last => {
                    survey.reach(frame.batch, after);
                    let news = frame.changes.iter().take(frame.news);
                    let runs = news.filter_map(|(key, _)| keys::about(key));
                    survey.touched.extend(runs.map(|run| (run, frame.batch)));
                    survey.last = frame.batch;
                    if frame.batch > after {
                        held_bytes += frame.changes.iter().map(size).sum::<usize>();
                        held.extend(frame.changes);
                    }
                    if held_bytes >= APPLIED_BYTES {
                        held_bytes = 0;
                        apply(std::mem::take(&mut held))?;
                    }
                }
                Piece::Headed { batch, runs } if batch < void => {
                    survey.headed.insert(batch, runs);
                }
                Piece::Frame(_) | Piece::Headed { .. } | Piece::Rubble => {}
            }
        }
    }
    if !held.is_empty() {
        apply(held)?;
    }
    Ok(survey)
}

fn size((key, value): &Change) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

impl Survey {
    /// Batch `batch` is there: those between it and the last one are not.
    fn reach(&mut self, batch: u64, stored: u64) {
        let (first, last) = (self.last + 1, batch - 1);
        if first > last {
            return;
        }
        // Those that the store has are missing in the log only.
        if first <= stored {
            self.holes.push(Hole { first, last: last.min(stored), lost: false });
        }
        if last > stored {
            self.holes.push(Hole { first: first.max(stored + 1), last, lost: true });
        }
    }

    /// The store ends at `stored`, and so much was acknowledged.
    pub(super) fn end(&mut self, stored: u64, acknowledged: u64) {
        let end = acknowledged.max(stored) + 1;
        if end > self.last {
            self.reach(end, stored);
        }
    }

    /// Whether the log has everything.
    pub(super) fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// What it lacks.
    pub(super) fn why(&self) -> String {
        let holes = self.holes.iter().map(|hole| match (hole.first, hole.last) {
            (first, last) if first == last => format!("batch {first}"),
            (first, last) => format!("batches {first} to {last}"),
        });
        format!("it lacks {}", holes.collect::<Vec<_>>().join(", "))
    }

    /// Runs that may lack their end, and why.
    pub(super) fn doubtful(&self, store: &impl Shelf) -> Result<BTreeMap<RunId, String>, Trouble> {
        let mut doubtful = BTreeMap::new();
        for hole in self.holes.iter().filter(|hole| hole.lost) {
            let why = format!(
                "its last records may be missing (damage to the log, batches {} to {}). It does \
                 not go on, as it could do again what must happen once: look at what it did, \
                 and begin another if it is still wanted",
                hole.first, hole.last
            );
            let named = (hole.first..=hole.last).map(|batch| self.headed.get(&batch));
            let runs: BTreeSet<RunId> = match named.collect::<Option<Vec<_>>>() {
                Some(named) => named.into_iter().flatten().cloned().collect(),
                None => ledger::open_index(store)?
                    .into_iter()
                    .map(|(_, run)| run)
                    .filter(|run| self.touched.get(run).is_none_or(|last| *last < hole.first))
                    .collect(),
            };
            doubtful.extend(runs.into_iter().map(|run| (run, why.clone())));
        }
        Ok(doubtful)
    }
}
