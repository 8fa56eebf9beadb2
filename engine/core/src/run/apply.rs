//! Folding facts into a run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::{AttemptId, Place, Side};
use crate::limits;
use crate::run::effect::{Effect, outstanding};
use crate::run::event::{Answer, Event, Outcome};
use crate::run::fault::Fault;
use crate::run::place::{AnswerRecord, Item, Question, State};
use crate::run::settle::settle;
use crate::run::state::{Ending, Joined, Phase, Run, begin};
use crate::run::table::{Fact, Rules};
use crate::workflow::plan::{Action, OnFailure, Plan, WhenInterrupted};
use crate::{Json, Millis};

/// The event does not follow from the run's state. Refused when live (a late reply,
/// a cancel of a closed run); a corrupt journal when replaying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen now: {state}")]
pub struct Illegal {
    /// What came.
    pub event: String,
    /// What it met.
    pub state: String,
}

/// A run after an event, and what became owed by it.
#[derive(Clone, Debug)]
pub struct Next {
    /// The run.
    pub run: Run,
    /// What is owed now and was not before.
    pub effects: BTreeSet<Effect>,
}

/// Folds `event` into `run` and names the effects that became outstanding.
///
/// # Errors
/// Returns [`Illegal`] if `event` cannot follow the state `run` is in.
pub fn step(plan: &Plan, run: Option<&Run>, event: &Event) -> Result<Next, Illegal> {
    let before = run.map(|run| outstanding(plan, run)).unwrap_or_default();
    let run = apply(plan, run, event)?;
    let effects = outstanding(plan, &run).difference(&before).cloned().collect();
    Ok(Next { run, effects })
}

/// Folds one fact into a run; `None` is a run that does not exist yet.
///
/// # Errors
/// Returns [`Illegal`] if `event` cannot follow the state `run` is in.
pub fn apply(plan: &Plan, run: Option<&Run>, event: &Event) -> Result<Run, Illegal> {
    let mut run = match (run, event) {
        (None, Event::Begun { at, begun }) => begin(plan, *at, Arc::clone(begun)),
        (None, _) => return Err(illegal(event, "the run has not begun")),
        (Some(_), Event::Begun { .. }) => return Err(illegal(event, "the run has begun already")),
        (Some(run), _) if run.is_closed() => {
            return Err(illegal(event, &format!("the run is {}", run.status())));
        }
        (Some(run), _) => {
            let mut run = run.clone();
            run.fold(plan, event)?;
            run
        }
    };
    settle(plan, &mut run, event.at());
    Ok(run)
}

/// A span of time as a workflow's author writes it, `20m`.
fn said(ms: Millis) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

pub(super) fn illegal(event: &Event, state: &str) -> Illegal {
    Illegal { event: event.to_string(), state: state.to_owned() }
}

