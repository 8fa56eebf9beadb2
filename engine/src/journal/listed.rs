//! Whether the store still names every run that was closed.
//!
//! Sled drops a damaged page update silently, and with it whatever keys were in it: a
//! closed run may be gone without a trace of its own. What an open run has is held against
//! a sum at each start (`sums.rs`); closed runs may be many, so that they are counted only
//! when somebody asks for one that is not there, and once.

use super::disk::Count;
use super::keys;
use super::ledger::{Shelf as _, Trouble};
use super::sled::SledShelf;

/// Pairs looked at in one go.
const PAIRS_MAX: usize = 1_000;
/// Runs close while they are counted; after so many goes it is left for another time.
const GOES_MAX: usize = 10;

/// Whether both indexes of closed runs name as many as the store says have closed; none
/// if they changed while they were counted.
pub(super) fn are_all(shelf: &SledShelf) -> Result<Option<bool>, Trouble> {
    for _ in 0..GOES_MAX {
        let before = Count::of(shelf)?;
        let by_time = count(shelf, keys::CLOSED)?;
        let by_run = count(shelf, keys::CLOSED_AT)?;
        if Count::of(shelf)?.batches == before.batches {
            return Ok(Some(by_time == before.closed && by_run == before.closed));
        }
    }
    Ok(None)
}

fn count(shelf: &SledShelf, index: u8) -> Result<u64, Trouble> {
    let (mut count, mut after) = (0, Vec::new());
    loop {
        let pairs = shelf.after(&[index], &after, PAIRS_MAX)?;
        let Some((last, _)) = pairs.last() else { return Ok(count) };
        count += pairs.len() as u64;
        after.clone_from(last);
    }
}
