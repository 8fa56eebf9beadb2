//! Rules of one lane of one place.

use super::{
    ASK_FIRST, BACKOFF, CHILDREN, FINISHED, IN_DOUBT, LET_GO, Look, NUMBERS, OUTPUTS, POISON, Spot,
    TRIES, UNTIL, Violation, over, violated,
};
use crate::Millis;
use crate::id::{AttemptId, Side};
use crate::limits;
use crate::run::event::Event;
use crate::run::place::{Item, State};
use crate::run::sim::ledger::holds;
use crate::workflow::plan::{Action, Poll, Step};

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    for spot in look.spots() {
        for side in [Side::Do, Side::Undo] {
            finished(look, &spot, side)?;
            children(look, &spot, side)?;
        }
        outputs(look, &spot)?;
    }
    match look.event {
        Event::Started { attempt, .. } => started(look, *attempt),
        Event::Failed { at, attempt, .. } => backoff(look, *attempt, *at),
        Event::Succeeded { at, attempt, output } => {
            let_go(look, *attempt)?;
            match &look.plan.step(attempt.place.step).poll {
                Some(poll) if attempt.side == Side::Do => {
                    until(look, *attempt, poll, holds(output), *at)
                }
                Some(_) | None => Ok(()),
            }
        }
        Event::Interrupted { attempt, .. } => parked(look, *attempt),
        Event::Begun { .. }
        | Event::Admitted { .. }
        | Event::Joined { .. }
        | Event::Called { .. }
        | Event::Taped { .. }
        | Event::Diverged { .. }
        | Event::Stale { .. }
        | Event::Woke { .. }
        | Event::ChildClosed { .. }
        | Event::Answered { .. }
        | Event::Cancelled { .. }
        | Event::Closed { .. } => Ok(()),
    }
}

/// Evidence may go back to be gathered again, and what was skipped on the old.
fn may_go_back(look: &Look<'_>, spot: &Spot<'_>, side: Side) -> bool {
    matches!(look.event, Event::Stale { .. })
        && side == Side::Do
        && (spot.step.changes_nothing || *spot.was(side) == State::Skipped)
}

fn finished(look: &Look<'_>, spot: &Spot<'_>, side: Side) -> Result<(), Violation> {
    let (was, is) = (spot.was(side), spot.is(side));
    if over(was) && was != is && !may_go_back(look, spot, side) {
        return violated(FINISHED, format!("{} went from {was:?} to {is:?}", spot.name()));
    }
    Ok(())
}

fn outputs(look: &Look<'_>, spot: &Spot<'_>) -> Result<(), Violation> {
    let before = spot.before.and_then(|item| item.output());
    let kept = before.is_none() || before == spot.after.output();
    if !kept && !may_go_back(look, spot, Side::Do) {
        return violated(OUTPUTS, format!("{} changed its output", spot.name()));
    }
    Ok(())
}

/// Whoever begins a run and lets it go waits for nothing.
fn let_go(look: &Look<'_>, attempt: AttemptId) -> Result<(), Violation> {
    let step = look.plan.step(attempt.place.step);
    let detached = matches!(&step.action, Action::Workflow(child) if child.detached);
    let work = look.after.item(attempt.place).map(Item::work);
    if detached && attempt.side == Side::Do && !matches!(work, Some(State::Succeeded { .. })) {
        return violated(LET_GO, format!("{} has begun its run and is {work:?}", step.name));
    }
    Ok(())
}

/// A running child goes on through everything but its own end.
fn children(look: &Look<'_>, spot: &Spot<'_>, side: Side) -> Result<(), Violation> {
    let State::Running { number, .. } = *spot.was(side) else { return Ok(()) };
    let id = AttemptId { place: spot.place, side, number };
    let closed = matches!(look.event, Event::ChildClosed { attempt, .. } if *attempt == id);
    let same = matches!(*spot.is(side), State::Running { number: n, .. } if n == number);
    if look.plan.is_child(id) && !closed && !same {
        return violated(CHILDREN, format!("{}: {} left its child", spot.name(), look.event));
    }
    Ok(())
}

fn started(look: &Look<'_>, attempt: AttemptId) -> Result<(), Violation> {
    let lane = look.earlier.lane(attempt.place, attempt.side);
    let step = look.plan.step(attempt.place.step);
    if attempt.number != lane.number + u32::from(!lane.resumes) {
        return violated(NUMBERS, format!("{attempt} follows number {}", lane.number));
    }
    if lane.must_ask && !lane.doubts.is_empty() {
        return violated(IN_DOUBT, format!("{attempt}, but calls {:?} are in doubt", lane.doubts));
    }
    if lane.must_ask {
        return violated(ASK_FIRST, format!("{attempt} was not asked for"));
    }
    if lane.failures >= step.retry.attempts_max {
        return violated(TRIES, format!("{attempt} follows {} failures", lane.failures));
    }
    Ok(())
}

fn backoff(look: &Look<'_>, attempt: AttemptId, at: Millis) -> Result<(), Violation> {
    let Some(item) = look.after.item(attempt.place) else { return Ok(()) };
    let State::BackingOff { until } = *super::lane(item, attempt.side) else { return Ok(()) };
    let failures = look.ledger.lane(attempt.place, attempt.side).failures;
    let (least, most) = waits(look.plan.step(attempt.place.step), failures);
    if !(at + least..=at + most).contains(&until) {
        let wait = until.saturating_sub(at);
        return violated(BACKOFF, format!("{attempt} waits {wait} ms, not {least} to {most}"));
    }
    Ok(())
}

/// Shortest and longest wait after `failures` in a row. The simulated plans double
/// the wait each time and let chance take away half of it.
fn waits(step: &Step, failures: u32) -> (Millis, Millis) {
    let most = (step.retry.backoff_ms << (failures - 1)).min(step.retry.backoff_ms_max);
    (most / 2, most)
}

fn until(
    look: &Look<'_>,
    attempt: AttemptId,
    poll: &Poll,
    holds: bool,
    at: Millis,
) -> Result<(), Violation> {
    let Some(item) = look.after.item(attempt.place) else { return Ok(()) };
    let since = look.ledger.lane(attempt.place, Side::Do).looking_since.unwrap_or(at);
    let end = since + poll.within_ms;
    let fits = match *item.work() {
        State::Succeeded { .. } => holds,
        State::BackingOff { until } => !holds && until <= end && until <= at + poll.every_ms,
        State::Failed { .. } | State::Asking { .. } => !holds && at >= end,
        // The run ended meanwhile.
        State::Cancelled => !holds && look.after.ending().is_some(),
        State::Waiting
        | State::Ready
        | State::Running { .. }
        | State::Sleeping { .. }
        | State::Skipped => false,
    };
    if fits {
        return Ok(());
    }
    violated(UNTIL, format!("{attempt} is {:?}, and it is {holds} that it holds", item.work()))
}

fn parked(look: &Look<'_>, attempt: AttemptId) -> Result<(), Violation> {
    let Some(item) = look.after.item(attempt.place) else { return Ok(()) };
    let state = super::lane(item, attempt.side);
    let crashes = look.ledger.lane(attempt.place, attempt.side).crashes;
    if crashes >= limits::INTERRUPTIONS_MAX
        && !matches!(state, State::Asking { .. })
        && !over(state)
    {
        return violated(POISON, format!("{attempt} is {state:?} after {crashes} crashes"));
    }
    Ok(())
}
