//! What a run is between two events. Its places, where the work happens, are in
//! [`super::place`], with the life cycle diagram.

use std::sync::Arc;

use crate::id::{AttemptId, Place, RunId, Side, StepId};
use crate::run::event::{Begun, Cause, Outcome, Trigger};
use crate::run::place::{Item, State};
use crate::run::shared::Shared;
use crate::run::table::Halt;
use crate::workflow::plan::Plan;
use crate::{Json, Millis};

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub(super) begun_at: Millis,
    pub(super) begun: Arc<Begun>,
    pub(super) phase: Phase,
    pub(super) steps: Vec<Shared<StepRun>>,
    pub(super) ending: Option<Ending>,
    /// Somebody wants it to end; work that runs is told to stop. It may have failed before.
    pub(super) stopped: bool,
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
    pub(super) items: Vec<Shared<Item>>,
    /// Why a `for_each` list could not be made or a condition not be evaluated.
    pub(super) skipped: Option<SkipReason>,
    /// When its gate opened or shut for good; its inputs are not newer than that.
    pub(super) gate_at: Option<Millis>,
    /// Why it was run again.
    pub(super) refreshes: Vec<Refresh>,
    /// How often it sent its evidence back.
    pub(super) sent_back: u32,
    /// What it gave before it was sent back, for those who read it meanwhile.
    pub(super) previous: Option<Arc<Json>>,
    /// Up to which numbers the items of earlier lists had attempts.
    pub(super) numbers: Vec<[u32; 2]>,
}

/// Evidence that was gathered again before something acted upon it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// When.
    pub at: Millis,
    /// The step that was about to start.
    pub by: StepId,
    /// The step whose output was past its shelf life.
    pub because: StepId,
    /// How old that was, in milliseconds.
    pub age_ms: Millis,
}

/// Why a step was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its `when` does not hold.
    Condition,
    /// A step that it needs was skipped.
    Need(StepId),
}

impl StepRun {
    /// A step whose gate has not opened.
    pub(super) fn unbegun() -> Self {
        Self {
            fan: None,
            items: vec![Shared::default()],
            skipped: None,
            gate_at: None,
            refreshes: Vec::new(),
            sent_back: 0,
            previous: None,
            numbers: Vec::new(),
        }
    }
    pub(super) fn is_unbegun(&self) -> bool {
        self.fan.is_none() && self.items.iter().all(|item| item.work == State::Waiting)
    }
    /// The items; one if the step has no `for_each` or its list is not known yet.
    pub fn items(&self) -> &[Shared<Item>] {
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
        let list =
            self.items.iter().map(|item| item.output.as_deref().cloned().unwrap_or(Json::Null));
        Some(Arc::new(Json::Array(list.collect())))
    }
    /// Why and when it was run again because it had become too old, oldest first.
    pub fn refreshes(&self) -> &[Refresh] {
        &self.refreshes
    }
    /// What others may read of it: its output, or while it is gathered again the one
    /// before.
    pub(super) fn visible(&self) -> Option<Arc<Json>> {
        if self.has_succeeded() {
            return self.output();
        }
        self.previous.clone().filter(|_| !self.is_settled())
    }
    /// One word for the whole step.
    pub fn status(&self) -> &'static str {
        let undo = self.items.iter().map(|item| &item.undo);
        let any = |wanted: fn(&State) -> bool| self.items.iter().any(|item| wanted(&item.work));
        if undo.clone().any(|state| matches!(state, State::Failed { .. })) {
            "undo-failed"
        } else if undo.clone().any(State::is_under_way) {
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
    pub(super) fn halt(&self) -> Option<Halt> {
        if self.stopped { Some(Halt::Stop) } else { self.ending.as_ref().map(|_| Halt::Drain) }
    }
    /// Its steps, by [`StepId`].
    pub fn steps(&self) -> &[Shared<StepRun>] {
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
    /// Whether one of its own steps sent, or was about to send, what changes something.
    pub fn has_intents(&self) -> bool {
        self.places().any(|(_, item)| item.intents().next().is_some())
    }
    /// Whether it, or a child run of it, may have changed something.
    pub fn has_acted(&self) -> bool {
        self.has_intents() || self.places().any(|(_, item)| item.child_acted)
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
        let step = self.steps.get(usize::from(place.step.0))?;
        step.items.get(usize::try_from(place.item).ok()?).map(|item| &**item)
    }
    pub(super) fn item_mut(&mut self, place: Place) -> Option<&mut Item> {
        let step = self.steps.get_mut(usize::from(place.step.0))?;
        step.items.get_mut(usize::try_from(place.item).ok()?).map(|item| &mut **item)
    }
    /// Every attempt under way. After a crash those of child runs live on, as their
    /// runs do; the others were cut off: see [`Run::cut_off`].
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
    /// Attempts that died with the engine, if it died now: each is owed `Interrupted`.
    pub fn cut_off(&self, plan: &Plan) -> Vec<AttemptId> {
        self.running().into_iter().filter(|attempt| !plan.is_child(*attempt)).collect()
    }
    /// Every place with its item.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &Item)> {
        (0u16..).map(StepId).zip(&self.steps).flat_map(|(step, run)| {
            (0u32..).zip(&run.items).map(move |(item, state)| (Place { step, item }, &**state))
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
                } else if self.stopped {
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
    let deadline = match phase {
        Phase::Open => plan.timeout_ms().map(|timeout| at + timeout),
        Phase::Queued { .. } | Phase::Closed { .. } => None,
    };
    Run {
        begun_at: at,
        begun,
        phase,
        steps: plan.steps().iter().map(|_| StepRun::unbegun().into()).collect(),
        ending: None,
        stopped: false,
        deadline,
        joined: Vec::new(),
        assessed_at: None,
        interruptions: 0,
    }
}
