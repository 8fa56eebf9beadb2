//! Rules of how a run ends: its cause, undo, `always` steps, and what it says.

use std::collections::BTreeSet;

use super::{
    ALWAYS, ASSESSED, CAUSE, HONEST, LEGAL, Look, PIVOT, SETTLED, Spot, UNDO_ORDER, UNDONE,
    Violation, lane, over, under_way, violated,
};
use crate::id::{Place, Side, StepId};
use crate::run::event::{Cause, Event, Outcome};
use crate::run::place::State;
use crate::run::state::{Ending, Phase};
use crate::workflow::plan::{OnFailure, Plan, Step};

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    if look.after.assessed_at() != look.ledger.assessed_at {
        let (says, is) = (look.after.assessed_at(), look.ledger.assessed_at);
        return violated(ASSESSED, format!("{says:?} instead of {is:?}"));
    }
    let rests_on = protected(look);
    for spot in look.spots() {
        if *spot.was(Side::Undo) == State::Waiting && *spot.is(Side::Undo) != State::Waiting {
            undo_began(look, &spot, &rests_on)?;
        }
        if spot.step.always && *spot.was(Side::Do) == State::Waiting {
            always(look, &spot, &rests_on)?;
        }
    }
    if matches!(look.event, Event::Closed { .. }) {
        closed(look, &rests_on)
    } else if look.after.is_closed() {
        violated(SETTLED, "it closed by itself")
    } else {
        Ok(())
    }
}

/// Whether a failure of `step` ends the run.
fn ends(step: &Step) -> bool {
    step.on_failure != OnFailure::Continue && !step.always
}

fn has_failed(look: &Look<'_>, id: StepId) -> bool {
    look.items(id).any(|(_, item)| matches!(item.work(), State::Failed { .. }))
}

/// A run ends for a reason, and only then.
pub(super) fn cause(look: &Look<'_>) -> Result<(), Violation> {
    let was = look.before.and_then(|run| run.ending());
    let is = look.after.ending();
    match (was, is) {
        (Some(_), _) if was == is => Ok(()),
        (Some(_), _) => violated(CAUSE, format!("{was:?} became {is:?}")),
        (None, Some(Ending::Failed(id))) if has_failed(look, *id) && ends(look.plan.step(*id)) => {
            Ok(())
        }
        (None, Some(Ending::Cancelled(by))) if look.ledger.cancel.as_ref() == Some(by) => Ok(()),
        (None, Some(_)) => violated(CAUSE, format!("it ends by {is:?} without reason")),
        (None, None) => {
            let failed = |id: &StepId| ends(look.plan.step(*id)) && has_failed(look, *id);
            match look.plan.ids().find(failed) {
                Some(id) => violated(CAUSE, format!("{id:?} failed, and the run goes on")),
                None if look.ledger.cancel.is_some() => violated(CAUSE, "the cancel was forgotten"),
                None => Ok(()),
            }
        }
    }
}

/// Every step that rests on `id`, directly or not.
fn followers(plan: &Plan, id: StepId) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    for later in plan.ids() {
        if plan.step(later).needs.iter().any(|need| *need == id || found.contains(need)) {
            found.insert(later);
        }
    }
    found
}

/// Passed pivots, and all steps before them.
fn protected(look: &Look<'_>) -> BTreeSet<StepId> {
    let passed = |id: &StepId| {
        look.plan.step(*id).pivot
            && look.items(*id).any(|(place, _)| look.ledger.changed(look.plan, look.after, place))
    };
    let passed: BTreeSet<StepId> = look.plan.ids().filter(passed).collect();
    let before = |id: &StepId| !followers(look.plan, *id).is_disjoint(&passed);
    look.plan.ids().filter(|id| passed.contains(id) || before(id)).collect()
}

/// Whether `place` is to be taken back when the run ends without success.
fn due(look: &Look<'_>, place: Place, rests_on: &BTreeSet<StepId>) -> bool {
    let step = look.plan.step(place.step);
    step.undo.is_some()
        && !step.always
        && !rests_on.contains(&place.step)
        && look.ledger.changed(look.plan, look.after, place)
}

