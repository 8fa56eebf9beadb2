//! The torture workflow, played and judged. Its plugins leave a trace in Redis by each
//! command that must happen once; so Redis tells what happened how often.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::boundary::{Played, Subject};
use super::engine::{Answered, Question, list, text};
use super::{Bench, Blow, Engine};

pub use super::bench::Policy;

/// From the delivery to the end of the run, deaths included.
pub const PLAYED_WITHIN: Duration = Duration::from_mins(1);

/// Traces of one run and how often each is there.
pub type Traces = BTreeMap<String, u64>;

/// How an uncrashed run ends: what every other one is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    output: Value,
    traces: Traces,
}

/// The torture workflow under one policy.
#[derive(Debug)]
pub struct Torture<'b> {
    bench: &'b Bench,
    policy: Policy,
    reference: Reference,
}

impl<'b> Torture<'b> {
    /// Plays it once, uncrashed, for reference.
    ///
    /// # Errors
    /// When that does not end well.
    pub fn new(bench: &'b Bench, policy: Policy) -> Result<Self> {
        let mut engine = Engine::start(bench.home("")?, [])?;
        let book = bench.book();
        let id = begin(&mut engine, bench, policy, &book)?;
        let run = engine.end_of(&id, PLAYED_WITHIN, |question| person(bench, question))?;
        let reference = Reference { output: run["output"].clone(), traces: traces(bench, &book)? };
        ensure!(text(&run, "state") == "succeeded", "uncrashed, it did not succeed: {run:#}");
        ensure!(reference.traces.len() > 20, "too little happens: {:?}", reference.traces);
        let twice: Vec<_> = reference.traces.iter().filter(|(_, count)| **count != 1).collect();
        ensure!(twice.is_empty(), "uncrashed, {twice:?}");
        Ok(Self { bench, policy, reference })
    }

    /// How an uncrashed run ends.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

impl Subject for Torture<'_> {
    fn name(&self) -> String {
        format!("torture, {}", self.policy.word())
    }

    fn play(&self, blows: &[Blow]) -> Result<Played> {
        let mut engine = Engine::start(self.bench.home("")?, blows.iter().copied())?;
        let book = self.bench.book();
        let id = begin(&mut engine, self.bench, self.policy, &book)?;
        let run = engine.end_of(&id, PLAYED_WITHIN, |question| person(self.bench, question))?;
        let passings = engine.passings()?;
        let left = engine.blows_left();
        let mut violations = judge(self.bench, &self.reference, &run, &book)?;
        if !violations.is_empty() {
            violations.push(engine.told(&run)?);
        }
        violations.extend(judge_engine(&mut engine)?);
        violations.extend(judge_keys(&mut engine, self.bench, self.policy, &id, &book)?);
        self.bench.forget(&book)?;
        Ok(Played { deaths: engine.retire()?, blows_left: left, passings, violations })
    }
}

fn delivery(bench: &Bench, policy: Policy, book: &str) -> Value {
    json!({ "book": book, "address": bench.address(), "memory": policy.memory() })
}

/// Delivers the webhook that begins a run; gives its id.
pub(super) fn begin(
    engine: &mut Engine,
    bench: &Bench,
    policy: Policy,
    book: &str,
) -> Result<String> {
    let hook = format!("/hooks/{}", policy.workflow());
    let answer = engine.post(&hook, &delivery(bench, policy, book))?;
    let id = text(&answer, "run").to_owned();
    ensure!(!id.is_empty(), "a 202 that names no run: {answer}");
    Ok(id)
}

/// A person who looks at Redis before saying yes: nothing may have happened twice.
pub(super) fn person(bench: &Bench, question: &Question) -> Result<Answered> {
    let mut seen = Vec::new();
    let mut approved = true;
    let calls: Vec<_> =
        question.calls.iter().filter_map(|call| asked_for(text(call, "request"))).collect();
    // All calls of a step are of one run, and so of one book.
    let found = calls.first().map(|(book, _)| traces(bench, book)).transpose()?;
    for (_, trace) in calls {
        let count = found.as_ref().and_then(|found| found.get(&trace)).copied().unwrap_or(0);
        approved &= count <= 1;
        seen.push(format!("{trace}: {count}"));
    }
    Ok(Answered { approved, reason: format!("seen {}", seen.join(", ")) })
}

