//! Removes large records and plugins that no run refers to any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use baton_core::id::Digest;
use baton_core::run::event::Event;

use super::Step;
use crate::journal::AppendError;
use crate::journal::disk::Disk;
use crate::journal::envelope;
use crate::journal::keys;
use crate::journal::ledger::{self, Shelf as _, Trouble};

/// Pairs looked at in one step.
const LOOKED_MAX: usize = 512;
/// After runs were removed, all that are left are looked through for what they refer to,
/// at most so often.
const SWEEP_AFTER: Duration = Duration::from_hours(1);

/// Marks what runs refer to, then removes the rest.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    wanted: bool,
    swept_at: Option<Instant>,
    pass: Option<Pass>,
    /// Files removed so far.
    pub(super) removed: u64,
}

#[derive(Debug, Default)]
struct Pass {
    after: Vec<u8>,
    referred: BTreeSet<Digest>,
}

impl Sweeper {
    /// Runs were removed.
    pub(super) fn wanted(&mut self) {
        self.wanted = true;
    }

    /// Somebody waits for it.
    pub(super) fn at_once(&mut self) {
        self.wanted = true;
        self.swept_at = None;
    }

    pub(super) fn step(&mut self, disk: &mut Disk) -> Result<Step, AppendError> {
        if self.pass.is_none() {
            let recent = self.swept_at.is_some_and(|at| at.elapsed() < SWEEP_AFTER);
            if !self.wanted || recent {
                return Ok(Step::Rest);
            }
            self.wanted = false;
            self.swept_at = Some(Instant::now());
            // From here on, what is kept anew is referred to as well.
            disk.shelf.blobs.watch();
            self.pass = Some(Pass::default());
        }
        let Some(pass) = &mut self.pass else { return Ok(Step::Rest) };
        match pass.mark(disk) {
            Ok(Step::More) => Ok(Step::More),
            Ok(Step::Rest) => {
                let gone = disk.shelf.blobs.remove_all_but(&pass.referred);
                self.removed += gone.map_err(|error| {
                    AppendError::Unwritten(format!("large records could not be removed: {error}"))
                })?;
                self.pass = None;
                Ok(Step::Rest)
            }
            Err(why) => {
                self.pass = None;
                Err(AppendError::Unwritten(format!("no large record is removed: {why}")))
            }
        }
    }
}

impl Pass {
    fn mark(&mut self, disk: &Disk) -> Result<Step, Trouble> {
        let pairs = disk.shelf.after(keys::RECORDS, &self.after, LOOKED_MAX)?;
        let Some((last, _)) = pairs.last() else { return Ok(Step::Rest) };
        self.after.clone_from(last);
        for (key, value) in pairs {
            let Some((run, seq, part)) = keys::part_of(&key) else { continue };
            self.referred.extend(envelope::referred(&value).map(Digest));
            if (seq, part) != (0, 0) {
                continue;
            }
            match ledger::beginning(&*disk.shelf, &run)? {
                Some(Event::Begun { begun, .. }) => {
                    self.referred.extend(begun.plugins.values().map(|pin| pin.digest));
                }
                _ => return Err(format!("what run {run} refers to cannot be read")),
            }
        }
        Ok(Step::More)
    }
}
