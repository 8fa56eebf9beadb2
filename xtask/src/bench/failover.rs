//! How long nobody can write, and what is lost: Sentinel alone and Baton in mode `lead`,
//! one after the other, under the same faults. And planned switchovers by either.
//!
//! A trader follows Sentinel and writes a thousand transactions a second. Where the
//! master hangs, eight clients stay on it: what they are acknowledged once it wakes is
//! what the cluster loses beside.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use baton_lab::crash::Engine;
use baton_lab::crash::failover::{Begun, home};
use baton_lab::probe::Probes;
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::{Lab, Options, market, query, wait_until};
use serde::Serialize;
use serde_json::{Value, json};

/// For what takes seconds: Sentinel's patience, a busy machine.
const SOON: Duration = Duration::from_mins(1);
const STICKY: usize = 8;
/// From the time that trade goes on elsewhere until a hanging master wakes.
const WOKEN_AFTER: Duration = Duration::from_secs(2);
const INSTRUMENTS: usize = 200;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    Sentinel,
    Baton,
}

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    Kill,
    Stop,
    Planned,
}

/// One round.
#[derive(Debug, Serialize)]
struct Round {
    who: Who,
    fault: Fault,
    /// The longest silence of the trader that ended after the fault, ms.
    gap_ms: f64,
    /// Transactions acknowledged to the trader, and missing on the new master.
    lost: usize,
    /// Writes that a woken master acknowledged to clients that stayed.
    woken: Option<usize>,
    /// What the run did when, in milliseconds after the fault or the order.
    stages: Vec<Stage>,
}

/// A step of the run that replaced the master.
#[derive(Debug, Serialize)]
struct Stage {
    step: String,
    started_ms: i64,
    ended_ms: Option<i64>,
    /// How long the servers themselves let nobody write, ms; of a planned handover.
    handover_ms: Option<i64>,
}

/// All rounds of one kind.
#[derive(Debug, Serialize)]
struct Summary {
    who: Who,
    fault: Fault,
    rounds: usize,
    gap_ms_min: f64,
    gap_ms_median: f64,
    gap_ms_max: f64,
    lost_median: usize,
    lost_max: usize,
    woken_max: Option<usize>,
}

