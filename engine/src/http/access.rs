//! Who may call. With a token, whoever bears it. Without one the listener is bound
//! to loopback (the configuration sees to that), and whoever is on this machine may,
//! except a web page that happens to be open in a browser here.

use axum::extract::{Request, State as Shared};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::State;
use super::problem::Problem;
use crate::trigger::webhook::bears;

/// Guards the API.
pub(super) async fn guard(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let verdict = match &state.token {
        Some(token) => bears(&|name| text(headers, name), std::slice::from_ref(token))
            .map_err(|error| Problem::unauthenticated(error.to_string())),
        None => no_browser(headers),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Browsers put `Origin` on every request that changes something; nobody else does.
/// Without this, any page could start runs on the machine of whoever reads it.
pub(super) fn no_browser(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "web pages may not call an address that asks nobody who they are; give it a token",
        ));
    }
    Ok(())
}

/// A header as text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
