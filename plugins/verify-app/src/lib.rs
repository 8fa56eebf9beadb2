//! `verify-app`: does the application work, from where its users stand?
//!
//! First a look at targets of baton.toml (a health page, a feed that must deliver); then,
//! if all are up, a critical flow: requests in order, each with what must come back,
//! values carried from one answer into the next. What the flow made is taken away again,
//! also when it failed on the way.

mod fill;
mod flow;

use baton_plugin::http::Method;
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin, Table};
use fill::Values;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Longest look at one target, and longest request, ms, unless the input says otherwise.
const TIMEOUT_MS_DEFAULT: u32 = 5000;

/// Requests of a flow, and of a clean-up: a verification, no test suite.
const REQUESTS_MAX: usize = 50;

/// What must work.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Targets of baton.toml that must be up.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Requests, one after the other; the first that fails ends it. Begun only if all
    /// targets are up.
    #[serde(default)]
    pub flow: Vec<Wanted>,
    /// Requests that take away what the flow made, whatever became of it. One that needs
    /// a value which the flow did not come to is left out: there is nothing to take away.
    #[serde(default)]
    pub cleanup: Vec<Wanted>,
    /// Longest look at one target, and longest request, ms; 5000 if absent.
    pub timeout_ms: Option<u32>,
}

/// A request, and what must come back. `{name}` in path, headers, body and fields stands
/// for a value that an earlier request kept, and `{run}` for the run's id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// For people.
    pub name: String,
    /// An endpoint of baton.toml.
    pub endpoint: String,
    /// GET if absent.
    #[serde(default)]
    pub method: Word,
    /// Below the endpoint's own path, from `/` on.
    pub path: String,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body of JSON.
    pub body: Option<Json>,
    /// Statuses that are right; 200 to 299 if empty.
    #[serde(default)]
    pub status: Vec<u16>,
    /// What the answer must hold: JSON pointer (RFC 6901) to value.
    #[serde(default)]
    pub fields: BTreeMap<String, Json>,
    /// What is kept of the answer: name to JSON pointer.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// A GET that is not yet right is asked again for so long, ms.
    pub within_ms: Option<u32>,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Word {
    /// Reads.
    #[default]
    Get,
    /// Happens at most once.
    Post,
    /// Again is the same.
    Put,
    /// Happens at most once.
    Patch,
    /// Again is the same.
    Delete,
}

