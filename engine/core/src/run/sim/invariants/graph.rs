//! Rules between steps on the way forward: what may start, and what may not.

use super::{
    CANCELLED, CLOSES, JOINED, Look, NEEDS, PARALLEL, QUEUED, STOPS, Spot, Violation, over,
    under_way, violated,
};
use crate::id::{AttemptId, Side, StepId};
use crate::run::event::Event;
use crate::run::place::State;
use crate::run::{Effect, outstanding};
use crate::workflow::plan::OnFailure;

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    joined(look)?;
    for spot in look.spots() {
        let opened = *spot.was(Side::Do) == State::Waiting && under_way(spot.is(Side::Do));
        if look.is_queued() && (opened || under_way(spot.is(Side::Undo))) {
            return violated(QUEUED, format!("{} is {:?}", spot.name(), spot.is(Side::Do)));
        }
        if opened {
            needs(look, &spot)?;
        }
        if look.after.ending().is_some() && !spot.step.always {
            ended(look, &spot)?;
        }
    }
    for id in look.plan.ids() {
        parallel(look, id)?;
    }
    stuck(look)
}

/// A trigger that joins is remembered; nothing else moves, and settling again is idle.
fn joined(look: &Look<'_>) -> Result<(), Violation> {
    let (Event::Joined { .. }, Some(before)) = (look.event, look.before) else { return Ok(()) };
    let mut same = before.clone();
    same.joined.clone_from(&look.after.joined);
    if same != *look.after || look.after.joined.is_empty() {
        return violated(JOINED, "a joining trigger moved the run");
    }
    Ok(())
}

fn needs(look: &Look<'_>, spot: &Spot<'_>) -> Result<(), Violation> {
    for need in &spot.step.needs {
        let needed = look.plan.step(*need);
        for (_, item) in look.items(*need) {
            let met = match item.work() {
                State::Succeeded { .. } => true,
                State::Failed { .. } => {
                    spot.step.always || needed.on_failure == OnFailure::Continue
                }
                State::Skipped | State::Cancelled => spot.step.always,
                State::Waiting
                | State::Ready
                | State::Running { .. }
                | State::BackingOff { .. }
                | State::Sleeping { .. }
                | State::Asking { .. } => false,
            };
            if !met {
                let state = item.work();
                return violated(
                    NEEDS,
                    format!("{} while {} is {state:?}", spot.name(), needed.name),
                );
            }
        }
    }
    Ok(())
}

/// Forward work of a run that ends: what runs may finish, or stops if cancelled; a
/// pivot with an intent goes on unless cancelled.
fn ended(look: &Look<'_>, spot: &Spot<'_>) -> Result<(), Violation> {
    let cancelled = look.ledger.cancel.is_some();
    let passed = spot.step.pivot && look.ledger.lane(spot.place, Side::Do).intent_ever;
    let state = spot.is(Side::Do);
    if let State::Running { stopping, number, .. } = *state {
        let attempt = AttemptId { place: spot.place, side: Side::Do, number };
        let owed = outstanding(look.plan, look.after).contains(&Effect::Stop { attempt });
        if cancelled && !(stopping && owed) {
            return violated(STOPS, format!("{attempt} is not told to stop"));
        }
    } else if !over(state) && (cancelled || !passed) {
        return violated(CANCELLED, format!("{} is {state:?}", spot.name()));
    }
    Ok(())
}

fn parallel(look: &Look<'_>, id: StepId) -> Result<(), Violation> {
    let most = look.plan.step(id).for_each.as_ref().map_or(1, |each| each.parallel as usize);
    for side in [Side::Do, Side::Undo] {
        let busy = look.items(id).filter(|(_, item)| under_way(super::lane(item, side))).count();
        if busy > most {
            return violated(
                PARALLEL,
                format!("{busy} of {most} {side:?} lanes at work in {id:?}"),
            );
        }
    }
    Ok(())
}

/// An open run has work under way, a debt or a question: somebody will move it.
fn stuck(look: &Look<'_>) -> Result<(), Violation> {
    let asks = || {
        look.spots().any(|spot| {
            [Side::Do, Side::Undo].iter().any(|side| matches!(spot.is(*side), State::Asking { .. }))
        })
    };
    let moves = look.after.is_closed()
        || !look.after.running().is_empty()
        || outstanding(look.plan, look.after).iter().any(|e| !matches!(e, Effect::Deadline { .. }))
        || asks();
    if moves {
        return Ok(());
    }
    violated(CLOSES, format!("nothing will ever move it: {:?}", look.after.steps()))
}
