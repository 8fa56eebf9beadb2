//! Lets a change flow through the graph: which places may start, which never will,
//! and what is taken back.
//!
//! Order of a run that fails: forward work settles, then undo runs backwards from
//! the leaves, then the `always` steps see how it all ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::{Place, Side, StepId};
use crate::limits;
use crate::run::event::{Cause, Outcome};
use crate::run::fault::Fault;
use crate::run::place::{Item, Question, State};
use crate::run::shared::Shared;
use crate::run::state::{Ending, Run, SkipReason, StepRun};
use crate::workflow::plan::{Action, OnFailure, Plan};
use crate::{Json, Millis};

/// Settles `run` after a fact that the shell learnt of at `at`.
///
/// A plan lists a step after the steps it needs, so one pass carries a change all
/// the way down; only a failure met on the way (a condition that cannot be
/// evaluated) ends the run for steps already passed, hence the second look.
pub(super) fn settle(plan: &Plan, run: &mut Run, at: Millis) {
    if run.is_closed() || (run.is_queued() && run.ending.is_none()) {
        return;
    }
    let unbegun: Vec<StepId> =
        plan.ids().filter(|id| plan.step(*id).always && run.step(*id).is_unbegun()).collect();
    loop {
        let ending = run.ending.is_some();
        if ending {
            run.stop_forward(plan);
        }
        // What is `always` done sees how the rest ended, so it comes after undo.
        for id in plan.ids().filter(|id| !(ending && plan.step(*id).always)) {
            run.settle_step(plan, id, at);
        }
        if run.ending.is_some() == ending {
            break;
        }
        // `always` steps that this very pass let go have to wait for undo after all.
        for id in &unbegun {
            run.steps[usize::from(id.0)] = StepRun::unbegun().into();
        }
    }
    if run.ending.is_some() {
        run.start_undo(plan);
        for id in plan.ids().filter(|id| plan.step(*id).always) {
            run.settle_step(plan, id, at);
        }
    }
}

enum Gate {
    Shut,
    Open,
    Skip(SkipReason),
    Cancel,
}

impl Run {
    fn settle_step(&mut self, plan: &Plan, id: StepId, at: Millis) {
        let step = plan.step(id);
        if !self.step(id).is_unbegun() {
            self.refill(plan, id);
            return;
        }
        match self.gate(plan, id) {
            Gate::Shut => {}
            Gate::Cancel => self.steps[usize::from(id.0)].items[0].work = State::Cancelled,
            Gate::Skip(reason) => self.skip(id, reason, at),
            Gate::Open => match self.condition(plan, id) {
                Ok(true) => {
                    if let Err(fault) = self.open(plan, id, at) {
                        self.fail(plan, id, at, fault);
                    }
                }
                Ok(false) => self.skip(id, SkipReason::Condition, at),
                Err(fault) => self.fail(plan, id, at, fault),
            },
        }
        debug_assert!(step.needs.iter().all(|need| need < &id), "plans are in topological order");
    }

    fn gate(&self, plan: &Plan, id: StepId) -> Gate {
        let step = plan.step(id);
        if self.is_queued() {
            return Gate::Cancel;
        }
        if step.always {
            let ready = step.needs.iter().all(|need| self.step(*need).is_settled());
            let undone =
                self.ending.is_none() || (self.is_forward_settled(plan) && self.is_undo_settled());
            return if ready && undone { Gate::Open } else { Gate::Shut };
        }
        if self.ending.is_some() {
            return Gate::Cancel;
        }
        if !step.needs.iter().all(|need| self.step(*need).is_settled())
            || !self.rests_settled(plan, id)
        {
            return Gate::Shut;
        }
        for need in &step.needs {
            let needed = self.step(*need);
            if needed.was_skipped() {
                return Gate::Skip(SkipReason::Need(*need));
            }
            // Only an `always` step can have failed or been cancelled while the run goes on.
            let tolerated = plan.step(*need).on_failure == OnFailure::Continue;
            if needed.was_cancelled() || (needed.has_failed() && !tolerated) {
                return Gate::Cancel;
            }
        }
        Gate::Open
    }

    fn condition(&self, plan: &Plan, id: StepId) -> Result<bool, Fault> {
        let Some(when) = &plan.step(id).when else { return Ok(true) };
        let scope = self.scope(plan, Place { step: id, item: 0 }, &when.variables());
        when.holds(&scope).map_err(|error| Fault::permanent("expression", format!("when: {error}")))
    }

