//! Which closed runs go: the oldest, once they are too old or too many, and nobody needs
//! them any more.

use baton_core::Millis;
use baton_core::id::RunId;
use baton_core::limits::WAIT_MS_MAX;
use baton_core::run::event::Event;

use super::{Removed, Step};
use crate::journal::disk::Disk;
use crate::journal::ledger::{self, Change, Shelf, Trouble};
use crate::journal::{Retention, keys};

/// Runs looked at in one step.
const LOOKED_MAX: usize = 64;
/// Keys removed in one step; the records of one run always go together.
const KEYS_MAX: usize = 2_048;

/// Looks through the closed runs, oldest first.
#[derive(Debug)]
pub(super) struct Retirer {
    retention: Retention,
    /// Runs up to here stay, until all are looked at again.
    after: Vec<u8>,
    /// Of so many closed runs all that are too many were needed.
    needed_of: u64,
}

impl Retirer {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, after: Vec::new(), needed_of: 0 }
    }

    /// Whether there are more closed runs than there should be, by a share of them, and
    /// some of those were not found to be needed.
    pub(super) fn is_due(&self, disk: &Disk, share: u64) -> bool {
        let closed = disk.count.closed;
        self.surplus(disk) > self.retention.closed_runs_max.checked_div(share).unwrap_or(0)
            && closed > self.needed_of
    }

    fn surplus(&self, disk: &Disk) -> u64 {
        disk.count.closed.saturating_sub(self.retention.closed_runs_max)
    }

    /// Looks at all of them again: one that was needed may not be any more.
    pub(super) fn restart(&mut self) {
        self.after.clear();
        self.needed_of = 0;
    }

    /// Some runs that go.
    pub(super) fn step(&mut self, disk: &Disk, now: Millis) -> Result<(Removed, Step), Trouble> {
        let pairs = disk.shelf.after(&[keys::CLOSED], &self.after, LOOKED_MAX)?;
        let mut surplus = self.surplus(disk);
        let mut removed = Removed::default();
        for (key, value) in &pairs {
            let at = key.get(1..9).and_then(keys::number).unwrap_or(0);
            let old = at.saturating_add(self.retention.closed_ms_max) <= now;
            if !old && surplus == 0 {
                return Ok((removed, Step::Rest));
            }
            self.after.clone_from(key);
            let Some(run) = keys::closed_run(key) else { continue };
            if is_needed(&*disk.shelf, &run, value, now, old)? {
                continue;
            }
            remove(&*disk.shelf, &run, (key, value), &mut removed)?;
            surplus = surplus.saturating_sub(1);
            if removed.changes.len() >= KEYS_MAX {
                return Ok((removed, Step::More));
            }
        }
        if pairs.len() == LOOKED_MAX {
            return Ok((removed, Step::More));
        }
        self.needed_of = disk.count.closed.saturating_add_signed(removed.delta.closed);
        Ok((removed, Step::Rest))
    }
}

/// Whether somebody may still ask for the run: a repeat of its trigger, a cool-down after
/// it acted, or its parent.
fn is_needed<S: Shelf>(
    shelf: &S,
    run: &RunId,
    summary: &[u8],
    now: Millis,
    old: bool,
) -> Result<bool, Trouble> {
    let Ok(closed) = ledger::summary(run, summary) else {
        // What it was is not known any more; its time is in the key.
        return Ok(!old);
    };
    let until = |ms: Millis| now < closed.closed_at.saturating_add(ms);
    if closed.dedup.as_ref().is_some_and(|dedup| until(dedup.for_ms)) {
        return Ok(true);
    }
    // No cool-down is longer.
    if closed.acted && closed.key.is_some() && until(WAIT_MS_MAX) {
        return Ok(true);
    }
    let Some(Event::Begun { begun, .. }) = ledger::beginning(shelf, run)? else {
        return Ok(false);
    };
    match &begun.parent {
        Some(parent) => Ok(shelf.get(&keys::open(&parent.run))?.is_some()),
        None => Ok(false),
    }
}

fn remove<S: Shelf>(
    shelf: &S,
    run: &RunId,
    summary: (&Vec<u8>, &Vec<u8>),
    removed: &mut Removed,
) -> Result<(), Trouble> {
    let mut pairs = shelf.forward(&keys::records(run))?;
    pairs.push((summary.0.clone(), summary.1.clone()));
    for key in [keys::closed_at(run), keys::doubt(run)] {
        if let Some(value) = shelf.get(&key)? {
            pairs.push((key, value));
        }
    }
    let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    removed.delta.bytes -= i64::try_from(bytes).unwrap_or(i64::MAX);
    removed.delta.closed -= 1;
    let gone = pairs.into_iter().map(|(key, _)| -> Change { (key, None) });
    removed.changes.extend(gone);
    Ok(())
}
