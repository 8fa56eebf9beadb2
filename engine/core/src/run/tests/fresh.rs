//! Shelf life: nothing that can change something starts on old evidence.

use expect_test::expect;
use serde_json::json;

use super::script::{Stage, call, check, child, condition, each, plan, plugin, template};
use crate::workflow::plan::{Action, Approval, OnFailure, Plan, PluginCall, Silence, Step};

/// A step that only reads, whose output may be acted upon for 10 ms.
fn look(name: &str, needs: &[u16]) -> Step {
    Step { changes_nothing: true, fresh_for_ms: Some(10), ..plugin(name, needs) }
}

fn approval(needs: &[u16], prompt: &str) -> Step {
    let action = Action::Approval(Approval {
        prompt: template(json!(prompt)),
        timeout_ms: 1_000,
        on_timeout: Silence::Reject,
    });
    Step { action, changes_nothing: true, ..plugin("go", needs) }
}

/// assess -> choose -> promote.
fn failover() -> Plan {
    let choose = Step { fresh_for_ms: None, ..look("choose", &[0]) };
    plan(vec![look("assess", &[]), choose, plugin("promote", &[0, 1])])
}

#[test]
fn g5_what_is_too_old_is_gathered_again_in_order_before_a_change_starts() {
    check(
        &failover(),
        "assess starts
         assess ok
         choose starts
         choose ok
         promote waits-for-news
         + 11
         promote starts
         promote waits-for-news
         promote starts
         assess starts
         assess ok
         choose starts
         choose ok
         promote starts
         promote ok
         close",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess ok: assess succeeded; choose is ready; owed: start choose #1
            0   choose starts: choose runs
            0   choose ok: choose succeeded; promote is ready; owed: start promote #1
            0   promote waits-for-news: refused: what it rests on is fresh
            11  promote starts: refused: what it rests on is past its shelf life
            11  promote waits-for-news: assess is ready; choose waits; promote waits; owed: start assess #2
            11  promote starts: refused: what it rests on is gathered again
            11  assess starts: assess runs
            11  assess ok: assess succeeded; choose is ready; owed: start choose #2
            11  choose starts: choose runs
            11  choose ok: choose succeeded; promote is ready; owed: start promote #1
            11  promote starts: promote runs
            11  promote ok: promote succeeded; owed: close
            11  close: the run succeeded with null
        "#]],
    );
}

#[test]
fn g5_what_rests_on_old_evidence_is_as_old_whatever_its_own_start() {
    check(
        &failover(),
        "assess starts
         + 9
         assess ok
         + 9
         choose starts
         choose ok
         promote starts
         promote waits-for-news",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            9   assess ok: assess succeeded; choose is ready; owed: start choose #1
            18  choose starts: choose runs
            18  choose ok: choose succeeded; promote is ready; owed: start promote #1
            18  promote starts: refused: what it rests on is past its shelf life
            18  promote waits-for-news: assess is ready; choose waits; promote waits; owed: start assess #2
        "#]],
    );
}

#[test]
fn the_run_takes_the_other_way_when_a_condition_does_not_hold_any_more() {
    let promote =
        Step { when: Some(condition("steps.assess.verdict == 'dead'")), ..plugin("promote", &[0]) };
    let relax = Step {
        when: Some(condition("steps.assess.verdict == 'healthy'")),
        ..plugin("relax", &[0])
    };
    check(
        &plan(vec![look("assess", &[]), promote, relax]),
        r#"assess starts
         assess gives {"verdict":"dead"}
         + 11
         promote waits-for-news
         assess starts
         assess gives {"verdict":"healthy"}
         relax starts
         relax ok
         close"#,
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess gives {"verdict":"dead"}: assess succeeded; promote is ready; relax is skipped; owed: start promote #1
            11  promote waits-for-news: assess is ready; promote waits; relax waits; owed: start assess #2
            11  assess starts: assess runs
            11  assess gives {"verdict":"healthy"}: assess succeeded; promote is skipped; relax is ready; owed: start relax #1
            11  relax starts: relax runs
            11  relax ok: relax succeeded; owed: close
            11  close: the run succeeded with null
        "#]],
    );
}

