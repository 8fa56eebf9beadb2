//! The cheap handle in front of the runner's loop.

use baton_core::id::{Digest, RunId};
use baton_core::run::event::{Answer, Cause, Trigger};
use baton_core::{Json, Millis};
use baton_crash::{self as crash, Point};
use tokio::sync::{mpsc, oneshot, watch};

use super::Input;
use super::switches::{By, Order, Switches};
use super::tape::{TapeError, TapeView, Wanted};
use super::view::{RunView, Summary};

/// A wish to begin a run.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Which workflow.
    pub workflow: String,
    /// Its params, an object; checked against the plan's declarations.
    pub params: Json,
    /// Why.
    pub trigger: Trigger,
}

/// What became of it; everything said here is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A run began.
    Started(RunId),
    /// A run waits for its key or for the end of a cool-down.
    Queued {
        /// The waiting run.
        run: RunId,
        /// Why it waits.
        reason: String,
    },
    /// It was folded into an open run with the same key.
    Joined(RunId),
    /// It repeats a delivery that this run already answers.
    Duplicate(RunId),
}

impl Admission {
    /// The run that answers the trigger.
    pub fn run(&self) -> &RunId {
        match self {
            Self::Started(run)
            | Self::Queued { run, .. }
            | Self::Joined(run)
            | Self::Duplicate(run) => run,
        }
    }
}

/// Why no run began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// No such workflow is loaded.
    #[error("no workflow named `{0}` is loaded")]
    UnknownWorkflow(String),
    /// The params do not fit; one line each.
    #[error("params do not fit: {}", .0.join("; "))]
    BadParams(Vec<String>),
    /// The key is held and the workflow says `refuse`.
    #[error("run {holder} holds `{key}`; wait for it or cancel it")]
    Refused {
        /// The key.
        key: String,
        /// Who holds it.
        holder: RunId,
    },
    /// It could not be stored, or the engine is starting, full or draining.
    #[error("not accepted now: {0}")]
    Unavailable(String),
}

/// Why a command to a run had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such run.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// It does not fit the run's state (closed, no such question).
    #[error("{0}")]
    Illegal(String),
    /// It could not be stored.
    #[error("not accepted now: {0}")]
    Unavailable(String),
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this workflow.
    pub workflow: Option<String>,
    /// Only runs in this state, as [`Summary::state`] spells it.
    pub state: Option<String>,
    /// At most so many, newest first.
    pub limit: Option<usize>,
    /// Only runs begun before this one.
    pub before: Option<RunId>,
}

/// Figures for `/metrics` and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Runs not closed.
    pub open: u64,
    /// Runs waiting for their key.
    pub queued: u64,
    /// Attempts running now.
    pub attempts: u64,
    /// Runs whose records cannot be read.
    pub unreadable: u64,
    /// Runs closed since start, by workflow and outcome.
    pub closed: std::collections::BTreeMap<(String, &'static str), u64>,
    /// Verdicts of runs closed since start, by workflow and word.
    pub verdicts: std::collections::BTreeMap<(String, &'static str), u64>,
    /// The latest verdict of each workflow since start.
    pub last_verdicts: std::collections::BTreeMap<String, &'static str>,
    /// Begin requests since start, by what became of them.
    pub admissions: std::collections::BTreeMap<&'static str, u64>,
    /// Pauses in force.
    pub pauses: u64,
    /// Maintenance windows in force.
    pub windows: u64,
    /// Attempts that those hold back.
    pub held: u64,
    /// Why the journal does not take writes, if so.
    pub stalled: Option<String>,
    /// When the engine began to accept, Unix ms; none while it resumes.
    pub ready_since: Option<Millis>,
}

/// Talks to the runner. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) inbox: mpsc::Sender<Input>,
    /// Moves whenever any run changes; for live views.
    pub(super) changes: watch::Receiver<u64>,
}

impl Handle {
    /// Begins a run; answers after it is on disk.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub async fn begin(&self, begin: Begin) -> Result<Admission, BeginError> {
        crash::point(Point::TriggerBefore);
        let (reply, answer) = oneshot::channel();
        let gone = || BeginError::Unavailable("the engine is stopping".to_owned());
        self.inbox.send(Input::Begin { begin, reply }).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        crash::point(Point::TriggerAfter);
        answer
    }

    /// Ends a run.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn cancel(&self, run: RunId, by: Cause) -> Result<(), CommandError> {
        self.command(|reply| Input::Cancel { run, by, reply }).await
    }

    /// Answers a question of a run; `item` is of a `for_each`, and must be named there.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn answer(
        &self,
        run: RunId,
        step: String,
        item: Option<u32>,
        answer: Answer,
    ) -> Result<(), CommandError> {
        self.command(|reply| Input::Answer { run, step, item, answer, reply }).await
    }

    /// Pauses, resumes, begins or ends a maintenance window, or acknowledges a run;
    /// answers when that is on disk and in force.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn order(&self, order: Order, by: By) -> Result<(), CommandError> {
        self.command(|reply| Input::Order { order, by, reply }).await
    }

    /// Pauses, maintenance windows and acknowledgements, as they are now.
    pub async fn switches(&self) -> Switches {
        self.ask(|reply| Input::Switches { reply }).await.unwrap_or_default()
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: Filter) -> Vec<Summary> {
        self.ask(|reply| Input::List { filter, reply }).await.unwrap_or_default()
    }

    /// One run, whole.
    pub async fn run(&self, run: RunId) -> Option<RunView> {
        self.ask(|reply| Input::Show { run, reply }).await.flatten()
    }

    /// The tape of an attempt.
    ///
    /// # Errors
    /// See [`TapeError`].
    pub async fn tape(&self, run: RunId, wanted: Wanted) -> Result<TapeView, TapeError> {
        let stopping = || Err(TapeError::Unreadable("the engine is stopping".to_owned()));
        self.ask(|reply| Input::Tape { run, wanted, reply }).await.unwrap_or_else(stopping)
    }

    /// The component of a build that runs began with; none if none did.
    ///
    /// # Errors
    /// In words, if the journal cannot be read.
    pub async fn build(&self, digest: Digest) -> Result<Option<Vec<u8>>, String> {
        let stopping = || Err("the engine is stopping".to_owned());
        self.ask(|reply| Input::Build { digest, reply }).await.unwrap_or_else(stopping)
    }

    /// Figures.
    pub async fn stats(&self) -> Stats {
        self.ask(|reply| Input::Stats { reply }).await.unwrap_or_default()
    }

    /// Wakes whenever something changed since it last looked.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Takes no more triggers, lets running attempts end until `grace_ms` have
    /// passed, and stops the loop. What is cut off goes on at the next start.
    pub async fn stop(&self, grace_ms: Millis) {
        let _ = self.ask(|reply| Input::Stop { grace_ms, reply }).await;
    }

    /// Ends when the loop has ended.
    pub async fn ended(&self) {
        self.inbox.closed().await;
    }

    async fn command(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<(), CommandError>>) -> Input,
    ) -> Result<(), CommandError> {
        self.ask(make)
            .await
            .unwrap_or_else(|| Err(CommandError::Unavailable("the engine is stopping".to_owned())))
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(make(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
impl Handle {
    /// A handle whose inputs the test answers.
    pub(crate) fn fake() -> (Self, mpsc::Receiver<Input>) {
        let (inbox, inputs) = mpsc::channel(16);
        let (_, changes) = watch::channel(0);
        (Self { inbox, changes }, inputs)
    }
}