/// Plays `rounds` of each kind, prints a table and gives the document for the file.
pub(super) fn measure(root: &Path, rounds: u32, min_replicas: u32) -> Result<Value> {
    let mut played = Vec::new();
    for number in 1..=rounds {
        for fault in [Fault::Kill, Fault::Stop, Fault::Planned] {
            for who in [Who::Sentinel, Who::Baton] {
                let round = play(root, who, fault, min_replicas)
                    .with_context(|| format!("round {number}: {who:?}, {fault:?}"))?;
                println!(
                    "{number:>3}  {who:<9?} {fault:<8?} gap {:>8.1} ms  lost {:>6}  woken {:?}",
                    round.gap_ms, round.lost, round.woken
                );
                for Stage { step, started_ms, ended_ms, handover_ms } in &round.stages {
                    let handover = handover_ms.map(|ms| format!(", handover {ms} ms"));
                    let handover = handover.unwrap_or_default();
                    println!("       {started_ms:>6} ms  {step}, until {ended_ms:?}{handover}");
                }
                played.push(round);
            }
        }
    }
    let mut all = Vec::new();
    for fault in [Fault::Kill, Fault::Stop, Fault::Planned] {
        for who in [Who::Sentinel, Who::Baton] {
            all.extend(summary(&played, who, fault));
        }
    }
    println!();
    for it in &all {
        println!(
            "{:<9?} {:<8?} gap {:.1} / {:.1} / {:.1} ms  lost {} (most {})  woken {:?}",
            it.who,
            it.fault,
            it.gap_ms_min,
            it.gap_ms_median,
            it.gap_ms_max,
            it.lost_median,
            it.lost_max,
            it.woken_max
        );
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let Options { down_after_ms, failover_timeout_ms, .. } = Options::bondx();
    Ok(json!({
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "load": load.trim(),
        "down_after_ms": down_after_ms,
        "failover_timeout_ms": failover_timeout_ms,
        "min_replicas_to_write": min_replicas,
        "woken_after_ms": WOKEN_AFTER.as_millis(),
        "summary": all,
        "rounds": played,
    }))
}

fn play(root: &Path, who: Who, fault: Fault, min_replicas: u32) -> Result<Round> {
    let options = Options {
        data_lines: vec![format!("min-replicas-to-write {min_replicas}")],
        ..Options::bondx()
    };
    let lab = Lab::start(options)?;
    let old = lab.data()[0].address();
    let market = market::fill(&mut query::connect(&old, None)?, INSTRUMENTS, 1)?;
    let mut engine = match who {
        Who::Sentinel => None,
        Who::Baton => Some(engine(root, &lab)?),
    };
    let habits = Habits { name: "bench".to_owned(), rate_per_s: 1_000, seed: 1 };
    let trader = Trader::start(Route::of(&lab), market, &habits);
    let sticky = (fault == Fault::Stop).then(|| Probes::sticky(&lab, 0, STICKY));
    wait_until("the trader writes", SOON, || trader.acked() > 1_000)?;

    let (at, at_ms) = (Instant::now(), unix_ms());
    match (fault, &mut engine) {
        (Fault::Kill, _) => lab.data()[0].kill()?,
        (Fault::Stop, _) => lab.data()[0].stop()?,
        (Fault::Planned, None) => {
            let name = &lab.options().master_name;
            query::ask::<String>(&lab.sentinels()[0], &["SENTINEL", "FAILOVER", name])?;
        }
        (Fault::Planned, Some(engine)) => {
            engine.post("/runs", &json!({ "workflow": "redis-switchover", "who": "bench" }))?;
        }
    }
    let moved = || lab.agreed_master().filter(|address| *address != old);
    wait_until("all Sentinels name another master", SOON, || moved().is_some())?;
    if let (Fault::Stop, Some(engine)) = (fault, &mut engine) {
        // Where Sentinel was first the watch has nothing to say: the alert has.
        engine.post("/runs", &json!({ "workflow": "redis-failover", "who": "bench" }))?;
    }
    let seen = trader.acked();
    wait_until("trade goes on", SOON, || trader.acked() > seen + 500)?;
    if sticky.is_some() {
        thread::sleep(WOKEN_AFTER);
    }
    let woken = sticky.map(|sticky| woken(&lab, &sticky)).transpose()?;
    let history = trader.stop();
    let stages = match (fault, &mut engine) {
        (Fault::Kill, Some(engine)) => stages(engine, "redis-failover", at_ms)?,
        (Fault::Planned, Some(engine)) => stages(engine, "redis-switchover", at_ms)?,
        (Fault::Kill | Fault::Stop | Fault::Planned, _) => Vec::new(),
    };
    let gap = history.gap_after(at).context("the trader was never silent")?;
    let new = moved().context("the Sentinels changed their minds")?;
    let account = history.account(&mut query::connect(&new, None)?)?;
    let gap_ms = (gap.length().as_secs_f64() * 10_000.0).round() / 10.0;
    Ok(Round { who, fault, gap_ms, lost: account.lost.len(), woken, stages })
}

/// What the run that replaced the master did when.
fn stages(engine: &mut Engine, workflow: &str, at_ms: i64) -> Result<Vec<Stage>> {
    let runs = engine.get(&format!("/runs?workflow={workflow}&limit=1"))?;
    let id = runs["runs"][0]["id"].as_str().context("the workflow has no run")?;
    let run = engine.get(&format!("/runs/{id}"))?;
    let after = |time: &Value| Some(time.as_i64()? - at_ms);
    let begun = after(&run["begun_at"]).context("a run has begun")?;
    let first = Stage {
        step: "(run begun)".to_owned(),
        started_ms: begun,
        ended_ms: None,
        handover_ms: None,
    };
    let steps = run["steps"].as_array().context("a run has steps")?;
    let started = steps.iter().filter_map(|step| {
        Some(Stage {
            step: step["name"].as_str()?.to_owned(),
            started_ms: after(&step["started_at"])?,
            ended_ms: after(&step["ended_at"]),
            handover_ms: step["output"]["handover_ms"].as_i64(),
        })
    });
    Ok(std::iter::once(first).chain(started).collect())
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An engine whose plugins are compiled and whose watch has looked.
fn engine(root: &Path, lab: &Lab) -> Result<Engine> {
    let cache = root.join("target/bench/plugin-cache");
    std::fs::create_dir_all(&cache)?;
    let binary = root.join("target/debug/baton");
    ensure!(binary.is_file(), "{} is missing: cargo build --workspace", binary.display());
    let mut engine = Engine::start(home(root, &binary, &cache, lab, Begun::ByAll)?, [])?;
    let run = engine.post("/runs", &json!({ "workflow": "detect-redis", "who": "bench" }))?;
    let id = run["run"].as_str().context("a run has an id")?.to_owned();
    engine.end_of(&id, SOON, |question| anyhow::bail!("it asks: {}", question.asks))?;
    Ok(engine)
}

/// Wakes the old master, and counts what it acknowledges to those that stayed.
fn woken(lab: &Lab, sticky: &Probes) -> Result<usize> {
    let old = &lab.data()[0];
    let at = Instant::now();
    old.cont()?;
    let demoted = || query::role(old).is_some_and(|role| role == "slave");
    // Sentinel takes ten seconds and more; what is counted ends with the demotion.
    wait_until("the woken master is demoted", SOON, demoted)?;
    Ok(sticky.by(0, at).len())
}

fn summary(played: &[Round], who: Who, fault: Fault) -> Option<Summary> {
    let of: Vec<&Round> = played.iter().filter(|it| it.who == who && it.fault == fault).collect();
    let mut gaps: Vec<f64> = of.iter().map(|it| it.gap_ms).collect();
    gaps.sort_by(f64::total_cmp);
    let mut lost: Vec<usize> = of.iter().map(|it| it.lost).collect();
    lost.sort_unstable();
    Some(Summary {
        who,
        fault,
        rounds: of.len(),
        gap_ms_min: *gaps.first()?,
        gap_ms_median: *gaps.get(gaps.len() / 2)?,
        gap_ms_max: *gaps.last()?,
        lost_median: *lost.get(lost.len() / 2)?,
        lost_max: *lost.last()?,
        woken_max: of.iter().filter_map(|it| it.woken).max(),
    })
}
