//! What one run means to others, kept over deaths: locks, queues, dedup, cool-down, and
//! that a run which kills its engine is put aside.

use std::time::Duration;

use baton_lab::crash::{Blow, Engine, Passing, Point};
use baton_lab::wait_until;
use serde_json::{Value, json};

use super::bench;

const SOON: Duration = Duration::from_secs(30);

fn answer(engine: &mut Engine, run: &str, step: &str) {
    let body = json!({ "step": step, "approved": true, "who": "a test", "reason": "go" });
    engine.post(&format!("/runs/{run}/answer"), &body).unwrap();
}

fn state(engine: &mut Engine, run: &str) -> String {
    engine.get(&format!("/runs/{run}")).unwrap()["state"].as_str().unwrap().to_owned()
}

fn wait_state(engine: &mut Engine, run: &str, wanted: &str) {
    let what = format!("run {run} is {wanted}");
    wait_until(&what, SOON, || state(engine, run) == wanted).unwrap();
}

/// The state of the step `gate`, once the run asks anything.
fn state_of_gate(engine: &mut Engine, run: &str) -> String {
    wait_state(engine, run, "asking");
    let run = engine.get(&format!("/runs/{run}")).unwrap();
    let gate = run["steps"].as_array().unwrap().iter().find(|step| step["name"] == "gate");
    gate.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Says yes to the question about the step `count`.
fn answer_first(engine: &mut Engine, run: &str) {
    answer(engine, run, "count");
    let gone = || !matches!(state(engine, run).as_str(), "running");
    wait_until("the step has been tried again", SOON, gone).unwrap();
}

fn run_of(answer: &Value) -> String {
    answer["run"].as_str().unwrap().to_owned()
}

#[test]
fn g6_a_lock_is_held_and_a_queue_keeps_its_order_over_deaths() {
    let bench = bench();
    let mut engine = Engine::start(bench.home("").unwrap(), []).unwrap();
    let book = bench.book();
    let turn = |engine: &mut Engine, id: &str| {
        let params = json!({ "book": book, "address": bench.address(), "key": "a", "id": id });
        engine.post("/runs", &json!({ "workflow": "turn", "params": params })).unwrap()
    };
    let first = turn(&mut engine, "t0");
    assert_eq!(first["outcome"], "started");
    let mut runs = vec![run_of(&first)];
    wait_state(&mut engine, &runs[0], "asking");
    for number in 1..4 {
        let next = turn(&mut engine, &format!("t{number}"));
        assert_eq!(next["outcome"], "queued", "{next}");
        runs.push(run_of(&next));
        engine.kill();
    }
    for (number, run) in runs.iter().enumerate() {
        // A death may have left its step in doubt: that is asked first.
        while state_of_gate(&mut engine, run) != "asking" {
            answer_first(&mut engine, run);
        }
        engine.kill();
        for waiting in &runs[number + 1..] {
            assert_eq!(state(&mut engine, waiting), "queued");
        }
        answer(&mut engine, run, "gate");
        engine.kill();
        wait_state(&mut engine, run, "succeeded");
    }
    assert_eq!(turn(&mut engine, "t4")["outcome"], "started", "the lock is free");
}

#[test]
fn g6_dedup_and_cooldown_hold_over_a_death() {
    let bench = bench();
    let mut engine = Engine::start(bench.home("").unwrap(), []).unwrap();
    let book = bench.book();
    let deliver = |engine: &mut Engine, id: &str| {
        let body = json!({ "book": book, "address": bench.address(), "key": "a", "id": id });
        engine.post("/hooks/turn", &body).unwrap()
    };
    let first = deliver(&mut engine, "d0");
    let run = run_of(&first);
    wait_state(&mut engine, &run, "asking");
    engine.kill();
    let again = deliver(&mut engine, "d0");
    assert_eq!((&again["outcome"], &again["run"]), (&json!("duplicate"), &json!(run)));
    answer(&mut engine, &run, "gate");
    wait_state(&mut engine, &run, "succeeded");
    engine.kill();
    let again = deliver(&mut engine, "d0");
    assert_eq!((&again["outcome"], &again["run"]), (&json!("duplicate"), &json!(run)));
    let other = deliver(&mut engine, "d1");
    assert_eq!(other["outcome"], "queued");
    assert!(other["reason"].as_str().unwrap().contains("cooling down"), "{other}");
    engine.kill();
    assert_eq!(state(&mut engine, &run_of(&other)), "queued");
}

#[test]
fn g2_a_run_that_kills_its_engine_is_parked_and_the_others_go_on() {
    let bench = bench();
    let fatal = Passing { point: Point::ChangeBefore, number: 1 };
    let blows = std::iter::repeat_n(Blow::At(fatal), 5);
    let mut engine = Engine::start(bench.home("").unwrap(), blows).unwrap();
    let book = bench.book();
    let tick = |engine: &mut Engine, id: &str| {
        let body = json!({ "book": book, "address": bench.address(), "id": id });
        run_of(&engine.post("/hooks/tick", &body).unwrap())
    };
    let poison = tick(&mut engine, "poison");
    wait_state(&mut engine, &poison, "asking");
    assert_eq!(engine.deaths(), 5);
    let shown = engine.get(&format!("/runs/{poison}")).unwrap();
    assert_eq!(shown["interruptions"], 5, "{shown:#}");
    assert!(shown["steps"][0]["question"].is_string(), "{shown:#}");

    let other = tick(&mut engine, "other");
    wait_state(&mut engine, &other, "succeeded");
    assert_eq!((state(&mut engine, &poison).as_str(), engine.deaths()), ("asking", 5));
    answer(&mut engine, &poison, "count");
    wait_state(&mut engine, &poison, "succeeded");
}
