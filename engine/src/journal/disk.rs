//! Log, store and mark as one: where a change becomes durable, and in what order.
//!
//! ```text
//! frame ─► log, synced ─► acknowledged ─► store
//!                                           └─► handed to the system once a second ─► mark
//! ```
//! One sync a batch. No writer waits for the store: what it lacks at the next start is in
//! the log. A reader does, so that it is told everything that was acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_crash::{self as crash, Point};

use super::ledger::{Change, Shelf as _, Trouble};
use super::log::{Frame, Log};
use super::mark::Mark;
use super::room::Room;
use super::sled::SledShelf;
use super::sums::Sums;
use super::{AppendError, keys, restore};

/// A store that failed is not opened again more often.
const MEND_AFTER: Duration = Duration::from_secs(1);

/// How much there is; in the store, beside what it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Batches since the journal was made.
    pub(super) batches: u64,
    /// Keys and values that are still true, in bytes.
    pub(super) bytes: u64,
    /// Closed runs.
    pub(super) closed: u64,
    /// Of what the store holds of open runs: see [`Sums`].
    pub(super) sum: u64,
}

impl Count {
    fn encode(self) -> Vec<u8> {
        [self.batches, self.bytes, self.closed, self.sum]
            .into_iter()
            .flat_map(u64::to_be_bytes)
            .collect()
    }

    /// What a store says; nothing of an empty one.
    pub(super) fn of(shelf: &SledShelf) -> Result<Self, Trouble> {
        let Some(value) = shelf.get(keys::COUNT)? else { return Ok(Self::default()) };
        let mut numbers = value.chunks(8).map(keys::number);
        let mut next = || numbers.next().flatten();
        let batches = next().ok_or("its count is damaged")?;
        let mut next = || next().unwrap_or(0);
        Ok(Self { batches, bytes: next(), closed: next(), sum: next() })
    }
}

/// What a batch changes about [`Count`], beside the number of batches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    pub(super) bytes: i64,
    pub(super) closed: i64,
}

/// Everything that is written to.
pub(super) struct Disk {
    pub(super) shelf: Arc<SledShelf>,
    pub(super) log: Log,
    pub(super) mark: Arc<Mark>,
    pub(super) count: Count,
    pub(super) room: Room,
    pub(super) sums: Sums,
    /// What is in the log and not yet in the store.
    pub(super) ahead: Vec<Change>,
    /// When a store that failed was last tried.
    pub(super) tried: Option<Instant>,
}

impl Disk {
    /// Makes `news` durable, all or none, and writes again what is `carried`; the store
    /// has them when this returns. On an error nothing is stored, and the next may succeed.
    pub(super) fn write(
        &mut self,
        news: Vec<Change>,
        carried: Vec<Change>,
        delta: Delta,
    ) -> Result<(), AppendError> {
        self.append(news, carried, delta)?;
        self.follow();
        Ok(())
    }

    /// Makes `news` durable, all or none, and writes again what is `carried`. Until
    /// [`Disk::follow`] the store lacks them, and whoever reads waits. On an error nothing
    /// is stored, and the next may succeed.
    pub(super) fn append(
        &mut self,
        mut news: Vec<Change>,
        carried: Vec<Change>,
        delta: Delta,
    ) -> Result<(), AppendError> {
        let sums = self.sums.after(&news);
        let count = Count {
            sum: sums.total,
            batches: self.count.batches + 1,
            bytes: self.count.bytes.saturating_add_signed(delta.bytes),
            closed: self.count.closed.saturating_add_signed(delta.closed),
        };
        news.push((keys::COUNT.to_vec(), Some(count.encode())));
        let (batch, count_of_news) = (count.batches, news.len());
        let changes = news.into_iter().chain(carried).collect();
        let mut frame = Frame { batch, changes, news: count_of_news };
        crash::point(Point::AppendBefore);
        self.log.append(batch, &frame.encode()).map_err(|error| self.room.refused(&error))?;
        crash::point(Point::AppendSynced);
        self.count = count;
        self.sums.took(sums);
        // Durable from here on, whatever the store says to it.
        frame.changes.truncate(count_of_news);
        self.shelf.lags();
        self.ahead = frame.changes;
        // One that stays behind is a lower bound still.
        let _ = self.mark.change(|said| said.acknowledged = batch);
        Ok(())
    }

    /// Gives the store what the log has ahead of it.
    pub(super) fn follow(&mut self) {
        if let Err(why) = self.shelf.apply(std::mem::take(&mut self.ahead)) {
            tracing::error!(why, "the journal's store failed; it is made again from the log");
            self.shelf.shut_off(&why);
        }
        self.shelf.caught_up();
        crash::point(Point::AppendAfter);
    }

    /// Whether a batch can be written now.
    pub(super) fn ready(&mut self) -> Result<(), AppendError> {
        self.mend()?;
        self.room.check().map_err(AppendError::Full)
    }

    /// Opens a store that failed again. Does nothing for one that works.
    fn mend(&mut self) -> Result<(), AppendError> {
        let Some(why) = self.shelf.trouble() else { return Ok(()) };
        if self.tried.is_some_and(|tried| tried.elapsed() < MEND_AFTER) {
            return Err(AppendError::Unwritten(format!("the store: {why}")));
        }
        self.tried = Some(Instant::now());
        restore::mend(self).map_err(|why| {
            self.shelf.shut_off(&why);
            AppendError::Unwritten(format!("the store: {why}"))
        })?;
        tracing::info!("the journal's store works again");
        Ok(())
    }

    /// Everything is on disk, and the mark says so.
    pub(super) fn rest(&mut self) {
        self.log.seal();
        if self.shelf.trouble().is_some() {
            return;
        }
        let rested = self.shelf.sync().and_then(|()| {
            let batches = self.count.batches;
            let said = self.mark.change_durably(|said| {
                // What could not be read is not mended by closing in order.
                said.flushed = said.flushed.max(batches);
                said.rested = Some(batches);
            });
            said.map_err(|error| format!("file `stored`: {error}"))
        });
        if let Err(why) = rested {
            tracing::warn!(why, "the journal was not closed in order; the next start takes longer");
        }
    }
}
