//! Answers that came too late, or to nothing: who was first, and what is asked now.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use super::problem::Problem;
use crate::runner::view::{AnswerView, RunView, StepView};

/// Why an answer to `step` (and `item` of it) of this run was refused, where the run
/// tells more than the refusal.
pub(super) fn answer(run: &RunView, step: &str, item: Option<u32>) -> Option<Problem> {
    let asked = item.map_or_else(|| step.to_owned(), |item| format!("{step}[{item}]"));
    let place = all(run).find(|place| place.name == asked)?;
    if !place.items.is_empty() {
        return None;
    }
    if let Some(first) = place.answers.last() {
        return Some(answered(run, &asked, first));
    }
    let questions: Vec<&str> =
        all(run).filter(|place| place.asks.is_some()).map(|place| place.name.as_str()).collect();
    let rest = match (run.closed_at, questions.as_slice()) {
        (Some(_), _) => format!("the run is over: {}", run.state),
        (None, []) => format!("it is {}, and nothing else of the run asks", place.state),
        (None, questions) => {
            format!("it is {}; what asks is `{}`", place.state, questions.join("`, `"))
        }
    };
    let detail = format!("step `{asked}` of run {} asks nothing: {rest}", run.id);
    Some(Problem::new(StatusCode::CONFLICT, detail))
}

fn answered(run: &RunView, place: &str, first: &AnswerView) -> Problem {
    let word = if first.approved { "approved" } else { "rejected" };
    let at = i64::try_from(first.at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(String::new, |at| format!(" at {}", at.strftime("%F %T UTC")));
    let detail = format!(
        "`{place}` of run {} is answered already: {word} by {}{at}: {}",
        run.id, first.who, first.reason
    );
    let by = json!({
        "who": first.who, "approved": first.approved, "reason": first.reason, "at": first.at,
    });
    Problem::new(StatusCode::CONFLICT, detail).with("answered", by)
}

/// Every step, and every item of one.
fn all(run: &RunView) -> impl Iterator<Item = &StepView> {
    run.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items))
}
