//! The one thread that writes, and the queue in front of it: all batches that wait are
//! stored together and acknowledged together.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use super::ledger::Change;
use super::{AppendError, Batch, Done, GROUP_BYTES_MAX, QUEUE_BATCHES_MAX};

/// The store's side of writing.
pub(super) trait Store: Send + 'static {
    /// The changes of a batch; [`AppendError::Stopped`] stops the store.
    fn stage(&mut self, batch: &Batch) -> Result<Vec<Change>, AppendError>;
    /// Makes changes durable, atomically; an error stops the store.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), String>;
}

/// The queue's front. Dropping it waits until all that was queued is written.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Batch, Done)>,
    closing: bool,
    /// Why nothing is written any more.
    stopped: Option<String>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(store: impl Store) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let its = Arc::clone(&queue);
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            write_all(store, &its);
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// See [`super::Journal::append`].
    pub(super) fn append(&self, batch: Batch, done: Done) {
        let mut state = self.queue.state();
        let error = match &state.stopped {
            Some(why) => AppendError::Stopped(why.clone()),
            None if state.waiting.len() >= QUEUE_BATCHES_MAX => AppendError::Busy,
            None => {
                state.waiting.push_back((batch, done));
                drop(state);
                self.queue.changed.notify_one();
                return;
            }
        };
        drop(state);
        done(Err(error));
    }

    /// Why nothing is written any more.
    pub(super) fn stopped(&self) -> Option<String> {
        self.queue.state().stopped.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.state().closing = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take()
            // A `done` may own the last reference to the journal.
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Waits for a batch; none when the journal closes and nothing waits.
    fn next(&self) -> Option<(Batch, Done)> {
        let mut state = self.state();
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            if state.closing {
                return None;
            }
            state = self.changed.wait(state).expect("nothing panics while it holds this lock");
        }
    }

    fn stop(&self, why: &str) -> VecDeque<(Batch, Done)> {
        let mut state = self.state();
        state.stopped = Some(why.to_owned());
        std::mem::take(&mut state.waiting)
    }
}

/// Batches that go to disk with one flush.
#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    bytes: usize,
    staged: Vec<Done>,
}

fn write_all(mut store: impl Store, queue: &Queue) {
    while let Some(first) = queue.next() {
        let mut group = Group::default();
        let end = gather(&mut store, queue, first, &mut group).and_then(|()| {
            if group.changes.is_empty() {
                return Ok(());
            }
            let changes = std::mem::take(&mut group.changes);
            guarded(|| store.commit(changes)).and_then(|end| end)
        });
        let Err(why) = end else {
            group.staged.into_iter().for_each(|done| answer(done, Ok(())));
            continue;
        };
        let why = format!(
            "the journal has stopped, because it can no longer know what is on disk: {why}. \
             Make room on the disk or repair it, then start Baton again: every run goes on \
             from what was stored"
        );
        tracing::error!("{why}");
        let waiting = queue.stop(&why);
        let dones = group.staged.into_iter().chain(waiting.into_iter().map(|(_, done)| done));
        dones.for_each(|done| answer(done, Err(AppendError::Stopped(why.clone()))));
        return;
    }
}

/// Stages `first` and all that waits. Refused batches are answered at once.
fn gather(
    store: &mut impl Store,
    queue: &Queue,
    first: (Batch, Done),
    group: &mut Group,
) -> Result<(), String> {
    let mut next = Some(first);
    while let Some((batch, done)) = next {
        match guarded(|| store.stage(&batch)) {
            Ok(Ok(changes)) => {
                group.bytes += changes.iter().map(size).sum::<usize>();
                group.changes.extend(changes);
                group.staged.push(done);
            }
            Ok(Err(AppendError::Stopped(why))) | Err(why) => {
                group.staged.push(done);
                return Err(why);
            }
            Ok(Err(refused)) => answer(done, Err(refused)),
        }
        if group.bytes >= GROUP_BYTES_MAX {
            break;
        }
        next = queue.state().waiting.pop_front();
    }
    Ok(())
}

/// A caller that panics on its answer must not cost the others theirs.
fn answer(done: Done, end: Result<(), AppendError>) {
    if let Err(why) = guarded(|| done(end)) {
        tracing::error!("an answer of the journal was lost: {why}");
    }
}

fn size((key, value): &Change) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

/// A panic as an error: it must not leave callers waiting for an answer.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("a panic: {}", text.unwrap_or("without a message"))
    })
}
