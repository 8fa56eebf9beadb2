//! Random plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::graph::DiGraph;
use serde_json::json;

use super::Rng;
use crate::expression::{Condition, Template};
use crate::id::{Digest, StepId};
use crate::workflow::plan::{
    Action, Approval, Child, ForEach, Grants, OnFailure, Plan, PluginCall, Poll, Retry, Silence,
    Step, WhenInterrupted,
};

/// A plan of 1 to 7 steps with every feature now and then.
pub(in crate::run) fn random(rng: &mut Rng) -> Plan {
    let count = 1 + rng.below(7);
    let timeout = rng.one_in(4).then(|| 50 + rng.below(400));
    let steps = (0..count).map(|index| step(rng, index)).collect();
    let mut plan = plan("root", steps, timeout);
    // Only a success of the first step gives it.
    plan.output = rng.one_in(4).then(|| template(json!({ "first": "${steps.s0}" })));
    plan
}

fn plan(name: &str, steps: Vec<Step>, timeout_ms: Option<u64>) -> Plan {
    Plan {
        name: name.to_owned(),
        summary: String::new(),
        source: "".into(),
        digest: Digest::of(b""),
        params: BTreeMap::new(),
        triggers: Vec::new(),
        steps,
        graph: DiGraph::new(),
        concurrency: None,
        cooldown_ms: None,
        timeout_ms,
        output: None,
    }
}

fn call() -> PluginCall {
    PluginCall { plugin: "p".to_owned(), with: template(json!({})), grants: Grants::default() }
}

fn template(value: serde_json::Value) -> Template {
    Template::parse(value).expect("a literal")
}

fn condition(text: &str) -> Condition {
    Condition::parse(text).expect("a condition")
}

fn step(rng: &mut Rng, index: u64) -> Step {
    let needs: Vec<StepId> = (0..index)
        .filter(|_| rng.one_in(3))
        .map(|n| StepId(u16::try_from(n).expect("few")))
        .collect();
    let action = match rng.below(14) {
        0 => Action::Wait { for_ms: rng.below(40) },
        1 => Action::Approval(Approval {
            prompt: template(json!("go?")),
            timeout_ms: 20 + rng.below(100),
            on_timeout: if rng.one_in(2) { Silence::Approve } else { Silence::Reject },
        }),
        2 => Action::Report,
        3 => Action::Workflow(Child {
            plan: Arc::new(plan("child", Vec::new(), None)),
            with: template(json!({})),
            detached: rng.one_in(3),
        }),
        _ => Action::Plugin(call()),
    };
    let plugin = matches!(action, Action::Plugin(_));
    let child = matches!(action, Action::Workflow(_));
    let detached = matches!(&action, Action::Workflow(child) if child.detached);
    // A plugin or a child by its grants, the rest by what it is.
    let changes_nothing = !(plugin || child) || (!detached && rng.one_in(3));
    let always = rng.one_in(8);
    let fans = plugin || child;
    let when = needs.first().filter(|_| rng.one_in(3)).map(|need| {
        condition(&format!(
            "status.s{} in ['succeeded', 'failed', 'nothing'] and {}",
            need.0,
            rng.below(4) > 0
        ))
    });
    let broken = rng.one_in(40).then(|| condition("params.nope"));
    Step {
        name: format!("s{index}"),
        when: broken.or(when),
        needs,
        retry: Retry {
            attempts_max: 1 + u32::try_from(rng.below(3)).expect("few"),
            backoff_ms: if rng.one_in(4) { 0 } else { rng.below(30) },
            factor: 2.0,
            backoff_ms_max: 100,
            jitter: 0.5,
        },
        timeout_ms: 20 + rng.below(60),
        poll: (plugin && rng.one_in(6)).then(|| Poll {
            until: condition("output.done"),
            every_ms: 1 + rng.below(10),
            within_ms: 10 + rng.below(100),
        }),
        for_each: (fans && rng.one_in(5)).then(|| ForEach {
            items: template(json!((0..rng.below(5)).collect::<Vec<_>>())),
            parallel: 1 + u32::try_from(rng.below(2)).expect("few"),
        }),
        undo: (plugin && rng.one_in(2)).then(call),
        // What runs whatever happened is no point that a run passes.
        pivot: fans && !detached && !always && rng.one_in(6),
        on_failure: match rng.below(6) {
            0 => OnFailure::Continue,
            1 => OnFailure::Ask,
            _ => OnFailure::Fail,
        },
        always,
        assesses: rng.one_in(5),
        fresh_for_ms: (fans && changes_nothing && rng.one_in(2)).then(|| 5 + rng.below(40)),
        changes_nothing,
        replay_within_ms: 40,
        record: false,
        when_interrupted: match rng.below(6) {
            _ if detached => None,
            4 | 5 => Some(WhenInterrupted::Replay),
            0 => Some(WhenInterrupted::Ask),
            1 => Some(WhenInterrupted::Rerun),
            _ => None,
        },
        action,
    }
}
