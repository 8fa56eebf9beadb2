//! Tries of one place: retries, polls, interruptions, questions.

use expect_test::expect;
use serde_json::json;

use super::script::{Stage, call, check, child, condition, plan, plugin, template, tries};
use crate::limits;
use crate::workflow::plan::{Action, Approval, OnFailure, Poll, Silence, Step, WhenInterrupted};

#[test]
fn a_retry_waits_longer_each_time_and_chance_shortens_it() {
    let plan = plan(vec![Step { retry: tries(4), ..plugin("a", &[]) }]);
    check(
        &plan,
        "a starts
         a flaky
         a wakes
         + 100
         a wakes
         a starts
         a flaky 65535
         + 100
         a wakes
         a starts
         a flaky
         + 300
         a wakes
         a starts
         a flaky
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a flaky: a backs off to 100; owed: wake a at 100
            0   a wakes: refused: BackingOff { until: 100 }
            100 a wakes: a is ready; owed: start a #2
            100 a starts: a runs
            100 a flaky 65535: a backs off to 200; owed: wake a at 200
            200 a wakes: a is ready; owed: start a #3
            200 a starts: a runs
            200 a flaky: a backs off to 500; owed: wake a at 500
            500 a wakes: a is ready; owed: start a #4
            500 a starts: a runs
            500 a flaky: a failed (flaky); owed: close
            500 close: the run failed with null
        "#]],
    );
}

#[test]
fn a_permanent_fault_is_not_tried_again() {
    let plan = plan(vec![Step { retry: tries(3), ..plugin("a", &[]) }]);
    check(
        &plan,
        "a starts\n a broken\n close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a broken: a failed (broken); owed: close
            0   close: the run failed with null
        "#]],
    );
}

fn polling() -> Step {
    let poll = Poll { until: condition("output.done"), every_ms: 20, within_ms: 50 };
    Step { poll: Some(poll), ..plugin("a", &[]) }
}