/// The book and the trace of a command as the journal shows it.
fn asked_for(request: &str) -> Option<(String, String)> {
    let (_, command) = request.split_once("> ")?;
    let words: Vec<&str> = command.split(' ').collect();
    let (key, last) = (words.get(1)?, words.last()?);
    let mut parts = key.splitn(4, ':');
    let book = format!("{}:{}", parts.next()?, parts.next()?);
    match (parts.next()?, parts.next()) {
        ("count", Some(id)) => Some((book, format!("count:{id}"))),
        ("set", _) => None,
        (kind, _) => Some((book, format!("{kind}:{last}"))),
    }
}

/// All traces of a book.
pub(super) fn traces(bench: &Bench, book: &str) -> Result<Traces> {
    let mut traces = Traces::new();
    for kind in ["ledger", "notified"] {
        let ids: Vec<String> = bench.ask(&["LRANGE", &format!("{book}:{kind}"), "0", "-1"])?;
        for id in ids {
            *traces.entry(format!("{kind}:{id}")).or_default() += 1;
        }
    }
    let notes: Vec<(String, BTreeMap<String, String>)> =
        bench.ask(&["XRANGE", &format!("{book}:stream"), "-", "+"])?;
    for id in notes.into_iter().flat_map(|(_, fields)| fields.into_values()) {
        *traces.entry(format!("stream:{id}")).or_default() += 1;
    }
    let counters = format!("{book}:count:");
    let keys: Vec<String> = bench.ask(&["KEYS", &format!("{counters}*")])?;
    for key in keys {
        let count = bench.ask(&["GET", &key])?;
        traces.insert(format!("count:{}", &key[counters.len()..]), count);
    }
    Ok(traces)
}

/// What is wrong with a run that is over.
pub(super) fn judge(
    bench: &Bench,
    reference: &Reference,
    run: &Value,
    book: &str,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let state = text(run, "state");
    if state != "succeeded" {
        wrong.push(format!("it is {state}, not succeeded: {}", run["note"]));
    }
    if run["output"] != reference.output {
        wrong.push(format!("its output is {}, not {}", run["output"], reference.output));
    }
    let traces = traces(bench, book)?;
    for trace in
        traces.keys().chain(reference.traces.keys().filter(|key| !traces.contains_key(*key)))
    {
        let found = traces.get(trace).copied().unwrap_or(0);
        let due = reference.traces.get(trace).copied().unwrap_or(0);
        if found != due {
            wrong.push(format!("{trace} happened {found} times, not {due}"));
        }
    }
    Ok(wrong)
}

/// What is wrong with an engine whose runs are all over.
pub(super) fn judge_engine(engine: &mut Engine) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for run in list(&engine.get("/runs?limit=500")?, "runs") {
        let (id, state) = (text(run, "id"), text(run, "state"));
        if run["closed_at"].is_null() {
            wrong.push(format!("run {id} of {} is still {state}", text(run, "workflow")));
        }
    }
    Ok(wrong)
}

/// What is wrong with the locks and the dedup of a run that is over.
fn judge_keys(
    engine: &mut Engine,
    bench: &Bench,
    policy: Policy,
    id: &str,
    book: &str,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let listed = engine.get(&format!("/runs?workflow={}&limit=500", policy.workflow()))?;
    let runs = list(&listed, "runs").len();
    if runs != 1 {
        wrong.push(format!("one delivery began {runs} runs"));
    }
    let hook = format!("/hooks/{}", policy.workflow());
    let again = engine.post(&hook, &delivery(bench, policy, book))?;
    if (text(&again, "outcome"), text(&again, "run")) != ("duplicate", id) {
        wrong.push(format!("the same delivery again is not a duplicate of {id}: {again}"));
    }
    let lock = json!({ "workflow": "lock", "params": { "book": book } });
    let path = "/runs";
    let bytes = lock.to_string().into_bytes();
    let deaths = engine.deaths();
    let taken = engine.answer_to(|address| crate::web::post(address, path, &[], &bytes))?;
    // A late death between its begin and its acknowledgement: it is in its own way.
    let died = engine.deaths() > deaths;
    if !died && (taken.status != 202 || text(&taken.json()?, "outcome") != "started") {
        wrong.push(format!("the lock is not free: {} {}", taken.status, taken.body));
    }
    Ok(wrong)
}
