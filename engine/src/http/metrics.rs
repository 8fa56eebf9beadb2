//! `/metrics`, in Prometheus' text format 0.0.4. Label values come from closed sets
//! (routes, loaded workflows and hooks, named outcomes): no sender can make series.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{self, Problem};
use super::{State, answer_of, health};
use crate::runner::Stats;

/// Upper bounds of the histogram, in seconds: from a page out of memory to the
/// longest that any answer is waited for.
const BUCKETS_S: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The words that verdicts are counted under.
const VERDICTS: [&str; 4] = ["pass", "pass with declared loss", "fail", "other"];

/// What is counted here rather than by the engine.
#[derive(Debug)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(String, &'static str, u16), u64>,
    durations: BTreeMap<String, Histogram>,
    deliveries: BTreeMap<(String, &'static str), u64>,
}

#[derive(Debug, Default)]
struct Histogram {
    /// One count a bucket, not cumulative; slower ones are in `count` only.
    buckets: [u64; BUCKETS_S.len()],
    count: u64,
    sum_s: f64,
}

impl Metrics {
    /// Every hook starts at zero, so that a first delivery is seen as an increase.
    pub(super) fn new<'p>(hooks: impl Iterator<Item = &'p str>) -> Self {
        let deliveries = hooks.map(|path| ((path.to_owned(), "started"), 0)).collect();
        Self(Mutex::new(Counts { deliveries, ..Counts::default() }))
    }

    /// Counts a delivery to a hook that exists.
    pub(super) fn delivered(&self, path: &str, outcome: &'static str) {
        *self.counts().deliveries.entry((path.to_owned(), outcome)).or_default() += 1;
    }

    fn answered(&self, route: &str, method: &'static str, status: StatusCode, took: Duration) {
        let mut counts = self.counts();
        let key = (route.to_owned(), method, status.as_u16());
        *counts.requests.entry(key).or_default() += 1;
        let histogram = counts.durations.entry(route.to_owned()).or_default();
        histogram.count += 1;
        histogram.sum_s += took.as_secs_f64();
        if let Some(bucket) = BUCKETS_S.iter().position(|bound| took.as_secs_f64() <= *bound) {
            histogram.buckets[bucket] += 1;
        }
    }

    /// A panic while the counts are held leaves them whole: they are only added to.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Around every route: counts, and sees that every error is a problem.
pub(super) async fn count(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = problem::dressed(next.run(request).await);
    let route = route.as_deref().unwrap_or("none");
    state.metrics.answered(route, method, response.status(), started.elapsed());
    tracing::debug!(route, method, status = response.status().as_u16(), "answered");
    response
}

fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

pub(super) async fn show(Shared(state): Shared<State>) -> Result<Response, Problem> {
    let figures = answer_of(state.handle.stats()).await?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = engine(&mut text, &figures);
    let name = "baton_not_served";
    let _ =
        head(&mut text, name, "gauge", "Files and webhooks that are there and cannot be served.");
    let _ = sample(&mut text, name, &[], state.catalog.broken.len());
    let _ = served(&mut text, &state.metrics.counts());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn engine(out: &mut String, stats: &Stats) -> fmt::Result {
    let gauges: [(&str, &str, u64); 9] = [
        (
            "baton_ready",
            "Whether triggers are taken (1) or not (0).",
            health::reasons(stats).is_empty().into(),
        ),
        (
            "baton_journal_stalled",
            "Whether the journal takes no writes (1).",
            stats.stalled.is_some().into(),
        ),
        ("baton_runs_open", "Runs not closed.", stats.open),
        (
            "baton_runs_queued",
            "Runs waiting for their concurrency key or a cool-down.",
            stats.queued,
        ),
        ("baton_runs_unreadable", "Runs whose records cannot be read.", stats.unreadable),
        ("baton_attempts_running", "Attempts of steps running now.", stats.attempts),
        ("baton_attempts_held", "Attempts held back by a pause or a window.", stats.held),
        ("baton_paused", "Pauses in force: nothing is changed (1 and more).", stats.pauses),
        ("baton_maintenance_windows", "Maintenance windows in force.", stats.windows),
    ];
    head(out, "baton_build_info", "gauge", "Always 1; the label says the version.")?;
    sample(out, "baton_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1)?;
    for (name, help, value) in gauges {
        head(out, name, "gauge", help)?;
        sample(out, name, &[], value)?;
    }
    let name = "baton_runs_closed_total";
    head(out, name, "counter", "Runs closed since start.")?;
    for ((workflow, outcome), count) in &stats.closed {
        sample(out, name, &[("workflow", workflow), ("outcome", outcome)], count)?;
    }
    let name = "baton_verdicts_total";
    head(out, name, "counter", "Runs closed since start whose output has a verdict, by its word.")?;
    for ((workflow, verdict), count) in &stats.verdicts {
        sample(out, name, &[("workflow", workflow), ("verdict", verdict)], count)?;
    }
    let name = "baton_last_verdict";
    head(
        out,
        name,
        "gauge",
        "Whether the latest verdict since start was this word (1) or not (0).",
    )?;
    for (workflow, last) in &stats.last_verdicts {
        for verdict in VERDICTS {
            let is = u8::from(*last == verdict);
            sample(out, name, &[("workflow", workflow), ("verdict", verdict)], is)?;
        }
    }
    let name = "baton_admissions_total";
    head(out, name, "counter", "Wishes to begin a run since start, by what became of them.")?;
    for (outcome, count) in &stats.admissions {
        sample(out, name, &[("outcome", outcome)], count)?;
    }
    Ok(())
}

fn served(out: &mut String, counts: &Counts) -> fmt::Result {
    let name = "baton_webhook_deliveries_total";
    head(out, name, "counter", "Webhook deliveries since start, by what became of them.")?;
    for ((hook, outcome), count) in &counts.deliveries {
        sample(out, name, &[("hook", hook), ("outcome", outcome)], count)?;
    }
    let name = "baton_http_requests_total";
    head(out, name, "counter", "HTTP requests answered since start.")?;
    for ((route, method, status), count) in &counts.requests {
        let status = status.to_string();
        sample(out, name, &[("route", route), ("method", method), ("status", &status)], count)?;
    }
    let name = "baton_http_request_duration_seconds";
    head(out, name, "histogram", "Time from a request's head to its answer.")?;
    for (route, histogram) in &counts.durations {
        let mut seen = 0;
        for (bound, count) in BUCKETS_S.iter().zip(histogram.buckets) {
            seen += count;
            let labels = [("route", route.as_str()), ("le", &bound.to_string())];
            sample(out, &format!("{name}_bucket"), &labels, seen)?;
        }
        let labels = [("route", route.as_str()), ("le", "+Inf")];
        sample(out, &format!("{name}_bucket"), &labels, histogram.count)?;
        sample(out, &format!("{name}_sum"), &labels[..1], histogram.sum_s)?;
        sample(out, &format!("{name}_count"), &labels[..1], histogram.count)?;
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn sample(
    out: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    value: impl Display,
) -> fmt::Result {
    out.write_str(name)?;
    for (index, (label, text)) in labels.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(out, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' })?;
    }
    let end = if labels.is_empty() { "" } else { "}" };
    writeln!(out, "{end} {value}")
}
