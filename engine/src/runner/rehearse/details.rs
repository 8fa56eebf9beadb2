//! All that a step would do it with: input, access, bounds, and the way back.

use baton_core::Json;
use baton_core::expression::{ExpressionError, Partial};
use baton_core::workflow::plan::{
    Action, Approval, OnFailure, PluginCall, Silence, Step, WhenInterrupted,
};

use super::Kit;
use super::doors::doors;
use super::reach::reaches;
use super::seen::Seen;
use super::view::{Asks, Fate, StepPlan, Tried, Undo};

/// A step of which only what the plan fixes is told.
pub(super) fn blank(step: &Step, name: &str) -> StepPlan {
    let (kind, plugin) = match &step.action {
        Action::Plugin(call) => ("plugin", Some(call.plugin.clone())),
        Action::Workflow(child) => ("workflow", Some(child.plan.name().to_owned())),
        Action::Approval(_) => ("approval", None),
        Action::Wait { .. } => ("wait", None),
        Action::Report => ("report", None),
    };
    StepPlan {
        name: name.to_owned(),
        kind,
        tried: plugin.is_some().then(|| tried(step)),
        plugin,
        needs: Vec::new(),
        fate: Fate::NotKnown,
        why: None,
        when: None,
        looks_at: std::collections::BTreeMap::new(),
        changes: !step.changes_nothing(),
        pivot: step.pivot,
        always: step.always,
        took_ms: None,
        tries: None,
        output: Json::Null,
        fault: None,
        input: Json::Null,
        missed: Vec::new(),
        reaches: Vec::new(),
        doors: Vec::new(),
        asks: None,
        waits_ms: None,
        undo: None,
        when_interrupted: None,
        on_failure: match step.on_failure {
            OnFailure::Fail => "fail",
            OnFailure::Continue => "continue",
            OnFailure::Ask => "ask",
        },
        for_each: None,
        items: Vec::new(),
        child: None,
    }
}

fn tried(step: &Step) -> Tried {
    Tried {
        timeout_ms: step.timeout_ms,
        attempts: step.retry.attempts_max,
        backoff_ms: step.retry.backoff_ms,
        backoff_ms_max: step.retry.backoff_ms_max,
        until: step.poll.as_ref().map(|poll| poll.until.source().to_owned()),
        parallel: step.for_each.as_ref().map(|each| each.parallel),
    }
}

/// What a plugin's step reaches, and how it is taken back.
pub(super) fn call(kit: &Kit, step: &Step, call: &PluginCall, seen: &Seen, told: &mut StepPlan) {
    told.reaches = reaches(&call.grants, seen.params(), &kit.clusters);
    told.doors = doors(&call.grants, &kit.outside);
    if told.changes {
        let wanted = kit.plugins.get(&call.plugin).map(|plugin| plugin.info().when_interrupted);
        told.when_interrupted = step.when_interrupted.or(wanted).map(interrupted);
    }
    told.undo = step.undo.as_ref().map(|undo| Undo {
        plugin: undo.plugin.clone(),
        input: seen
            .fill(&undo.with)
            .map_or_else(|_| undo.with.source().clone(), |partial| partial.value),
        reaches: reaches(&undo.grants, seen.params(), &kit.clusters),
        doors: doors(&undo.grants, &kit.outside),
    });
}

fn interrupted(policy: WhenInterrupted) -> &'static str {
    match policy {
        WhenInterrupted::Replay => "replay",
        WhenInterrupted::Rerun => "rerun",
        WhenInterrupted::Ask => "ask",
    }
}

/// What a person would be asked.
pub(super) fn approval(approval: &Approval, seen: &Seen, told: &mut StepPlan) {
    let prompt = match seen.fill(&approval.prompt) {
        Ok(partial) => {
            told.missed.extend(partial.missed);
            partial.value
        }
        Err(error) => {
            told.why = Some(format!("it would fail: prompt: {error}"));
            approval.prompt.source().clone()
        }
    };
    told.asks = Some(Asks {
        prompt: prompt.as_str().map_or_else(|| prompt.to_string(), str::to_owned),
        timeout_ms: approval.timeout_ms,
        on_timeout: match approval.on_timeout {
            Silence::Approve => "approve",
            Silence::Reject => "reject",
        },
    });
}

/// The input, or why there would be none.
pub(super) fn filled(key: &str, filled: Result<Partial, ExpressionError>, told: &mut StepPlan) {
    match filled {
        Ok(partial) => {
            told.input = partial.value;
            told.missed.extend(partial.missed);
        }
        Err(error) => told.why = Some(format!("it would fail: {key}: {error}")),
    }
}
