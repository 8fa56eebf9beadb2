//! What a run is between two events.
//!
//! Every place (a step, or one item of its `for_each`) has two lanes, one for its
//! work and one for its undo, and both live by the same table:
//!
//! ```text
//!             gate opens                 Started
//!  Waiting ───────────────► Ready ─────────────────► Running ──Succeeded──► Succeeded
//!     │                      ▲  ▲                      │ │
//!     │ condition, need      │  └──────Interrupted─────┘ ├──Failed, no tries left──► Failed
//!     ├──────────► Skipped   │                           │
//!     │                    Woke ◄── BackingOff ◄─────────┤ Failed, tries left; `until` not yet
//!     │ run ends             │                           │
//!     └──────────► Cancelled │ approved                  ▼
//!                            └──────────────────────── Asking ──rejected──► Failed
//! ```
//! `wait` steps go Waiting ─► Sleeping ─► Succeeded, `approval` steps Waiting ─►
//! Asking ─► Succeeded or Failed. The undo lane stays Waiting unless the run fails
//! and the step has something to take back.

use std::sync::Arc;

use crate::id::{AttemptId, Place, RunId, Side, StepId};
use crate::run::event::{Begun, Call, Cause, Outcome, Trigger};
use crate::run::fault::Fault;
use crate::workflow::plan::{Plan, Step};
use crate::{Json, Millis};

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub(super) begun_at: Millis,
    pub(super) begun: Arc<Begun>,
    pub(super) phase: Phase,
    pub(super) steps: Vec<StepRun>,
    pub(super) ending: Option<Ending>,
    pub(super) deadline: Option<Millis>,
    pub(super) joined: Vec<Joined>,
    pub(super) assessed_at: Option<Millis>,
    pub(super) interruptions: u32,
}

/// Where a run is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// On disk, waiting for its key and its time.
    Queued {
        /// Not before this time.
        not_before: Millis,
    },
    /// Under way.
    Open,
    /// Over.
    Closed {
        /// When.
        at: Millis,
        /// How.
        outcome: Outcome,
        /// What it gave; null if nothing was declared or it could not be rendered.
        output: Arc<Json>,
    },
}

/// Why an open run starts nothing new. The first cause stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This step failed.
    Failed(StepId),
    /// Somebody ended it.
    Cancelled(Cause),
}

/// A trigger that was folded into a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// When it arrived.
    pub at: Millis,
    /// What arrived.
    pub trigger: Trigger,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRun {
    /// The list of a `for_each`, once it is known.
    pub(super) fan: Option<Arc<Vec<Json>>>,
    /// One item; with `for_each`, as many as the list has.
    pub(super) items: Vec<Item>,
    /// Why a `for_each` list could not be made or a condition not be evaluated.
    pub(super) skipped: Option<SkipReason>,
}

/// Why a step was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its `when` does not hold.
    Condition,
    /// A step that it needs was skipped.
    Need(StepId),
}

/// One place where work happens.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Item {
    pub(super) work: State,
    pub(super) undo: State,
    pub(super) output: Option<Arc<Json>>,
    pub(super) fault: Option<Fault>,
    pub(super) failures: u32,
    pub(super) interruptions: u32,
    pub(super) polling_since: Option<Millis>,
    pub(super) numbers: [u32; 2],
    pub(super) calls: Vec<CallRecord>,
    pub(super) history: Vec<AttemptRecord>,
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
}

/// A changing call, and the attempt that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// The attempt.
    pub attempt: AttemptId,
    /// The call.
    pub call: Call,
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
    /// Why the latest try failed; gone after a success.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
    /// Changing calls, oldest first.
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }
    /// Tries, oldest first.
    pub fn history(&self) -> &[AttemptRecord] {
        &self.history
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
    pub(super) fn next_number(&self, side: Side) -> u32 {
        self.numbers[side as usize] + 1
    }
    /// Whether the work may have changed something outside.
    pub(super) fn has_intents(&self) -> bool {
        self.calls.iter().any(|record| record.attempt.side == Side::Do)
    }
}

