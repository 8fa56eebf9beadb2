//! A journal in front of another: it lets through, holds, or refuses.

use std::sync::{Arc, Mutex};

use baton_core::id::{Digest, RunId};
use baton_core::run::event::Event;

use crate::journal::{AppendError, Batch, Done, History, Journal, JournalError, Short, Unreadable};

#[derive(Clone)]
pub(super) enum Mode {
    Pass,
    Hold,
    Fail(AppendError),
    /// Refuses, by name, batches with such an event.
    Refuse(fn(&Event) -> bool),
}

pub(super) struct Gate {
    inner: Arc<dyn Journal>,
    mode: Mutex<Mode>,
    held: Mutex<Vec<(Batch, Done)>>,
    spoiled: Option<RunId>,
    seen: Mutex<Vec<Batch>>,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn Journal>, spoiled: Option<RunId>) -> Self {
        let mode = Mutex::new(Mode::Pass);
        Self { inner, mode, held: Mutex::default(), spoiled, seen: Mutex::default() }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Lets through what is held and all that comes.
    pub(super) fn release(&self) {
        self.set(Mode::Pass);
        for (batch, done) in std::mem::take(&mut *self.held.lock().unwrap()) {
            self.inner.append(batch, done);
        }
    }

    pub(super) fn holds(&self) -> bool {
        !self.held.lock().unwrap().is_empty()
    }

    /// All batches that were asked for, stored or not.
    pub(super) fn seen(&self) -> Vec<Batch> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn inner(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.inner)
    }
}

impl Journal for Gate {
    fn append(&self, batch: Batch, done: Done) {
        self.seen.lock().unwrap().push(batch.clone());
        let mode = self.mode.lock().unwrap().clone();
        match mode {
            Mode::Pass => self.inner.append(batch, done),
            Mode::Hold => self.held.lock().unwrap().push((batch, done)),
            Mode::Fail(error) => done(Err(error)),
            Mode::Refuse(bad) => match batch.entries.iter().find(|entry| bad(&entry.event)) {
                Some(entry) => done(Err(AppendError::Refused {
                    run: entry.run.clone(),
                    seq: entry.seq,
                    why: "too large".to_owned(),
                })),
                None => self.inner.append(batch, done),
            },
        }
    }

    fn stalled(&self) -> Option<String> {
        match &*self.mode.lock().unwrap() {
            Mode::Fail(error) => Some(error.to_string()),
            Mode::Pass | Mode::Hold | Mode::Refuse(_) => self.inner.stalled(),
        }
    }

    fn open_runs(&self) -> Result<Vec<(RunId, History)>, JournalError> {
        let mut runs = self.inner.open_runs()?;
        for (id, history) in &mut runs {
            if self.spoiled.as_ref() == Some(id) {
                *history = Err(Unreadable::new("record 1 has a bad checksum".to_owned()));
            }
        }
        Ok(runs)
    }

    fn closed_runs(
        &self,
        before: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<Short>, JournalError> {
        self.inner.closed_runs(before, limit)
    }

    fn events(&self, run: &RunId) -> Result<Option<History>, JournalError> {
        self.inner.events(run)
    }

    fn put_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), JournalError> {
        self.inner.put_plugin(digest, bytes)
    }

    fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.inner.plugin(digest)
    }
}
