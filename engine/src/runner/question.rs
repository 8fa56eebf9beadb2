//! What a person is asked, and what each answer leads to.

use std::collections::BTreeSet;

use baton_core::Millis;
use baton_core::id::{Place, Side, StepId};
use baton_core::run::{AnswerRecord, Item, Question, Run, State};
use baton_core::workflow::plan::{Action, OnFailure, Plan, Silence, Step};

use super::tries::side;
use super::view::{AnswerView, QuestionView};

/// The question that waits at a place, if any: what a person reads, and the rest.
pub(super) fn asked(
    plan: &Plan,
    run: &Run,
    place: Place,
    item: &Item,
) -> Option<(String, QuestionView)> {
    let step = plan.step(place.step);
    let lanes = [(Side::Do, item.work()), (Side::Undo, item.undo())];
    let (lane, question, since, until) =
        lanes.into_iter().find_map(|(lane, state)| waits(lane, state))?;
    let silence = match &step.action {
        Action::Approval(approval) if until.is_some() => Some(match approval.on_timeout {
            Silence::Approve => "approve".to_owned(),
            Silence::Reject => "reject".to_owned(),
        }),
        Action::Plugin(_)
        | Action::Workflow(_)
        | Action::Approval(_)
        | Action::Wait { .. }
        | Action::Report => None,
    };
    let view = QuestionView {
        kind: kind(question).to_owned(),
        side: side(lane).to_owned(),
        since,
        until,
        silence,
        approve: approve(step, lane, question),
        reject: reject(plan, run, place.step, lane),
    };
    Some((text(lane, question), view))
}

fn waits(lane: Side, state: &State) -> Option<(Side, &Question, Millis, Option<Millis>)> {
    match state {
        State::Asking { question, since, until } => Some((lane, question, *since, *until)),
        State::Waiting
        | State::Ready
        | State::Running { .. }
        | State::BackingOff { .. }
        | State::Sleeping { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Skipped
        | State::Cancelled => None,
    }
}

/// An answer that was given.
pub(super) fn answer_view(record: &AnswerRecord) -> AnswerView {
    AnswerView {
        at: record.at,
        kind: kind(&record.question).to_owned(),
        approved: record.answer.approved,
        who: record.answer.who.clone(),
        reason: record.answer.reason.clone(),
    }
}

fn kind(question: &Question) -> &'static str {
    match question {
        Question::Approval { .. } => "approval",
        Question::Failed => "failed",
        Question::Interrupted => "interrupted",
        Question::InDoubt => "in-doubt",
        Question::Diverged => "diverged",
        Question::Poison => "poison",
    }
}

fn text(lane: Side, question: &Question) -> String {
    let it = match lane {
        Side::Do => "it",
        Side::Undo => "its undo",
    };
    match question {
        Question::Approval { prompt } => prompt.clone(),
        Question::Failed => format!("{it} failed: try again?"),
        Question::Interrupted => {
            format!("{it} was cut off after it had changed something: run it again?")
        }
        Question::InDoubt => format!(
            "{it} sent a call that must happen at most once, and no outcome is known: look whether it happened; run it again?"
        ),
        Question::Diverged => format!(
            "{it} was run again on what it had heard before it was cut off, and did not do the same; it had sent a call that must happen at most once: look whether it happened; run it again from its start?"
        ),
        Question::Poison => {
            format!("the engine died under {it} again and again: run it once more?")
        }
    }
}

fn approve(step: &Step, lane: Side, question: &Question) -> String {
    match (question, lane) {
        (Question::Approval { .. }, _) => "the step succeeds and the run goes on".to_owned(),
        (Question::Failed, _) => match step.retry.attempts_max {
            1 => "it is tried once more".to_owned(),
            tries => format!("it is tried again, at most {tries} times"),
        },
        (
            Question::Interrupted | Question::InDoubt | Question::Diverged | Question::Poison,
            Side::Do,
        ) => "it runs again from its start and is told of the calls above; unless the plugin heeds them, they are made again".to_owned(),
        (
            Question::Interrupted | Question::InDoubt | Question::Diverged | Question::Poison,
            Side::Undo,
        ) => "the undo runs again from its start and is told of its calls above; unless the plugin heeds them, they are made again".to_owned(),
    }
}

fn reject(plan: &Plan, run: &Run, id: StepId, lane: Side) -> String {
    let step = plan.step(id);
    if lane == Side::Undo {
        return "it is not undone: what the step changed stays, and the run closes".to_owned();
    }
    if step.on_failure == OnFailure::Continue {
        return "the step fails, and the run goes on".to_owned();
    }
    if step.always {
        return "the step fails, and the run does not succeed".to_owned();
    }
    if run.ending().is_some() {
        return "the step fails; the run ends as it would have".to_owned();
    }
    let undone = undone(plan, run, id);
    if undone.is_empty() {
        "the step fails and the run with it; nothing is undone".to_owned()
    } else {
        format!("the step fails and the run with it; undone are {}", undone.join(", "))
    }
}

/// What a failure of `failed` would take back, in that order.
fn undone(plan: &Plan, run: &Run, failed: StepId) -> Vec<String> {
    let changed = |id: StepId| {
        run.step(id)
            .items()
            .iter()
            .any(|item| matches!(item.work(), State::Succeeded { .. }) || !item.calls().is_empty())
    };
    let mut behind = BTreeSet::new();
    for id in plan.ids().rev() {
        if behind.contains(&id) || (plan.step(id).pivot && changed(id)) {
            behind.insert(id);
            behind.extend(plan.step(id).needs.iter().copied());
        }
    }
    let taken_back = |id: &StepId| {
        let step = plan.step(*id);
        let may = step.undo.is_some() && !step.always && !behind.contains(id);
        may && (changed(*id) && (*id != failed || !matches!(step.action, Action::Approval(_))))
    };
    plan.ids().rev().filter(taken_back).map(|id| format!("`{}`", plan.step(id).name)).collect()
}