    /// The gate is open: makes the items and lets the first of them go.
    fn open(&mut self, plan: &Plan, id: StepId, at: Millis) -> Result<(), Fault> {
        let step = plan.step(id);
        self.steps[usize::from(id.0)].gate_at = Some(at);
        if let Some(each) = &step.for_each {
            let scope = self.scope(plan, Place { step: id, item: 0 }, &each.items.variables());
            let bad = |why: String| Fault::permanent("for-each", why);
            let list =
                each.items.render(&scope).map_err(|error| bad(format!("for_each: {error}")))?;
            let Json::Array(list) = list else {
                return Err(bad(format!(
                    "for_each needs a list, but {} gives {list}",
                    each.items.source()
                )));
            };
            if list.len() > limits::ITEMS_MAX {
                let count = list.len();
                return Err(bad(format!(
                    "for_each has {count} items, more than {}",
                    limits::ITEMS_MAX
                )));
            }
            let run = &mut self.steps[usize::from(id.0)];
            let numbers = |index| run.numbers.get(index).copied().unwrap_or_default();
            run.items = (0..list.len())
                .map(|index| Item { numbers: numbers(index), ..Item::default() }.into())
                .collect();
            run.fan = Some(Arc::new(list));
            self.refill(plan, id);
            return Ok(());
        }
        let passed = self.steps[usize::from(id.0)].items[0].passed.clone();
        let next = match &step.action {
            Action::Plugin(_) | Action::Workflow(_) | Action::Report => State::Ready,
            // A wait that was sent back with what it rests on is over already.
            Action::Wait { .. } if passed.is_some() => State::Succeeded { at },
            Action::Wait { for_ms } => State::Sleeping { until: at + for_ms },
            Action::Approval(approval) => {
                let scope =
                    self.scope(plan, Place { step: id, item: 0 }, &approval.prompt.variables());
                let prompt = approval
                    .prompt
                    .render(&scope)
                    .map_err(|error| Fault::permanent("expression", format!("prompt: {error}")))?;
                let prompt = prompt.as_str().map_or_else(|| prompt.to_string(), str::to_owned);
                if passed.as_ref() == Some(&prompt) {
                    // What the approver saw has not changed: the answer stands.
                    let run = &mut self.steps[usize::from(id.0)];
                    let said = run.previous.clone();
                    run.items[0].output = said;
                    State::Succeeded { at }
                } else {
                    let question = Question::Approval { prompt };
                    State::Asking { question, since: at, until: Some(at + approval.timeout_ms) }
                }
            }
        };
        self.steps[usize::from(id.0)].items[0].work = next;
        Ok(())
    }

    /// Lets waiting items of a `for_each` take the free slots.
    fn refill(&mut self, plan: &Plan, id: StepId) {
        let step = plan.step(id);
        let stopped = self.ending.is_some() && !step.always;
        let waits = self.step(id).items.iter().any(|item| item.work == State::Waiting);
        let (Some(each), true) = (&step.for_each, waits) else { return };
        if !self.rests_settled(plan, id) {
            return;
        }
        let run = &mut self.steps[usize::from(id.0)];
        let busy = run.items.iter().filter(|item| item.work.is_under_way()).count();
        let mut free = usize::try_from(each.parallel).unwrap_or(usize::MAX).saturating_sub(busy);
        for item in &mut run.items {
            if item.work != State::Waiting {
                continue;
            }
            if stopped {
                item.work = State::Cancelled;
            } else if free > 0 {
                item.work = State::Ready;
                free -= 1;
            }
        }
    }

    fn skip(&mut self, id: StepId, reason: SkipReason, at: Millis) {
        let run = &mut self.steps[usize::from(id.0)];
        run.gate_at = Some(at);
        run.skipped = Some(reason);
        run.items[0].work = State::Skipped;
    }

    fn fail(&mut self, plan: &Plan, id: StepId, at: Millis, fault: Fault) {
        let item = &mut self.steps[usize::from(id.0)].items[0];
        item.faults[Side::Do as usize] = Some(fault);
        item.work = State::Failed { at };
        let step = plan.step(id);
        if step.on_failure != OnFailure::Continue && !step.always {
            self.ending.get_or_insert(Ending::Failed(id));
        }
    }

