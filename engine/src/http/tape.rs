//! `/runs/<id>/tape` and `/builds/<digest>`: an attempt to be played again elsewhere.
//! Tapes are redacted as they are recorded, so whoever may see runs may see them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use baton_core::id::{Digest, Side};
use serde::Deserialize;

use super::problem::Problem;
use super::runs::run_id;
use super::{State, answer_of};
use crate::runner::tape::{TapeError, TapeView, Wanted};

/// Query of `GET /runs/<id>/tape`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    step: String,
    #[serde(default)]
    item: u32,
    #[serde(default = "doing")]
    side: String,
    attempt: Option<u32>,
}

fn doing() -> String {
    "do".to_owned()
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<TapeView>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Query(asked) = asked.map_err(|error| bad(error.body_text()))?;
    let side = match asked.side.as_str() {
        "do" => Side::Do,
        "undo" => Side::Undo,
        _ => return Err(bad("`side` is `do` or `undo`".to_owned())),
    };
    let wanted = Wanted { step: asked.step, item: asked.item, side, attempt: asked.attempt };
    match answer_of(state.handle.tape(run_id(&id)?, wanted)).await? {
        Ok(tape) => Ok(Json(tape)),
        Err(TapeError::Missing(why)) => Err(Problem::new(StatusCode::NOT_FOUND, why)),
        Err(TapeError::Unreadable(why)) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))
        }
    }
}

pub(super) async fn build(
    Shared(state): Shared<State>,
    Path(digest): Path<String>,
) -> Result<Response, Problem> {
    let bad =
        |error: baton_core::id::BadDigest| Problem::new(StatusCode::BAD_REQUEST, error.to_string());
    let digest: Digest = digest.parse().map_err(bad)?;
    match answer_of(state.handle.build(digest)).await? {
        Ok(Some(bytes)) => Ok(([(CONTENT_TYPE, "application/wasm")], bytes).into_response()),
        Ok(None) => Err(Problem::new(StatusCode::NOT_FOUND, format!("no run began with {digest}"))),
        Err(why) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)),
    }
}
