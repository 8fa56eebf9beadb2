//! Faults planted on purpose, each with the invariant that must catch it. Product
//! code has no hooks: the machine's faults are planted by bending what it returned.

use super::invariants::{self, over, under_way};
use crate::Millis;
use crate::id::{AttemptId, Place, Side, StepId};
use crate::run::event::{Event, Outcome};
use crate::run::place::{Item, Question, State};
use crate::run::state::{Ending, Phase, Run};
use crate::workflow::plan::{Action, OnFailure, Plan};

macro_rules! plants {
    ($($(#[doc = $doc:literal])* $plant:ident => $invariant:ident;)*) => {
        /// A fault planted on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::run) enum Plant {
            /// None.
            Nothing,
            $($(#[doc = $doc])* $plant,)*
        }
        impl Plant {
            /// Every fault, with the invariant that must catch it.
            pub(super) const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$plant, invariants::$invariant)),*];
        }
    };
}

plants! {
    /// Shell: acts on a fact that never reached the journal.
    PerformBeforeAppend => REPLAY;
    /// Shell: forgets its timers at a crash.
    LoseTimers => OWED;
    /// Shell: takes an attempt that a crash cut off for one that still runs.
    ForgetInterrupted => CLOSES;
    /// Shell: delivers a reply twice.
    ReplyTwice => LEGAL;
    /// Machine: keeps a run open that closed.
    Reopen => LEGAL;
    /// Machine: runs a finished step again.
    RunAgain => FINISHED;
    /// Machine: loses an output.
    ForgetOutput => OUTPUTS;
    /// Machine: uses an attempt's number twice.
    ReuseNumber => NUMBERS;
    /// Machine: gives a place one more try than it has.
    RetryForEver => TRIES;
    /// Machine: does not wait before a retry.
    HastyRetry => BACKOFF;
    /// Machine: takes the first look of a poll for the last.
    Impatient => UNTIL;
    /// Machine: repeats an attempt whose `once` call has no outcome.
    RetryInDoubt => IN_DOUBT;
    /// Machine: repeats what a person should look at first.
    RerunUnasked => ASK_FIRST;
    /// Machine: never parks a place that kills the engine.
    NeverPark => POISON;
    /// Machine: takes a child run for dead when the engine was.
    LoseChild => CHILDREN;
    /// Machine: waits for the end of a run that was let go.
    HoldOn => LET_GO;
    /// Machine: lets a step go before the steps it needs.
    IgnoreNeeds => NEEDS;
    /// Machine: starts all items of a `for_each` at once.
    IgnoreParallel => PARALLEL;
    /// Machine: starts work of a run that waits for its key.
    JumpQueue => QUEUED;
    /// Machine: wakes whoever waits when a trigger joins.
    WakeOnJoin => JOINED;
    /// Machine: ends a run for a failure that the workflow tolerates.
    EndOnContinue => CAUSE;
    /// Machine: lets a later cancel hide the failure that ended the run.
    LaterCause => CAUSE;
    /// Machine: keeps a back-off alive after a cancel.
    SurviveCancel => CANCELLED;
    /// Machine: leaves running what a cancel should stop.
    DeafToStop => STOPS;
    /// Machine: lets `always` steps go before undo is over.
    HurryAlways => ALWAYS;
    /// Machine: cancels an `always` step with the rest.
    CancelAlways => ALWAYS;
    /// Machine: takes back what lies behind a pivot.
    UndoBehindPivot => PIVOT;
    /// Machine: takes steps back from the front.
    UndoForwards => UNDO_ORDER;
    /// Machine: leaves out an undo.
    ForgetUndo => UNDONE;
    /// Machine: closes a run that asks.
    CloseWhileAsking => SETTLED;
    /// Machine: calls a run with a failed step a success.
    PaintGreen => HONEST;
    /// Machine: counts every start as an assessment.
    AssessAlways => ASSESSED;
    /// Machine: goes on from a tape that is too old, or that is none.
    PlayAnything => NUMBERS;
    /// Machine: runs again from the start what left its tape, whatever it had done.
    RerunDiverged => ASK_FIRST;
    /// Machine: takes old evidence for new.
    ActOnStale => FRESH;
    /// Machine: gathers again what was acted upon.
    ThawFrozen => FROZEN;
    /// Machine: gathers evidence again for ever.
    NeverWornOut => WORN_OUT;
}