    /// Nothing new starts on the way forward; a cancel also ends what runs. A pivot
    /// that has an intent is past the point of no return: only a cancel stops it.
    fn stop_forward(&mut self, plan: &Plan) {
        let stopped = self.stopped;
        for id in plan.ids() {
            let step = plan.step(id);
            if step.always {
                continue;
            }
            if self.step(id).is_settled() {
                continue;
            }
            for item in &mut self.steps[usize::from(id.0)].items {
                if step.pivot && item.has_intents() && !stopped {
                    continue;
                }
                match &mut item.work {
                    State::Ready
                    | State::BackingOff { .. }
                    | State::Sleeping { .. }
                    | State::Asking { .. } => item.work = State::Cancelled,
                    State::Running { stopping, .. } => *stopping |= stopped,
                    State::Waiting
                    | State::Succeeded { .. }
                    | State::Failed { .. }
                    | State::Skipped
                    | State::Cancelled => {}
                }
            }
        }
    }

    fn start_undo(&mut self, plan: &Plan) {
        if !self.is_forward_settled(plan) {
            return;
        }
        let behind = self.behind_pivot(plan);
        for id in plan.ids().rev() {
            let step = plan.step(id);
            // What is `always` done is never taken back: it tells how the run ended.
            if step.undo.is_none()
                || step.always
                || behind.contains(&id)
                || !self.followers_undone(plan, id)
            {
                continue;
            }
            let items = &mut self.steps[usize::from(id.0)].items;
            let parallel = step.for_each.as_ref().map_or(1, |each| each.parallel);
            let busy = items.iter().filter(|item| item.undo.is_under_way()).count();
            let free = usize::try_from(parallel).unwrap_or(usize::MAX).saturating_sub(busy);
            let due = |item: &&mut Shared<Item>| {
                let changed = matches!(item.work, State::Succeeded { .. }) || item.has_intents();
                item.undo == State::Waiting && changed
            };
            items.iter_mut().rev().filter(due).take(free).for_each(|item| item.undo = State::Ready);
        }
    }

    /// Steps that must not be taken back: every pivot that has an intent (or
    /// succeeded), and all that it rests on. A child run's intents are its own, so
    /// that a pivot which runs a child counts from its start.
    fn behind_pivot(&self, plan: &Plan) -> BTreeSet<StepId> {
        let mut behind = BTreeSet::new();
        for id in plan.ids().rev() {
            let passed = plan.step(id).pivot
                && self.step(id).items.iter().any(|item| {
                    let child = matches!(plan.step(id).action, Action::Workflow(_));
                    let begun = child && item.next_number(Side::Do) > 1;
                    begun || item.has_intents() || matches!(item.work, State::Succeeded { .. })
                });
            if passed || behind.contains(&id) {
                behind.insert(id);
                behind.extend(plan.step(id).needs.iter().copied());
            }
        }
        behind
    }

    /// Whether every step that needs `id`, directly or not, has been taken back
    /// where there was something to take back. Steps after it come first.
    fn followers_undone(&self, plan: &Plan, id: StepId) -> bool {
        let mut followers = BTreeSet::from([id]);
        plan.ids().filter(|later| *later > id).all(|later| {
            if !plan.step(later).needs.iter().any(|need| followers.contains(need)) {
                return true;
            }
            followers.insert(later);
            self.step(later).items.iter().all(|item| !item.undo.is_under_way())
        })
    }

    fn is_forward_settled(&self, plan: &Plan) -> bool {
        plan.ids().all(|id| plan.step(id).always || self.step(id).is_settled())
    }

    fn is_undo_settled(&self) -> bool {
        self.places().all(|(_, item)| !item.undo.is_under_way())
    }

    /// Whether nothing is left but to close.
    pub(super) fn is_finished(&self, plan: &Plan) -> bool {
        !self.is_closed()
            && (!self.is_queued() || self.ending.is_some())
            && plan.ids().all(|id| self.step(id).is_settled())
            && self.is_undo_settled()
    }

    /// How the run ends, from how its steps did.
    pub(super) fn outcome(&self, plan: &Plan) -> Outcome {
        match &self.ending {
            Some(Ending::Cancelled(Cause::Timeout)) => Outcome::TimedOut,
            Some(Ending::Cancelled(Cause::Person { .. } | Cause::Parent)) => Outcome::Cancelled,
            Some(Ending::Failed(_)) => Outcome::Failed,
            None => {
                let failed = |id| {
                    let state = self.step(id);
                    plan.step(id).on_failure != OnFailure::Continue
                        && (state.has_failed() || state.was_cancelled())
                };
                if plan.ids().any(failed) { Outcome::Failed } else { Outcome::Succeeded }
            }
        }
    }

    /// The side whose lane is under way at `place`, for questions and timers.
    pub fn side(&self, place: Place) -> Side {
        match self.item(place) {
            Some(item) if item.work.is_settled() => Side::Undo,
            Some(_) | None => Side::Do,
        }
    }
}
