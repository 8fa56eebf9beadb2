//! `POST /hooks/<path>`: the status a sender gets decides whether it comes again,
//! so each is chosen by what its sender does with it (see the table in the tests).

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{State, access, answer_of, body, now};
use crate::runner::{Admission, Begin, BeginError};
use crate::trigger::webhook::{BODY_BYTES_MAX, Delivery, Hook, Refusal, Verdict};

/// What became of a delivery.
enum Answer {
    Taken(Admission),
    Ignored(String),
}

pub(super) async fn deliver(
    Shared(state): Shared<State>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(hook) = state.hooks.get(&path) else {
        return not_served(&state, &path).into_response();
    };
    let answer = take(&state, hook, &headers, body).await;
    let outcome = match &answer {
        Ok(Answer::Taken(admission)) => outcome(admission),
        Ok(Answer::Ignored(_)) => "ignored",
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => "unauthenticated",
        Err(problem) if problem.status.is_server_error() => "unavailable",
        Err(_) => "rejected",
    };
    state.metrics.delivered(&path, outcome);
    tracing::info!(hook = path, outcome, "webhook delivery");
    match answer {
        Ok(Answer::Taken(admission)) => admitted(&admission),
        Ok(Answer::Ignored(reason)) => {
            let body = json!({ "outcome": "ignored", "reason": reason });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// 503 wherever the path may be one of ours: senders come again after a 503, and an
/// incident must not be lost to a flaw in a file. Strangers learn no more than that.
fn not_served(state: &State, path: &str) -> Problem {
    if let Some(why) = state.hooks.refused().get(path) {
        state.metrics.delivered(path, "unavailable");
        tracing::error!(hook = path, why, "webhook delivery not taken");
        return Problem::unavailable("this webhook cannot be served; the engine's log says why");
    }
    let detail = "no loaded workflow has a webhook with this path";
    if state.catalog.lacks_workflows() {
        tracing::error!(
            hook = path,
            "webhook delivery not taken: no loaded workflow has this path, but not every workflow is loaded"
        );
        return Problem::unavailable(format!("{detail}, but not every workflow is loaded"));
    }
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn take(
    state: &State,
    hook: &Hook,
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    if hook.is_open() {
        access::no_browser(headers)?;
    }
    // What the body claims to be is not asked: it is JSON or it is not, and a
    // mislabelled incident is an incident.
    let body = body::read(body, BODY_BYTES_MAX).await?;
    match judge(hook, headers, &body) {
        Ok(Verdict::Begin(begin)) => begin_run(state, begin).await,
        Ok(Verdict::Ignored(reason)) => Ok(Answer::Ignored(reason)),
        Err(refusal) => Err(refused(hook, &refusal)),
    }
}

fn judge(hook: &Hook, headers: &HeaderMap, body: &[u8]) -> Result<Verdict, Refusal> {
    let find = |name: &str| access::text(headers, name);
    hook.judge(&Delivery { headers: &find, body, now: now() })
}

fn refused(hook: &Hook, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Unauthenticated(why) => Problem::unauthenticated(why.to_string()),
        Refusal::NotJson(_) => Problem::new(StatusCode::BAD_REQUEST, refusal.to_string()),
        Refusal::Unfit(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()),
        // The workflow is wrong, not the delivery. 2xx would swallow an incident and
        // 4xx would blame the sender; a retry finds the workflow mended.
        Refusal::Expression { .. } => {
            tracing::error!(workflow = hook.workflow(), "webhook delivery not taken: {refusal}");
            Problem::unavailable(format!("workflow `{}`: {refusal}", hook.workflow()))
        }
    }
}

async fn begin_run(state: &State, begin: Begin) -> Result<Answer, Problem> {
    let workflow = begin.workflow.clone();
    match answer_of(state.handle.begin(begin)).await? {
        Ok(admission) => Ok(Answer::Taken(admission)),
        // Not 4xx, which Alertmanager repeats at every group interval and after which
        // PagerDuty disables the hook: this delivery was understood and is answered.
        Err(error @ BeginError::Refused { .. }) => Ok(Answer::Ignored(error.to_string())),
        // 422: the values came from this delivery, and at once the same one would not
        // fit better; Alertmanager sends the group again at its next interval, so
        // that the incident is not lost while an operator reads the log.
        Err(error @ BeginError::BadParams(_)) => {
            tracing::error!(workflow, "webhook delivery not taken: {error}");
            Err(error.into())
        }
        // The hook was made from that very workflow: ours to mend, theirs to retry.
        Err(error @ BeginError::UnknownWorkflow(_)) => {
            tracing::error!(workflow, "webhook delivery not taken: {error}");
            Err(Problem::unavailable(error.to_string()))
        }
        Err(error @ BeginError::Unavailable(_)) => Err(error.into()),
    }
}

/// 202 with the run, in our API as for webhooks.
pub(super) fn admitted(admission: &Admission) -> Response {
    let run = admission.run();
    let reason = match admission {
        Admission::Started(_) => Value::Null,
        Admission::Queued { reason, .. } => json!(reason),
        Admission::Joined(_) => json!("an open run with the same concurrency key takes it"),
        Admission::Duplicate(_) => json!("this run answers the same delivery already"),
    };
    let mut body = json!({ "run": run.as_str(), "outcome": outcome(admission) });
    if !reason.is_null() {
        body["reason"] = reason;
    }
    (StatusCode::ACCEPTED, [(LOCATION, format!("/runs/{run}"))], Json(body)).into_response()
}

fn outcome(admission: &Admission) -> &'static str {
    match admission {
        Admission::Started(_) => "started",
        Admission::Queued { .. } => "queued",
        Admission::Joined(_) => "joined",
        Admission::Duplicate(_) => "duplicate",
    }
}
