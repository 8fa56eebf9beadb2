//! Shelf life: work that can change something never starts on evidence that is too
//! old, not after a crash, not after an approval that took its time.
//!
//! ```text
//! assess (fresh_for 10s) ─► choose ─► approve ─► promote
//!        └── too old when promote is about to start: Stale ──┐
//!        Waiting, and so choose, approve, promote ◄──────────┘
//! ```
//! What is sent back runs again in order, and its conditions are asked again, so that
//! the run may take the other way. An approval stands if its prompt reads as before; a
//! wait that is over is over. Evidence is frozen once work that rests on it has acted:
//! from there the run goes forward on what it chose, and nothing above runs again.
//!
//! **Invariant:** nothing here reads a clock. Whether evidence is too old is asked at
//! the time that the event which would act on it carries.

use std::collections::BTreeSet;

use super::apply::{Illegal, illegal};
use super::event::Event;
use super::fault::Fault;
use super::place::State;
use super::shared::Shared;
use super::state::{Refresh, Run, StepRun};
use super::table::Fact;
use crate::Millis;
use crate::id::{AttemptId, Side, StepId};
use crate::limits::REFRESHES_MAX;
use crate::workflow::plan::{Action, Plan, Step};

/// Why an attempt must not start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// These steps are run again first.
    Refresh {
        /// In the order of the plan.
        steps: BTreeSet<StepId>,
        /// The first of them that is past its shelf life by itself.
        because: StepId,
        /// How old its output is, in milliseconds.
        age_ms: Millis,
    },
    /// What the parent run knew when it began this child is past its shelf life, and
    /// only the parent can look again.
    Expired {
        /// For how long, in milliseconds.
        by_ms: Millis,
    },
}

impl Run {
    /// Whether `attempt`, about to start at `at`, rests on evidence past its shelf
    /// life; none: it may start.
    pub fn stale(&self, plan: &Plan, attempt: AttemptId, at: Millis) -> Option<Staleness> {
        let id = attempt.place.step;
        let step = plan.step(id);
        let bound = attempt.side == Side::Do
            && !step.changes_nothing
            && !step.always
            && self.ending.is_none()
            && !self.has_begun_list(id);
        if !bound || self.item(attempt.place).is_none_or(|item| item.resumed[Side::Do as usize]) {
            return None;
        }
        if let Some(by_ms) = self.expired(plan, at) {
            return Some(Staleness::Expired { by_ms });
        }
        if !plan.steps().iter().any(|step| step.fresh_for_ms.is_some()) {
            return None;
        }
        self.stale_above(plan, id, at)
    }

    /// A list is taken once: its later items rest on what its first one rested on.
    fn has_begun_list(&self, id: StepId) -> bool {
        let run = self.step(id);
        run.fan.is_some() && run.items.iter().any(|item| item.numbers[Side::Do as usize] > 0)
    }

    /// For how long the parent's evidence has been too old, if it is and nothing has
    /// been changed on it yet.
    fn expired(&self, plan: &Plan, at: Millis) -> Option<Millis> {
        let until = self.begun.parent.as_ref()?.fresh_until?;
        let by = at.checked_sub(until).filter(|by| *by > 0)?;
        let acted = plan.ids().any(|id| self.step_acted(plan, id));
        (!acted).then_some(by)
    }

    fn stale_above(&self, plan: &Plan, id: StepId, at: Millis) -> Option<Staleness> {
        let above = plan.above(id);
        let mut stale = BTreeSet::new();
        let mut because = None;
        for id in above.iter().copied() {
            let step = plan.step(id);
            if !step.changes_nothing || self.is_frozen(plan, id) {
                continue;
            }
            let run = self.step(id);
            let age = run.produced_since().map(|since| at.saturating_sub(since));
            let own = age.zip(step.fresh_for_ms).filter(|(age, limit)| age > limit);
            let rests_on_stale = plan
                .above(id)
                .iter()
                .any(|below| stale.contains(below) || self.is_newer(plan, *below, run.gate_at));
            if let Some((age_ms, _)) = own {
                because.get_or_insert((id, age_ms));
            }
            if own.is_some() || rests_on_stale {
                stale.insert(id);
            }
        }
        let first = *stale.first()?;
        let (because, age_ms) = because.unwrap_or((first, 0));
        Some(Staleness::Refresh { steps: stale, because, age_ms })
    }

    /// Whether this evidence was gathered again after `gate_at`: what was made of the
    /// old is as stale as that.
    fn is_newer(&self, plan: &Plan, id: StepId, gate_at: Option<Millis>) -> bool {
        let again = plan.step(id).changes_nothing && !self.step(id).refreshes.is_empty();
        again && self.step(id).produced_since() > gate_at
    }

    /// Whether work that rests on this step has acted.
    fn is_frozen(&self, plan: &Plan, id: StepId) -> bool {
        plan.ids()
            .filter(|later| *later > id && self.step_acted(plan, *later))
            .any(|later| plan.above(later).contains(&id))
    }

    /// Whether a step may have changed something outside: it has an intent, or its child
    /// run may have one.
    fn step_acted(&self, plan: &Plan, id: StepId) -> bool {
        let step = plan.step(id);
        let child = matches!(&step.action, Action::Workflow(child) if !child.detached)
            && !step.changes_nothing;
        self.step(id)
            .items
            .iter()
            .any(|item| item.has_acted() || (child && matches!(item.work, State::Running { .. })))
    }