fn forward_is_over(look: &Look<'_>) -> bool {
    look.spots().all(|spot| spot.step.always || over(spot.is(Side::Do)))
}

fn undo_began(
    look: &Look<'_>,
    spot: &Spot<'_>,
    rests_on: &BTreeSet<StepId>,
) -> Result<(), Violation> {
    if rests_on.contains(&spot.place.step) {
        return violated(PIVOT, format!("{} is taken back", spot.name()));
    }
    if look.after.ending().is_none() || !forward_is_over(look) {
        return violated(UNDO_ORDER, format!("{} before forward work is over", spot.name()));
    }
    for later in followers(look.plan, spot.place.step) {
        for (place, item) in look.items(later) {
            if due(look, place, rests_on) && !over(item.undo()) {
                return violated(UNDO_ORDER, format!("{} before {later:?}", spot.name()));
            }
        }
    }
    Ok(())
}

fn always(look: &Look<'_>, spot: &Spot<'_>, rests_on: &BTreeSet<StepId>) -> Result<(), Violation> {
    // An item of a `for_each` that is under way belongs to a step that began earlier.
    let began = look.before.is_some_and(|run| run.step(spot.place.step).fan().is_some());
    let is = spot.is(Side::Do);
    if *is == State::Cancelled && !look.is_queued() {
        return violated(ALWAYS, format!("{} was cancelled", spot.name()));
    }
    let waits = matches!(is, State::Waiting | State::Cancelled);
    if waits || began || look.after.ending().is_none() {
        return Ok(());
    }
    let undone = |s: Spot<'_>| over(s.is(Side::Undo)) || !due(look, s.place, rests_on);
    if forward_is_over(look) && look.spots().all(undone) {
        return Ok(());
    }
    violated(ALWAYS, format!("{} came before undo was over", spot.name()))
}

fn closed(look: &Look<'_>, rests_on: &BTreeSet<StepId>) -> Result<(), Violation> {
    let Phase::Closed { outcome, .. } = look.after.phase() else {
        return violated(LEGAL, "it took `Closed` and is open");
    };
    for spot in look.spots() {
        if !over(spot.is(Side::Do)) || under_way(spot.is(Side::Undo)) {
            return violated(SETTLED, format!("{} is not settled", spot.name()));
        }
        let ended = look.after.ending().is_some();
        let undo = lane(spot.after, Side::Undo);
        let fits = if ended && due(look, spot.place, rests_on) {
            matches!(undo, State::Succeeded { .. } | State::Failed { .. })
        } else {
            *undo == State::Waiting
        };
        if !fits {
            return violated(UNDONE, format!("undo of {} is {undo:?}", spot.name()));
        }
    }
    let expected = expected(look);
    if *outcome != expected {
        return violated(HONEST, format!("{outcome:?} instead of {expected:?}"));
    }
    Ok(())
}

/// How the run ended, by the first cause; a run whose declared output cannot be
/// rendered (simulated plans declare `${steps.s0}`, which only a success gives) failed.
fn expected(look: &Look<'_>) -> Outcome {
    let failed =
        |id: StepId| look.plan.step(id).on_failure != OnFailure::Continue && has_failed(look, id);
    match look.after.ending() {
        Some(Ending::Cancelled(Cause::Timeout)) => Outcome::TimedOut,
        Some(Ending::Cancelled(Cause::Person { .. } | Cause::Parent)) => Outcome::Cancelled,
        Some(Ending::Failed(_)) => Outcome::Failed,
        None if look.plan.ids().any(failed) => Outcome::Failed,
        None => {
            let given = look.items(StepId(0)).all(|(_, item)| {
                matches!(item.work(), State::Succeeded { .. }) && item.output().is_some()
            });
            let empty = look.items(StepId(0)).next().is_none();
            let declared = look.plan.output().is_some();
            if declared && !given && !empty { Outcome::Failed } else { Outcome::Succeeded }
        }
    }
}
