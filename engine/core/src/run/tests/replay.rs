//! Attempts that were cut off and go on from their tapes.

use expect_test::expect;

use super::script::{Stage, check, plan, plugin, tries};
use crate::id::{AttemptId, Place, Side, StepId};
use crate::run::{Invocation, Taping};
use crate::workflow::plan::{Plan, Step, WhenInterrupted};

fn ledger() -> Plan {
    plan(vec![Step {
        when_interrupted: Some(WhenInterrupted::Replay),
        retry: tries(3),
        replay_within_ms: 100,
        ..plugin("a", &[])
    }])
}

#[test]
fn an_attempt_with_a_tape_goes_on_under_its_own_number() {
    check(
        &ledger(),
        "a starts
         a hears
         a intends once
         crash
         a starts
         a hears
         a ok
         close",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   a intends once: nothing new
            0   crash: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   a ok: a succeeded; owed: close
            0   close: the run succeeded with null
        "#]],
    );
}

#[test]
fn without_a_change_it_looks_anew() {
    check(
        &ledger(),
        "a starts
         a hears
         crash
         a starts",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   crash: a is ready; owed: start a #2
            0   a starts: a runs
        "#]],
    );
}

#[test]
fn an_old_tape_or_one_of_another_host_is_not_played() {
    check(
        &ledger(),
        "a starts
         a hears
         a intends guarded
         + 101
         crash
         a starts
         a hears
         a intends guarded
         crash upgraded
         a starts
         a hears
         a intends once
         + 101
         crash",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   a intends guarded: nothing new
            101 crash: a is ready; owed: start a #2
            101 a starts: a runs
            101 a hears: nothing new
            101 a intends guarded: nothing new
            101 crash upgraded: a is ready; owed: start a #3
            101 a starts: a runs
            101 a hears: nothing new
            101 a intends once: nothing new
            202 crash: a asks InDoubt
        "#]],
    );
}

#[test]
fn the_tape_is_as_old_as_what_was_last_known_of_it() {
    check(
        &ledger(),
        "a starts
         + 90
         a hears
         a intends guarded
         + 90
         a learns guarded
         + 90
         crash
         + 90
         a starts
         + 90
         crash",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            90  a hears: nothing new
            90  a intends guarded: nothing new
            180 a learns guarded: nothing new
            270 crash: a is ready; owed: start a #1
            360 a starts: a runs
            450 crash: a is ready; owed: start a #2
        "#]],
    );
}

#[test]
fn what_left_its_tape_runs_again_only_where_that_does_no_harm() {
    check(
        &ledger(),
        "a starts
         a hears
         a intends guarded
         a diverges
         crash
         a starts
         a diverges
         a starts
         a hears
         a intends once
         crash
         a starts
         a diverges
         a yes
         a starts",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   a intends guarded: nothing new
            0   a diverges: refused: Running { number: 1, since: 0, stopping: false }
            0   crash: a is ready; owed: start a #1
            0   a starts: a runs
            0   a diverges: a is ready; owed: start a #2
            0   a starts: a runs
            0   a hears: nothing new
            0   a intends once: nothing new
            0   crash: a is ready; owed: start a #2
            0   a starts: a runs
            0   a diverges: a asks Diverged
            0   a yes: a is ready; owed: start a #3
            0   a starts: a runs
        "#]],
    );
}

#[test]
fn a_replayed_attempt_that_gives_up_in_doubt_asks() {
    check(
        &ledger(),
        "a starts
         a hears
         a intends once
         crash
         a starts
         a flaky",
        &expect![[r#"
            0   begin: a is ready; owed: start a #1
            0   a starts: a runs
            0   a hears: nothing new
            0   a intends once: nothing new
            0   crash: a is ready; owed: start a #1
            0   a starts: a runs
            0   a flaky: a asks InDoubt
        "#]],
    );
}

#[test]
fn it_is_given_what_it_had_been_given_and_what_it_had_heard() {
    let plan = ledger();
    let mut stage = Stage::new(&plan, None);
    let attempt =
        |number| AttemptId { place: Place { step: StepId(0), item: 0 }, side: Side::Do, number };
    let invoked = |stage: &Stage<'_>, number| match stage
        .run()
        .invocation(&plan, attempt(number))
        .expect("it can be filled")
    {
        Invocation::Plugin { input, taping, done, .. } => (input, taping, done),
        other @ (Invocation::Child { .. } | Invocation::Detached { .. } | Invocation::Report) => {
            panic!("{other:?}")
        }
    };
    assert!(matches!(invoked(&stage, 1).1, Taping::Record));
    stage.tell("a starts\n a hears\n a intends once\n crash");
    let (input, taping, done) = invoked(&stage, 1);
    assert_eq!(input, serde_json::json!({ "n": 1 }), "as its tape says");
    assert_eq!(done, [], "its own calls are no earlier attempt's");
    let Taping::Replay(replay) = taping else { panic!("{taping:?}") };
    assert_eq!((replay.entries.len(), replay.calls.len()), (1, 1));
    stage.tell("a starts");
    assert!(matches!(invoked(&stage, 1).1, Taping::Replay(_)), "also once it has started");
}

#[test]
fn what_only_reads_keeps_no_tape_unless_it_is_told_to() {
    let quiet = Step { changes_nothing: true, ..plugin("a", &[]) };
    let told = Step { record: true, name: "b".to_owned(), ..quiet.clone() };
    let rerun = Step { when_interrupted: Some(WhenInterrupted::Rerun), ..plugin("c", &[]) };
    let replay = Step { when_interrupted: Some(WhenInterrupted::Replay), ..plugin("d", &[]) };
    let plan = plan(vec![quiet, told, rerun, replay]);
    let stage = Stage::new(&plan, None);
    let taping = |step| {
        let place = Place { step: StepId(step), item: 0 };
        let attempt = AttemptId { place, side: Side::Do, number: 1 };
        match stage.run().invocation(&plan, attempt).expect("it can be filled") {
            Invocation::Plugin { taping, .. } => taping,
            other @ (Invocation::Child { .. }
            | Invocation::Detached { .. }
            | Invocation::Report) => {
                panic!("{other:?}")
            }
        }
    };
    assert!(matches!(taping(0), Taping::Off));
    assert!(matches!(taping(1), Taping::Note));
    assert!(matches!(taping(2), Taping::Note), "no attempt goes on from it");
    assert!(matches!(taping(3), Taping::Record));
}