#[test]
fn a_poll_looks_until_its_condition_holds() {
    check(
        &plan(vec![polling()]),
        "a starts
         a gives {\"done\":false}
         + 20
         a wakes
         a starts
         a ok
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a gives {"done":false}: a backs off to 20; owed: wake a at 20
            20  a wakes: a is ready; owed: start a #2
            20  a starts: a runs
            20  a ok: a succeeded; owed: close
            20  close: the run succeeded with null
        "#]],
    );
}

#[test]
fn a_poll_looks_a_last_time_when_its_window_ends() {
    check(
        &plan(vec![polling()]),
        "a starts
         + 40
         a gives {\"done\":false}
         + 10
         a wakes
         a starts
         a gives {\"done\":false}",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            40  a gives {"done":false}: a backs off to 50; owed: wake a at 50
            50  a wakes: a is ready; owed: start a #2
            50  a starts: a runs
            50  a gives {"done":false}: a failed (not-yet); owed: close
        "#]],
    );
}

#[test]
fn what_a_poll_saw_last_is_told_in_its_fault() {
    let a = Step { on_failure: OnFailure::Continue, ..polling() };
    let seen = condition("faults.a.details.done is false");
    let b = Step { when: Some(seen), ..plugin("b", &[0]) };
    check(
        &plan(vec![a, b]),
        "a starts
         + 50
         a gives {\"done\":false}
         b starts
         b ok
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            50  a gives {"done":false}: a failed (not-yet); b is ready; owed: start b #1
            50  b starts: b runs
            50  b ok: b succeeded; owed: close
            50  close: the run succeeded with null
        "#]],
    );
}

#[test]
fn a_poll_whose_condition_cannot_be_told_fails() {
    check(
        &plan(vec![polling()]),
        "a starts\n a gives {}",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a gives {}: a failed (expression); owed: close
        "#]],
    );
}

#[test]
fn an_interrupted_attempt_runs_again_and_uses_up_no_try() {
    check(
        &plan(vec![plugin("a", &[])]),
        "a starts
         a intends guarded
         crash
         a starts
         a ok",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a intends guarded: nothing new
            0   crash: a is ready; owed: start a #2
            0   a starts: a runs
            0   a ok: a succeeded; owed: close
        "#]],
    );
}

#[test]
fn an_interrupted_attempt_with_an_intent_asks_if_the_step_wants_it() {
    let step = Step { when_interrupted: Some(WhenInterrupted::Ask), ..plugin("a", &[]) };
    check(
        &plan(vec![step]),
        "a starts
         crash
         a starts
         a intends guarded
         crash
         a no
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   crash: a is ready; owed: start a #2
            0   a starts: a runs
            0   a intends guarded: nothing new
            0   crash: a asks Interrupted
            0   a no: a failed (rejected); owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn g4_a_once_call_without_an_outcome_is_never_repeated_by_itself() {
    let plan = plan(vec![Step { retry: tries(3), ..plugin("a", &[]) }]);
    check(
        &plan,
        "a starts
         a intends once
         a intends once
         crash
         a yes
         a starts
         a intends once
         a flaky
         a yes
         a starts
         a intends once
         a learns once
         a learns once
         a flaky",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a intends once: nothing new
            0   a intends once: refused: the call is known already
            0   crash: a asks InDoubt
            0   a yes: a is ready; owed: start a #2
            0   a starts: a runs
            0   a intends once: nothing new
            0   a flaky: a asks InDoubt
            0   a yes: a is ready; owed: start a #3
            0   a starts: a runs
            0   a intends once: nothing new
            0   a learns once: nothing new
            0   a learns once: refused: the call is known already
            0   a flaky: a backs off to 100; owed: wake a at 100
        "#]],
    );
}

#[test]
fn a_place_that_kills_the_engine_is_parked() {
    let plan = plan(vec![plugin("a", &[])]);
    let mut stage = Stage::new(&plan, None);
    for crash in 1..=limits::INTERRUPTIONS_MAX {
        assert_ne!(stage.run().status(), "asking", "before crash {crash}");
        stage.tell("a starts\n crash");
    }
    assert_eq!(stage.run().status(), "asking");
    assert_eq!(stage.run().interruptions(), limits::INTERRUPTIONS_MAX);
    stage.tell("a yes\n a starts\n crash");
    assert_eq!(stage.run().status(), "running", "a yes gives it as many lives again");
}

#[test]
fn a_failure_that_asks_waits_for_a_person() {
    let plan = plan(vec![Step { on_failure: OnFailure::Ask, ..plugin("a", &[]) }]);
    check(
        &plan,
        "a starts
         a broken
         a yes
         a starts
         a broken
         a no
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a broken: a asks Failed
            0   a yes: a is ready; owed: start a #2
            0   a starts: a runs
            0   a broken: a asks Failed
            0   a no: a failed (broken); owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn who_refuses_to_retry_does_not_hide_why_it_failed() {
    let plan = plan(vec![Step { on_failure: OnFailure::Ask, ..plugin("a", &[]) }]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a broken\n a no");
    let fault = stage.run().steps()[0].items()[0].fault().expect("it failed");
    assert_eq!(
        (fault.code.as_str(), fault.message.as_str()),
        ("broken", "it broke; sre said no: I looked")
    );
}

#[test]
fn a_fault_outlives_the_undo_that_it_led_to() {
    let plan = plan(vec![Step { undo: Some(call()), retry: tries(2), ..plugin("a", &[]) }]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a intends guarded\n a broken\n undo a starts\n undo a flaky");
    let fault =
        |stage: &Stage<'_>| stage.run().steps()[0].items()[0].fault().map(|f| f.code.clone());
    assert_eq!(fault(&stage).as_deref(), Some("flaky"), "undo has tries of its own");
    stage.tell("+ 100\n a wakes\n undo a starts\n undo a ok\n close");
    assert_eq!(fault(&stage).as_deref(), Some("broken"));
    assert_eq!(stage.run().steps()[0].status(), "undone");
}

fn approval(on_timeout: Silence) -> Step {
    let prompt = template(json!("Promote in ${params.cluster}?"));
    let action = Action::Approval(Approval { prompt, timeout_ms: 100, on_timeout });
    Step { action, ..plugin("go", &[]) }
}

#[test]
fn an_approval_asks_a_person() {
    let plan = plan(vec![approval(Silence::Reject), plugin("a", &[0])]);
    check(
        &plan,
        "go yes\n a starts",
        &expect![[r#"
            0   begin: go asks Approval { prompt: "Promote in bondx?" }; owed: wake go at 100
            0   go yes: go succeeded; a is ready; owed: start a #1
            0   a starts: a runs
        "#]],
    );
    check(
        &plan,
        "go no\n close",
        &expect![[r#"
            0   begin: go asks Approval { prompt: "Promote in bondx?" }; owed: wake go at 100
            0   go no: go failed (rejected); a is cancelled; owed: close
            0   close: the run failed with null
        "#]],
    );
}

#[test]
fn silence_means_what_the_workflow_says() {
    let script = "+ 99\n go wakes\n + 1\n go wakes";
    check(
        &plan(vec![approval(Silence::Reject)]),
        script,
        &expect![[r#"
            0   begin: go asks Approval { prompt: "Promote in bondx?" }; owed: wake go at 100
            99  go wakes: refused: the question is still open
            100 go wakes: go failed (rejected); owed: close
        "#]],
    );
    check(
        &plan(vec![approval(Silence::Approve)]),
        script,
        &expect![[r#"
            0   begin: go asks Approval { prompt: "Promote in bondx?" }; owed: wake go at 100
            99  go wakes: refused: the question is still open
            100 go wakes: go succeeded; owed: close
        "#]],
    );
}

#[test]
fn a_wait_lets_time_pass() {
    let step = Step { action: Action::Wait { for_ms: 30 }, ..plugin("w", &[]) };
    check(
        &plan(vec![step]),
        "+ 29\n w wakes\n + 1\n w wakes\n close",
        &expect![[r#"
            0   begin: w sleeps to 30; owed: wake w at 30
            29  w wakes: refused: Sleeping { until: 30 }
            30  w wakes: w succeeded; owed: close
            30  close: the run succeeded with null
        "#]],
    );
}

#[test]
fn a_child_that_is_out_of_time_is_stopped_and_counts_as_failed() {
    let plan = plan(vec![Step { action: child(), retry: tries(2), ..plugin("c", &[]) }]);
    check(
        &plan,
        "c starts
         + 1000
         c wakes
         c child cancelled",
        &expect![[r#"
            0   begin: c is ready; owed: start c #1
            0   c starts: c runs; owed: wake c at 1000
            1000 c wakes: c should stop; owed: stop c #1
            1000 c child cancelled: c backs off to 1100; owed: wake c at 1100
        "#]],
    );
}

#[test]
fn g3_a_child_outlives_the_engine() {
    let plan = plan(vec![Step { action: child(), ..plugin("c", &[]) }]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("c starts");
    assert_eq!(stage.run().running().len(), 1);
    assert!(stage.run().cut_off(&plan).is_empty(), "its run goes on by itself");
    stage.tell("c child succeeded\n close");
    assert_eq!(stage.run().status(), "succeeded");
}

#[test]
fn a_child_that_a_person_cancelled_is_not_begun_again() {
    let plan = plan(vec![Step { action: child(), retry: tries(3), ..plugin("c", &[]) }]);
    check(
        &plan,
        "c starts\n c child cancelled",
        &expect![[r#"
            0   begin: c is ready; owed: start c #1
            0   c starts: c runs; owed: wake c at 1000
            0   c child cancelled: c failed (cancelled); owed: close
        "#]],
    );
    check(
        &plan,
        "c starts\n c child failed",
        &expect![[r#"
            0   begin: c is ready; owed: start c #1
            0   c starts: c runs; owed: wake c at 1000
            0   c child failed: c backs off to 100; owed: wake c at 100
        "#]],
    );
}
