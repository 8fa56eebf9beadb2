//! Errors as RFC 9457 has them: `application/problem+json`.

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::RETRY_AFTER_S;
use crate::runner::{BeginError, CommandError};

const PROBLEM: &str = "application/problem+json";

/// An error as the caller sees it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    detail: String,
    /// Boxed, as most have none and every handler's result has room for one.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    more: Vec<(String, Value)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None, more: Vec::new() }
    }

    /// Adds a member of its own to the body.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        let header = (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"baton\""));
        Self { header: Some(Box::new(header)), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// Not now, but later.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let header = (RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        Self {
            header: Some(Box::new(header)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    pub(super) fn no_such_page() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is nothing here; Baton answers /hooks/<path>, /runs, /switches, /workflows, /plugins, /livez, /readyz and /metrics",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take that method; the header `Allow` says which it takes",
        )
    }
}

/// Whatever axum itself refuses (a path that is not UTF-8, say) comes out as a problem too.
pub(super) fn dressed(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let header = allow.map(|methods| Box::new((ALLOW, methods)));
    let detail = "the request does not read as HTTP for this address";
    Problem { header, ..Problem::new(status, detail) }.into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let mut body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.extend(self.header.map(|header| *header));
        response
    }
}

/// For our own API; webhooks answer some of these otherwise.
impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        let detail = error.to_string();
        match error {
            BeginError::UnknownWorkflow(_) => Self::new(StatusCode::NOT_FOUND, detail),
            BeginError::BadParams(lines) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("errors", lines)
            }
            BeginError::Refused { key, holder } => Self::new(StatusCode::CONFLICT, detail)
                .with("key", key)
                .with("holder", holder.to_string()),
            BeginError::Unavailable(_) => Self::unavailable(detail),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::UnknownRun(_) => Self::new(StatusCode::NOT_FOUND, detail),
            CommandError::Illegal(_) => Self::new(StatusCode::CONFLICT, detail),
            CommandError::Unavailable(_) => Self::unavailable(detail),
        }
    }
}
