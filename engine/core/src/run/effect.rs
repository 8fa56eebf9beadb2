//! What the world owes a run. Derived from its state, never listed by hand.

use std::collections::BTreeSet;

use crate::Millis;
use crate::id::{AttemptId, Place, Side};
use crate::run::place::State;
use crate::run::state::{Phase, Run};
use crate::workflow::plan::Plan;

/// Something the shell owes a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Append `Admitted` when the key is free and this time has come.
    Admit {
        /// Not before.
        not_before: Millis,
    },
    /// Append `Started`, then do the work (see [`Run::invocation`]).
    Invoke {
        /// The attempt to start.
        attempt: AttemptId,
    },
    /// Append `Woke` at this time.
    Wake {
        /// Whom.
        place: Place,
        /// When.
        at: Millis,
    },
    /// End this attempt: it is not wanted any more. A child run is cancelled.
    Stop {
        /// Which.
        attempt: AttemptId,
    },
    /// Append `Cancelled` by timeout at this time.
    Deadline {
        /// When.
        at: Millis,
    },
    /// Append `Closed`.
    Close,
}

/// Everything the world still owes `run`.
pub fn outstanding(plan: &Plan, run: &Run) -> BTreeSet<Effect> {
    match run.phase {
        Phase::Closed { .. } => return BTreeSet::new(),
        Phase::Queued { not_before } if run.ending.is_none() => {
            return BTreeSet::from([Effect::Admit { not_before }]);
        }
        Phase::Queued { .. } | Phase::Open => {}
    }
    let mut owed = BTreeSet::new();
    for (place, item) in run.places() {
        for side in [Side::Do, Side::Undo] {
            let number = item.next_number(side);
            match *item.lane(side) {
                // While evidence above is gathered again, nothing starts below.
                State::Ready if side == Side::Do && !run.rests_settled(plan, place.step) => {}
                State::Ready => {
                    owed.insert(Effect::Invoke { attempt: AttemptId { place, side, number } });
                }
                State::Running { number, stopping: true, .. } => {
                    owed.insert(Effect::Stop { attempt: AttemptId { place, side, number } });
                }
                // A plugin's time is kept by the host; a child run's is kept here.
                State::Running { since, number, stopping: false } => {
                    let step = plan.step(place.step);
                    if plan.is_child(AttemptId { place, side, number }) {
                        owed.insert(Effect::Wake { place, at: since + step.timeout_ms });
                    }
                }
                State::BackingOff { until }
                | State::Sleeping { until }
                | State::Asking { until: Some(until), .. } => {
                    owed.insert(Effect::Wake { place, at: until });
                }
                State::Asking { until: None, .. }
                | State::Waiting
                | State::Succeeded { .. }
                | State::Failed { .. }
                | State::Skipped
                | State::Cancelled => {}
            }
        }
    }
    if run.is_finished(plan) {
        owed.insert(Effect::Close);
    } else if let Some(at) = run.deadline
        && !run.stopped
    {
        owed.insert(Effect::Deadline { at });
    }
    owed
}