    /// Until when a child run of `id` that begins now may act upon what its params were
    /// made of; none: for ever.
    pub(super) fn fresh_until(&self, plan: &Plan, id: StepId) -> Option<Millis> {
        let until = |above: &StepId| {
            let step = plan.step(*above);
            let limit = step.fresh_for_ms.filter(|_| step.changes_nothing)?;
            let since = self.step(*above).produced_since()?;
            (!self.is_frozen(plan, *above)).then(|| since.saturating_add(limit))
        };
        let acted = plan.ids().any(|id| self.step_acted(plan, id));
        let inherited = self.begun.parent.as_ref().and_then(|parent| parent.fresh_until);
        let own = plan.above(id).iter().filter_map(until).min();
        own.into_iter().chain(inherited.filter(|_| !acted)).min()
    }

    /// Sends evidence back to be gathered again, or gives up.
    pub(super) fn send_back(
        &mut self,
        plan: &Plan,
        event: &Event,
        at: Millis,
        attempt: AttemptId,
    ) -> Result<(), Illegal> {
        if !self.rests_settled(plan, attempt.place.step) {
            return Err(illegal(event, "what it rests on is gathered again already"));
        }
        let Some(staleness) = self.stale(plan, attempt, at) else {
            return Err(illegal(event, "what it rests on is fresh"));
        };
        let id = attempt.place.step;
        let (steps, because, age_ms) = match staleness {
            Staleness::Refresh { steps, because, age_ms }
                if self.step(id).sent_back < REFRESHES_MAX =>
            {
                (steps, because, age_ms)
            }
            Staleness::Refresh { because, age_ms, .. } => {
                let fault = worn_out(plan.step(because), age_ms);
                return self.lane(plan, event, attempt, at, &Fact::Stale { fault: Some(&fault) });
            }
            Staleness::Expired { by_ms } => {
                let fault = Fault::permanent(
                    "stale-evidence",
                    format!(
                        "what this child run was begun with is {by_ms} ms past its shelf life, and nothing has been changed on it: begin it again from its parent"
                    ),
                );
                return self.lane(plan, event, attempt, at, &Fact::Stale { fault: Some(&fault) });
            }
        };
        self.lane(plan, event, attempt, at, &Fact::Stale { fault: None })?;
        let refresh = Refresh { at, by: id, because, age_ms };
        for above in &steps {
            self.steps[usize::from(above.0)].send_back(plan.step(*above), Some(refresh.clone()));
        }
        let sender = &mut self.steps[usize::from(id.0)];
        sender.sent_back += 1;
        sender.send_back(plan.step(id), None);
        // What was not to be because of the old evidence may be because of the new.
        for id in plan.ids() {
            let rests = plan.above(id).iter().any(|above| steps.contains(above));
            if rests && self.step(id).was_skipped() {
                self.steps[usize::from(id.0)].send_back(plan.step(id), None);
            }
        }
        Ok(())
    }

    /// Whether all that a step rests on has settled. Always so when its gate opened on
    /// the way forward; not while evidence is gathered again.
    pub(super) fn rests_settled(&self, plan: &Plan, id: StepId) -> bool {
        let again =
            self.ending.is_none() && self.steps.iter().any(|step| !step.refreshes.is_empty());
        !again || plan.above(id).iter().all(|above| self.step(*above).is_settled())
    }
}

fn worn_out(step: &Step, age_ms: Millis) -> Fault {
    let limit_ms = step.fresh_for_ms.unwrap_or_default();
    Fault::permanent(
        "stale-evidence",
        format!(
            "the output of step `{}` is {age_ms} ms old and may be acted upon for {limit_ms} ms; it was gathered again {REFRESHES_MAX} times and was too old each time: make what lies between faster, or raise its `fresh_for`",
            step.name
        ),
    )
}

impl StepRun {
    /// When the oldest of the attempts began that its output is of.
    pub(super) fn produced_since(&self) -> Option<Millis> {
        if !self.has_succeeded() {
            return None;
        }
        self.items.iter().filter_map(|item| item.since).min()
    }

    /// As if its gate had never opened, but for what it has been through.
    fn send_back(&mut self, step: &Step, why: Option<Refresh>) {
        self.previous = self.output().or(self.previous.take());
        let again = why.is_some();
        self.refreshes.extend(why);
        self.skipped = None;
        if self.fan.take().is_some() {
            // Attempts of the next list must not share numbers with those of this one.
            let later = self.numbers.split_off(self.items.len().min(self.numbers.len()));
            self.numbers = self.items.iter().map(|item| item.numbers).chain(later).collect();
            self.items = vec![Shared::default()];
        }
        let Some(item) = self.items.first_mut() else { return };
        let waited = matches!(item.work, State::Succeeded { .. })
            && matches!(step.action, Action::Wait { .. });
        item.work = State::Waiting;
        if !again {
            return;
        }
        let side = Side::Do as usize;
        item.output = None;
        item.faults[side] = None;
        item.failures[side] = 0;
        item.interruptions[side] = 0;
        item.polling_since = None;
        if waited {
            item.passed = Some(String::new());
        }
    }
}
