//! One place of a run: a step, or one item of its `for_each`. It has two lanes, one
//! for its work and one for its undo, and both live by the same table:
//!
//! ```text
//!             gate opens                 Started
//!  Waiting ───────────────► Ready ─────────────────► Running ──Succeeded──► Succeeded
//!     │ ▲                    │ ▲  ▲                    │ │
//!     │ └───────Stale────────┘ │  └─Interrupted,───────┘ ├──Failed, no tries left──► Failed
//!     │ condition, need        │    Diverged             │
//!     ├──────────► Skipped   │                           │
//!     │                    Woke ◄── BackingOff ◄─────────┤ Failed, tries left; `until` not yet
//!     │ run ends             │                           │
//!     └──────────► Cancelled │ approved                  ▼
//!                            └──────────────────────── Asking ──rejected──► Failed
//! ```
//! `wait` steps go Waiting ─► Sleeping ─► Succeeded, `approval` steps Waiting ─►
//! Asking ─► Succeeded or Failed. The undo lane stays Waiting unless the run fails
//! and the step has something to take back.
//!
//! After `Interrupted` the attempt that is owed is a new one, or (policy `replay`) the
//! same one again on its tape. `Stale` meets only work that can change something; the
//! evidence that it rests on, settled before, goes back to Waiting with it: see
//! [`super::fresh`].

use std::sync::Arc;

use crate::id::{AttemptId, Side};
use crate::run::event::{Answer, Call, CallClass, TapeEntry};
use crate::run::fault::Fault;
use crate::{Json, Millis};

/// One place where work happens.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Item {
    pub(super) work: State,
    pub(super) undo: State,
    pub(super) output: Option<Arc<Json>>,
    pub(super) polling_since: Option<Millis>,
    /// What follows is kept for each [`Side`]: undo has tries and faults of its own.
    pub(super) faults: [Option<Fault>; 2],
    pub(super) failures: [u32; 2],
    pub(super) interruptions: [u32; 2],
    pub(super) numbers: [u32; 2],
    pub(super) calls: Vec<CallRecord>,
    pub(super) history: Vec<AttemptRecord>,
    pub(super) answers: Vec<AnswerRecord>,
    /// What the latest attempt has heard, as long as it may have to hear it again.
    pub(super) tapes: [Option<Heard>; 2],
    /// The attempt that is owed or under way is the one that was cut off.
    pub(super) resumed: [bool; 2],
    /// When the latest attempt last heard or did something, its replays left aside.
    pub(super) heard_at: [Millis; 2],
    /// When the latest attempt of the work began: the age of its output.
    pub(super) since: Option<Millis>,
    /// A child run of it may have changed something.
    pub(super) child_acted: bool,
    /// What it need not be asked again: the prompt that was approved; of a wait that is
    /// over, nothing.
    pub(super) passed: Option<String>,
}

/// What an attempt has heard and is on disk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub version: u32,
    pub input: Arc<Json>,
    pub entries: Vec<Arc<TapeEntry>>,
}

/// State of one lane of a place.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum State {
    /// Its time has not come.
    #[default]
    Waiting,
    /// An attempt is owed.
    Ready,
    /// An attempt is under way.
    Running {
        /// Its number.
        number: u32,
        /// Since when.
        since: Millis,
        /// It should end now: the run ends, or its time is up.
        stopping: bool,
    },
    /// Another attempt is owed later.
    BackingOff {
        /// When.
        until: Millis,
    },
    /// A `wait` step lets time pass.
    Sleeping {
        /// Until when.
        until: Millis,
    },
    /// A person must answer.
    Asking {
        /// What.
        question: Question,
        /// Since when.
        since: Millis,
        /// When silence becomes an answer.
        until: Option<Millis>,
    },
    /// Done.
    Succeeded {
        /// When.
        at: Millis,
    },
    /// Given up.
    Failed {
        /// When.
        at: Millis,
    },
    /// Not wanted.
    Skipped,
    /// The run ended first.
    Cancelled,
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// An `approval` step.
    Approval {
        /// The rendered prompt.
        prompt: String,
    },
    /// It failed, and `on_failure = "ask"`: try again?
    Failed,
    /// It was cut off after it may have changed something, and the step wants a
    /// person to look: run it again?
    Interrupted,
    /// A call that must happen at most once has no known outcome: run it again?
    InDoubt,
    /// The engine died under it [`crate::limits::INTERRUPTIONS_MAX`] times: run it again?
    Poison,
    /// Replayed, it did not do again what its tape says, and it had made an
    /// at-most-once call: run it again from the start?
    Diverged,
}

