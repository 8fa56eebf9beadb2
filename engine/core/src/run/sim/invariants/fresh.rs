//! Rules of shelf life, from the facts' times and the plan alone.

use super::{FRESH, FROZEN, Look, Violation, WORN_OUT, over, violated};
use crate::Millis;
use crate::id::{AttemptId, Place, Side, StepId};
use crate::limits;
use crate::run::event::Event;
use crate::run::place::State;
use crate::run::sim::ledger::Lane;
use crate::run::state::Run;
use crate::workflow::plan::{Action, Plan};

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    if let Event::Started { at, attempt } = look.event
        && attempt.side == Side::Do
    {
        return fresh(look, *attempt, *at);
    }
    if let Event::Stale { attempt, .. } = look.event {
        frozen(look)?;
        return worn_out(look, attempt.place);
    }
    Ok(())
}

fn fresh(look: &Look<'_>, attempt: AttemptId, at: Millis) -> Result<(), Violation> {
    let id = attempt.place.step;
    let step = look.plan.step(id);
    let Some(before) = look.before else { return Ok(()) };
    let begun = |lane: &Lane| lane.started_at >= gate(look, id);
    let begun_list = step.for_each.is_some() && look.earlier.lanes_of(id, Side::Do).any(begun);
    let free = step.changes_nothing
        || step.always
        || before.ending().is_some()
        || look.earlier.lane(attempt.place, Side::Do).resumes
        || begun_list;
    for above in look.plan.above(id) {
        let settled = before.step(above).items().iter().all(|item| over(item.work()));
        if !settled && before.ending().is_none() {
            return violated(FRESH, format!("{attempt} started before step {} settled", above.0));
        }
        if free
            || !look.plan.step(above).changes_nothing
            || look.earlier.frozen(look.plan, before, above)
        {
            continue;
        }
        let (Some(since), true) = (since(look, above), succeeded(look, above)) else { continue };
        let limit = look.plan.step(above).fresh_for_ms;
        if limit.is_some_and(|limit| at - since > limit) {
            let age = at - since;
            return violated(FRESH, format!("{attempt} started on step {}, {age} ms old", above.0));
        }
        for below in look.plan.above(above).into_iter().filter(|it| succeeded(look, *it)) {
            let rests = look.plan.step(below).changes_nothing
                && !look.earlier.frozen(look.plan, before, below)
                && runs(look.plan, above)
                && runs(look.plan, below);
            if rests && latest(look, below) > Some(since) {
                return violated(
                    FRESH,
                    format!("{attempt}: step {} is older than step {}", above.0, below.0),
                );
            }
        }
    }
    Ok(())
}

/// When the gate of a step last opened.
fn gate(look: &Look<'_>, id: StepId) -> Option<Millis> {
    look.before.and_then(|run| run.step(id).gate_at)
}

fn runs(plan: &Plan, id: StepId) -> bool {
    matches!(plan.step(id).action, Action::Plugin(_) | Action::Workflow(_) | Action::Report)
}

fn succeeded(look: &Look<'_>, id: StepId) -> bool {
    let items = look.before.map(|run| run.step(id).items());
    items.is_some_and(|items| {
        items.iter().all(|item| matches!(item.work(), State::Succeeded { .. }))
    })
}

/// When the oldest of its latest attempts began; none without one.
fn since(look: &Look<'_>, id: StepId) -> Option<Millis> {
    items(look, id).min()
}

fn latest(look: &Look<'_>, id: StepId) -> Option<Millis> {
    items(look, id).max()
}

fn items(look: &Look<'_>, id: StepId) -> impl Iterator<Item = Millis> {
    let places = look.before.into_iter().flat_map(Run::places);
    places
        .filter(move |(place, _)| place.step == id)
        .filter_map(|(place, _)| look.earlier.lane(place, Side::Do).started_at)
}

/// Only what changes nothing and was not acted upon goes back.
fn frozen(look: &Look<'_>) -> Result<(), Violation> {
    let Some(before) = look.before else { return Ok(()) };
    for spot in look.spots() {
        let (was, is) = (spot.was(Side::Do), spot.is(Side::Do));
        let back = over(was) && !over(is);
        if back && look.earlier.frozen(look.plan, before, spot.place.step) {
            return violated(FROZEN, format!("{} went from {was:?} to {is:?}", spot.name()));
        }
    }
    Ok(())
}

/// Each item of a list learns by itself that it was enough, hence one more.
fn worn_out(look: &Look<'_>, place: Place) -> Result<(), Violation> {
    let times = look.ledger.sent_back(place);
    if times > limits::REFRESHES_MAX + 1 {
        let id = place.step.0;
        return violated(WORN_OUT, format!("step {id} sent its evidence back {times} times"));
    }
    Ok(())
}
