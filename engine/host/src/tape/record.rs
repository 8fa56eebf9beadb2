//! What was heard and is not on disk yet, and its way there: with the next change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_core::limits::TAPE_BYTES_MAX;
use baton_core::run::event::{Call, TapeEntry};

use super::Asked;
use crate::host::{Wall, WallError};

/// What hangs on the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The attempt goes on from it after a crash: no change without it.
    Must,
    /// People may look at it: no change fails for it.
    Wish,
}

/// Keeps answers until they are on disk.
pub(super) struct Recorder {
    need: Need,
    kept: Mutex<Kept>,
    /// Held from taking what is kept until the engine has taken it: of several members
    /// that are asked at once, none may overtake the one that carries it.
    turn: tokio::sync::Mutex<()>,
}

struct Kept {
    pending: VecDeque<Arc<TapeEntry>>,
    /// Of the whole tape, what is on disk included.
    bytes: usize,
    /// Something was heard that is kept nowhere. From then on nothing is: a tape with
    /// a hole is none.
    over: bool,
}

impl Recorder {
    /// Behind what is on disk already.
    pub(super) fn new(on_disk: &[Arc<TapeEntry>], need: Need) -> Self {
        let bytes = on_disk.iter().map(|entry| entry.size()).sum();
        let kept = Kept { pending: VecDeque::new(), bytes, over: false };
        Self { need, kept: Mutex::new(kept), turn: tokio::sync::Mutex::new(()) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&mut self, index: u32, asked: Asked, answer: impl FnOnce() -> String) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        if kept.over {
            return;
        }
        let Asked { function, digest, request } = asked;
        let answer: Arc<str> = answer().into();
        let entry = TapeEntry { index, function: function.to_owned(), request, digest, answer };
        kept.bytes += entry.size();
        if kept.bytes > TAPE_BYTES_MAX {
            kept.over = true;
            kept.pending = VecDeque::new();
        } else {
            kept.pending.push_back(Arc::new(entry));
        }
    }

    /// Whether a change must not come for want of what was heard before it.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.need == Need::Must && self.kept().over
    }

    pub(super) async fn intend(&self, wall: &dyn Wall, calls: &[Call]) -> Result<(), WallError> {
        let turn = self.turn.lock().await;
        let heard: Vec<_> = self.kept().pending.iter().cloned().collect();
        let durable = wall.intend(calls.to_vec(), heard.clone()).await?;
        self.kept().pending.drain(..heard.len());
        drop(turn);
        let stored = durable.await;
        if stored.is_err() {
            // It is as unheard by the disk as before; the next change carries it.
            let kept = &mut *self.kept();
            for entry in heard.into_iter().rev() {
                kept.pending.push_front(entry);
            }
        }
        stored
    }

    pub(super) fn rest(&mut self) -> Vec<Arc<TapeEntry>> {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut kept.pending).into()
    }
}
