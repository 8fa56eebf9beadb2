//! Senders that do not give up, as Alertmanager does not: what is not answered by 2xx is
//! sent again. Every 2xx must name a run that is there in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_crash::{Passing, Point};
use serde_json::{Value, json};

use super::engine::{list, text};
use super::{Bench, Blow, Engine, torture};
use crate::books::Dice;
use crate::wait::wait_for;
use crate::web::Line;

/// For one delivery to be taken, and for all runs to end.
const TAKEN_WITHIN: Duration = Duration::from_mins(1);
/// Deaths during the flood.
const DEATHS: usize = 4;
/// Passings of a point within which a life ends: so that all of them do.
const LIFE: u64 = 40;
const HOOK: &str = "/hooks/tick";

/// How much is sent, all at once.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Deliveries that are the same one.
    pub identical: usize,
    /// Deliveries that are each another.
    pub distinct: usize,
    /// Connections that send.
    pub senders: usize,
}

/// What came of a flood.
#[derive(Clone, Debug)]
pub struct Flooded {
    /// How often the engine died.
    pub deaths: u32,
    /// What is not as promised.
    pub violations: Vec<String>,
}

/// Sends the flood at an engine that dies in it, as `seed` decides.
///
/// # Errors
/// When it could not be sent, or its runs do not end.
pub fn flood(bench: &Bench, seed: u64, flood: Flood) -> Result<Flooded> {
    let mut dice = Dice::new(seed);
    let blows: Vec<Blow> = (0..DEATHS).map(|_| blow(&mut dice)).collect();
    let book = bench.book();
    let waiting = Mutex::new(deliveries(&mut dice, flood));
    let engine = Mutex::new(Engine::start(bench.home("")?, blows)?);
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            let mut line = None;
            loop {
                let Some(id) = locked(&waiting).pop() else { return Ok(()) };
                let body = json!({ "book": book, "address": bench.address(), "id": id });
                let run = deliver(&engine, &mut line, &body)?;
                locked(&taken).push((id, run));
            }
        };
        let senders: Vec<_> = (0..flood.senders).map(|_| scope.spawn(work)).collect();
        senders.into_iter().try_for_each(|sender| {
            sender.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a sender panicked")))
        })
    })?;
    let mut engine = engine.into_inner().unwrap_or_else(PoisonError::into_inner);
    engine.settle(TAKEN_WITHIN, |question| torture::person(bench, question))?;
    let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let violations = judge(&mut engine, bench, &book, flood, &taken)?;
    Ok(Flooded { deaths: engine.deaths(), violations })
}

fn blow(dice: &mut Dice) -> Blow {
    let kinds = u64::try_from(Point::ALL.len()).unwrap_or(u64::MAX);
    let point = Point::ALL[usize::try_from(dice.below(kinds)).unwrap_or(0)];
    Blow::At(Passing { point, number: 1 + dice.below(LIFE) })
}

/// All ids in an order that the dice decide.
fn deliveries(dice: &mut Dice, flood: Flood) -> Vec<String> {
    let same = std::iter::repeat_n("same".to_owned(), flood.identical);
    let mut ids: Vec<String> =
        same.chain((0..flood.distinct).map(|n| format!("one-{n}"))).collect();
    for at in (1..ids.len()).rev() {
        let other = dice.below(u64::try_from(at).unwrap_or(0) + 1);
        ids.swap(at, usize::try_from(other).unwrap_or(0));
    }
    ids
}

fn deliver(engine: &Mutex<Engine>, line: &mut Option<Line>, body: &Value) -> Result<String> {
    let bytes = body.to_string().into_bytes();
    wait_for("a delivery is taken", TAKEN_WITHIN, || {
        let mut send = || -> Result<Option<String>> {
            if line.is_none() {
                let address = locked(engine).alive()?;
                *line = Line::open(address).ok();
            }
            let Some(open) = line else { return Ok(None) };
            let Ok(answer) = open.post(HOOK, &bytes) else {
                *line = None;
                return Ok(None);
            };
            if answer.status >= 500 {
                return Ok(None);
            }
            ensure!(answer.status == 202, "{body}: {} {}", answer.status, answer.body);
            let run = text(&answer.json()?, "run").to_owned();
            ensure!(!run.is_empty(), "a 202 that names no run: {}", answer.body);
            Ok(Some(run))
        };
        send().transpose()
    })?
}

fn judge(
    engine: &mut Engine,
    bench: &Bench,
    book: &str,
    flood: Flood,
    taken: &[(String, String)],
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let runs = all_runs(engine)?;
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, run) in taken {
        named.entry(id).or_default().insert(run);
        if !runs.contains_key(run) {
            wrong.push(format!("{id} was answered by 2xx with run {run}, which is not there"));
        }
    }
    let due = flood.distinct + usize::from(flood.identical > 0);
    if runs.len() != due || named.len() != due {
        wrong.push(format!("{} runs for {} deliveries, not {due}", runs.len(), named.len()));
    }
    for (id, runs) in named.iter().filter(|(_, runs)| runs.len() != 1) {
        wrong.push(format!("{id} was answered with {} runs: {runs:?}", runs.len()));
    }
    for (run, state) in runs.iter().filter(|(_, state)| *state != "succeeded") {
        wrong.push(format!("run {run} is {state}"));
    }
    let traces = torture::traces(bench, book)?;
    for (trace, count) in traces.iter().filter(|(_, count)| **count != 1) {
        wrong.push(format!("{trace} happened {count} times"));
    }
    if traces.len() != due {
        wrong.push(format!("{} things happened, not {due}", traces.len()));
    }
    Ok(wrong)
}

/// Every run with its state, page by page.
fn all_runs(engine: &mut Engine) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut before = String::new();
    loop {
        let page = engine.get(&format!("/runs?limit=500{before}"))?;
        for run in list(&page, "runs") {
            all.insert(text(run, "id").to_owned(), text(run, "state").to_owned());
        }
        match page.get("next").context("a page without `next`")?.as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return Ok(all),
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