impl Run {
    fn fold(&mut self, plan: &Plan, event: &Event) -> Result<(), Illegal> {
        if event.place().is_some_and(|place| self.item(place).is_none()) {
            return Err(illegal(event, "there is no such place"));
        }
        match event {
            Event::Begun { .. } => Err(illegal(event, "the run has begun already")),
            Event::Admitted { at } => self.admit(plan, *at, event),
            Event::Joined { at, trigger } => {
                if self.joined.len() == limits::JOINED_MAX {
                    self.joined.pop();
                }
                self.joined.push(Joined { at: *at, trigger: trigger.clone() });
                Ok(())
            }
            Event::Cancelled { by, .. } => {
                if self.stopped {
                    return Err(illegal(event, "the run is being cancelled already"));
                }
                if self.is_finished(plan) {
                    return Err(illegal(event, "everything is done; the run only needs closing"));
                }
                self.stopped = true;
                self.ending.get_or_insert_with(|| Ending::Cancelled(by.clone()));
                Ok(())
            }
            Event::Closed { at } => {
                if !self.is_finished(plan) {
                    return Err(illegal(event, "some steps are not settled"));
                }
                self.close(plan, *at);
                Ok(())
            }
            Event::Called { at, attempt, call } => self.call(event, *at, *attempt, call),
            Event::Taped { at, attempt, tape } => self.taped(event, *at, *attempt, tape),
            Event::Stale { at, attempt } => self.send_back(plan, event, *at, *attempt),
            Event::Diverged { at, attempt, why } => {
                self.lane(plan, event, *attempt, *at, &Fact::Diverged { why })
            }
            Event::Answered { at, place, answer } => {
                self.answered(plan, event, *place, *at, answer)
            }
            Event::Woke { at, place } => self.woke(plan, event, *place, *at),
            Event::Started { at, attempt } => {
                if attempt.side == Side::Do && !self.rests_settled(plan, attempt.place.step) {
                    return Err(illegal(event, "what it rests on is gathered again"));
                }
                if self.stale(plan, *attempt, *at).is_some() {
                    return Err(illegal(event, "what it rests on is past its shelf life"));
                }
                self.lane(plan, event, *attempt, *at, &Fact::Started)?;
                if attempt.side == Side::Do && plan.step(attempt.place.step).assesses {
                    self.assessed_at = self.assessed_at.max(Some(*at));
                }
                Ok(())
            }
            Event::Succeeded { at, attempt, output } => {
                self.succeeded(plan, event, *attempt, *at, output)
            }
            Event::Failed { at, attempt, fault, jitter } => {
                self.lane(plan, event, *attempt, *at, &Fact::Failed { fault, jitter: *jitter })
            }
            Event::Interrupted { at, attempt, plays } => {
                // Its run is in the journal and goes on by itself; another would do it twice.
                if plan.is_child(*attempt) {
                    return Err(illegal(event, "a child run outlives the engine"));
                }
                let policy = self.policy(plan, *attempt);
                self.lane(
                    plan,
                    event,
                    *attempt,
                    *at,
                    &Fact::Interrupted { policy, plays: *plays },
                )?;
                self.interruptions += 1;
                Ok(())
            }
            Event::ChildClosed { at, attempt, outcome, output, assessed_at, acted } => {
                self.assessed_at = self.assessed_at.max(*assessed_at);
                self.child_closed(plan, event, *attempt, *at, *outcome, output)?;
                if let Some(item) = self.item_mut(attempt.place) {
                    item.child_acted |= acted;
                }
                Ok(())
            }
        }
    }

    fn admit(&mut self, plan: &Plan, at: Millis, event: &Event) -> Result<(), Illegal> {
        match self.phase {
            Phase::Queued { not_before } if at >= not_before && self.ending.is_none() => {
                self.phase = Phase::Open;
                self.deadline = plan.timeout_ms().map(|timeout| at + timeout);
                Ok(())
            }
            Phase::Queued { .. } | Phase::Open | Phase::Closed { .. } => {
                Err(illegal(event, "the run does not wait, or not until now"))
            }
        }
    }

    /// Moves one lane by the table; the only place where a lane's state changes by a fact.
    pub(super) fn lane(
        &mut self,
        plan: &Plan,
        event: &Event,
        attempt: AttemptId,
        at: Millis,
        fact: &Fact<'_>,
    ) -> Result<(), Illegal> {
        if self.is_queued() {
            return Err(illegal(event, "the run is queued"));
        }
        let halt = self.halt();
        let Some(item) = self.item_mut(attempt.place) else {
            return Err(illegal(event, "there is no such place"));
        };
        let step = plan.step(attempt.place.step);
        let rules = Rules { step, side: attempt.side, halt };
        let Some(next) = item.next(rules, attempt.number, at, fact) else {
            return Err(illegal(event, &format!("{:?}", item.lane(attempt.side))));
        };
        let failed = matches!(next, State::Failed { .. });
        *item.lane_mut(attempt.side) = next;
        item.count(rules, attempt.number, at, fact);
        if failed
            && attempt.side == Side::Do
            && step.on_failure != OnFailure::Continue
            && !step.always
        {
            self.ending.get_or_insert(Ending::Failed(attempt.place.step));
        }
        Ok(())
    }