/// Bends `run`, the state that `event` led to, as the planted fault would.
pub(super) fn tamper(
    plant: Plant,
    plan: &Plan,
    before: Option<&Run>,
    event: &Event,
    run: &mut Run,
) {
    match plant {
        Plant::Nothing
        | Plant::PerformBeforeAppend
        | Plant::LoseTimers
        | Plant::ForgetInterrupted
        | Plant::ReplyTwice => {}
        Plant::ReuseNumber
        | Plant::RetryForEver
        | Plant::HastyRetry
        | Plant::Impatient
        | Plant::RetryInDoubt
        | Plant::RerunUnasked
        | Plant::PlayAnything
        | Plant::RerunDiverged
        | Plant::NeverPark => lane(plant, plan, event, run),
        Plant::ActOnStale | Plant::ThawFrozen | Plant::NeverWornOut => {
            if let (Some(before), Event::Stale { at, .. }) = (before, event) {
                stale(plant, plan, before, *at, run);
            }
        }
        Plant::RunAgain
        | Plant::ForgetOutput
        | Plant::LoseChild
        | Plant::HoldOn
        | Plant::IgnoreNeeds
        | Plant::IgnoreParallel
        | Plant::JumpQueue
        | Plant::WakeOnJoin => forward(plant, plan, event, run),
        Plant::EndOnContinue
        | Plant::LaterCause
        | Plant::SurviveCancel
        | Plant::DeafToStop
        | Plant::HurryAlways
        | Plant::CancelAlways
        | Plant::UndoBehindPivot
        | Plant::UndoForwards
        | Plant::ForgetUndo => ending(plant, plan, before, event, run),
        Plant::Reopen | Plant::CloseWhileAsking | Plant::PaintGreen | Plant::AssessAlways => {
            whole(plant, event, run);
        }
    }
}

/// Faults of the transition table.
fn lane(plant: Plant, plan: &Plan, event: &Event, run: &mut Run) {
    let (Event::Failed { attempt, .. }
    | Event::Interrupted { attempt, .. }
    | Event::Diverged { attempt, .. }
    | Event::Succeeded { attempt, .. }) = event
    else {
        return;
    };
    let AttemptId { place, side, .. } = *attempt;
    let step = plan.step(place.step);
    let at = event.at();
    let Some(item) = run.item_mut(place) else { return };
    let state = item.lane(side).clone();
    match (plant, event, state) {
        (Plant::ReuseNumber, Event::Interrupted { .. }, State::Ready) => {
            item.numbers[side as usize] -= 1;
        }
        (Plant::PlayAnything, Event::Interrupted { .. }, State::Ready) => {
            item.resumed[side as usize] = true;
        }
        (Plant::RerunDiverged, _, State::Asking { question: Question::Diverged, .. }) => {
            *item.lane_mut(side) = State::Ready;
        }
        (Plant::NeverPark, Event::Interrupted { .. }, State::Ready) => {
            item.interruptions[side as usize] = 0;
        }
        // Only where neither the back-off nor a missing question shows it first.
        (Plant::RetryForEver, Event::Failed { .. }, State::BackingOff { .. })
            if step.retry.backoff_ms == 0 && step.on_failure != OnFailure::Ask =>
        {
            item.failures[side as usize] -= 1;
        }
        (Plant::HastyRetry, Event::Failed { .. }, State::BackingOff { .. }) => {
            *item.lane_mut(side) = State::BackingOff { until: at };
        }
        (Plant::Impatient, Event::Succeeded { .. }, State::BackingOff { .. }) => {
            *item.lane_mut(side) = State::Succeeded { at };
        }
        (Plant::RetryInDoubt, _, State::Asking { question: Question::InDoubt, .. })
        | (
            Plant::RerunUnasked,
            _,
            State::Asking { question: Question::Interrupted | Question::Failed, .. },
        ) => *item.lane_mut(side) = State::Ready,
        _ => {}
    }
}

