//! The only loop: takes inputs, checks them against the machine, appends, and
//! performs what is owed.

mod handle;
pub mod view;

use baton_core::Millis;
use baton_core::id::RunId;
use baton_core::run::event::{Answer, Cause};
use tokio::sync::oneshot;

pub use handle::{Admission, Begin, BeginError, CommandError, Filter, Handle, Stats};
use view::{RunView, Summary};

/// Everything that can reach the loop.
#[derive(Debug)]
pub(crate) enum Input {
    /// A trigger.
    Begin {
        /// The wish.
        begin: Begin,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<Admission, BeginError>>,
    },
    /// End a run.
    Cancel {
        /// Which.
        run: RunId,
        /// Who and why.
        by: Cause,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// Answer a question.
    Answer {
        /// Of which run.
        run: RunId,
        /// Of which step, by name.
        step: String,
        /// Of which item.
        item: u32,
        /// The answer.
        answer: Answer,
        /// Answered after the flush.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// List runs.
    List {
        /// Which.
        filter: Filter,
        /// Newest first.
        reply: oneshot::Sender<Vec<Summary>>,
    },
    /// Show a run.
    Show {
        /// Which.
        run: RunId,
        /// None: unknown.
        reply: oneshot::Sender<Option<RunView>>,
    },
    /// Figures.
    Stats {
        /// Figures.
        reply: oneshot::Sender<Stats>,
    },
    /// Drain and stop.
    Stop {
        /// How long running attempts may take, in milliseconds.
        grace_ms: Millis,
        /// Answered when the loop ends.
        reply: oneshot::Sender<()>,
    },
}