impl StepRun {
    /// The items; one if the step has no `for_each` or its list is not known yet.
    pub fn items(&self) -> &[Item] {
        &self.items
    }
    /// The list of a `for_each`, once known.
    pub fn fan(&self) -> Option<&[Json]> {
        self.fan.as_deref().map(Vec::as_slice)
    }
    /// Why it was skipped, if it was.
    pub fn skipped(&self) -> Option<SkipReason> {
        self.skipped
    }
    pub(super) fn is_settled(&self) -> bool {
        self.items.iter().all(|item| item.work.is_settled())
    }
    pub(super) fn has_failed(&self) -> bool {
        self.items.iter().any(|item| matches!(item.work, State::Failed { .. }))
    }
    pub(super) fn was_cancelled(&self) -> bool {
        self.items.iter().any(|item| item.work == State::Cancelled)
    }
    pub(super) fn was_skipped(&self) -> bool {
        self.skipped.is_some()
    }
    pub(super) fn has_succeeded(&self) -> bool {
        self.items.iter().all(|item| matches!(item.work, State::Succeeded { .. }))
    }
    /// The step's output: its item's, or the list of its items' (null for one without).
    pub fn output(&self) -> Option<Arc<Json>> {
        if self.fan.is_none() {
            return self.items.first().and_then(|item| item.output.clone());
        }
        if !self.is_settled() {
            return None;
        }
        let list = self.items.iter().map(|item| item.output.as_deref().cloned().unwrap_or(Json::Null));
        Some(Arc::new(Json::Array(list.collect())))
    }
    /// One word for the whole step.
    pub fn status(&self) -> &'static str {
        let undo = self.items.iter().map(|item| &item.undo);
        let any = |wanted: fn(&State) -> bool| self.items.iter().any(|item| wanted(&item.work));
        if undo.clone().any(|state| matches!(state, State::Failed { .. })) {
            "undo-failed"
        } else if undo.clone().any(|state| state.is_under_way()) {
            "undoing"
        } else if undo.clone().any(|state| matches!(state, State::Succeeded { .. })) {
            "undone"
        } else if any(|state| matches!(state, State::Asking { .. })) {
            "asking"
        } else if any(|state| matches!(state, State::Running { .. } | State::Sleeping { .. })) {
            "running"
        } else if any(|state| matches!(state, State::BackingOff { .. })) {
            "backing-off"
        } else if any(|state| *state == State::Ready) {
            "ready"
        } else if any(|state| *state == State::Waiting) {
            "waiting"
        } else if self.has_failed() {
            "failed"
        } else if self.was_cancelled() {
            "cancelled"
        } else if self.was_skipped() {
            "skipped"
        } else {
            "succeeded"
        }
    }
}

impl Run {
    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.begun.id
    }
    /// What it began with.
    pub fn begun(&self) -> &Arc<Begun> {
        &self.begun
    }
    /// When it began.
    pub fn begun_at(&self) -> Millis {
        self.begun_at
    }
    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }
    /// Its steps, by [`StepId`].
    pub fn steps(&self) -> &[StepRun] {
        &self.steps
    }
    /// Why nothing new starts, if so.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }
    /// Triggers folded into it, oldest first.
    pub fn joined(&self) -> &[Joined] {
        &self.joined
    }
    /// When its latest assessing step began, its child runs' included.
    pub fn assessed_at(&self) -> Option<Millis> {
        self.assessed_at
    }
    /// How often the engine died under one of its attempts.
    pub fn interruptions(&self) -> u32 {
        self.interruptions
    }
    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }
    /// Whether it waits for its key or its time.
    pub fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queued { .. })
    }
    /// The step.
    pub fn step(&self, id: StepId) -> &StepRun {
        &self.steps[usize::from(id.0)]
    }
    /// The item, if there is such a place.
    pub fn item(&self, place: Place) -> Option<&Item> {
        self.steps.get(usize::from(place.step.0))?.items.get(usize::try_from(place.item).ok()?)
    }
    pub(super) fn item_mut(&mut self, place: Place) -> Option<&mut Item> {
        self.steps.get_mut(usize::from(place.step.0))?.items.get_mut(usize::try_from(place.item).ok()?)
    }
    /// Every attempt under way.
    pub fn running(&self) -> Vec<AttemptId> {
        let mut running = Vec::new();
        for (place, item) in self.places() {
            for side in [Side::Do, Side::Undo] {
                if let State::Running { number, .. } = *item.lane(side) {
                    running.push(AttemptId { place, side, number });
                }
            }
        }
        running
    }
    /// Every place with its item.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &Item)> {
        (0u16..).map(StepId).zip(&self.steps).flat_map(|(step, run)| {
            (0u32..).zip(&run.items).map(move |(item, state)| (Place { step, item }, state))
        })
    }
    /// One word for the whole run.
    pub fn status(&self) -> &'static str {
        match &self.phase {
            Phase::Queued { .. } => "queued",
            Phase::Closed { outcome, .. } => outcome.as_str(),
            Phase::Open => {
                let lanes = || self.places().flat_map(|(_, item)| [&item.work, &item.undo]);
                if lanes().any(|state| matches!(state, State::Asking { .. })) {
                    "asking"
                } else if self.places().any(|(_, item)| item.undo.is_under_way()) {
                    "undoing"
                } else if matches!(self.ending, Some(Ending::Cancelled(_))) {
                    "cancelling"
                } else {
                    "running"
                }
            }
        }
    }
}

impl Outcome {
    /// As lists and metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
        }
    }
}

/// A run as it is right after it began.
pub(super) fn begin(plan: &Plan, at: Millis, begun: Arc<Begun>) -> Run {
    let phase = match begun.queued {
        Some(queued) => Phase::Queued { not_before: queued.not_before },
        None => Phase::Open,
    };
    let step = |_: &Step| StepRun { fan: None, items: vec![Item::default()], skipped: None };
    let deadline = match phase {
        Phase::Open => plan.timeout_ms().map(|timeout| at + timeout),
        Phase::Queued { .. } | Phase::Closed { .. } => None,
    };
    Run {
        begun_at: at,
        begun,
        phase,
        steps: plan.steps().iter().map(step).collect(),
        ending: None,
        deadline,
        joined: Vec::new(),
        assessed_at: None,
        interruptions: 0,
    }
}
