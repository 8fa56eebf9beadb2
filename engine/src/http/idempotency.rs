//! `Idempotency-Key` of our own API: the same key with another body is a mistake
//! (422), with a call still in flight a race (409), and otherwise gets the run that
//! the first call began. Kept in memory: after a restart the run's dedup key in the
//! journal still finds a run that is open or has succeeded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use baton_core::id::{Digest, RunId};

use super::problem::Problem;

/// Keys remembered; the oldest go first.
const KEYS_MAX: usize = 1_024;
/// Longest key.
const KEY_BYTES_MAX: usize = 200;

/// Keys seen since start.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    key: String,
    body: Digest,
    /// None while the call is in flight.
    run: Option<RunId>,
}

/// What a key is to a call.
#[derive(Debug)]
pub(super) enum Known<'k> {
    /// New: the call may go on.
    Fresh(Held<'k>),
    /// An earlier call began this run.
    Answered(RunId),
}

/// A key while its call is in flight; forgotten when dropped, unless a run came of it.
#[derive(Debug)]
pub(super) struct Held<'k> {
    keys: &'k Keys,
    key: String,
}

impl Keys {
    pub(super) fn hold(&self, key: &str, body: Digest) -> Result<Known<'_>, Problem> {
        let unfit = |detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(unfit("`Idempotency-Key` must be 1 to 200 characters long"));
        }
        let mut entries = self.entries();
        match entries.iter().find(|entry| entry.key == key) {
            Some(entry) if entry.body != body => {
                return Err(unfit(
                    "this `Idempotency-Key` came with another body before; use a new key for a new call",
                ));
            }
            Some(Entry { run: Some(run), .. }) => return Ok(Known::Answered(run.clone())),
            Some(_) => {
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "a call with this `Idempotency-Key` is in flight; wait for its answer",
                ));
            }
            None => {
                if entries.len() >= KEYS_MAX {
                    entries.pop_front();
                }
                entries.push_back(Entry { key: key.to_owned(), body, run: None });
            }
        }
        drop(entries);
        Ok(Known::Fresh(Held { keys: self, key: key.to_owned() }))
    }

    /// A panic while the list is held leaves it whole: every change is one step.
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// The call began `run`: the key stands for it from now on.
    pub(super) fn keep(self, run: &RunId) {
        if let Some(entry) = self.keys.entries().iter_mut().find(|entry| entry.key == self.key) {
            entry.run = Some(run.clone());
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.keys.entries().retain(|entry| entry.key != self.key || entry.run.is_some());
    }
}
