//! A checksum of everything that the store holds of open runs: what a store must have
//! lost, or made up, for a run to go on with a history that is not its own.
//!
//! sled 0.34.7 drops a page's update silently if its bytes are damaged, and shows the page
//! as it was before (tried: one flipped byte of `db`, the store closed in order, and a run
//! lacked the end of one record). A lost last record would be a shorter history, a lost
//! place among the open runs no history at all, and neither shows in what is left.

use std::collections::BTreeMap;

use baton_core::id::RunId;

use super::keys;
use super::ledger::{self, Change, Shelf, Trouble};

/// What is in the store of each open run.
#[derive(Debug, Default)]
pub(super) struct Sums {
    runs: BTreeMap<RunId, u64>,
    total: u64,
}

/// What changes do to [`Sums`], once they are durable.
#[derive(Debug)]
pub(super) struct Next {
    /// None: the run is open no more.
    runs: BTreeMap<RunId, Option<u64>>,
    pub(super) total: u64,
}

impl Sums {
    /// Reads all open runs.
    pub(super) fn read<S: Shelf>(shelf: &S) -> Result<Self, Trouble> {
        let mut sums = Self::default();
        for (at, run) in ledger::open_index(shelf)? {
            let place = of(&keys::open(&run), &at.to_be_bytes());
            let records = shelf.forward(&keys::records(&run))?;
            let sum =
                records.iter().fold(place, |sum, (key, part)| sum.wrapping_add(of(key, part)));
            sums.total = sums.total.wrapping_add(sum);
            sums.runs.insert(run, sum);
        }
        Ok(sums)
    }

    /// Of all open runs.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// What it will be after these changes.
    pub(super) fn after(&self, changes: &[Change]) -> Next {
        let mut next = Next { runs: BTreeMap::new(), total: self.total };
        for (key, value) in changes {
            let run = keys::part_of(key).map(|(run, _, _)| run).or_else(|| keys::open_run(key));
            let Some(run) = run else { continue };
            let known = self.runs.get(&run).copied();
            let sum = next.runs.entry(run).or_insert(known);
            match value {
                Some(value) => {
                    let one = of(key, value);
                    *sum = Some(sum.unwrap_or(0).wrapping_add(one));
                    next.total = next.total.wrapping_add(one);
                }
                // A closed run's records go without its being open; an open run closes
                // with all that it has.
                None => next.total = next.total.wrapping_sub(sum.take().unwrap_or(0)),
            }
        }
        next
    }

    /// They are durable.
    pub(super) fn took(&mut self, next: Next) {
        self.total = next.total;
        for (run, sum) in next.runs {
            match sum {
                Some(sum) => self.runs.insert(run, sum),
                None => self.runs.remove(&run),
            };
        }
    }
}

fn of(key: &[u8], value: &[u8]) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(value);
    // Spread, so that the sum of two is hardly that of two others.
    u64::from(crc.finalize()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
