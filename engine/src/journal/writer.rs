//! The one thread that writes, and the queue in front of it: all batches that wait are
//! stored together and acknowledged together. While nothing waits it looks after the store.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ledger::Change;
use super::{AppendError, Batch, Done, GROUP_BYTES_MAX, QUEUE_BATCHES_MAX};

/// How often a store that takes nothing is asked whether it does again.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// Where batches always wait, the store is looked after so often all the same.
const TEND_AFTER: Duration = Duration::from_secs(1);

/// The store's side of writing. Of its errors only [`AppendError::Stopped`], and a panic,
/// end it.
pub(super) trait Store: Send + 'static {
    /// The changes of a batch.
    fn stage(&mut self, batch: &Batch) -> Result<Vec<Change>, AppendError>;
    /// Whether a group can be stored now; asked before each, and now and then while not.
    fn ready(&mut self) -> Result<(), AppendError>;
    /// Makes changes durable, atomically. After an error nothing of them is stored.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), AppendError>;
    /// What can wait until those who wait for [`Store::commit`] have been answered. Always
    /// called after one that went well.
    fn follow(&mut self);
    /// Does a little of what keeps it in shape; when it wants to do more.
    fn tend(&mut self) -> Duration;
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
    /// Why nothing can be stored for the time being.
    stalled: Option<String>,
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

    /// Why nothing can be stored now.
    pub(super) fn stalled(&self) -> Option<String> {
        let state = self.queue.state();
        state.stopped.clone().or_else(|| state.stalled.clone())
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

    /// Waits for a batch, until `idle_at`.
    fn next(&self, idle_at: Instant) -> Next {
        let mut state = self.state();
        loop {
            if let Some((batch, done)) = state.waiting.pop_front() {
                return Next::Batch(batch, done);
            }
            if state.closing {
                return Next::Closing;
            }
            let left = idle_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Idle;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.expect("nothing panics while it holds this lock").0;
        }
    }

    /// Notes whether anything can be stored; logs when that changes.
    fn note(&self, end: Result<(), &AppendError>) {
        let mut state = self.state();
        match end {
            Err(error) if state.stalled.is_none() => {
                state.stalled = Some(error.to_string());
                tracing::error!(%error, "nothing can be stored for the time being; it is tried again");
            }
            Err(error) => state.stalled = Some(error.to_string()),
            Ok(()) if state.stalled.take().is_some() => {
                tracing::info!("the journal takes writes again");
            }
            Ok(()) => {}
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

enum Next {
    Batch(Batch, Done),
    /// Nothing waits.
    Idle,
    Closing,
}

fn write_all(mut store: impl Store, queue: &Queue) {
    let mut tend_at = Instant::now();
    loop {
        let end = match queue.next(tend_at) {
            Next::Batch(batch, done) => {
                tend_at = tend_at.min(Instant::now() + TEND_AFTER);
                write_group(&mut store, queue, (batch, done))
            }
            Next::Idle => Ok(()),
            Next::Closing => return,
        };
        let end = end.and_then(|()| {
            if Instant::now() < tend_at {
                return Ok(());
            }
            guarded(|| {
                let wait = tend(&mut store, queue);
                tend_at = Instant::now() + wait;
            })
        });
        let Err(why) = end else { continue };
        halt(queue, &why, VecDeque::new());
        return;
    }
}

fn tend(store: &mut impl Store, queue: &Queue) -> Duration {
    if queue.state().stalled.is_none() {
        return store.tend();
    }
    let ready = store.ready();
    queue.note(ready.as_ref().copied());
    ASK_AFTER
}

/// Stores `first` and all that waits; an error, a sentence, ends the writer.
fn write_group(store: &mut impl Store, queue: &Queue, first: (Batch, Done)) -> Result<(), String> {
    let mut group = Group::default();
    let mut committed = false;
    let end = match guarded(|| store.ready()) {
        Ok(Ok(())) => gather(store, queue, first, &mut group).and_then(|()| {
            if group.changes.is_empty() {
                return Ok(Ok(()));
            }
            let changes = std::mem::take(&mut group.changes);
            committed = true;
            guarded(|| store.commit(changes))
        }),
        other => {
            group.staged.push(first.1);
            other
        }
    };
    match end {
        Ok(Ok(())) => {
            // All of it may have been refused: that says nothing of the store.
            if !group.staged.is_empty() {
                queue.note(Ok(()));
            }
            group.staged.into_iter().for_each(|done| answer(done, Ok(())));
            if committed { guarded(|| store.follow()) } else { Ok(()) }
        }
        Ok(Err(AppendError::Stopped(why))) | Err(why) => {
            halt(queue, &why, group.staged.into());
            Err(why)
        }
        Ok(Err(error)) => {
            queue.note(Err(&error));
            group.staged.into_iter().for_each(|done| answer(done, Err(error.clone())));
            Ok(())
        }
    }
}

/// Answers all that wait, and all that come: there is nobody to write any more.
fn halt(queue: &Queue, why: &str, staged: VecDeque<Done>) {
    let why = format!(
        "the journal has stopped: {why}. Start Baton again: every run goes on from what was \
         stored"
    );
    tracing::error!("{why}");
    let waiting = queue.stop(&why);
    let dones = staged.into_iter().chain(waiting.into_iter().map(|(_, done)| done));
    dones.for_each(|done| answer(done, Err(AppendError::Stopped(why.clone()))));
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
            Ok(Err(error)) => {
                if matches!(error, AppendError::Full(_) | AppendError::Unwritten(_)) {
                    queue.note(Err(&error));
                }
                answer(done, Err(error));
            }
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