#[test]
fn an_approval_stands_while_what_the_approver_saw_has_not_changed() {
    let go = approval(&[0], "promote ${steps.assess.best}?");
    check(
        &plan(vec![look("assess", &[]), go, plugin("promote", &[1])]),
        r#"assess starts
         assess gives {"best":"b","offset":1}
         + 500
         go yes
         promote waits-for-news
         assess starts
         assess gives {"best":"b","offset":2}
         promote starts"#,
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess gives {"best":"b","offset":1}: assess succeeded; go asks Approval { prompt: "promote b?" }; owed: wake go at 1000
            500 go yes: go succeeded; promote is ready; owed: start promote #1
            500 promote waits-for-news: assess is ready; go waits; promote waits; owed: start assess #2
            500 assess starts: assess runs
            500 assess gives {"best":"b","offset":2}: assess succeeded; go succeeded; promote is ready; owed: start promote #1
            500 promote starts: promote runs
        "#]],
    );
}

#[test]
fn an_approval_is_asked_again_when_what_the_approver_saw_has_changed() {
    let go = approval(&[0], "promote ${steps.assess.best}?");
    check(
        &plan(vec![look("assess", &[]), go, plugin("promote", &[1])]),
        r#"assess starts
         assess gives {"best":"b"}
         + 500
         go yes
         promote waits-for-news
         assess starts
         assess gives {"best":"c"}
         promote starts
         go yes
         promote starts"#,
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess gives {"best":"b"}: assess succeeded; go asks Approval { prompt: "promote b?" }; owed: wake go at 1000
            500 go yes: go succeeded; promote is ready; owed: start promote #1
            500 promote waits-for-news: assess is ready; go waits; promote waits; owed: start assess #2
            500 assess starts: assess runs
            500 assess gives {"best":"c"}: assess succeeded; go asks Approval { prompt: "promote c?" }; owed: wake go at 1500
            500 promote starts: refused: what it rests on is gathered again
            500 go yes: go succeeded; promote is ready; owed: start promote #1
            500 promote starts: promote runs
        "#]],
    );
}

#[test]
fn a_wait_that_is_over_is_not_waited_for_again() {
    let rest =
        Step { action: Action::Wait { for_ms: 50 }, changes_nothing: true, ..plugin("rest", &[0]) };
    check(
        &plan(vec![look("assess", &[]), rest, plugin("promote", &[1])]),
        "assess starts
         assess ok
         + 50
         rest wakes
         promote waits-for-news
         assess starts
         assess ok
         promote starts",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess ok: assess succeeded; rest sleeps to 50; owed: wake rest at 50
            50  rest wakes: rest succeeded; promote is ready; owed: start promote #1
            50  promote waits-for-news: assess is ready; rest waits; promote waits; owed: start assess #2
            50  assess starts: assess runs
            50  assess ok: assess succeeded; rest succeeded; promote is ready; owed: start promote #1
            50  promote starts: promote runs
        "#]],
    );
}

#[test]
fn evidence_is_frozen_once_work_that_rests_on_it_has_an_intent() {
    check(
        &failover(),
        "assess starts
         assess ok
         choose starts
         choose ok
         promote starts
         promote intends guarded
         + 500
         crash
         promote waits-for-news
         promote starts",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess ok: assess succeeded; choose is ready; owed: start choose #1
            0   choose starts: choose runs
            0   choose ok: choose succeeded; promote is ready; owed: start promote #1
            0   promote starts: promote runs
            0   promote intends guarded: nothing new
            500 crash: promote is ready; owed: start promote #2
            500 promote waits-for-news: refused: what it rests on is fresh
            500 promote starts: promote runs
        "#]],
    );
}

#[test]
fn an_attempt_that_was_cut_off_before_it_changed_anything_looks_again() {
    check(
        &failover(),
        "assess starts
         assess ok
         choose starts
         choose ok
         promote starts
         + 500
         crash
         promote starts
         promote waits-for-news",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess ok: assess succeeded; choose is ready; owed: start choose #1
            0   choose starts: choose runs
            0   choose ok: choose succeeded; promote is ready; owed: start promote #1
            0   promote starts: promote runs
            500 crash: promote is ready; owed: start promote #2
            500 promote starts: refused: what it rests on is past its shelf life
            500 promote waits-for-news: assess is ready; choose waits; promote waits; owed: start assess #2
        "#]],
    );
}

