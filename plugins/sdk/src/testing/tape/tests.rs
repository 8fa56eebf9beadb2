//! What a plugin hears from a tape, and what happens where it leaves it.

use super::*;
use crate::About;
use crate::redis::Command;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Asks for the time and for a count, as often as told.
struct Counter;

#[derive(Deserialize, schemars::JsonSchema)]
struct Input {
    times: u32,
}

impl Plugin for Counter {
    type Input = Input;
    type Output = Vec<i64>;

    fn about() -> About {
        About {
            name: "counter",
            version: "1",
            summary: "Counts.",
            redis_commands: &["INCR"],
            when_interrupted: "replay",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Vec<i64>, Fault> {
        host.now_ms();
        let incr = [Request::new("h:1", vec![Command::line("INCR n")])];
        let count = |host: &mut H| {
            let replies = host.call("c", &incr, 100).ok()?.remove(0).ok()?;
            replies.first()?.int()
        };
        let fault = || Fault::permanent("gone", "nobody answers");
        (0..input.times).map(|_| count(host).ok_or_else(fault)).collect()
    }
}

fn tape(times: u32) -> Tape {
    let incr = [Request::new("h:1", vec![Command::line("INCR n")])];
    let calls = json!([
        { "index": 0, "function": "clock.now", "request": [], "answer": 17,
          "digest": Asking::of("clock.now").digest() },
        { "index": 1, "function": "redis.call", "request": ["h:1> INCR n"],
          "digest": digest::call("c", &incr, 100), "answer": { "ok": [{ "ok": [[8]] }] } },
    ]);
    let context = json!({ "run_id": "r", "workflow": "w", "step": "s", "item": 0,
        "attempt": 2, "done": [{ "attempt": 1, "index": 1, "request": "q", "outcome": null }] });
    let file = json!({ "format": "baton-tape", "version": 1, "context": context,
        "plugin": { "name": "counter", "digest": "" }, "input": { "times": times },
        "calls": calls, "end": { "output": [8] } });
    Tape::read(&file.to_string()).expect("a tape")
}

fn panics(tape: &Tape) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| tape.replay::<Counter>()))
        .expect_err("the plugin leaves its tape");
    panic.downcast_ref::<String>().cloned().expect("it says why")
}

#[test]
fn a_plugin_hears_what_was_recorded() {
    let tape = tape(1);
    assert_eq!(Some(tape.replay::<Counter>()), tape.end());
    assert_eq!(tape.context().done[0].outcome, None);
    assert_eq!((tape.context().attempt, tape.input()), (2, &json!({ "times": 1 })));
}

#[test]
fn a_plugin_that_leaves_its_tape_panics_and_says_where() {
    assert!(panics(&tape(0)).contains("goes on with call 1, redis.call (h:1> INCR n)"));
    assert!(panics(&tape(2)).contains("the tape ends before the plugin's redis.call"));
    let mut other = tape(1);
    other.calls[1].digest = "another".into();
    assert!(panics(&other).contains("the tape says call 1, redis.call (h:1> INCR n); the plugin"));
}

#[test]
fn what_is_no_tape_is_refused_in_words() {
    for text in ["", "{}", r#"{"format":"baton-tape","version":2}"#] {
        assert!(Tape::read(text).is_err(), "{text}");
    }
    assert!(Tape::load("nowhere.json").is_err_and(|bad| bad.0.starts_with("nowhere.json: ")));
}
