//! `/runs`: list, show, begin, cancel, answer.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use baton_core::id::{Digest, RunId};
use baton_core::run::event::{self, Cause, Dedup, Trigger, TriggerKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hooks::admitted;
use super::idempotency::Known;
use super::problem::Problem;
use super::{State, access, answer_of, body, late};
use crate::runner::view::{RunView, Summary};
use crate::runner::{Admission, Begin, BeginError, CommandError, Filter};

/// Params of a run are no place for data.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Runs of a page, unless asked otherwise.
const PAGE_DEFAULT: usize = 50;
/// Largest page: each line is rendered by the engine's only loop.
const PAGE_MAX: usize = 500;
/// Names of people and steps.
pub(super) const NAME_CHARS_MAX: usize = 256;
/// Reasons.
pub(super) const REASON_CHARS_MAX: usize = 2_000;
/// For how long a repeat under the same `Idempotency-Key` finds its run: a day.
const KEY_FOR_MS: u64 = 24 * 3600 * 1000;
const STATES: [&str; 10] = [
    "queued",
    "running",
    "asking",
    "undoing",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "timed-out",
    "unreadable",
];

/// Query of `GET /runs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    workflow: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

/// Answer of `GET /runs`.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    runs: Vec<Summary>,
    /// What to send as `before` for the next page.
    next: Option<String>,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Query(wanted) = wanted.map_err(|error| bad(error.body_text()))?;
    if let Some(state) = &wanted.state
        && !STATES.contains(&state.as_str())
    {
        return Err(bad(format!(
            "no run is ever in that state; write one of {}",
            STATES.join(", ")
        )));
    }
    let limit = wanted.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(bad(format!("`limit` must be from 1 to {PAGE_MAX}")));
    }
    let before = wanted.before.map(|id| id.parse::<RunId>());
    let before = before.transpose().map_err(|error| bad(format!("`before`: {error}")))?;
    // One more than asked for tells whether there is a next page.
    let filter =
        Filter { workflow: wanted.workflow, state: wanted.state, limit: Some(limit + 1), before };
    let mut runs = answer_of(state.handle.runs(filter)).await?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|run| run.id.clone());
    Ok(Json(Page { runs, next }))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let id = run_id(&id)?;
    let view = answer_of(state.handle.run(id.clone())).await?;
    view.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("no run {id}")))
}

/// Body of `POST /runs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    workflow: String,
    #[serde(default)]
    params: serde_json::Map<String, Value>,
    #[serde(default = "api")]
    who: String,
}

pub(super) async fn begin(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (wish, bytes): (Wish, _) = body::json(&headers, body, BODY_BYTES_MAX).await?;
    bounded("workflow", &wish.workflow, NAME_CHARS_MAX)?;
    bounded("who", &wish.who, NAME_CHARS_MAX)?;
    let key = access::text(&headers, "idempotency-key");
    let held = match key.map(|key| state.keys.hold(key, Digest::of(&bytes))).transpose()? {
        Some(Known::Answered(run)) => return Ok(admitted(&Admission::Duplicate(run))),
        Some(Known::Fresh(held)) => Some(held),
        None => None,
    };
    let dedup = key.map(|key| Dedup { key: format!("api:{key}"), for_ms: KEY_FOR_MS });
    let evidence = Arc::new(Value::Null);
    let trigger = Trigger { kind: TriggerKind::Manual, source: wish.who, dedup, evidence };
    let params = Value::Object(wish.params);
    let begin = Begin { workflow: wish.workflow, params, trigger };
    let admission = answer_of(state.handle.begin(begin)).await?.map_err(|error| {
        let BeginError::UnknownWorkflow(name) = &error else { return Problem::from(error) };
        let Some(broken) = state.catalog.broken_workflow(name) else { return error.into() };
        Problem::unavailable(format!("workflow `{name}` cannot be run: {}", broken.why))
    })?;
    if let Some(held) = held {
        held.keep(admission.run());
    }
    Ok(admitted(&admission))
}

/// Body of `POST /runs/<id>/cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(default = "api")]
    who: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn cancel(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = run_id(&id)?;
    let (Cancel { who, reason }, _) = body::json(&headers, body, BODY_BYTES_MAX).await?;
    bounded("who", &who, NAME_CHARS_MAX)?;
    bounded("reason", &reason, REASON_CHARS_MAX)?;
    answer_of(state.handle.cancel(id.clone(), Cause::Person { who, reason })).await??;
    Ok(done(&id, "cancelling"))
}

/// Body of `POST /runs/<id>/answer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    step: String,
    item: Option<u32>,
    approved: bool,
    #[serde(default = "api")]
    who: String,
    /// Why: the answer may be asked about long after.
    reason: String,
}

pub(super) async fn answer(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = run_id(&id)?;
    let (reply, _): (Reply, _) = body::json(&headers, body, BODY_BYTES_MAX).await?;
    bounded("step", &reply.step, NAME_CHARS_MAX)?;
    bounded("who", &reply.who, NAME_CHARS_MAX)?;
    bounded("reason", &reply.reason, REASON_CHARS_MAX)?;
    if reply.reason.trim().is_empty() {
        let detail = "`reason` is empty; write why, it is kept with the run";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let Reply { step, item, approved, who, reason } = reply;
    let answer = event::Answer { approved, who, reason };
    match answer_of(state.handle.answer(id.clone(), step.clone(), item, answer)).await? {
        Ok(()) => Ok(done(&id, "answered")),
        Err(error @ CommandError::Illegal(_)) => {
            let view = answer_of(state.handle.run(id)).await?;
            Err(view.and_then(|view| late::answer(&view, &step, item)).unwrap_or(error.into()))
        }
        Err(error) => Err(error.into()),
    }
}

fn done(run: &RunId, outcome: &str) -> Response {
    let body = json!({ "run": run.as_str(), "outcome": outcome });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

pub(super) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "that is not a run id"))
}

pub(super) fn bounded(name: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    if text.chars().count() <= chars_max {
        return Ok(());
    }
    let detail = format!("`{name}` is longer than {chars_max} characters");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
}

/// Who acted, when nobody says.
pub(super) fn api() -> String {
    "api".to_owned()
}
