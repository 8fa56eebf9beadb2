//! What the facts alone say of a run: the simulator's own account, kept beside the
//! machine's and never read by it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::Millis;
use crate::id::{AttemptId, Place, Side, StepId};
use crate::limits;
use crate::run::event::{CallClass, Cause, Event, Outcome};
use crate::run::fault::FaultKind;
use crate::run::place::{Item, State};
use crate::run::state::Run;
use crate::workflow::plan::{Action, OnFailure, Plan, WhenInterrupted};

/// One lane of one place, by its facts.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is what one kind of fact says")]
pub(super) struct Lane {
    /// Number of the latest attempt.
    pub number: u32,
    /// Failures since the last success, look or answer.
    pub failures: u32,
    /// Crashes since the last success, look, failure or answer.
    pub crashes: u32,
    /// `once` calls of the latest attempt without an outcome.
    pub doubts: BTreeSet<u32>,
    /// The latest attempt has an intent.
    pub intent: bool,
    /// It is one that must happen at most once.
    pub once: bool,
    /// Some attempt has, or a child run of one.
    pub intent_ever: bool,
    /// What the latest attempt heard is on disk.
    pub taped: bool,
    /// When anything was last known of it.
    pub heard_at: Millis,
    /// When it began.
    pub started_at: Option<Millis>,
    /// It was cut off, and goes on under its own number.
    pub resumes: bool,
    /// It has gone on so.
    pub resumed: bool,
    /// A person must say yes before another attempt.
    pub must_ask: bool,
    /// When looking until something holds began.
    pub looking_since: Option<Millis>,
}

/// The whole account.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    lanes: BTreeMap<(Place, Side), Lane>,
    pub cancel: Option<Cause>,
    pub admitted: bool,
    pub assessed_at: Option<Millis>,
    /// How often each place sent its evidence back since a person last said "again".
    sent_back: BTreeMap<Place, u32>,
}

impl Ledger {
    pub(super) fn lane(&self, place: Place, side: Side) -> Lane {
        self.lanes.get(&(place, side)).cloned().unwrap_or_default()
    }

    fn of(&mut self, attempt: AttemptId) -> &mut Lane {
        self.lanes.entry((attempt.place, attempt.side)).or_default()
    }

    /// Notes a fact that was accepted. `before` tells which lane an answer is for.
    pub(super) fn note(&mut self, plan: &Plan, before: Option<&Run>, event: &Event) {
        match event {
            Event::Begun { begun, .. } => self.admitted = begun.queued.is_none(),
            Event::Admitted { .. } => self.admitted = true,
            Event::Cancelled { by, .. } => self.cancel = Some(by.clone()),
            Event::Joined { .. } | Event::Closed { .. } | Event::Woke { .. } => {}
            Event::Taped { at, attempt, .. } => {
                let lane = self.of(*attempt);
                lane.taped = true;
                lane.heard_at = *at;
            }
            Event::Diverged { attempt, .. } => {
                let lane = self.of(*attempt);
                lane.resumed = false;
                lane.must_ask |= lane.once;
            }
            Event::Stale { attempt, .. } => self.stale(plan, attempt.place),
            Event::Started { at, attempt } => {
                if attempt.side == Side::Do && plan.step(attempt.place.step).assesses {
                    self.assessed_at = Some(*at);
                }
                let lane = self.of(*attempt);
                lane.number = attempt.number;
                lane.resumed = lane.resumes;
                if !std::mem::take(&mut lane.resumes) {
                    lane.intent = false;
                    lane.once = false;
                    lane.taped = false;
                    lane.doubts.clear();
                    lane.heard_at = *at;
                }
                lane.started_at = Some(*at);
                lane.looking_since.get_or_insert(*at);
            }
            Event::Called { at, attempt, call } => {
                let lane = self.of(*attempt);
                lane.heard_at = *at;
                lane.once |= call.class == CallClass::Once;
                lane.intent |= call.class != CallClass::Read;
                lane.intent_ever |= call.class != CallClass::Read;
                match call.outcome {
                    None if call.class == CallClass::Once => lane.doubts.insert(call.index),
                    None | Some(_) => lane.doubts.remove(&call.index),
                };
            }
            Event::Succeeded { attempt, .. } => self.of(*attempt).progress(),
            Event::ChildClosed { attempt, assessed_at, outcome, acted, .. } => {
                self.assessed_at = self.assessed_at.max(*assessed_at);
                self.of(*attempt).intent_ever |= acted;
                match outcome {
                    Outcome::Succeeded => self.of(*attempt).progress(),
                    Outcome::Failed | Outcome::Cancelled | Outcome::TimedOut => {
                        self.failed(plan, *attempt, FaultKind::Retryable);
                    }
                }
            }
            Event::Failed { attempt, fault, .. } => self.failed(plan, *attempt, fault.kind),
            Event::Interrupted { at, attempt, .. } => {
                self.interrupted(plan, before, *attempt, *at);
            }
            Event::Answered { place, .. } => {
                let undo = before
                    .and_then(|run| run.item(*place))
                    .is_some_and(|item| matches!(item.undo(), State::Asking { .. }));
                let lane = self
                    .lanes
                    .entry((*place, if undo { Side::Undo } else { Side::Do }))
                    .or_default();
                lane.progress();
                lane.resumes = false;
                lane.must_ask = false;
                lane.looking_since = None;
                self.sent_back.retain(|by, _| by.step != place.step);
            }
        }
    }

