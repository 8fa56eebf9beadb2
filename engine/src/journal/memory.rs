//! A journal in memory: for tests, watches and dry runs. Nothing outlives it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use baton_core::id::{Digest, RunId};

use super::ledger::{self, Change, Pair, Scribe, Shelf, Trouble};
use super::{AppendError, Batch, Done, History, Journal, JournalError, Short};
use super::{RECORD_BYTES_MAX, keys};

/// Keeps the same records as a journal on disk would, encoded and checked alike, so that
/// what passes here passes there. `done` is called before `append` returns.
pub struct MemoryJournal {
    shelf: MemoryShelf,
    scribe: Mutex<Scribe>,
    closed_max: usize,
}

impl MemoryJournal {
    /// An empty journal that forgets all but the newest `closed_max` closed runs. A watch
    /// runs for weeks: it should keep few.
    pub fn new(closed_max: usize) -> Self {
        Self { shelf: MemoryShelf::default(), scribe: Mutex::default(), closed_max }
    }

    fn write(&self, batch: &Batch) -> Result<(), AppendError> {
        let mut scribe = held(&self.scribe);
        let changes = scribe.stage(&self.shelf, batch)?;
        self.shelf.apply(changes);
        scribe.applied();
        if batch.entries.iter().any(|entry| entry.closed.is_some()) {
            self.forget().map_err(AppendError::Stopped)?;
        }
        Ok(())
    }

    fn forget(&self) -> Result<(), Trouble> {
        let closed = self.shelf.forward(&[keys::CLOSED])?;
        let surplus = closed.len().saturating_sub(self.closed_max);
        let mut changes = Vec::new();
        for (key, _) in closed.into_iter().take(surplus) {
            if let Some(run) = keys::closed_run(&key) {
                let records = self.shelf.forward(&keys::records(&run))?;
                changes.extend(records.into_iter().map(|(key, _)| (key, None)));
                changes.push((keys::closed_at(&run), None));
            }
            changes.push((key, None));
        }
        self.shelf.apply(changes);
        Ok(())
    }
}

#[cfg(test)]
impl MemoryJournal {
    /// What the store really holds.
    pub(super) fn raw_pairs(&self, prefix: &[u8]) -> Vec<Pair> {
        self.shelf.forward(prefix).expect("read")
    }

    /// Changes behind the journal's back.
    pub(super) fn raw_change(&self, changes: Vec<Change>) {
        self.shelf.apply(changes);
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: Batch, done: Done) {
        let end = self.write(&batch);
        done(end);
    }

    fn open_runs(&self) -> Result<Vec<(RunId, History)>, JournalError> {
        ledger::open_runs(&self.shelf).map_err(JournalError::Unread)
    }

    fn closed_runs(
        &self,
        before: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<Short>, JournalError> {
        ledger::closed_runs(&self.shelf, before, limit).map_err(JournalError::Unread)
    }

    fn events(&self, run: &RunId) -> Result<Option<History>, JournalError> {
        ledger::events(&self.shelf, run).map_err(JournalError::Unread)
    }

    fn put_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), JournalError> {
        self.shelf.keep(digest, bytes).map_err(|why| JournalError::Unkept { digest, why })
    }

    fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.shelf.kept(digest).map_err(JournalError::Unread)
    }
}

#[derive(Default)]
struct MemoryShelf {
    pairs: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    kept: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl MemoryShelf {
    fn apply(&self, changes: Vec<Change>) {
        let mut pairs = held(&self.pairs);
        for (key, value) in changes {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
    }
}

impl Shelf for MemoryShelf {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(held(&self.pairs).get(key).cloned())
    }

    fn forward(&self, prefix: &[u8]) -> Result<Vec<Pair>, Trouble> {
        let pairs = held(&self.pairs);
        let from = pairs.range(prefix.to_vec()..);
        let within = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(within.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn after(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble> {
        let pairs = held(&self.pairs);
        let from = if after.is_empty() { prefix.to_vec() } else { [after, &[0]].concat() };
        let within = pairs.range(from..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(within.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn backward(&self, prefix: &[u8], below: &[u8], limit: usize) -> Result<Vec<Pair>, Trouble> {
        let pairs = held(&self.pairs);
        let range = pairs.range(prefix.to_vec()..below.to_vec()).rev().take(limit);
        Ok(range.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Trouble> {
        if Digest::of(bytes) != digest {
            return Err("the bytes do not have that digest".to_owned());
        }
        held(&self.kept).insert(digest, bytes.to_vec());
        Ok(())
    }

    fn kept(&self, digest: Digest) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(held(&self.kept).get(&digest).cloned())
    }

    fn inline_bytes_max(&self) -> usize {
        RECORD_BYTES_MAX
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this lock")
}