impl From<Word> for Method {
    fn from(word: Word) -> Self {
        match word {
            Word::Get => Self::Get,
            Word::Post => Self::Post,
            Word::Put => Self::Put,
            Word::Patch => Self::Patch,
            Word::Delete => Self::Delete,
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It works.
    Pass,
    /// It does not.
    Fail,
}

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Went {
    /// As it should.
    Pass,
    /// Otherwise.
    Fail,
    /// It was not come to.
    NotRun,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub check: String,
    /// How it went.
    pub verdict: Went,
    /// How long it took, ms.
    pub ms: u64,
    /// What was seen.
    pub seen: String,
}

/// All of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass` if every check passed.
    pub verdict: Verdict,
    /// Checks that failed.
    pub failed: Vec<String>,
    /// Something that the flow made may still be there.
    pub left_behind: bool,
    /// In order.
    pub checks: Vec<Check>,
    /// One sentence for a person.
    pub reason: String,
    /// The checks, for people.
    pub table: Table,
}

/// The plugin.
pub struct VerifyApp;

impl Plugin for VerifyApp {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "verify-app",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Proves that the application works: health, feeds, and a critical flow",
            redis_commands: &[],
            // What was made is known from the answers: it must be taken away.
            when_interrupted: "replay",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["GET"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        sound(&input)?;
        let timeout_ms = input.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
        let mut checks = probes(&input.targets, timeout_ms, host)?;
        let down: Vec<String> = failed(&checks);
        let mut values = Values::new(&host.context().run_id);
        let mut left_behind = false;
        if down.is_empty() {
            let run = flow::run(&input.flow, &mut values, timeout_ms, host);
            checks.extend(run.checks);
            let cleaned = flow::clean_up(&input.cleanup, &mut values, timeout_ms, host);
            let all_taken = !cleaned.checks.is_empty()
                && cleaned.checks.iter().all(|it| it.verdict == Went::Pass);
            left_behind = cleaned.checks.iter().any(|it| it.verdict == Went::Fail)
                || (run.unknown && !all_taken);
            checks.extend(cleaned.checks);
            if let Some(fault) = run.fault.or(cleaned.fault) {
                return Err(fault);
            }
        } else {
            let why = format!("not begun: {} not up", down.join(", "));
            checks.extend(input.flow.iter().map(|it| not_run(&it.name, &why)));
        }
        Ok(output(checks, left_behind))
    }
}

/// Whether it can be done at all, before anything is sent.
fn sound(input: &Input) -> Result<(), Fault> {
    let bad = |why: String| Err(Fault::permanent("bad-input", why));
    if input.targets.is_empty() && input.flow.is_empty() {
        // All of nothing works, and says nothing.
        return bad("neither `targets` nor `flow`: name what must work".into());
    }
    if input.flow.len() > REQUESTS_MAX || input.cleanup.len() > REQUESTS_MAX {
        return bad(format!("more than {REQUESTS_MAX} requests"));
    }
    let mut known = vec!["run".to_owned()];
    for wanted in input.flow.iter().chain(&input.cleanup) {
        if let Some(name) = fill::names(wanted).into_iter().find(|name| !known.contains(name)) {
            return bad(format!(
                "`{}` uses {{{name}}}, which no request before it keeps: add keep = {{ {name} = \"/…\" }} to one",
                wanted.name
            ));
        }
        if wanted.within_ms.is_some() && wanted.method != Word::Get {
            let why = format!("`{}` has `within_ms`, but only a GET is asked again", wanted.name);
            return bad(why);
        }
        let pointers = wanted.fields.keys().chain(wanted.keep.values());
        if let Some(pointer) =
            pointers.into_iter().find(|it| !it.is_empty() && !it.starts_with('/'))
        {
            return bad(format!(
                "`{}`: {pointer} is no JSON pointer: write /{pointer}",
                wanted.name
            ));
        }
        known.extend(wanted.keep.keys().cloned());
    }
    Ok(())
}

fn probes<H: Host>(targets: &[String], timeout_ms: u32, host: &mut H) -> Result<Vec<Check>, Fault> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    let findings =
        host.probe(&names, timeout_ms).map_err(|error| Fault::from_call("cannot look", &error))?;
    let check = |(name, it): (&String, baton_plugin::probe::Finding)| Check {
        check: name.clone(),
        verdict: if it.up { Went::Pass } else { Went::Fail },
        ms: it.latency_ms.into(),
        seen: it.reason,
    };
    Ok(targets.iter().zip(findings).map(check).collect())
}

fn not_run(name: &str, why: &str) -> Check {
    Check { check: name.into(), verdict: Went::NotRun, ms: 0, seen: why.into() }
}

fn failed(checks: &[Check]) -> Vec<String> {
    checks.iter().filter(|it| it.verdict == Went::Fail).map(|it| it.check.clone()).collect()
}

fn output(checks: Vec<Check>, left_behind: bool) -> Output {
    let failed = failed(&checks);
    let first = checks.iter().find(|it| it.verdict == Went::Fail);
    let mut reason = match first {
        None => format!("all {} checks passed", checks.len()),
        Some(it) => format!("{}: {}", it.check, it.seen),
    };
    if left_behind {
        reason.push_str("; something that the flow made may still be there: take it away by hand");
    }
    let mut table = Table::new(["Check", "Verdict", "ms", "Seen"]);
    for it in &checks {
        let verdict = match it.verdict {
            Went::Pass => "pass",
            Went::Fail => "FAIL",
            Went::NotRun => "not run",
        };
        table.rows.push(vec![it.check.clone(), verdict.into(), it.ms.to_string(), it.seen.clone()]);
    }
    let verdict = if failed.is_empty() { Verdict::Pass } else { Verdict::Fail };
    Output { verdict, failed, left_behind, checks, reason, table }
}

baton_plugin::export!(VerifyApp);

#[cfg(test)]
mod tests;
