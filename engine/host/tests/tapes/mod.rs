//! Whole guests that are recorded, played again, and leave their tapes.

use std::sync::Arc;
use std::time::Duration;

use baton_core::run::event::TapeEntry;
use baton_core::run::fault::Fault;
use baton_core::run::{Replay, Taping};
use baton_host::{Attempt, End, Ended, Plugin};
use serde_json::json;

use crate::guests::{Guest, OUTPUT};
use crate::lab::{Lab, Quiet, attempt};

const IMPORTS: &str = r#"
    (import "baton:plugin/clock@1.0.0" "now" (func $now (result i64)))
    (import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))
    (import "baton:plugin/log@1.0.0" "write" (func $write (param i32 i32 i32)))
    (import "baton:plugin/progress@1.0.0" "report" (func $report (param i64 i32 i64 i32 i32)))"#;

fn guest(run: &'static str) -> Guest {
    Guest { imports: IMPORTS, parts: r#"(data (i32.const 8192) "half")"#, ..Guest::running(run) }
}

/// Asks for the time, sleeps, and says something.
const WORKS: &str = "call $now drop i32.const 400 call $sleep
    i64.const 1 i32.const 1 i64.const 2 i32.const 8192 i32.const 4 call $report
    i32.const 1 i32.const 8192 i32.const 4 call $write
    i32.const 2048";

async fn play(lab: &Lab, plugin: &Plugin, taping: Taping, wall: &Arc<Quiet>) -> Ended {
    let attempt = Attempt { taping, ..attempt(plugin.clone()) };
    lab.host.run(attempt, Arc::<Quiet>::clone(wall)).await
}

async fn recorded(lab: &Lab, plugin: &Plugin) -> Vec<Arc<TapeEntry>> {
    let ended = play(lab, plugin, Taping::Record, &Arc::default()).await;
    assert_eq!(ended.end, End::Output(json!({})));
    ended.heard
}

fn replay(entries: &[Arc<TapeEntry>]) -> Taping {
    Taping::Replay(Replay { entries: entries.to_vec(), calls: Vec::new() })
}

fn diverged(ended: Ended) -> String {
    assert_eq!(ended.heard, []);
    let End::Diverged(how) = ended.end else { panic!("{:?}", ended.end) };
    how.to_string()
}

#[tokio::test]
async fn a_replayed_guest_neither_sleeps_nor_speaks_again() {
    let lab = Lab::new();
    let plugin = lab.load(&guest(WORKS));
    let tape = recorded(&lab, &plugin).await;
    let functions: Vec<&str> = tape.iter().map(|entry| entry.function.as_str()).collect();
    assert_eq!(functions, ["clock.now", "clock.sleep", "progress.report", "log.write"]);
    let wall = Arc::<Quiet>::default();
    // It could not sleep in that time.
    let attempt = Attempt {
        timeout: Duration::from_millis(300),
        taping: replay(&tape),
        ..attempt(plugin.clone())
    };
    let ended = lab.host.run(attempt, Arc::<Quiet>::clone(&wall)).await;
    assert_eq!(ended, Ended { end: End::Output(json!({})), heard: Vec::new() });
    assert!(wall.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_guest_goes_on_live_behind_its_tape_under_the_same_numbers() {
    let lab = Lab::new();
    let plugin = lab.load(&guest(WORKS));
    let tape = recorded(&lab, &plugin).await;
    for known in 0..tape.len() {
        let wall = Arc::<Quiet>::default();
        let ended = play(&lab, &plugin, replay(&tape[..known]), &wall).await;
        assert_eq!(ended.end, End::Output(json!({})));
        let numbers: Vec<u32> = ended.heard.iter().map(|entry| entry.index).collect();
        assert_eq!(numbers, (0..4).skip(known).collect::<Vec<u32>>());
        // What was reported before the cut was seen.
        assert_eq!(wall.0.lock().unwrap().len(), usize::from(known <= 2));
    }
}

#[tokio::test]
async fn another_build_diverges_where_it_does_something_else() {
    let lab = Lab::new();
    let tape = recorded(&lab, &lab.load(&guest(WORKS))).await;
    for (run, at, said) in [
        ("i32.const 400 call $sleep i32.const 2048", 0, "asked for clock.sleep (400 ms)"),
        ("call $now drop i32.const 401 call $sleep i32.const 2048", 1, "clock.sleep (401 ms)"),
        ("call $now drop i32.const 400 call $sleep i32.const 2048", 2, "the plugin ended before"),
        ("call $now drop i32.const 400 call $sleep call $now drop i32.const 2048", 2, "clock.now"),
    ] {
        let plugin = lab.load(&guest(run));
        let why = diverged(play(&lab, &plugin, replay(&tape), &Arc::default()).await);
        assert!(why.contains(&format!("call {at} ")) && why.contains(said), "{why}");
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_to_this_host_is_no_panic() {
    let lab = Lab::new();
    let plugin = lab.load(&guest(WORKS));
    let mut tape = recorded(&lab, &plugin).await;
    tape[0] = Arc::new(TapeEntry { answer: "{\"ok\":".into(), ..(*tape[0]).clone() });
    let why = diverged(play(&lab, &plugin, replay(&tape), &Arc::default()).await);
    assert!(why.contains("cannot be read"), "{why}");
}

#[tokio::test]
async fn a_limit_ends_a_replay_as_it_ends_any_attempt() {
    let lab = Lab::new();
    let tape = recorded(&lab, &lab.load(&guest(WORKS))).await;
    let eats = lab.load(&guest("call $now drop (loop $again br $again) unreachable"));
    let ended = play(&lab, &eats, replay(&tape), &Arc::default()).await;
    assert!(matches!(&ended.end, End::Fault(Fault { code, .. }) if code == "fuel-limit"));
}

#[tokio::test]
async fn a_rehearsal_has_no_world_behind_its_tape() {
    let lab = Lab::new();
    let plugin = lab.load(&guest(WORKS));
    let tape = recorded(&lab, &plugin).await;
    let ended = lab.host.rehearse(attempt(plugin.clone()), tape.clone()).await;
    assert_eq!(ended.end, End::Output(json!({})));
    let why = diverged(lab.host.rehearse(attempt(plugin), tape[..1].to_vec()).await);
    assert_eq!(why, "the tape ends before call 1: clock.sleep (400 ms)");
    assert_eq!(lab.run(Guest::running(OUTPUT)).await, Ok(json!({})));
}