/// Faults of shelf life.
fn stale(plant: Plant, plan: &Plan, before: &Run, at: Millis, run: &mut Run) {
    if plant == Plant::ActOnStale {
        run.clone_from(before);
        items(run).for_each(|(_, item)| item.since = Some(at));
        run.steps.iter_mut().for_each(|step| step.gate_at = Some(at));
    }
    if plant == Plant::NeverWornOut {
        run.steps.iter_mut().for_each(|step| step.sent_back = 0);
    }
    if plant == Plant::ThawFrozen {
        let acted = |id: StepId| run.step(id).items.iter().any(|item| item.has_acted());
        let frozen = plan.ids().find(|id| {
            plan.step(*id).changes_nothing
                && run.step(*id).has_succeeded()
                && plan.ids().any(|later| acted(later) && plan.above(later).contains(id))
        });
        if let Some(id) = frozen {
            run.steps[usize::from(id.0)].items[0].work = State::Waiting;
        }
    }
}

fn items(run: &mut Run) -> impl Iterator<Item = (StepId, &mut Item)> {
    (0u16..)
        .map(StepId)
        .zip(&mut run.steps)
        .flat_map(|(id, step)| step.items.iter_mut().map(move |item| (id, &mut **item)))
}

/// Faults of the graph on the way forward.
fn forward(plant: Plant, plan: &Plan, event: &Event, run: &mut Run) {
    if plant == Plant::JumpQueue {
        if run.is_queued() && run.ending.is_none() {
            run.steps[0].items[0].work = State::Ready;
        }
        return;
    }
    if run.ending.is_some() || run.is_closed() || run.is_queued() {
        return;
    }
    match (plant, event) {
        (Plant::RunAgain, Event::Started { .. }) => {
            let done = items(run).find(|(_, item)| matches!(item.work, State::Succeeded { .. }));
            if let Some((_, item)) = done {
                item.work = State::Ready;
            }
        }
        (Plant::ForgetOutput, Event::Started { .. }) => {
            items(run).for_each(|(_, item)| item.output = None);
        }
        (Plant::LoseChild, Event::Interrupted { .. }) => {
            let child =
                |id| matches!(&plan.step(id).action, Action::Workflow(child) if !child.detached);
            items(run)
                .filter(|(id, item)| child(*id) && matches!(item.work, State::Running { .. }))
                .for_each(|(_, item)| item.work = State::Ready);
        }
        (Plant::HoldOn, Event::Succeeded { at, attempt, .. }) => {
            let action = &plan.step(attempt.place.step).action;
            let detached = matches!(action, Action::Workflow(child) if child.detached);
            if let Some(item) = run.item_mut(attempt.place).filter(|_| detached) {
                let AttemptId { number, .. } = *attempt;
                item.work = State::Running { number, since: *at, stopping: false };
            }
        }
        (Plant::WakeOnJoin, Event::Joined { .. }) => {
            items(run)
                .filter(|(_, item)| matches!(item.work, State::BackingOff { .. }))
                .for_each(|(_, item)| item.work = State::Ready);
        }
        (Plant::IgnoreNeeds, _) => {
            let early = plan.ids().find(|id| {
                let step = plan.step(*id);
                let unmet = step.needs.iter().any(|need| !run.step(*need).is_settled());
                unmet && step.for_each.is_none() && matches!(step.action, Action::Plugin(_))
            });
            if let Some(id) = early {
                run.steps[usize::from(id.0)].items[0].work = State::Ready;
            }
        }
        (Plant::IgnoreParallel, _) => {
            for step in run.steps.iter_mut().filter(|step| step.fan.is_some()) {
                let waiting = step.items.iter_mut().filter(|item| item.work == State::Waiting);
                waiting.for_each(|item| item.work = State::Ready);
            }
        }
        _ => {}
    }
}

