//! Facts that cannot be: the machine must refuse each, whatever the run is in.

use super::invariants::{self, Violation, lane, over, under_way, violated};
use super::world::World;
use crate::id::{AttemptId, Place, Side, StepId};
use crate::run::event::{Answer, Call, CallClass, Cause, Event, Outcome};
use crate::run::place::State;
use crate::run::state::Phase;
use crate::run::{Effect, apply};

use std::sync::Arc;

impl World<'_> {
    /// Throws one impossible fact at the run.
    pub(super) fn provoke(&mut self) -> Result<(), Violation> {
        let Some(event) = self.impossible() else { return Ok(()) };
        if apply(self.plan, Some(self.run()), &event).is_ok() {
            let status = self.run().status();
            return violated(invariants::LEGAL, format!("it took {event:?} while {status}"));
        }
        Ok(())
    }

    fn impossible(&mut self) -> Option<Event> {
        let places: Vec<Place> = self.run().places().map(|(place, _)| place).collect();
        let place = self.rng.pick(&places).copied()?;
        let side = if self.rng.one_in(3) { Side::Undo } else { Side::Do };
        let number = self.ledger.lane(place, side).number;
        let never = AttemptId { place, side, number: number + 2 };
        let nowhere = Place { step: StepId(99), item: 0 };
        let at = self.now;
        let asks = [Side::Do, Side::Undo].iter().any(|side| {
            self.run().item(place).is_some_and(|i| matches!(lane(i, *side), State::Asking { .. }))
        });
        match self.rng.below(16) {
            0 => Some(Event::Begun { at, begun: Arc::new(self.begun()) }),
            1 => Some(Event::Succeeded { at, attempt: never, output: Arc::default() }),
            2 => Some(Event::Started { at, attempt: never }),
            3 => Some(Event::Woke { at: 0, place }),
            4 if !asks => Some(Event::Answered { at, place, answer: yes() }),
            5 if self.ledger.admitted => Some(Event::Admitted { at }),
            5 => Some(Event::Admitted { at: 0 }),
            6 => self.unfinished().then_some(Event::Closed { at }),
            7 if self.ledger.cancel.is_some() || !self.unfinished() => {
                Some(Event::Cancelled { at, by: Cause::Parent })
            }
            8 => self.child(at),
            9 => Some(Event::Started { at, attempt: AttemptId { place: nowhere, ..never } }),
            10 => Some(Event::Interrupted {
                at,
                attempt: AttemptId { place: nowhere, ..never },
                plays: 1,
            }),
            11 => self.call_again(at, place, side),
            12 if !self.plan.is_child(never) => Some(Event::ChildClosed {
                at,
                attempt: AttemptId { number, ..never },
                outcome: Outcome::Succeeded,
                output: Arc::default(),
                assessed_at: None,
                acted: false,
            }),
            13 => {
                let attempt = AttemptId { number, ..never };
                let resumed = self.ledger.lane(place, side).resumed;
                let why = String::new();
                (!resumed).then_some(Event::Diverged { at, attempt, why })
            }
            14 => self.stale(at),
            15 => self.fresh(at),
            _ if self.run().is_closed() => Some(Event::Cancelled { at, by: Cause::Timeout }),
            _ => None,
        }
    }

    /// A start on evidence past its shelf life.
    fn stale(&self, at: u64) -> Option<Event> {
        let stale = |attempt: &AttemptId| self.run().stale(self.plan, *attempt, at).is_some();
        self.invoked().find(stale).map(|attempt| Event::Started { at, attempt })
    }

    /// Evidence sent back that is fresh.
    fn fresh(&self, at: u64) -> Option<Event> {
        let fresh = |attempt: &AttemptId| self.run().stale(self.plan, *attempt, at).is_none();
        self.invoked().find(fresh).map(|attempt| Event::Stale { at, attempt })
    }

    fn invoked(&self) -> impl Iterator<Item = AttemptId> {
        let owed = crate::run::outstanding(self.plan, self.run());
        owed.into_iter().filter_map(|effect| {
            if let Effect::Invoke { attempt } = effect { Some(attempt) } else { None }
        })
    }

    fn unfinished(&self) -> bool {
        let queued =
            matches!(self.run().phase(), Phase::Queued { .. }) && self.ledger.cancel.is_none();
        queued || self.run().places().any(|(_, item)| !over(item.work()) || under_way(item.undo()))
    }

    /// The engine's death told to a child run's attempt, which does not die with it.
    fn child(&self, at: u64) -> Option<Event> {
        let child = self.run().running().into_iter().find(|a| self.plan.is_child(*a))?;
        Some(Event::Interrupted { at, attempt: child, plays: 1 })
    }

    /// An intent recorded twice, or a call of an attempt that does not run.
    fn call_again(&self, at: u64, place: Place, side: Side) -> Option<Event> {
        let item = self.run().item(place)?;
        let number = self.ledger.lane(place, side).number;
        let attempt = AttemptId { place, side, number };
        let call = Call { index: 0, class: CallClass::Once, request: String::new(), outcome: None };
        if !matches!(lane(item, side), State::Running { .. }) {
            return Some(Event::Called { at, attempt, call });
        }
        let known = item.calls().iter().find(|record| record.attempt == attempt)?;
        Some(Event::Called { at, attempt, call: Call { outcome: None, ..known.call.clone() } })
    }
}

fn yes() -> Answer {
    Answer { approved: true, who: "sim".to_owned(), reason: String::new() }
}
