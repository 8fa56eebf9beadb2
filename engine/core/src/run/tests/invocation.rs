//! What an attempt is told to do.

use std::sync::Arc;

use serde_json::json;

use super::script::{Stage, call, child, each, plan, plugin, template};
use crate::id::{AttemptId, Place, Side, StepId};
use crate::run::event::{Event, Outcome};
use crate::run::{Invocation, RULES_VERSION, Run, step};
use crate::workflow::plan::{Action, Child, Grants, Plan, PluginCall, RedisGrant, Step};

fn attempt(step: u16, item: u32, number: u32) -> AttemptId {
    AttemptId { place: Place { step: StepId(step), item }, side: Side::Do, number }
}

fn grant(cluster: &str) -> RedisGrant {
    let list = |text: &str| vec![text.to_owned()];
    RedisGrant {
        cluster: cluster.to_owned(),
        nodes: list("data"),
        commands: list("@read"),
        keys: list("book:*"),
    }
}

fn input(plan: &Plan, run: &Run, attempt: AttemptId) -> crate::Json {
    match run.invocation(plan, attempt).expect("it can be filled") {
        Invocation::Plugin { input, .. } => input,
        other @ (Invocation::Child { .. } | Invocation::Detached { .. } | Invocation::Report) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn params_fill_the_input_and_the_cluster_of_a_grant() {
    let with = template(json!({ "cluster": "${params.cluster}", "force": "${params.force}" }));
    let grants =
        Grants { redis: vec![grant("${params.cluster}"), grant("other")], ..Grants::default() };
    let action = Action::Plugin(PluginCall { with, grants, ..call() });
    let plan = plan(vec![Step { action, ..plugin("a", &[]) }]);
    let stage = Stage::new(&plan, None);
    let invocation = stage.run().invocation(&plan, attempt(0, 0, 1)).expect("it can be filled");
    let Invocation::Plugin { name, input, grants, timeout_ms, done, .. } = invocation else {
        panic!("{invocation:?}")
    };
    assert_eq!((name.as_str(), timeout_ms, done), ("p", 1_000, vec![]));
    assert_eq!(
        input,
        json!({ "cluster": "bondx", "force": false }),
        "one single ${{…}} keeps its type"
    );
    assert_eq!(grants.redis, [grant("bondx"), grant("other")]);
}

#[test]
fn a_grant_is_filled_with_text_only() {
    let grants = Grants { redis: vec![grant("${params.force}")], ..Grants::default() };
    let action = Action::Plugin(PluginCall { grants, ..call() });
    let plan = plan(vec![Step { action, ..plugin("a", &[]) }]);
    let stage = Stage::new(&plan, None);
    let fault =
        stage.run().invocation(&plan, attempt(0, 0, 1)).expect_err("a boolean names no cluster");
    assert_eq!(fault.code, "expression");
    assert!(fault.message.contains("`force` is not text"), "{}", fault.message);
}

#[test]
fn an_item_sees_itself_and_what_came_before() {
    let with = template(json!({ "n": "${item}", "i": "${index}", "a": "${steps.a.done}" }));
    let action = Action::Plugin(PluginCall { with, ..call() });
    let fan = Step { action, for_each: Some(each(json!(["x", "y"]), 2)), ..plugin("b", &[0]) };
    let plan = plan(vec![plugin("a", &[]), fan]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a ok");
    assert_eq!(input(&plan, stage.run(), attempt(1, 1, 1)), json!({ "n": "y", "i": 1, "a": true }));
}

#[test]
fn a_later_attempt_is_told_what_was_done() {
    let plan = plan(vec![Step { undo: Some(call()), ..plugin("a", &[]) }]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a intends guarded\n crash\n a starts");
    let done = |attempt| match stage.run().invocation(&plan, attempt) {
        Ok(Invocation::Plugin { done, .. }) => done,
        other => panic!("{other:?}"),
    };
    assert!(done(attempt(0, 0, 1)).is_empty(), "the first has nothing before it");
    let told = done(attempt(0, 0, 2));
    assert_eq!((told.len(), told[0].attempt, told[0].call.outcome.as_ref()), (1, 1, None));
    let undo = AttemptId { side: Side::Undo, ..attempt(0, 0, 1) };
    assert!(done(undo).is_empty(), "undo is told of undo only");
}

#[test]
fn a_template_that_cannot_be_filled_is_a_fault() {
    let with = template(json!({ "x": "${steps.a.nope}" }));
    let action = Action::Plugin(PluginCall { with, ..call() });
    let plan = plan(vec![plugin("a", &[]), Step { action, ..plugin("b", &[0]) }]);
    let mut stage = Stage::new(&plan, None);
    stage.tell("a starts\n a ok");
    let fault = stage.run().invocation(&plan, attempt(1, 0, 1)).expect_err("undefined");
    assert!(fault.message.starts_with("with: "), "{}", fault.message);
}

#[test]
fn a_run_that_is_let_go_is_begun_and_nobody_waits_for_it() {
    let Action::Workflow(inner) = child() else { panic!("a child") };
    let action = Action::Workflow(Child { detached: true, ..inner });
    let plan = plan(vec![Step { action, ..plugin("c", &[]) }]);
    let mut stage = Stage::new(&plan, None);
    let id = attempt(0, 0, 1);
    let invocation = stage.run().invocation(&plan, id);
    assert!(matches!(invocation, Ok(Invocation::Detached { .. })), "{invocation:?}");
    stage.tell("c starts");
    let end = |outcome| Event::ChildClosed {
        at: 1_000,
        attempt: id,
        outcome,
        output: Arc::default(),
        assessed_at: None,
        acted: false,
    };
    assert!(step(&plan, Some(stage.run()), &end(Outcome::Succeeded)).is_err());
    stage.tell("c ok");
    assert_eq!(stage.run().step(StepId(0)).status(), "succeeded");
}

#[test]
fn a_child_gets_its_plan_and_its_params() {
    let Action::Workflow(Child { plan: inner, .. }) = child() else { panic!("a child") };
    let with = template(json!({ "cluster": "${params.cluster}" }));
    let action = Action::Workflow(Child { plan: Arc::clone(&inner), with, detached: false });
    let plan = plan(vec![Step { action, ..plugin("c", &[]) }]);
    let stage = Stage::new(&plan, None);
    assert_eq!(stage.run().begun().rules, RULES_VERSION);
    match stage.run().invocation(&plan, attempt(0, 0, 1)) {
        Ok(Invocation::Child { plan, params, .. }) => {
            assert!(Arc::ptr_eq(&plan, &inner));
            assert_eq!(params, json!({ "cluster": "bondx" }));
        }
        other => panic!("{other:?}"),
    }
}
