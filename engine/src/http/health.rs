//! `/livez`: the process answers. `/readyz`: it takes triggers.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem::Problem;
use super::{State, answer_of};
use crate::runner::Stats;

/// Says nothing of the journal or of Redis: a restart mends neither.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(Shared(state): Shared<State>) -> Response {
    let reasons = match answer_of(state.handle.stats()).await {
        Ok(figures) => reasons(&figures),
        Err(problem) => return problem.into_response(),
    };
    if reasons.is_empty() {
        // Still 200: what is sound is served, and a 503 would keep senders from that.
        let degraded: Vec<String> = state
            .catalog
            .broken
            .iter()
            .map(|broken| format!("{} `{}` is not served", broken.kind, broken.name))
            .collect();
        let mut body = json!({ "ready": true });
        if !degraded.is_empty() {
            body["degraded"] = json!(degraded);
        }
        Json(body).into_response()
    } else {
        let detail = reasons.join("; ");
        Problem::unavailable(detail).with("ready", false).with("reasons", reasons).into_response()
    }
}

/// Why no trigger is taken now; none if it is.
pub(super) fn reasons(stats: &Stats) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.ready_since.is_none() {
        reasons.push("the engine is resuming unfinished runs, or stopping".to_owned());
    }
    reasons.extend(stats.stalled.iter().map(|why| format!("the journal takes no writes: {why}")));
    reasons
}
