//! Tries of a step as people see them: each one, its fault, and why it was run again.

use baton_core::id::Side;
use baton_core::run::event::CallClass;
use baton_core::run::fault::{Fault, FaultKind};
use baton_core::run::{AttemptEnd, AttemptRecord, Item, Refresh};
use baton_core::workflow::plan::Plan;

use super::view::{AgainView, AttemptView, FaultView};

/// Why a step was run again.
pub(super) fn again(plan: &Plan, refresh: &Refresh) -> AgainView {
    let because = plan.step(refresh.because);
    AgainView {
        at: refresh.at,
        before: plan.step(refresh.by).name.clone(),
        because: because.name.clone(),
        age_ms: refresh.age_ms,
        fresh_for_ms: because.fresh_for_ms.unwrap_or_default(),
    }
}

/// Every try, oldest first.
pub(super) fn attempts(item: &Item) -> Vec<AttemptView> {
    let mut views: Vec<AttemptView> = item.history().iter().map(attempt_view).collect();
    for index in 1..views.len() {
        let (before, rest) = views.split_at_mut(index);
        rest[0].replayed = before
            .iter()
            .any(|earlier| earlier.number == rest[0].number && earlier.side == rest[0].side);
    }
    views
}

fn attempt_view(record: &AttemptRecord) -> AttemptView {
    let (end, fault) = match &record.end {
        None => ("running", None),
        Some((_, AttemptEnd::Succeeded)) => ("succeeded", None),
        Some((_, AttemptEnd::Failed(fault))) => ("failed", Some(fault_view(fault))),
        Some((_, AttemptEnd::Interrupted)) => ("interrupted", None),
        Some((_, AttemptEnd::Diverged(why))) => {
            ("diverged", Some(fault_view(&Fault::permanent("diverged", why.as_str()))))
        }
    };
    AttemptView {
        number: record.number,
        side: side(record.side).to_owned(),
        started_at: record.started_at,
        ended_at: record.end.as_ref().map(|(at, _)| *at),
        end: end.to_owned(),
        fault,
        replayed: false,
    }
}

/// Doing or undoing, in a word.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Do => "do",
        Side::Undo => "undo",
    }
}

/// Why it failed.
pub(super) fn fault_view(fault: &Fault) -> FaultView {
    FaultView {
        kind: match fault.kind {
            FaultKind::Retryable => "retryable",
            FaultKind::Permanent => "permanent",
        }
        .to_owned(),
        code: fault.code.clone(),
        message: fault.message.clone(),
        details: fault.details.clone(),
    }
}

/// What repeating a call would mean, in a word.
pub(super) fn class(class: CallClass) -> &'static str {
    match class {
        CallClass::Read => "read",
        CallClass::Idempotent => "idempotent",
        CallClass::Guarded => "guarded",
        CallClass::Once => "once",
    }
}
