//! `/pause`, `/resume`, `/maintenance`, `/switches`, and `/runs/<id>/acknowledge`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use baton_core::Millis;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::problem::Problem;
use super::runs::{BODY_BYTES_MAX, NAME_CHARS_MAX, REASON_CHARS_MAX, api, bounded, run_id};
use super::{State, answer_of, body};
use crate::runner::switches::{By, Order, Switches, Which};

/// Body of `POST /resume` and of an acknowledgement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    #[serde(default = "api")]
    who: String,
    reason: String,
}

pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Switches>, Problem> {
    Ok(Json(answer_of(state.handle.switches()).await?))
}

/// Body of `POST /pause`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// None: until somebody resumes.
    for_ms: Option<Millis>,
    #[serde(default = "api")]
    who: String,
    reason: String,
}

pub(super) async fn pause(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Pause { for_ms, who, reason } = read(&headers, body).await?;
    obey(&state, Order::Pause { for_ms }, who, reason).await
}

pub(super) async fn resume(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Word { who, reason } = read(&headers, body).await?;
    obey(&state, Order::Resume, who, reason).await
}

/// Body of `POST /maintenance`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintain {
    cluster: String,
    /// Unix ms; none: now.
    from: Option<Millis>,
    /// Unix ms.
    until: Millis,
    #[serde(default = "api")]
    who: String,
    reason: String,
}

pub(super) async fn maintain(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Maintain { cluster, from, until, who, reason } = read(&headers, body).await?;
    bounded("cluster", &cluster, NAME_CHARS_MAX)?;
    obey(&state, Order::Maintain { cluster, from, until }, who, reason).await
}

/// Body of `POST /maintenance/end`: one window by its id, or all of a cluster.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    id: Option<u64>,
    cluster: Option<String>,
    #[serde(default = "api")]
    who: String,
    reason: String,
}

pub(super) async fn finish(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Finish { id, cluster, who, reason } = read(&headers, body).await?;
    let which = match (id, cluster) {
        (Some(id), None) => Which::Id(id),
        (None, Some(cluster)) => Which::Cluster(cluster),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "name the window by `id`, or all windows of a `cluster`";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    };
    obey(&state, Order::Finish { which }, who, reason).await
}

pub(super) async fn acknowledge(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let run = run_id(&id)?;
    let Word { who, reason } = read(&headers, body).await?;
    obey(&state, Order::Acknowledge { run }, who, reason).await
}

async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    body::json(headers, body, BODY_BYTES_MAX).await.map(|(read, _)| read)
}

/// Answers when it is on disk and in force.
async fn obey(
    state: &State,
    order: Order,
    who: String,
    reason: String,
) -> Result<Response, Problem> {
    bounded("who", &who, NAME_CHARS_MAX)?;
    bounded("reason", &reason, REASON_CHARS_MAX)?;
    if reason.trim().is_empty() {
        let detail = "`reason` is empty; write why: others will read it when they wonder";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    answer_of(state.handle.order(order, By { who, reason })).await??;
    Ok((StatusCode::OK, Json(json!({ "outcome": "in force" }))).into_response())
}
