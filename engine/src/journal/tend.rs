//! What a journal does to stay small, a little at a time: removes closed runs that are
//! old enough, carries what is still true out of the log's oldest segment until that can
//! go, and removes files that no run refers to any more.
//!
//! Most of it is done while nobody writes. Where somebody always does, it rides with what
//! is written, in proportion, so that neither log nor runs grow without end.

mod clean;
mod retire;
mod sweep;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use baton_core::Millis;

use super::disk::{Delta, Disk};
use super::ledger::{Change, Trouble};
use super::{AppendError, Retention};
use clean::Cleaner;
use retire::Retirer;
use sweep::Sweeper;

/// Bytes of the log looked through at a time while nobody writes.
const LOOKED_BYTES: usize = 512 * 1024;
/// Bytes of the log looked through for each byte that is written: of a log that is half
/// dead, two keep its size, and the third makes it smaller.
const LOOKED_PER_WRITTEN: usize = 3;
/// Surplus runs are removed while somebody writes once they are a quarter too many.
const SURPLUS_SHARE: u64 = 4;
/// How often closed runs are looked through for old ones.
const RETIRE_AFTER: Duration = Duration::from_mins(10);

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Rest,
}

/// Runs that go.
#[derive(Debug, Default)]
pub(super) struct Removed {
    pub(super) changes: Vec<Change>,
    pub(super) delta: Delta,
}

/// Looks after a journal.
#[derive(Debug)]
pub(super) struct Tender {
    retirer: Retirer,
    cleaner: Cleaner,
    sweeper: Sweeper,
    /// When closed runs were last looked through from the first.
    retired_at: Option<Instant>,
    /// That is still going on.
    retiring: bool,
    /// When something could not be read that would have ridden with a batch.
    failed_at: Option<Instant>,
}

impl Tender {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            retirer: Retirer::new(retention),
            cleaner: Cleaner::default(),
            sweeper: Sweeper::default(),
            retired_at: None,
            retiring: false,
            failed_at: None,
        }
    }

    /// A step while nobody writes.
    pub(super) fn step(&mut self, disk: &mut Disk) -> Result<Step, AppendError> {
        if disk.ready().is_err() {
            return Ok(Step::Rest);
        }
        if self.retired_at.is_none_or(|at| at.elapsed() >= RETIRE_AFTER) {
            self.retirer.restart();
            self.retired_at = Some(Instant::now());
            self.retiring = true;
        }
        if self.retiring || self.retirer.is_due(disk, 0) {
            self.retiring = self.retire(disk)? == Step::More;
            return Ok(Step::More);
        }
        if self.cleaner.is_due(&disk.log, disk.count) {
            return self.clean(disk).map(|()| Step::More);
        }
        self.sweeper.step(disk)
    }

    /// Removes some closed runs.
    pub(super) fn retire(&mut self, disk: &mut Disk) -> Result<Step, AppendError> {
        let (removed, step) = self.retirer.step(disk, now()).map_err(AppendError::Unwritten)?;
        if !removed.changes.is_empty() {
            if let Err(error) = disk.write(removed.changes, Vec::new(), removed.delta) {
                self.retirer.restart();
                return Err(error);
            }
            self.sweeper.wanted();
        }
        Ok(step)
    }

    /// Carries some of the log's oldest segment to its other end.
    pub(super) fn clean(&mut self, disk: &mut Disk) -> Result<(), AppendError> {
        let carried = self.cleaner.carry(disk, LOOKED_BYTES).map_err(AppendError::Unwritten)?;
        if !carried.is_empty()
            && let Err(error) = disk.write(Vec::new(), carried, Delta::default())
        {
            self.cleaner.missed();
            return Err(error);
        }
        self.cleaner.took(disk);
        Ok(())
    }

    /// Files that no run refers to.
    pub(super) fn sweep(&mut self, disk: &mut Disk) -> Result<Step, AppendError> {
        self.sweeper.step(disk)
    }

    /// Wants a sweep at once.
    pub(super) fn want_sweep(&mut self) {
        self.sweeper.at_once();
    }

    /// How many files were removed.
    pub(super) fn swept(&self) -> u64 {
        self.sweeper.removed
    }

    /// What rides with a batch of `bytes`: what is carried, and runs that go. If that
    /// cannot be read nothing rides for a while: the batch must not wait for it.
    pub(super) fn ride(&mut self, disk: &mut Disk, bytes: usize) -> (Vec<Change>, Removed) {
        if self.failed_at.is_some_and(|at| at.elapsed() < RETIRE_AFTER) {
            return <_>::default();
        }
        self.try_ride(disk, bytes).unwrap_or_else(|why| {
            tracing::warn!(why, "the journal could not be tidied; it tries again later");
            self.failed_at = Some(Instant::now());
            self.missed();
            <_>::default()
        })
    }

    fn try_ride(
        &mut self,
        disk: &mut Disk,
        bytes: usize,
    ) -> Result<(Vec<Change>, Removed), Trouble> {
        let mut carried = Vec::new();
        if self.cleaner.is_due(&disk.log, disk.count) {
            carried = self.cleaner.carry(disk, bytes * LOOKED_PER_WRITTEN)?;
        }
        let mut removed = Removed::default();
        if self.retirer.is_due(disk, SURPLUS_SHARE) {
            removed = self.retirer.step(disk, now())?.0;
            if !removed.changes.is_empty() {
                self.sweeper.wanted();
            }
        }
        Ok((carried, removed))
    }

    /// What rode is stored.
    pub(super) fn took(&mut self, disk: &mut Disk) {
        self.cleaner.took(disk);
    }

    /// What rode is not stored.
    pub(super) fn missed(&mut self) {
        self.cleaner.missed();
        self.retirer.restart();
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(0)
}
