//! Asks everybody what has happened.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::crash::{Answered, Engine, Question};
use crate::{Lab, Node, query};

use super::observed::{Debt, Observed, Run, both_ms, told};
use super::plan::millis;
use super::scene::Scene;

/// For one more look at the cluster.
const LOOKED_WITHIN: Duration = Duration::from_secs(30);
const FAILOVER: &str = "redis-failover";
const REJOIN: &str = "redis-rejoin";

/// A run that is at work; none: all are over. One that is owed another look once the
/// cluster has cooled down is not.
pub(super) fn is_at_work(engine: &mut Engine) -> Result<Option<String>> {
    for state in ["running", "asking", "undoing", "cancelling"] {
        let open = engine.get(&format!("/runs?state={state}&limit=1"))?;
        if let Some(run) = list(&open, "runs").first() {
            let run = engine.get(&format!("/runs/{}", text(run, "id")))?;
            return Ok(Some(engine.told(&run)?));
        }
    }
    Ok(None)
}

/// What was seen from `first`, the moment of the first fault, until now.
pub(super) fn collect(scene: &mut Scene, first: Instant) -> Result<Observed> {
    let mut seen = Observed::default();
    collect_writes(scene, first, &mut seen)?;
    let Scene { engine, lab, .. } = scene;
    let listed = engine.get("/runs?limit=500")?;
    // The list begins with the newest.
    for line in list(&listed, "runs").iter().rev() {
        if text(line, "state") == "unreadable" {
            seen.unreadable.push(text(line, "id").to_owned());
            continue;
        }
        let run = engine.get(&format!("/runs/{}", text(line, "id")))?;
        for step in list(&run, "steps") {
            let (workflow, name) = (text(&run, "workflow"), text(step, "name"));
            let calls = list(step, "calls").iter();
            seen.changes
                .extend(calls.map(|it| format!("{workflow} {name}: {}", text(it, "request"))));
        }
        match text(&run, "workflow") {
            FAILOVER => seen.runs.push(failover(engine, lab, &run)?),
            REJOIN => seen.debts.push(debt(engine, &run)?),
            _ => {}
        }
    }
    if seen.emptied {
        seen.evidence = Some(look(engine)?);
    }
    let tilted = |it: &Node| it.log().is_ok_and(|log| log.contains("+tilt"));
    seen.stalled = lab.sentinels().iter().any(tilted);
    seen.deaths = engine.deaths();
    Ok(seen)
}

fn collect_writes(scene: &Scene, first: Instant, seen: &mut Observed) -> Result<()> {
    let history = scene.trader.history();
    seen.acked = history.acked().len();
    seen.gap_ms = history.gap_after(first).map(|it| millis(it.length()));
    let times = |node: usize| {
        let of = scene.probes.by(node, first);
        of.into_iter().map(|at| scene.begun.unix_ms(at)).collect::<Vec<_>>()
    };
    let times: Vec<Vec<u64>> = (0..scene.lab.data().len()).map(times).collect();
    seen.both_ms = both_ms(&times);
    seen.acknowledged = told(&times, scene.begun.unix_ms(first));
    let Ok(master) = scene.lab.master() else { return Ok(()) };
    seen.master = index(&scene.lab, &master.address());
    // Read after the history: what is acknowledged since then cannot be missed in it.
    let account = history.account(&mut query::connect(&master.address(), None)?)?;
    seen.doubled = account.doubled.len();
    seen.emptied = account.acked > 0 && account.lost.len() == account.acked;
    let lost = history.acked().iter().filter(|it| account.lost.binary_search(&it.number).is_ok());
    seen.lost_at_ms = lost.map(|it| scene.begun.unix_ms(it.at)).collect();
    Ok(())
}

fn failover(engine: &mut Engine, lab: &Lab, run: &Value) -> Result<Run> {
    let steps = list(run, "steps");
    let step = |name: &str| steps.iter().find(|it| it["name"] == name).unwrap_or(&Value::Null);
    let (confirm, choose, promote) = (step("confirm"), step("choose"), step("promote"));
    let node = |value: &Value| value.as_str().and_then(|it| index(lab, it));
    let promoted = (text(promote, "state") == "succeeded").then(|| &promote["output"]);
    let seen_at = confirm["output"]["at_ms"].as_u64();
    let age_ms = choose["output"]["last_seen_ms"].as_u64();
    Ok(Run {
        state: text(run, "state").to_owned(),
        verdict: text(&run["output"], "verdict").to_owned(),
        chosen: node(&choose["output"]["chosen"]),
        began: !list(promote, "attempts").is_empty(),
        promoted: promoted.and_then(|it| node(&it["master"])),
        adopted: promoted.is_some_and(|it| it["adopted"] == true || it["yielded"] == true),
        lost_bytes: choose["output"]["lost_bytes_bound"].as_u64().unwrap_or(0),
        seen_until_ms: seen_at.zip(age_ms).map(|(at, age)| at.saturating_sub(age)),
        told: engine.told(run)?,
    })
}

fn debt(engine: &mut Engine, run: &Value) -> Result<Debt> {
    let file = run["output"]["salvage"].as_str();
    Ok(Debt {
        state: text(run, "state").to_owned(),
        held: run["output"]["outcome"] == "held",
        kept: file.is_some_and(|it| Path::new(it).is_file()),
        told: engine.told(run)?,
    })
}

/// What a look names the cluster now.
fn look(engine: &mut Engine) -> Result<String> {
    let begun = engine.post("/runs", &json!({ "workflow": "detect-redis" }))?;
    let nobody = |_: &Question| -> Result<Answered> { anyhow::bail!("a look asks nobody") };
    let run = engine.end_of(text(&begun, "run"), LOOKED_WITHIN, nobody)?;
    Ok(text(&run["output"], "evidence").to_owned())
}

fn index(lab: &Lab, address: &str) -> Option<usize> {
    lab.data().iter().position(|it| it.address() == address)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}
