//! What the facts alone say of a run: the simulator's own account, kept beside the
//! machine's and never read by it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::Millis;
use crate::id::{AttemptId, Place, Side};
use crate::run::event::{CallClass, Cause, Event, Outcome};
use crate::run::fault::FaultKind;
use crate::run::place::State;
use crate::run::state::Run;
use crate::workflow::plan::{OnFailure, Plan, WhenInterrupted};

/// One lane of one place, by its facts.
#[derive(Clone, Debug, Default)]
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
    /// Some attempt has.
    pub intent_ever: bool,
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
            Event::Joined { .. }
            | Event::Closed { .. }
            | Event::Woke { .. }
            | Event::Taped { .. }
            | Event::Diverged { .. }
            | Event::Stale { .. } => {}
            Event::Started { at, attempt } => {
                if attempt.side == Side::Do && plan.step(attempt.place.step).assesses {
                    self.assessed_at = Some(*at);
                }
                let lane = self.of(*attempt);
                lane.number = attempt.number;
                lane.intent = false;
                lane.doubts.clear();
                lane.looking_since.get_or_insert(*at);
            }
            Event::Called { attempt, call, .. } => {
                let lane = self.of(*attempt);
                lane.intent |= call.class != CallClass::Read;
                lane.intent_ever |= call.class != CallClass::Read;
                match call.outcome {
                    None if call.class == CallClass::Once => lane.doubts.insert(call.index),
                    None | Some(_) => lane.doubts.remove(&call.index),
                };
            }
            Event::Succeeded { attempt, .. } => self.of(*attempt).progress(),
            Event::ChildClosed { attempt, assessed_at, outcome, .. } => {
                self.assessed_at = self.assessed_at.max(*assessed_at);
                match outcome {
                    Outcome::Succeeded => self.of(*attempt).progress(),
                    Outcome::Failed | Outcome::Cancelled | Outcome::TimedOut => {
                        self.failed(plan, *attempt, FaultKind::Retryable);
                    }
                }
            }
            Event::Failed { attempt, fault, .. } => self.failed(plan, *attempt, fault.kind),
            Event::Interrupted { attempt, .. } => self.interrupted(plan, before, *attempt),
            Event::Answered { place, .. } => {
                let undo = before
                    .and_then(|run| run.item(*place))
                    .is_some_and(|item| matches!(item.undo(), State::Asking { .. }));
                let lane = self
                    .lanes
                    .entry((*place, if undo { Side::Undo } else { Side::Do }))
                    .or_default();
                lane.progress();
                lane.must_ask = false;
                lane.looking_since = None;
            }
        }
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

    fn interrupted(&mut self, plan: &Plan, before: Option<&Run>, attempt: AttemptId) {
        let step = plan.step(attempt.place.step);
        let plugin = before.and_then(|run| run.begun().plugins.get("p"));
        let policy = step.when_interrupted.or(plugin.map(|pin| pin.when_interrupted));
        let lane = self.of(attempt);
        lane.crashes += 1;
        let asks = policy == Some(WhenInterrupted::Ask) && lane.intent;
        lane.must_ask |= !lane.doubts.is_empty() || asks;
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
