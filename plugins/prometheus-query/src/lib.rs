//! `prometheus-query`: named queries against thresholds. What an incident did to
//! the platform, in numbers.

mod table;
mod vector;

use baton_plugin::http::{Request, with_query};
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};

/// Where Prometheus answers instant queries (HTTP API v1).
const PATH: &str = "/api/v1/query";
/// Longest wait for one query, ms, within the endpoint's own time.
const TIMEOUT_MS: u32 = 10_000;
/// Queries of one step: what a person reads at once.
const QUERIES_MAX: usize = 50;
/// Series shown of one query; all of them are compared.
const SERIES_MAX: usize = 20;
/// Of an answer that is none, for people.
const EXCERPT_CHARS_MAX: usize = 300;

/// What to ask.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// An endpoint of baton.toml.
    pub endpoint: String,
    /// In the order of the table.
    pub queries: Vec<Query>,
}

/// One query and what its values must keep to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What people call it: `order errors per second`.
    pub name: String,
    /// An instant query that gives a vector or a scalar.
    pub promql: String,
    /// A value above it is a breach.
    pub max: Option<f64>,
    /// A value below it is a breach.
    pub min: Option<f64>,
    /// What it means that there is no value.
    #[serde(default)]
    pub when_empty: WhenEmpty,
}

/// What the absence of values means.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum WhenEmpty {
    /// Nothing is known.
    #[default]
    Unknown,
    /// As it should be: an expression that only gives what is wrong.
    Ok,
    /// A breach: something should be there.
    Breach,
}

/// How something stands.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Within its bounds.
    Ok,
    /// No value, or none that says anything.
    Unknown,
    /// Out of its bounds.
    Breach,
}

/// What the queries gave.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// The worst of all queries; a breach is worse than not to know.
    pub verdict: State,
    /// Names of the queries that are out of bounds.
    pub breached: Vec<String>,
    /// Names of the queries of which nothing is known.
    pub unknown: Vec<String>,
    /// In the order of the input.
    pub queries: Vec<Answered>,
    /// The same as a table in Markdown.
    pub markdown: String,
}

/// One query's answer.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Answered {
    /// What people call it.
    pub name: String,
    /// The worst of its series.
    pub state: State,
    /// The worst come first; at most 20.
    pub series: Vec<Series>,
    /// Series that are not shown.
    pub more: usize,
    /// Why nothing is known.
    pub note: Option<String>,
}

/// One value.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq)]
pub struct Series {
    /// `{job="api", instance="…"}`, or empty.
    pub labels: String,
    /// As Prometheus spells it.
    pub value: String,
    /// How it stands.
    pub state: State,
}

/// The plugin.
pub struct PrometheusQuery;

impl Plugin for PrometheusQuery {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "prometheus-query",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Runs PromQL queries and compares what they give with thresholds",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["GET"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let Input { endpoint, queries } = input;
        if queries.is_empty() || queries.len() > QUERIES_MAX {
            let message = format!("`queries` holds {}, not 1 to {QUERIES_MAX}", queries.len());
            return Err(Fault::permanent("bad-input", message));
        }
        let mut answered = Vec::with_capacity(queries.len());
        for query in &queries {
            answered.push(ask(&endpoint, query, host)?);
        }
        let named = |state| {
            let of = answered.iter().filter(|it| it.state == state);
            of.map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        let (breached, unknown) = (named(State::Breach), named(State::Unknown));
        let verdict = answered.iter().map(|it| it.state).max().unwrap_or(State::Unknown);
        let markdown = table::markdown(&queries, &answered);
        Ok(Output { verdict, breached, unknown, queries: answered, markdown })
    }
}

/// # Errors
/// If Prometheus cannot be asked. That a query is wrong is said in its own row: the
/// others are worth having.
fn ask<H: Host>(endpoint: &str, query: &Query, host: &mut H) -> Result<Answered, Fault> {
    let request = Request::get(with_query(PATH, &[("query", &query.promql)]));
    let response = host
        .http(endpoint, &request, TIMEOUT_MS)
        .map_err(|error| Fault::from_call(&format!("cannot ask {endpoint}"), &error))?;
    // Prometheus says what is wrong with a query by 400 and 422, in JSON.
    let spoken = response.is_success() || [400, 422].contains(&response.status);
    let answer = response.json().ok().filter(|_| spoken).ok_or_else(|| {
        let excerpt = response.excerpt(EXCERPT_CHARS_MAX);
        let message = format!(
            "{endpoint} answers {} where Prometheus would answer: {excerpt}",
            response.status
        );
        if response.status >= 500 || response.status == 429 {
            Fault::retryable("not-prometheus", message)
        } else {
            Fault::permanent("not-prometheus", message)
        }
    })?;
    Ok(match vector::samples(&answer) {
        Ok(samples) => judge(query, samples),
        Err(why) => Answered {
            name: query.name.clone(),
            state: State::Unknown,
            series: Vec::new(),
            more: 0,
            note: Some(why),
        },
    })
}

fn judge(query: &Query, samples: Vec<vector::Sample>) -> Answered {
    let mut series: Vec<Series> = samples
        .into_iter()
        .map(|sample| Series {
            state: state(query, sample.number),
            labels: sample.labels,
            value: sample.text,
        })
        .collect();
    series.sort_by_key(|it| std::cmp::Reverse(it.state));
    let state = series.iter().map(|it| it.state).max().unwrap_or(match query.when_empty {
        WhenEmpty::Unknown => State::Unknown,
        WhenEmpty::Ok => State::Ok,
        WhenEmpty::Breach => State::Breach,
    });
    let more = series.len().saturating_sub(SERIES_MAX);
    let note = series.is_empty().then(|| "no value".to_owned());
    series.truncate(SERIES_MAX);
    Answered { name: query.name.clone(), state, series, more, note }
}

/// NaN is a value that says nothing: 0 of 0 orders failed.
fn state(query: &Query, value: f64) -> State {
    if value.is_nan() {
        State::Unknown
    } else if query.max.is_some_and(|max| value > max) || query.min.is_some_and(|min| value < min) {
        State::Breach
    } else {
        State::Ok
    }
}

baton_plugin::export!(PrometheusQuery);

#[cfg(test)]
mod tests;