    fn succeeded(
        &mut self,
        plan: &Plan,
        event: &Event,
        attempt: AttemptId,
        at: Millis,
        output: &Arc<Json>,
    ) -> Result<(), Illegal> {
        let step = plan.step(attempt.place.step);
        let Some(poll) = step.poll.as_ref().filter(|_| attempt.side == Side::Do) else {
            self.lane(plan, event, attempt, at, &Fact::Succeeded)?;
            self.keep_output(attempt, output);
            return Ok(());
        };
        let since = self.item(attempt.place).and_then(|item| item.polling_since).unwrap_or(at);
        let scope = self.scope(plan, attempt.place, &poll.until.variables()).with("output", output);
        let fault = match poll.until.holds(&scope) {
            Ok(true) => {
                self.lane(plan, event, attempt, at, &Fact::Succeeded)?;
                self.keep_output(attempt, output);
                return Ok(());
            }
            Ok(false) if at.saturating_sub(since) < poll.within_ms => {
                // The last look is at the end of the window, not after it.
                let wait_ms = poll.every_ms.min(since + poll.within_ms - at);
                return self.lane(plan, event, attempt, at, &Fact::NotYet { wait_ms });
            }
            // What was seen last is what a person wants to know.
            Ok(false) => Fault {
                details: (**output).clone(),
                ..Fault::permanent(
                    "not-yet",
                    format!("`{}` did not hold within {} ms", poll.until.source(), poll.within_ms),
                )
            },
            Err(error) => Fault::permanent("expression", format!("until: {error}")),
        };
        self.lane(plan, event, attempt, at, &Fact::Failed { fault: &fault, jitter: 0 })
    }

    fn keep_output(&mut self, attempt: AttemptId, output: &Arc<Json>) {
        if attempt.side == Side::Do
            && let Some(item) = self.item_mut(attempt.place)
        {
            item.output = Some(Arc::clone(output));
        }
    }

    fn child_closed(
        &mut self,
        plan: &Plan,
        event: &Event,
        attempt: AttemptId,
        at: Millis,
        outcome: Outcome,
        output: &Arc<Json>,
    ) -> Result<(), Illegal> {
        let child = match &plan.step(attempt.place.step).action {
            Action::Workflow(child) if !child.detached => child,
            Action::Workflow(_)
            | Action::Plugin(_)
            | Action::Approval(_)
            | Action::Wait { .. }
            | Action::Report => return Err(illegal(event, "the step waits for no child run")),
        };
        if outcome == Outcome::Succeeded {
            return self.succeeded(plan, event, attempt, at, output);
        }
        let message = format!("child workflow `{}` ended {}", child.plan.name(), outcome.as_str());
        let told = matches!(
            self.item(attempt.place).map(Item::work),
            Some(State::Running { stopping: true, .. })
        );
        let mut fault = match outcome {
            Outcome::Cancelled if self.stopped && told => Fault::permanent("cancelled", message),
            _ if told => Fault::retryable("timeout", message),
            // Whoever cancelled the child does not want it again.
            Outcome::Cancelled => Fault::permanent("cancelled", message),
            Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut => {
                Fault::retryable("child-failed", message)
            }
        };
        fault.details = (**output).clone();
        self.lane(plan, event, attempt, at, &Fact::Failed { fault: &fault, jitter: 0 })
    }

    fn woke(
        &mut self,
        plan: &Plan,
        event: &Event,
        place: Place,
        at: Millis,
    ) -> Result<(), Illegal> {
        let Some(item) = self.item(place) else {
            return Err(illegal(event, "there is no such place"));
        };
        if let State::Asking { until: Some(until), .. } = item.work {
            if at < until {
                return Err(illegal(event, "the question is still open"));
            }
            let Action::Approval(approval) = &plan.step(place.step).action else {
                return Err(illegal(event, "only approvals time out"));
            };
            let answer = Answer {
                approved: approval.on_timeout == crate::workflow::plan::Silence::Approve,
                who: "timeout".to_owned(),
                reason: format!("nobody answered within {}", said(approval.timeout_ms)),
            };
            return self.answered(plan, event, place, at, &answer);
        }
        let side = if item.work.is_settled() { Side::Undo } else { Side::Do };
        self.lane(plan, event, AttemptId { place, side, number: 0 }, at, &Fact::Woke)
    }