    /// What `by` rests on is gathered again; whatever of it had settled is as new.
    fn stale(&mut self, plan: &Plan, by: Place) {
        *self.sent_back.entry(by).or_default() += 1;
        let above = plan.above(by.step);
        for ((place, side), lane) in &mut self.lanes {
            let again = above.contains(&place.step) && plan.step(place.step).changes_nothing;
            if again && *side == Side::Do {
                lane.progress();
                lane.looking_since = None;
            }
        }
    }

    /// How often `place` sent its evidence back.
    pub(super) fn sent_back(&self, place: Place) -> u32 {
        self.sent_back.get(&place).copied().unwrap_or_default()
    }

    /// Whether work that rests on `id` has changed something, or is a child run that may.
    pub(super) fn frozen(&self, plan: &Plan, run: &Run, id: StepId) -> bool {
        plan.ids().filter(|later| plan.above(*later).contains(&id)).any(|later| {
            let child = matches!(&plan.step(later).action, Action::Workflow(child) if !child.detached)
                && !plan.step(later).changes_nothing;
            let under_way = |item: &Item| matches!(item.work(), State::Running { .. });
            self.lanes_of(later, Side::Do).any(|lane| lane.intent_ever)
                || (child && run.step(later).items().iter().any(|item| under_way(item)))
        })
    }

    /// The lanes of a step that have had an attempt.
    pub(super) fn lanes_of(&self, step: StepId, side: Side) -> impl Iterator<Item = &Lane> {
        self.lanes
            .iter()
            .filter(move |((place, of), _)| place.step == step && *of == side)
            .map(|(_, lane)| lane)
    }

    fn failed(&mut self, plan: &Plan, attempt: AttemptId, kind: FaultKind) {
        let step = plan.step(attempt.place.step);
        let lane = self.of(attempt);
        lane.failures += 1;
        lane.crashes = 0;
        let over = kind == FaultKind::Permanent || lane.failures >= step.retry.attempts_max;
        let asks = attempt.side == Side::Do && step.on_failure == OnFailure::Ask;
        lane.must_ask |= !lane.doubts.is_empty() || (over && asks);
    }

    fn interrupted(&mut self, plan: &Plan, before: Option<&Run>, attempt: AttemptId, at: Millis) {
        let step = plan.step(attempt.place.step);
        let plugin = before.and_then(|run| run.begun().plugins.get("p"));
        let policy = step.when_interrupted.or(plugin.map(|pin| pin.when_interrupted));
        let within = step.replay_within_ms;
        let lane = self.of(attempt);
        lane.crashes += 1;
        let young = at - lane.heard_at <= within;
        let plays = lane.intent && lane.taped && young;
        let (asks, resumes) = match policy {
            Some(WhenInterrupted::Replay) => (lane.once && !plays, plays),
            Some(WhenInterrupted::Ask) => (lane.intent, false),
            Some(WhenInterrupted::Rerun) | None => (!lane.doubts.is_empty(), false),
        };
        lane.must_ask |= asks;
        lane.resumed = false;
        lane.resumes = resumes && lane.crashes < limits::INTERRUPTIONS_MAX;
    }

    /// Whether `place` may have changed something outside.
    pub(super) fn changed(&self, plan: &Plan, run: &Run, place: Place) -> bool {
        let succeeded =
            run.item(place).is_some_and(|item| matches!(item.work(), State::Succeeded { .. }));
        let lane = self.lane(place, Side::Do);
        let child = AttemptId { place, side: Side::Do, number: lane.number };
        succeeded || lane.intent_ever || (lane.number > 0 && plan.is_child(child))
    }
}

impl Lane {
    fn progress(&mut self) {
        self.failures = 0;
        self.crashes = 0;
    }
}

/// Whether a poll's `until` (always `output.done` here) holds.
pub(super) fn holds(output: &crate::Json) -> bool {
    output.get("done") == Some(&json!(true))
}
