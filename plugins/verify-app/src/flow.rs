//! Requests in order, each held against what must come back.

use crate::fill::Values;
use crate::{Check, Wanted, Went, Word, not_run};
use baton_plugin::http::{Method, Request, Response};
use baton_plugin::{CallError, ErrorKind, Fault, Host};
use serde_json::Value as Json;

/// Between two tries of a GET that is not yet right, ms.
const AGAIN_MS: u32 = 200;

/// What of an answer is shown, characters.
const SHOWN_CHARS: usize = 200;

/// How a flow went.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) checks: Vec<Check>,
    /// A request may have made something whose name did not come back.
    pub(crate) unknown: bool,
    /// It could not be asked at all: a grant or a name is missing.
    pub(crate) fault: Option<Fault>,
}

/// What is wrong with an answer.
enum Wrong {
    /// Nobody answered.
    Unanswered(CallError),
    /// It refused (400 to 499), and should not: nothing was made.
    Refused(String),
    /// This, instead.
    Otherwise(String),
}

/// One after the other, until one fails.
pub(crate) fn run<H: Host>(
    flow: &[Wanted],
    values: &mut Values,
    timeout_ms: u32,
    host: &mut H,
) -> Run {
    let mut run = Run::default();
    let mut broke: Option<&str> = None;
    for wanted in flow {
        if let Some(before) = broke {
            run.checks.push(not_run(&wanted.name, &format!("`{before}` failed")));
        } else if !run.take(wanted, values, timeout_ms, host) {
            broke = Some(&wanted.name);
        }
    }
    run
}

/// All that can be asked for, whatever becomes of each.
pub(crate) fn clean_up<H: Host>(
    cleanup: &[Wanted],
    values: &mut Values,
    timeout_ms: u32,
    host: &mut H,
) -> Run {
    let mut run = Run::default();
    for wanted in cleanup {
        if values.suffice(wanted) {
            run.take(wanted, values, timeout_ms, host);
        } else {
            run.checks.push(not_run(&wanted.name, "nothing was made that it could take away"));
        }
    }
    run
}

impl Run {
    /// One request; whether it went as it should.
    fn take<H: Host>(
        &mut self,
        wanted: &Wanted,
        values: &mut Values,
        timeout_ms: u32,
        host: &mut H,
    ) -> bool {
        let begun_ms = host.now_ms();
        let until_ms = begun_ms + u64::from(wanted.within_ms.unwrap_or(0));
        let answer = loop {
            let answer = ask(wanted, values, timeout_ms, host);
            let lasting = matches!(&answer, Err(Wrong::Unanswered(it)) if is_ours(it));
            if answer.is_ok() || lasting || host.now_ms() >= until_ms {
                break answer;
            }
            host.sleep(AGAIN_MS);
        };
        let ms = host.now_ms().saturating_sub(begun_ms);
        let (verdict, seen) = match answer {
            Ok(seen) => (Went::Pass, seen),
            Err(Wrong::Refused(seen)) => (Went::Fail, seen),
            Err(Wrong::Otherwise(seen)) => {
                self.unknown |= wanted.method == Word::Post && !keeps_all(wanted, values);
                (Went::Fail, seen)
            }
            Err(Wrong::Unanswered(error)) => {
                if is_ours(&error) {
                    let what = format!("cannot ask for `{}`", wanted.name);
                    self.fault.get_or_insert_with(|| Fault::from_call(&what, &error));
                }
                self.unknown |= wanted.method == Word::Post && error.kind.leaves_doubt();
                (Went::Fail, error.to_string())
            }
        };
        self.checks.push(Check { check: wanted.name.clone(), verdict, ms, seen });
        verdict == Went::Pass
    }
}

/// What a person has to put right in the workflow or baton.toml; no sign of the application.
fn is_ours(error: &CallError) -> bool {
    matches!(error.kind, ErrorKind::Denied | ErrorKind::NotFound)
}

fn keeps_all(wanted: &Wanted, values: &Values) -> bool {
    wanted.keep.keys().all(|name| values.knows(name))
}

/// Asks once; what was seen, if all is right.
fn ask<H: Host>(
    wanted: &Wanted,
    values: &mut Values,
    timeout_ms: u32,
    host: &mut H,
) -> Result<String, Wrong> {
    let mut request = Request::new(Method::from(wanted.method), values.path(&wanted.path));
    for (name, value) in &wanted.headers {
        request = request.header(name, &values.text(value));
    }
    if let Some(body) = &wanted.body {
        request = request.header("content-type", "application/json");
        request.body = values.json(body).to_string().into_bytes();
    }
    let response = host.http(&wanted.endpoint, &request, timeout_ms).map_err(Wrong::Unanswered)?;
    let json = response.json().ok();
    // First of all: what was made must be known, however wrong the rest is.
    let mut lacks = Vec::new();
    for (name, pointer) in &wanted.keep {
        match json.as_ref().and_then(|json| json.pointer(pointer)).filter(|it| is_plain(it)) {
            Some(value) => values.keep(name, value.clone()),
            None => lacks.push(pointer.as_str()),
        }
    }
    let refused = (400..500).contains(&response.status);
    let wrong = if refused { Wrong::Refused } else { Wrong::Otherwise };
    right(wanted, values, &response, json.as_ref(), &lacks).map_err(wrong)
}

fn right(
    wanted: &Wanted,
    values: &Values,
    response: &Response,
    json: Option<&Json>,
    lacks: &[&str],
) -> Result<String, String> {
    let (status, shown) = (response.status, response.excerpt(SHOWN_CHARS));
    let is_right = match wanted.status.as_slice() {
        [] => response.is_success(),
        statuses => statuses.contains(&status),
    };
    if !is_right {
        let expected = match wanted.status.as_slice() {
            [] => "200 to 299".to_owned(),
            statuses => statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
        };
        return Err(format!("status {status} instead of {expected}: {shown}"));
    }
    if wanted.fields.is_empty() && wanted.keep.is_empty() {
        return Ok(format!("status {status}"));
    }
    let Some(json) = json else { return Err(format!("status {status}, but no JSON: {shown}")) };
    for (pointer, expected) in &wanted.fields {
        let expected = values.json(expected);
        match json.pointer(pointer) {
            Some(found) if is_same(found, &expected) => {}
            Some(found) => {
                let found: String = found.to_string().chars().take(SHOWN_CHARS).collect();
                return Err(format!("{pointer} is {found} instead of {expected}"));
            }
            None => return Err(format!("no {pointer}, which should be {expected}: {shown}")),
        }
    }
    match lacks {
        [] => Ok(format!("status {status}, as expected")),
        [first, ..] => Err(format!("no {first}, which is needed further on: {shown}")),
    }
}

/// What can be put into a path.
fn is_plain(json: &Json) -> bool {
    matches!(json, Json::String(_) | Json::Number(_) | Json::Bool(_))
}

/// 1 and 1.0 are the same to whoever writes the expectation.
fn is_same(found: &Json, expected: &Json) -> bool {
    let numbers = found.as_f64().zip(expected.as_f64());
    found == expected
        || numbers.is_some_and(|(found, expected)| (found - expected).abs() < f64::EPSILON)
}
