//! When the loop must wake by itself. Timers are hints: what is due is read from
//! the runs, so a stale timer does nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_core::Millis;
use baton_core::id::RunId;

/// Times at which a run may owe something.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: BTreeSet<(Millis, Option<RunId>)>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Millis, run: &RunId) {
        self.at.insert((at, Some(run.clone())));
    }

    /// Wakes the loop without naming a run.
    pub(super) fn wake_at(&mut self, at: Millis) {
        self.at.insert((at, None));
    }

    /// Ends when the next timer is due; never if there is none.
    pub(super) async fn due(&self, now: Millis) {
        match self.at.first() {
            Some((at, _)) => {
                tokio::time::sleep(Duration::from_millis(at.saturating_sub(now))).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Takes the runs whose timers are due, each once.
    pub(super) fn take(&mut self, now: Millis) -> BTreeSet<RunId> {
        let mut due = BTreeSet::new();
        while self.at.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.at.pop_first().and_then(|(_, run)| run));
        }
        due
    }
}
