//! A rehearsal under load: refused where the doctor finds errors, begun when a person
//! agrees, and nothing lost by it.

use std::time::{Duration, Instant};

use baton_lab::crash::failover::Begun;
use baton_lab::crash::{Answered, Question};
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::{Options, market, query, wait_until};
use serde_json::{Value, json};

use super::step;
use crate::takeover::{INSTRUMENTS, Scene, nobody};

const SOON: Duration = Duration::from_mins(1);

fn scene() -> Scene {
    Scene::new(Options { down_after_ms: 60_000, ..Options::bondx() }, Begun::ByAlert)
}

/// The run of `redis-drill`, and what was asked.
fn drill(scene: &mut Scene, approved: bool) -> (Value, Vec<String>) {
    let id = scene.begin("redis-drill", &json!({}));
    let mut asked = Vec::new();
    let person = |question: &Question| {
        asked.push(question.asks.clone());
        Ok(Answered { approved, reason: "a test".to_owned() })
    };
    let run = scene.engine.end_of(&id, SOON, person).unwrap();
    (run, asked)
}

#[test]
fn a_drill_goes_there_and_back_under_load_and_loses_nothing() {
    let mut scene = scene();
    let mut connection = query::connect(&scene.data(0).address(), None).unwrap();
    let market = market::fill(&mut connection, INSTRUMENTS, 2).unwrap();
    let habits = Habits { name: "drill".to_owned(), rate_per_s: 200, seed: 1 };
    let trader = Trader::start(Route::of(&scene.lab), market, &habits);
    wait_until("something is written", SOON, || trader.acked() > 100).unwrap();

    let begun = Instant::now();
    let (run, asked) = drill(&mut scene, true);
    assert_eq!(run["output"]["verdict"], "begun", "{run:#}");
    assert!(asked[0].starts_with("A drill of bondx: the master is handed over"), "{asked:?}");
    let id = run["output"]["exercise"].as_str().unwrap().to_owned();
    assert_eq!(id, scene.latest("redis-drill-exercise"));
    let exercise = scene.end_of(&id);
    let output = &exercise["output"];
    assert_eq!(output["verdict"], "met", "{output:#}");
    assert_eq!(scene.assert_master(&exercise), 0, "it is where it was");
    let there = &step(&exercise, "there")["output"];
    assert_ne!(there["master"], scene.data(0).address().as_str());
    assert!(there["handover_ms"].as_u64().unwrap() < 5_000, "{there:#}");
    let report = step(&exercise, "report")["output"]["markdown"].as_str().unwrap();
    assert!(report.contains("handover_ms"), "{report}");

    let gap = trader.history().gap_after(begun).unwrap().length();
    assert!(gap < Duration::from_secs(5), "writes stopped for {gap:?}");
    let history = trader.stop();
    // Connections of before were ended at the handover.
    let mut connection = query::connect(&scene.data(0).address(), None).unwrap();
    let account = history.account(&mut connection).unwrap();
    assert_eq!((account.lost.len(), account.doubled.len()), (0, 0), "{account:?}");
}

#[test]
fn a_drill_is_refused_where_the_doctor_finds_errors_or_a_person_says_no() {
    let mut scene = scene();
    let (run, asked) = drill(&mut scene, false);
    assert_eq!((&run["state"], asked.len()), (&json!("failed"), 1), "{run:#}");
    scene.data(2).kill().unwrap();
    let id = scene.begin("redis-drill", &json!({}));
    let run = scene.engine.end_of(&id, SOON, nobody).unwrap();
    assert_eq!(run["output"]["verdict"], "refused: the doctor finds errors", "{run:#}");
    let findings = run["output"]["findings"].to_string();
    assert!(findings.contains("no-answer"), "{findings}");
    assert!(
        scene.engine.get("/runs?workflow=redis-drill-exercise").unwrap()["runs"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(scene.lab.writable_masters(), [scene.data(0).address()]);
}