#[test]
fn what_is_stale_each_time_fails_in_the_end_and_a_person_may_say_again() {
    let promote = Step { on_failure: OnFailure::Ask, ..plugin("promote", &[0]) };
    check(
        &plan(vec![look("assess", &[]), promote]),
        "assess starts
         + 11
         assess ok
         promote waits-for-news
         assess starts
         + 11
         assess ok
         promote waits-for-news
         assess starts
         + 11
         assess ok
         promote waits-for-news
         promote yes
         promote waits-for-news",
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            11  assess ok: assess succeeded; promote is ready; owed: start promote #1
            11  promote waits-for-news: assess is ready; promote waits; owed: start assess #2
            11  assess starts: assess runs
            22  assess ok: assess succeeded; promote is ready; owed: start promote #1
            22  promote waits-for-news: assess is ready; promote waits; owed: start assess #3
            22  assess starts: assess runs
            33  assess ok: assess succeeded; promote is ready; owed: start promote #1
            33  promote waits-for-news: promote asks Failed
            33  promote yes: promote is ready; owed: start promote #1
            33  promote waits-for-news: assess is ready; promote waits; owed: start assess #4
        "#]],
    );
}

#[test]
fn what_stands_beside_and_after_is_left_alone() {
    let note = Step { changes_nothing: true, ..plugin("note", &[0]) };
    let fence = plugin("fence", &[]);
    check(
        &plan(vec![look("assess", &[]), note, fence, plugin("promote", &[0, 2])]),
        "assess starts
         assess ok
         note starts
         note ok
         fence starts
         + 11
         fence ok
         promote waits-for-news",
        &expect![[r#"
            0   begin: assess is ready; fence is ready; owed: start assess #1; owed: start fence #1
            0   assess starts: assess runs
            0   assess ok: assess succeeded; note is ready; owed: start note #1
            0   note starts: note runs
            0   note ok: note succeeded
            0   fence starts: fence runs
            11  fence ok: fence succeeded; promote is ready; owed: start promote #1
            11  promote waits-for-news: assess is ready; promote waits; owed: start assess #2
        "#]],
    );
}

#[test]
fn a_list_is_made_anew_with_the_evidence_and_its_numbers_go_on() {
    let probe = Step {
        for_each: Some(each(json!("${steps.assess.nodes}"), 2)),
        changes_nothing: true,
        action: Action::Plugin(PluginCall { with: template(json!({ "n": "${item}" })), ..call() }),
        ..plugin("probe", &[0])
    };
    check(
        &plan(vec![look("assess", &[]), probe, plugin("promote", &[1])]),
        r#"assess starts
         assess gives {"nodes":["a","b"]}
         probe.0 starts
         probe.0 ok
         probe.1 starts
         probe.1 ok
         + 11
         promote waits-for-news
         assess starts
         assess gives {"nodes":["a","b","c"]}
         probe.0 starts"#,
        &expect![[r#"
            0   begin: assess is ready; owed: start assess #1
            0   assess starts: assess runs
            0   assess gives {"nodes":["a","b"]}: assess succeeded; probe.0 is ready; probe.1 is ready; owed: start probe.0 #1; owed: start probe.1 #1
            0   probe.0 starts: probe.0 runs
            0   probe.0 ok: probe.0 succeeded
            0   probe.1 starts: probe.1 runs
            0   probe.1 ok: probe.1 succeeded; promote is ready; owed: start promote #1
            11  promote waits-for-news: assess is ready; probe.0 waits; promote waits; owed: start assess #2
            11  assess starts: assess runs
            11  assess gives {"nodes":["a","b","c"]}: assess succeeded; probe.0 is ready; probe.1 is ready; owed: start probe.0 #2; owed: start probe.1 #2
            11  probe.0 starts: probe.0 runs
        "#]],
    );
}

#[test]
fn a_child_run_is_told_how_long_its_evidence_holds() {
    let promote = Step { action: child(), ..plugin("promote", &[0]) };
    let plan = plan(vec![look("assess", &[]), promote]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("assess starts\n + 3\n assess ok");
    let promote = plan.find("promote").expect("a step");
    assert_eq!(stage.run().fresh_until(&plan, promote), Some(10), "from the start of the look");
    // It runs and may have acted: what it rests on is frozen.
    stage.tell("promote starts");
    assert_eq!(stage.run().fresh_until(&plan, promote), None);
}