/// A changing call, and the attempt that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// The attempt.
    pub attempt: AttemptId,
    /// The call.
    pub call: Call,
}

/// An answer to a question of this place.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerRecord {
    /// When.
    pub at: Millis,
    /// What was asked.
    pub question: Question,
    /// The answer.
    pub answer: Answer,
}

/// A try that began.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Doing or undoing.
    pub side: Side,
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: Millis,
    /// How and when it ended.
    pub end: Option<(Millis, AttemptEnd)>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptEnd {
    /// Well.
    Succeeded,
    /// With this fault.
    Failed(Fault),
    /// With the engine.
    Interrupted,
    /// Its replay left the tape: how.
    Diverged(String),
}

impl State {
    /// Whether nothing more will happen in this lane by itself or by a person.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Skipped | Self::Cancelled => true,
            Self::Waiting
            | Self::Ready
            | Self::Running { .. }
            | Self::BackingOff { .. }
            | Self::Sleeping { .. }
            | Self::Asking { .. } => false,
        }
    }

    /// Whether this lane takes one of the `parallel` slots.
    pub(super) fn is_under_way(&self) -> bool {
        !self.is_settled() && *self != Self::Waiting
    }
}

impl Item {
    /// State of its work.
    pub fn work(&self) -> &State {
        &self.work
    }
    /// State of its undo; `Waiting` if none is due.
    pub fn undo(&self) -> &State {
        &self.undo
    }
    /// What it gave.
    pub fn output(&self) -> Option<&Arc<Json>> {
        self.output.as_ref()
    }
    /// Why the latest try failed; gone after a success. While undo fails, its fault;
    /// an undo that succeeds leaves the fault that led to it.
    pub fn fault(&self) -> Option<&Fault> {
        let [work, undo] = &self.faults;
        undo.as_ref().or(work.as_ref())
    }
    /// Changing calls, oldest first.
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }
    /// Tries, oldest first.
    pub fn history(&self) -> &[AttemptRecord] {
        &self.history
    }
    /// Answers to its questions, oldest first; the newest [`crate::limits::HISTORY_MAX`].
    pub fn answers(&self) -> &[AnswerRecord] {
        &self.answers
    }
    pub(super) fn lane(&self, side: Side) -> &State {
        match side {
            Side::Do => &self.work,
            Side::Undo => &self.undo,
        }
    }
    pub(super) fn lane_mut(&mut self, side: Side) -> &mut State {
        match side {
            Side::Do => &mut self.work,
            Side::Undo => &mut self.undo,
        }
    }
    /// Number of the attempt that is owed next: a new one, or the one that goes on.
    pub(super) fn next_number(&self, side: Side) -> u32 {
        self.numbers[side as usize] + u32::from(!self.resumed[side as usize])
    }
    /// Whether the work may have changed something outside, by itself or by a child run.
    pub(super) fn has_acted(&self) -> bool {
        self.child_acted || self.has_intents()
    }
    /// Whether the work may have changed something outside.
    pub(super) fn has_intents(&self) -> bool {
        self.intents().any(|record| record.attempt.side == Side::Do)
    }
    /// Calls that may have changed something, oldest first.
    pub(super) fn intents(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().filter(|record| record.call.class != CallClass::Read)
    }
}