    fn answered(
        &mut self,
        plan: &Plan,
        event: &Event,
        place: Place,
        at: Millis,
        answer: &Answer,
    ) -> Result<(), Illegal> {
        let Some(item) = self.item(place) else {
            return Err(illegal(event, "there is no such place"));
        };
        let side = if item.work.is_settled() { Side::Undo } else { Side::Do };
        let is_approval = matches!(plan.step(place.step).action, Action::Approval(_));
        let asked = match item.lane(side) {
            State::Asking { question, .. } => Some(question.clone()),
            State::Waiting
            | State::Ready
            | State::Running { .. }
            | State::BackingOff { .. }
            | State::Sleeping { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Skipped
            | State::Cancelled => None,
        };
        let failed = asked == Some(Question::Failed);
        let prompt = match &asked {
            Some(Question::Approval { prompt }) => Some(prompt.clone()),
            _ => None,
        };
        self.lane(plan, event, AttemptId { place, side, number: 0 }, at, &Fact::Answered(answer))?;
        // Whoever says "again" wants fresh evidence for it, as often as at first.
        self.steps[usize::from(place.step.0)].sent_back = 0;
        let Some(item) = self.item_mut(place) else { return Ok(()) };
        if let Some(question) = asked {
            if item.answers.len() == limits::HISTORY_MAX {
                item.answers.remove(0);
            }
            item.answers.push(AnswerRecord { at, question, answer: answer.clone() });
        }
        if is_approval {
            let said = serde_json::json!({
                "approved": answer.approved, "who": answer.who, "reason": answer.reason, "at": at,
            });
            item.output = Some(Arc::new(said));
            item.passed = prompt.filter(|_| answer.approved);
        }
        if !answer.approved {
            let said = format!("{} said no: {}", answer.who, answer.reason);
            let fault = &mut item.faults[side as usize];
            match fault {
                // Why it failed is what people and conditions ask for.
                Some(fault) if failed => fault.message = format!("{}; {said}", fault.message),
                _ => *fault = Some(Fault::permanent("rejected", said)),
            }
        }
        Ok(())
    }

    /// What happens to attempts with intents that are cut off.
    pub(super) fn policy(&self, plan: &Plan, attempt: AttemptId) -> WhenInterrupted {
        let step = plan.step(attempt.place.step);
        let call = match (attempt.side, &step.action) {
            (Side::Undo, _) => step.undo.as_ref(),
            (Side::Do, Action::Plugin(call)) => Some(call),
            (
                Side::Do,
                Action::Workflow(_) | Action::Approval(_) | Action::Wait { .. } | Action::Report,
            ) => None,
        };
        let pinned = call.and_then(|call| self.begun.plugins.get(&call.plugin));
        let wanted = pinned.map_or(WhenInterrupted::Rerun, |pin| pin.when_interrupted);
        step.when_interrupted.unwrap_or(wanted)
    }

    fn close(&mut self, plan: &Plan, at: Millis) {
        let mut outcome = self.outcome(plan);
        let output = match plan.output().map(|output| output.render(&self.scope_all(plan))) {
            Some(Ok(output)) => output,
            // What a run that failed could not say is no second failure.
            Some(Err(_)) if outcome != Outcome::Succeeded => Json::Null,
            Some(Err(error)) => {
                outcome = Outcome::Failed;
                serde_json::json!({ "error": format!("output: {error}") })
            }
            None => Json::Null,
        };
        self.phase = Phase::Closed { at, outcome, output: Arc::new(output) };
    }
}
