//! What the loop looks up: who holds a key, who waits for it, who answers a dedup
//! key. Derived from the runs, never stored: a lock cannot leak.

use std::collections::BTreeMap;

use baton_core::Millis;
use baton_core::id::RunId;
use baton_core::run::Run;
use baton_core::run::event::Outcome;

use crate::journal::Closed;

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    holders: BTreeMap<String, RunId>,
    /// In the order they began.
    queues: BTreeMap<String, Vec<RunId>>,
    dedup: BTreeMap<String, Answer>,
    /// The latest run that acted, and when it closed, by workflow and key.
    acted: BTreeMap<(String, String), (Millis, RunId)>,
}

/// The run that answers a dedup key.
#[derive(Clone, Debug)]
struct Answer {
    run: RunId,
    /// How and when it ended; none while it is open.
    ended: Option<(Outcome, Millis)>,
    for_ms: Millis,
}

impl Index {
    /// The index of these open runs and closed runs (oldest first).
    pub(super) fn derive<'a>(
        open: impl Iterator<Item = &'a Run>,
        closed: impl IntoIterator<Item = &'a Closed>,
    ) -> Self {
        let mut index = Self::default();
        for run in closed {
            index.close(run);
        }
        let mut open: Vec<&Run> = open.collect();
        open.sort_by_key(|run| (run.begun_at(), run.id()));
        for run in open {
            index.open(run);
        }
        index
    }

    /// Takes a run that began, was admitted, or was found at start.
    pub(super) fn open(&mut self, run: &Run) {
        let begun = run.begun();
        if let Some(dedup) = &begun.trigger.dedup {
            let answer = Answer { run: begun.id.clone(), ended: None, for_ms: dedup.for_ms };
            self.dedup.insert(dedup.key.clone(), answer);
        }
        let Some(key) = &begun.key else { return };
        let queue = self.queues.entry(key.clone()).or_default();
        queue.retain(|waiting| *waiting != begun.id);
        if run.is_queued() {
            queue.push(begun.id.clone());
        } else {
            self.holders.insert(key.clone(), begun.id.clone());
        }
    }

    /// Takes a run that closed, now or long ago.
    pub(super) fn close(&mut self, closed: &Closed) {
        if let Some(dedup) = &closed.dedup {
            let ended = Some((closed.outcome, closed.closed_at));
            let answer = Answer { run: closed.run.clone(), ended, for_ms: dedup.for_ms };
            // An older run must not answer for a newer one with the same key.
            let newer = self.dedup.get(&dedup.key).is_some_and(|known| {
                known.run != closed.run && known.ended.is_none_or(|(_, at)| at > closed.closed_at)
            });
            if !newer {
                self.dedup.insert(dedup.key.clone(), answer);
            }
        }
        let Some(key) = &closed.key else { return };
        if self.holders.get(key) == Some(&closed.run) {
            self.holders.remove(key);
        }
        if let Some(queue) = self.queues.get_mut(key) {
            queue.retain(|waiting| *waiting != closed.run);
            if queue.is_empty() {
                self.queues.remove(key);
            }
        }
        if closed.acted {
            let this = (closed.closed_at, closed.run.clone());
            let latest = self.acted.entry((closed.workflow.clone(), key.clone()));
            let latest = latest.or_insert_with(|| this.clone());
            if this.0 >= latest.0 {
                *latest = this;
            }
        }
    }

    pub(super) fn holder(&self, key: &str) -> Option<&RunId> {
        self.holders.get(key)
    }

    /// Runs that wait for `key`, oldest first.
    pub(super) fn queue(&self, key: &str) -> &[RunId] {
        self.queues.get(key).map_or(&[], Vec::as_slice)
    }

    /// The run that a delivery with this dedup key repeats, at `now`: one that is
    /// open, or that succeeded not longer ago than it said.
    pub(super) fn repeats(&self, dedup: &str, now: Millis) -> Option<&RunId> {
        let answer = self.dedup.get(dedup)?;
        let holds = match answer.ended {
            None => true,
            Some((Outcome::Succeeded, at)) => now < at + answer.for_ms,
            Some((Outcome::Failed | Outcome::Cancelled | Outcome::TimedOut, _)) => false,
        };
        holds.then_some(&answer.run)
    }

    /// The latest run of `workflow` that changed something under `key`, and when it closed.
    pub(super) fn acted(&self, workflow: &str, key: &str) -> Option<(Millis, &RunId)> {
        let (at, run) = self.acted.get(&(workflow.to_owned(), key.to_owned()))?;
        Some((*at, run))
    }

    /// Runs that wait for their key.
    pub(super) fn queued(&self) -> usize {
        self.queues.values().map(Vec::len).sum()
    }
}