/// Faults of how a run ends.
fn ending(plant: Plant, plan: &Plan, before: Option<&Run>, event: &Event, run: &mut Run) {
    match (plant, event) {
        (Plant::EndOnContinue, Event::Failed { attempt, .. }) => {
            let step = attempt.place.step;
            let failed =
                plan.step(step).on_failure == OnFailure::Continue && run.step(step).has_failed();
            if failed && run.ending.is_none() {
                run.ending = Some(Ending::Failed(step));
            }
        }
        (Plant::LaterCause, Event::Cancelled { by, .. }) => {
            run.ending = Some(Ending::Cancelled(by.clone()));
        }
        (Plant::SurviveCancel, Event::Cancelled { .. }) => {
            for (id, item) in before.into_iter().flat_map(Run::places) {
                if let (State::BackingOff { .. }, Some(after)) = (&item.work, run.item_mut(id)) {
                    after.work = item.work.clone();
                }
            }
        }
        (Plant::DeafToStop, Event::Cancelled { .. }) => items(run).for_each(|(_, item)| {
            if let State::Running { stopping, .. } = &mut item.work {
                *stopping = false;
            }
        }),
        (Plant::CancelAlways, Event::Cancelled { .. }) if !run.is_queued() => items(run)
            .filter(|(id, item)| plan.step(*id).always && item.work == State::Waiting)
            .for_each(|(_, item)| item.work = State::Cancelled),
        (
            Plant::HurryAlways | Plant::UndoBehindPivot | Plant::UndoForwards | Plant::ForgetUndo,
            _,
        ) => undo(plant, plan, run),
        _ => {}
    }
}

/// Faults of undo and of what follows it.
fn undo(plant: Plant, plan: &Plan, run: &mut Run) {
    let forward = |run: &Run| {
        run.places().all(|(place, item)| plan.step(place.step).always || over(item.work()))
    };
    if run.ending.is_none() || run.is_closed() || !forward(run) {
        return;
    }
    let undoing = run.places().any(|(_, item)| under_way(item.undo()));
    let rests_on = |later: StepId, id: StepId| plan.step(later).needs.contains(&id);
    let later = |run: &Run, id: StepId, wanted: &dyn Fn(StepId) -> bool| {
        plan.ids().any(|later| rests_on(later, id) && wanted(later) && run.step(later).is_settled())
    };
    let bent: Option<(StepId, Side, State)> = plan.ids().find_map(|id| {
        let item = run.item(Place { step: id, item: 0 })?;
        let step = plan.step(id);
        let taken_back = step.undo.is_some()
            && !step.always
            && item.undo == State::Waiting
            && matches!(item.work, State::Succeeded { .. });
        let passed = |id: StepId| plan.step(id).pivot && run.step(id).has_succeeded();
        let undoes = |id: StepId| run.step(id).items.iter().any(|item| under_way(item.undo()));
        if plant == Plant::HurryAlways {
            let ready = step.needs.iter().all(|need| run.step(*need).is_settled());
            let hurry = step.always && step.for_each.is_none() && item.work == State::Waiting;
            return (hurry && ready && undoing).then_some((id, Side::Do, State::Ready));
        }
        if plant == Plant::ForgetUndo {
            let first = item.undo == State::Ready && item.next_number(Side::Undo) == 1;
            // Not the last one: nothing would move the run any more, and that shows first.
            let others = plan.ids().any(|other| other != id && undoes(other));
            return (first && others).then_some((id, Side::Undo, State::Skipped));
        }
        let behind_pivot = plant == Plant::UndoBehindPivot;
        let begun = |id: StepId| !run.step(id).is_unbegun();
        let no_pivot = !plan.ids().any(|id| plan.step(id).pivot && begun(id));
        let bends = taken_back
            && if behind_pivot {
                later(run, id, &passed)
            } else {
                no_pivot && later(run, id, &undoes)
            };
        bends.then_some((id, Side::Undo, State::Ready))
    });
    if let Some((step, side, state)) = bent
        && let Some(item) = run.item_mut(Place { step, item: 0 })
    {
        *item.lane_mut(side) = state;
    }
}

/// Faults of what a run says of itself.
fn whole(plant: Plant, event: &Event, run: &mut Run) {
    let asks = run.places().any(|(_, item)| matches!(item.work(), State::Asking { .. }));
    match (plant, event) {
        (Plant::Reopen, Event::Closed { .. }) => run.phase = Phase::Open,
        (Plant::CloseWhileAsking, _) if asks => {
            let output = std::sync::Arc::new(crate::Json::Null);
            run.phase = Phase::Closed { at: event.at(), outcome: Outcome::Cancelled, output };
        }
        (Plant::PaintGreen, Event::Closed { .. }) => {
            if let Phase::Closed { outcome, .. } = &mut run.phase {
                *outcome = Outcome::Succeeded;
            }
        }
        (Plant::AssessAlways, Event::Started { at, .. }) => run.assessed_at = Some(*at),
        _ => {}
    }
}
