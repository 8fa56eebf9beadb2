//! Steps of a plan: needs, conditions, `for_each`, undo, pivots, `always`.

use expect_test::expect;
use serde_json::json;

use super::script::{Stage, call, check, condition, each, plan, plugin, tries};
use crate::id::StepId;
use crate::run::SkipReason;
use crate::workflow::plan::{OnFailure, Step};

#[test]
fn items_run_as_many_at_a_time_as_the_plan_says() {
    let fan = Step { for_each: Some(each(json!(["x", "y", "z"]), 2)), ..plugin("a", &[]) };
    check(
        &plan(vec![fan, plugin("b", &[0])]),
        "a.0 starts
         a.1 starts
         a.1 ok
         a.2 starts
         a.2 ok
         a.0 ok",
        &expect![[r#"
            0   begin: a.0 is ready; a.1 is ready; owed: start a.0 #1; owed: start a.1 #1
            0   a.0 starts: a.0 runs
            0   a.1 starts: a.1 runs
            0   a.1 ok: a.1 succeeded; a.2 is ready; owed: start a.2 #1
            0   a.2 starts: a.2 runs
            0   a.2 ok: a.2 succeeded
            0   a.0 ok: a.0 succeeded; b is ready; owed: start b #1
        "#]],
    );
}

#[test]
fn a_failed_item_ends_the_items_that_wait() {
    let fan = Step { for_each: Some(each(json!(["x", "y"]), 1)), ..plugin("a", &[]) };
    check(
        &plan(vec![fan]),
        "a.0 starts\n a.0 broken\n close",
        &expect![[r#"
            0   begin: a.0 is ready; owed: start a.0 #1
            0   a.0 starts: a.0 runs
            0   a.0 broken: a.0 failed (broken); a.1 is cancelled; owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn an_empty_list_is_done_at_once() {
    let fan = Step { for_each: Some(each(json!([]), 1)), ..plugin("a", &[]) };
    let after = Step { for_each: Some(each(json!("${steps.a}"), 1)), ..plugin("b", &[0]) };
    check(
        &plan(vec![fan, after]),
        "close",
        &expect![[r#"
            0   begin: owed: close
            0   close: the run succeeded with null
        "#]],
    );
}

#[test]
fn what_is_no_list_fails_the_step() {
    let fan = Step { for_each: Some(each(json!("${params.cluster}"), 1)), ..plugin("a", &[]) };
    check(
        &plan(vec![fan]),
        "close",
        &expect![[r#"
            0   begin: a.0 failed (for-each); owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn a_skipped_step_skips_what_needs_it() {
    let never = Step { when: Some(condition("params.force")), ..plugin("a", &[]) };
    let steps = vec![never, plugin("b", &[0]), Step { always: true, ..plugin("c", &[1]) }];
    let plan = plan(steps);
    let mut stage = Stage::new(&plan, None);
    stage.tell("c starts\n c ok\n close");
    expect![[r#"
        0   begin: a is skipped; b is skipped; c is ready; owed: start c #1
        0   c starts: c runs
        0   c ok: c succeeded; owed: close
        0   close: the run succeeded with null
    "#]]
    .assert_eq(stage.transcript());
    assert_eq!(stage.run().steps()[0].skipped(), Some(SkipReason::Condition));
    assert_eq!(stage.run().steps()[1].skipped(), Some(SkipReason::Need(StepId(0))));
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_its_step() {
    let odd = Step { when: Some(condition("steps.a.verdict")), ..plugin("b", &[0]) };
    check(
        &plan(vec![plugin("a", &[]), odd]),
        "a starts\n a ok",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a ok: a succeeded; b failed (expression); owed: close
        "#]],
    );
}

#[test]
fn an_always_step_waits_even_if_the_run_fails_while_its_gate_opens() {
    let odd = Step { when: Some(condition("steps.a.verdict")), ..plugin("b", &[0]) };
    let a = Step { undo: Some(call()), ..plugin("a", &[]) };
    let report = Step { always: true, ..plugin("report", &[0]) };
    check(
        &plan(vec![a, report, Step { needs: vec![StepId(0)], ..odd }]),
        "a starts
         a ok
         undo a starts
         undo a ok",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a ok: a succeeded; undo a is ready; b failed (expression); owed: start undo a #1
            0   undo a starts: undo a runs
            0   undo a ok: undo a succeeded; report is ready; owed: start report #1
        "#]],
    );
}

#[test]
fn a_tolerated_failure_does_not_stop_the_run() {
    let a = Step { on_failure: OnFailure::Continue, ..plugin("a", &[]) };
    let b = Step { when: Some(condition("faults.a.code == 'broken'")), ..plugin("b", &[0]) };
    check(
        &plan(vec![a, b]),
        "a starts\n a broken\n b starts\n b ok\n close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a broken: a failed (broken); b is ready; owed: start b #1
            0   b starts: b runs
            0   b ok: b succeeded; owed: close
            0   close: the run succeeded with null
        "#]],
    );
}

#[test]
fn a_failure_lets_running_steps_finish_and_starts_nothing_new() {
    let b = Step { retry: tries(3), ..plugin("b", &[]) };
    let steps = vec![plugin("a", &[]), b, plugin("c", &[1])];
    check(
        &plan(steps),
        "a starts
         b starts
         a broken
         b flaky
         close",
        &expect![[r#"
            0   begin: a is ready; b is ready; owed: start a #1; owed: start b #1
            0   a starts: a runs
            0   b starts: b runs
            0   a broken: a failed (broken); c is cancelled
            0   b flaky: b failed (flaky); owed: close
            0   close: the run failed with null
        "#]],
    );
}

/// Three steps in a row that can be taken back, and one that fails.
fn chain() -> Vec<Step> {
    let undoable = |name, needs: &[u16]| Step { undo: Some(call()), ..plugin(name, needs) };
    vec![undoable("a", &[]), undoable("b", &[0]), undoable("c", &[1]), plugin("last", &[2])]
}

const CHAIN: &str = "a starts\n a ok\n b starts\n b intends guarded\n b learns guarded\n b ok
    c starts\n c ok\n last starts\n last broken";

#[test]
fn undo_runs_backwards_and_then_what_is_always_done() {
    let mut steps = chain();
    let always = Step { always: true, undo: Some(call()), ..plugin("report", &[3]) };
    steps.push(Step { when: Some(condition("status.a == 'undone'")), ..always });
    let plan = plan(steps);
    let mut stage = Stage::new(&plan, None);
    stage.tell(CHAIN);
    stage.tell(
        "undo c starts
         undo c broken
         undo b starts
         undo b ok
         undo a starts
         undo a ok
         report starts
         report ok
         close",
    );
    expect![[r#"
        0   begin: a is ready; owed: start a #1
        0   a starts: a runs
        0   a ok: a succeeded; b is ready; owed: start b #1
        0   b starts: b runs
        0   b intends guarded: nothing new
        0   b learns guarded: nothing new
        0   b ok: b succeeded; c is ready; owed: start c #1
        0   c starts: c runs
        0   c ok: c succeeded; last is ready; owed: start last #1
        0   last starts: last runs
        0   last broken: undo c is ready; last failed (broken); owed: start undo c #1
        0   undo c starts: undo c runs
        0   undo c broken: undo b is ready; undo c failed (broken); owed: start undo b #1
        0   undo b starts: undo b runs
        0   undo b ok: undo a is ready; undo b succeeded; owed: start undo a #1
        0   undo a starts: undo a runs
        0   undo a ok: undo a succeeded; report is ready; owed: start report #1
        0   report starts: report runs
        0   report ok: report succeeded; owed: close
        0   close: the run failed with null
    "#]]
    .assert_eq(stage.transcript());
}

#[test]
fn nothing_behind_a_passed_pivot_is_taken_back() {
    let mut steps = chain();
    steps[1].pivot = true;
    let plan = plan(steps);
    let mut stage = Stage::new(&plan, None);
    stage.tell(CHAIN);
    stage.tell("undo c starts\n undo c ok\n close");
    expect![[r#"
        0   begin: a is ready; owed: start a #1
        0   a starts: a runs
        0   a ok: a succeeded; b is ready; owed: start b #1
        0   b starts: b runs
        0   b intends guarded: nothing new
        0   b learns guarded: nothing new
        0   b ok: b succeeded; c is ready; owed: start c #1
        0   c starts: c runs
        0   c ok: c succeeded; last is ready; owed: start last #1
        0   last starts: last runs
        0   last broken: undo c is ready; last failed (broken); owed: start undo c #1
        0   undo c starts: undo c runs
        0   undo c ok: undo c succeeded; owed: close
        0   close: the run failed with null
    "#]]
    .assert_eq(stage.transcript());
}

#[test]
fn a_pivot_with_an_intent_goes_forward_though_another_step_failed() {
    let pivot = Step { pivot: true, retry: tries(2), ..plugin("promote", &[]) };
    check(
        &plan(vec![pivot, plugin("b", &[])]),
        "promote starts
         promote intends guarded
         b starts
         b broken
         promote flaky
         + 100
         promote wakes
         promote starts
         promote ok
         close",
        &expect![[r#"
            0   begin: promote is ready; b is ready; owed: start promote #1; owed: start b #1
            0   promote starts: promote runs
            0   promote intends guarded: nothing new
            0   b starts: b runs
            0   b broken: b failed (broken)
            0   promote flaky: promote backs off to 100; owed: wake promote at 100
            100 promote wakes: promote is ready; owed: start promote #2
            100 promote starts: promote runs
            100 promote ok: promote succeeded; owed: close
            100 close: the run failed with null
        "#]],
    );
}

#[test]
fn a_pivot_without_an_intent_stops_with_the_run() {
    let pivot = Step { pivot: true, undo: Some(call()), ..plugin("promote", &[]) };
    check(
        &plan(vec![pivot, plugin("b", &[])]),
        "promote starts
         b starts
         b broken
         crash
         close",
        &expect![[r#"
            0   begin: promote is ready; b is ready; owed: start promote #1; owed: start b #1
            0   promote starts: promote runs
            0   b starts: b runs
            0   b broken: b failed (broken)
            0   crash: promote is cancelled; owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn a_failed_step_with_intents_is_itself_taken_back() {
    let a = Step { undo: Some(call()), ..plugin("a", &[]) };
    check(
        &plan(vec![a]),
        "a starts
         a intends once
         a broken
         undo a starts
         undo a ok
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a intends once: nothing new
            0   a broken: a failed (broken); undo a is ready; owed: start undo a #1
            0   undo a starts: undo a runs
            0   undo a ok: undo a succeeded; owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn items_are_taken_back_last_first_and_no_more_at_a_time() {
    let fan =
        Step { for_each: Some(each(json!([1, 2, 3]), 1)), undo: Some(call()), ..plugin("a", &[]) };
    let plan = plan(vec![fan, plugin("b", &[0])]);
    let mut stage = Stage::new(&plan, None);
    for item in 0..3 {
        stage.tell(&format!("a.{item} starts\n a.{item} ok"));
    }
    stage.tell("b starts\n b broken");
    for item in (0..3).rev() {
        stage.tell(&format!("undo a.{item} starts\n undo a.{item} ok"));
    }
    stage.tell("close");
    expect![[r#"
        0   begin: a.0 is ready; owed: start a.0 #1
        0   a.0 starts: a.0 runs
        0   a.0 ok: a.0 succeeded; a.1 is ready; owed: start a.1 #1
        0   a.1 starts: a.1 runs
        0   a.1 ok: a.1 succeeded; a.2 is ready; owed: start a.2 #1
        0   a.2 starts: a.2 runs
        0   a.2 ok: a.2 succeeded; b is ready; owed: start b #1
        0   b starts: b runs
        0   b broken: undo a.2 is ready; b failed (broken); owed: start undo a.2 #1
        0   undo a.2 starts: undo a.2 runs
        0   undo a.2 ok: undo a.1 is ready; undo a.2 succeeded; owed: start undo a.1 #1
        0   undo a.1 starts: undo a.1 runs
        0   undo a.1 ok: undo a.0 is ready; undo a.1 succeeded; owed: start undo a.0 #1
        0   undo a.0 starts: undo a.0 runs
        0   undo a.0 ok: undo a.0 succeeded; owed: close
        0   close: the run failed with null
    "#]]
    .assert_eq(stage.transcript());
}
