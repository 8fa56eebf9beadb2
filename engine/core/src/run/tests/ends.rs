//! How a run waits, joins, ends, and what it gives.

use expect_test::expect;
use serde_json::json;

use super::script::{Stage, call, check, child, plan, plugin, template, tries};
use crate::limits;
use crate::run::event::Cause;
use crate::run::{Ending, Phase};
use crate::workflow::plan::{Plan, Step};

#[test]
fn a_cancel_ends_what_runs_takes_back_what_was_done_and_then_reports() {
    let steps = vec![
        Step { undo: Some(call()), ..plugin("a", &[]) },
        plugin("b", &[0]),
        Step { action: child(), ..plugin("c", &[0]) },
        Step { retry: tries(2), ..plugin("d", &[0]) },
        Step { always: true, ..plugin("report", &[1]) },
    ];
    check(
        &plan(steps),
        "a starts
         a ok
         b starts
         c starts
         d starts
         d flaky
         cancel
         cancel
         b broken
         c child cancelled
         undo a starts
         undo a ok
         report starts
         report ok
         cancel
         close
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a ok: a succeeded; b is ready; c is ready; d is ready; owed: start b #1; owed: start c #1; owed: start d #1
            0   b starts: b runs
            0   c starts: c runs; owed: wake c at 1000
            0   d starts: d runs
            0   d flaky: d backs off to 100; owed: wake d at 100
            0   cancel: b should stop; c should stop; d is cancelled; owed: stop b #1; owed: stop c #1
            0   cancel: refused: the run is being cancelled already
            0   b broken: b is cancelled
            0   c child cancelled: undo a is ready; c is cancelled; owed: start undo a #1
            0   undo a starts: undo a runs
            0   undo a ok: undo a succeeded; report is ready; owed: start report #1
            0   report starts: report runs
            0   report ok: report succeeded; owed: close
            0   cancel: refused: the run is being cancelled already
            0   close: the run cancelled with null
            0   close: refused: the run is cancelled
        "#]],
    );
}

#[test]
fn the_time_limit_ends_a_run() {
    let plan = Plan { timeout_ms: Some(500), ..plan(vec![plugin("a", &[])]) };
    check(
        &plan,
        "a starts
         + 500
         timeout
         a broken
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1; owed: time out at 500
            0   a starts: a runs
            500 timeout: a should stop; owed: stop a #1
            500 a broken: a is cancelled; owed: close
            500 close: the run timed-out with null
        "#]],
    );
}

#[test]
fn the_first_cause_of_an_end_stays() {
    let plan = plan(vec![plugin("a", &[]), plugin("b", &[])]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n b starts\n a broken\n timeout");
    expect![[r#"
        0   begin: a is ready; b is ready; owed: start a #1; owed: start b #1
        0   a starts: a runs
        0   b starts: b runs
        0   a broken: a failed (broken)
        0   timeout: b should stop; owed: stop b #1
    "#]]
    .assert_eq(stage.transcript());
    stage.tell("b broken\n close");
    assert_eq!(stage.run().status(), "failed", "running out of time while ending hides no failure");
}

#[test]
fn a_queued_run_starts_nothing_until_it_is_admitted() {
    let plan = Plan { timeout_ms: Some(500), ..plan(vec![plugin("a", &[])]) };
    let mut stage = Stage::new(&plan, Some(50));
    stage.tell(
        "a starts
         + 49
         admit
         + 1
         admit
         admit
         a starts",
    );
    expect![[r#"
        0   begin: owed: admit from 50
        0   a starts: refused: the run is queued
        49  admit: refused: the run does not wait, or not until now
        50  admit: a is ready; owed: start a #1; owed: time out at 550
        50  admit: refused: the run does not wait, or not until now
        50  a starts: a runs
    "#]]
    .assert_eq(stage.transcript());
}

#[test]
fn a_queued_run_that_is_cancelled_does_not_even_report() {
    let plan = plan(vec![plugin("a", &[]), Step { always: true, ..plugin("report", &[]) }]);
    let mut stage = Stage::new(&plan, Some(50));
    stage.tell("cancel\n admit\n close");
    expect![[r#"
        0   begin: owed: admit from 50
        0   cancel: a is cancelled; report is cancelled; owed: close
        0   admit: refused: the run does not wait, or not until now
        0   close: the run cancelled with null
    "#]]
    .assert_eq(stage.transcript());
    let who = Cause::Person { who: "sre".to_owned(), reason: "enough".to_owned() };
    assert_eq!(stage.run().ending(), Some(&Ending::Cancelled(who)));
}

#[test]
fn triggers_that_join_are_kept_and_change_nothing() {
    let plan = plan(vec![plugin("a", &[])]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n join first");
    expect![[r#"
        0   begin: a is ready; owed: start a #1
        0   a starts: a runs
        0   join first: nothing new
    "#]]
    .assert_eq(stage.transcript());
    for _ in 0..limits::JOINED_MAX {
        stage.tell("+ 1\n join again");
    }
    let joined = stage.run().joined();
    assert_eq!((joined.len(), joined[0].trigger.source.as_str()), (limits::JOINED_MAX, "first"));
    assert_eq!(
        joined.last().map(|last| last.at),
        Some(limits::JOINED_MAX as u64),
        "the newest counts"
    );
}

#[test]
fn a_run_gives_what_its_workflow_declares() {
    let output = Some(template(json!({ "verdict": "${steps.a.done}" })));
    let plan = Plan { output, ..plan(vec![plugin("a", &[])]) };
    check(
        &plan,
        "a starts\n a ok\n close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a ok: a succeeded; owed: close
            0   close: the run succeeded with {"verdict":true}
        "#]],
    );
}

#[test]
fn a_run_that_cannot_say_what_it_declares_failed() {
    let output = Some(template(json!({ "verdict": "${steps.a.verdict}" })));
    let plan = Plan { output, ..plan(vec![plugin("a", &[])]) };
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a ok\n close");
    let Phase::Closed { output, .. } = stage.run().phase() else { panic!("it closed") };
    assert!(output["error"].as_str().is_some_and(|error| error.contains("verdict")), "{output}");
    assert_eq!(stage.run().status(), "failed");
}

#[test]
fn only_work_assesses_not_its_undo() {
    let a = Step { assesses: true, undo: Some(call()), ..plugin("a", &[]) };
    let plan = plan(vec![a, plugin("b", &[0])]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("+ 7\n a starts\n a ok\n + 7\n b starts\n b broken\n undo a starts");
    assert_eq!(stage.run().assessed_at(), Some(7));
}

#[test]
fn a_fact_of_a_place_that_does_not_exist_is_refused() {
    use crate::id::{AttemptId, Place, Side, StepId};
    use crate::run::{apply, event::Event};
    let plan = plan(vec![plugin("a", &[])]);
    let stage = Stage::new(&plan, None);
    for (step, item) in [(9, 0), (0, 9)] {
        let place = Place { step: StepId(step), item };
        let attempt = AttemptId { place, side: Side::Do, number: 1 };
        for event in
            [Event::Interrupted { at: 0, attempt, plays: 0 }, Event::Started { at: 0, attempt }]
        {
            let illegal = apply(&plan, Some(stage.run()), &event).expect_err("no such place");
            assert_eq!(illegal.state, "there is no such place");
        }
    }
}
