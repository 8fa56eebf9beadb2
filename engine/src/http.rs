//! What `baton serve` answers: webhooks, the API, health and metrics.
//!
//! | file | what |
//! |---|---|
//! | hooks | `POST /hooks/<path>` |
//! | runs | list, show, begin, cancel, answer |
//! | switches | pause, resume, maintenance windows, acknowledgements |
//! | tape | the tape of an attempt, and the build that it ran |
//! | catalog | `/workflows`, `/plugins` |
//! | health, metrics | `/livez`, `/readyz`, `/metrics` |
//! | problem | every error, as RFC 9457 has it |
//! | body, access | what a request may hold, and who may send it |
//! | serve | the listener: connections, time limits, the end |
//!
//! **Invariant:** this room knows the runner's [`Handle`] only. A 2xx to a trigger
//! is sent after the handle has answered, and the handle answers after the flush.

mod access;
mod body;
mod catalog;
mod health;
mod hooks;
mod idempotency;
mod late;
mod metrics;
mod problem;
mod runs;
mod serve;
mod switches;
mod tape;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use baton_core::Millis;
use baton_host::capability::redis::Secret;

pub use catalog::{BrokenView, Catalog, ParamView, PluginView, WorkflowView};
pub use serve::serve;

use crate::runner::Handle;
use crate::trigger::webhook::Hooks;
use idempotency::Keys;
use metrics::Metrics;
use problem::Problem;

/// How long an answer of the engine's loop is waited for. Above every honest flush,
/// below the 10 s after which Alertmanager and GitHub give up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// When to come back after a 503, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct State {
    handle: Handle,
    hooks: Arc<Hooks>,
    catalog: Arc<Catalog>,
    token: Option<Secret>,
    metrics: Arc<Metrics>,
    keys: Arc<Keys>,
}

impl State {
    /// `token`, if any, must be borne by every call of the API; webhooks have their
    /// own authentication, and health and metrics are open.
    pub fn new(handle: Handle, hooks: Hooks, catalog: Catalog, token: Option<Secret>) -> Self {
        Self {
            handle,
            metrics: Arc::new(Metrics::new(hooks.paths())),
            hooks: Arc::new(hooks),
            catalog: Arc::new(catalog),
            token,
            keys: Arc::default(),
        }
    }
}

/// All routes.
pub fn router(state: State) -> Router {
    let api = Router::new()
        .route("/runs", get(runs::list).post(runs::begin))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/tape", get(tape::show))
        .route("/builds/{digest}", get(tape::build))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/runs/{id}/answer", post(runs::answer))
        .route("/runs/{id}/acknowledge", post(switches::acknowledge))
        .route("/switches", get(switches::show))
        .route("/pause", post(switches::pause))
        .route("/resume", post(switches::resume))
        .route("/maintenance", post(switches::maintain))
        .route("/maintenance/end", post(switches::finish))
        .route("/workflows", get(catalog::workflows))
        .route("/plugins", get(catalog::plugins))
        .route_layer(middleware::from_fn_with_state(state.clone(), access::guard));
    Router::new()
        .route("/hooks/{path}", post(hooks::deliver))
        .merge(api)
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::no_such_page())
        .layer(middleware::from_fn_with_state(state.clone(), metrics::count))
        .with_state(state)
}

/// Waits for the engine's loop, but not for ever.
async fn answer_of<T>(answer: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| {
        Problem::unavailable(format!(
            "the engine did not answer within {} s, so what was asked may still be done; look before you ask again",
            ANSWER_TIMEOUT.as_secs()
        ))
    })
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
