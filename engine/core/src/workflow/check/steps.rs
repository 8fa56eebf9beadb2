//! Each step by itself: exactly one action, keys that mean something to it, and
//! values within bounds.

use std::collections::BTreeMap;

use super::given::check_given;
use super::grants::{check_enough, grants, only_reads};
use super::needs::Needs;
use super::sight::{Fields, Sight, StepsInSight, View, output_of};
use super::{Checker, Flawed, bad_dotted_name};
use crate::Millis;
use crate::limits::{ITEMS_MAX, WAIT_MS_MAX};
use crate::workflow::document::{
    ActionDoc, ApprovalDoc, Document, GrantsDoc, Literal, RetryDoc, StepDoc, Text,
};
use crate::workflow::flaw::{Flaw, did_you_mean};
use crate::workflow::plan::{
    Action, Approval, Child, ForEach, OnFailure, Param, PluginCall, Poll, Retry, Silence, Step,
};

/// One attempt, unless the step says otherwise: far above any healthy Redis call,
/// short enough to be noticed.
const TIMEOUT_MS_DEFAULT: Millis = 30_000;
/// How often a condition is looked at again.
const EVERY_MS_DEFAULT: Millis = 1_000;
/// How long a condition is waited for.
const WITHIN_MS_DEFAULT: Millis = 60_000;
/// Wait before the second try.
const BACKOFF_MS_DEFAULT: Millis = 1_000;
/// Longest wait between tries.
const BACKOFF_MS_MAX_DEFAULT: Millis = 30_000;
/// How long the engine may have been away for a tape to be played: a restart by a
/// supervisor, not a night.
const REPLAY_WITHIN_MS_DEFAULT: Millis = 60_000;
/// Growth of the wait: doubled each time.
const FACTOR_DEFAULT: f64 = 2.0;
/// Enough to keep steps that failed together from trying together.
const JITTER_DEFAULT: f64 = 0.2;

/// Steps in the order of the file; none where a flaw says why.
pub(super) struct CheckedSteps {
    pub(super) steps: Vec<Option<Step>>,
    pub(super) outputs: Vec<Fields>,
}

/// An action whose child is known, before expressions are looked at.
enum Resolved<'d> {
    Plugin(&'d Text),
    Workflow {
        plan: Option<std::sync::Arc<crate::workflow::plan::Plan>>,
        name: &'d Text,
        detached: bool,
    },
    Approval(&'d ApprovalDoc),
    Wait(Millis),
    Report,
}

impl Checker<'_> {
    pub(super) fn steps(
        &mut self,
        document: &Document,
        params: &BTreeMap<String, Param>,
        needs: &Needs<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> CheckedSteps {
        let actions: Vec<_> = document.steps.iter().map(|step| self.action(step, flaws)).collect();
        let outputs: Vec<Fields> = document.steps.iter().zip(&actions).map(output).collect();
        let sight = Sight::new(params, needs, outputs);
        let steps = document
            .steps
            .iter()
            .zip(&actions)
            .enumerate()
            .map(|(at, (step, action))| self.step(at, step, action.as_ref(), &sight, flaws))
            .collect();
        CheckedSteps { steps, outputs: sight.into_outputs() }
    }

    fn action<'d>(&mut self, step: &'d StepDoc, flaws: &mut Vec<Flaw>) -> Option<Resolved<'d>> {
        flaws.extend(bad_dotted_name("a step's name", &step.name));
        let name = &step.name.value;
        let (action, span) = match step.actions.as_slice() {
            [one] => one,
            [] => {
                let message = format!("step `{name}` does nothing");
                let help = "add one of `plugin`, `workflow`, `approval`, `wait`, `report`";
                flaws.push(Flaw::at("no-action", step.name.span.clone(), message).help(help));
                return None;
            }
            [_, second, ..] => {
                let message = format!("step `{name}` does more than one thing");
                let help = "keep one of `plugin`, `workflow`, `approval`, `wait`, `report`; \
                            make the other a step of its own";
                flaws.push(Flaw::at("two-actions", second.1.clone(), message).help(help));
                return None;
            }
        };
        check_special(step, action, flaws);
        match action {
            ActionDoc::Plugin(plugin) => Some(Resolved::Plugin(plugin)),
            ActionDoc::Workflow(name) => {
                let plan = self.child(name, flaws);
                Some(Resolved::Workflow { plan, name, detached: is_detached(step) })
            }
            ActionDoc::Approval(approval) => Some(Resolved::Approval(approval)),
            ActionDoc::Wait(ms) => Some(Resolved::Wait(*ms)),
            ActionDoc::Report => Some(Resolved::Report),
            ActionDoc::Unreadable => {
                debug_assert!(!span.is_empty(), "a key has a place");
                None
            }
        }
    }

    fn step(
        &self,
        at: usize,
        step: &StepDoc,
        resolved: Option<&Resolved<'_>>,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Step> {
        let view = || sight.at_run(StepsInSight::AboveStep(at));
        let when =
            step.when.as_ref().map(|when| view().condition("when", when, flaws).ok_or(Flawed));
        let for_each = for_each(step, &view(), flaws);
        let inner = if step.for_each.is_some() { view().and(&["item", "index"]) } else { view() };
        let with = with(step.with.as_ref(), step);
        let with = inner.template("with", &with, flaws);
        let poll = poll(step, &view().and_output(sight.output(at)), flaws);
        let undo = self.undo(step, &sight.at_run(StepsInSight::StepAndAbove(at)), sight, flaws);
        let (action, changes_nothing) = match resolved? {
            Resolved::Plugin(plugin) => {
                let granted = self.plugin(plugin, &step.grants, sight, flaws);
                let reads = only_reads(&granted, self.library);
                let call =
                    PluginCall { plugin: plugin.value.clone(), with: with?, grants: granted };
                (Action::Plugin(call), reads)
            }
            Resolved::Workflow { plan, name, detached } => {
                let (plan, detached) = (plan.clone()?, *detached);
                let given = step.with.as_ref();
                check_given("with", plan.name(), plan.params(), given, &name.span, flaws);
                // What has been let go is not begun again for being old.
                let reads = !detached && plan.steps().iter().all(Step::changes_nothing);
                (Action::Workflow(Child { plan, with: with?, detached }), reads)
            }
            Resolved::Approval(approval) => {
                let prompt = Literal::from(approval.prompt.clone()?);
                let prompt = view().template("prompt", &prompt, flaws);
                let approval = Approval {
                    prompt: prompt?,
                    timeout_ms: approval.timeout?,
                    on_timeout: approval.on_timeout.unwrap_or(Silence::Reject),
                };
                (Action::Approval(approval), true)
            }
            Resolved::Wait(for_ms) => (Action::Wait { for_ms: *for_ms }, true),
            Resolved::Report => (Action::Report, true),
        };
        flaws.extend(step.fresh_for.as_ref().filter(|_| !changes_nothing).map(|it| {
            let name = &step.name.value;
            let message = format!("`fresh_for` means nothing to step `{name}`, which can change something: it is never run again for being old");
            let help = "put it on the read-only steps that this one rests on, or grant reads only";
            Flaw::at("misplaced-key", it.span.clone(), message).help(help)
        }));
        Some(Step {
            name: step.name.value.clone(),
            // Filled in when the order of all steps is known.
            needs: Vec::new(),
            when: when.transpose().ok()?,
            retry: retry(step.retry.as_ref()),
            timeout_ms: step.timeout.as_ref().map_or(default_timeout(&action), |it| it.value),
            poll: poll.ok()?,
            for_each: for_each.ok()?,
            undo: undo.ok()?,
            pivot: step.pivot.as_ref().is_some_and(|it| it.value),
            on_failure: step.on_failure.as_ref().map_or(OnFailure::Fail, |it| it.value),
            always: step.always.as_ref().is_some_and(|it| it.value),
            assesses: step.assesses.as_ref().is_some_and(|it| it.value),
            fresh_for_ms: step.fresh_for.as_ref().map(|it| it.value),
            when_interrupted: step.when_interrupted.as_ref().map(|it| it.value),
            // Shortened to the shelf lives that it rests on when the order is known.
            replay_within_ms: step
                .replay_within
                .as_ref()
                .map_or(REPLAY_WITHIN_MS_DEFAULT, |it| it.value),
            record: step.record.as_ref().is_some_and(|it| it.value),
            action,
            changes_nothing,
        })
    }

    /// Checks a call of a plugin: that it exists, and that it is granted enough.
    fn plugin(
        &self,
        plugin: &Text,
        documents: &GrantsDoc,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> crate::workflow::plan::Grants {
        let granted = grants(documents, sight.params(), flaws);
        if let Some(facts) = self.library.plugins.get(&plugin.value) {
            check_enough(plugin, facts, documents, &granted, self.library, flaws);
        } else {
            let message = format!("there is no plugin `{}`", plugin.value);
            let names = self.library.plugins.keys().map(String::as_str);
            let help = did_you_mean(&plugin.value, names);
            flaws.push(Flaw::at("unknown-plugin", plugin.span.clone(), message).maybe_help(help));
        }
        granted
    }

    fn undo(
        &self,
        step: &StepDoc,
        view: &View<'_>,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Result<Option<PluginCall>, Flawed> {
        let Some(undo) = &step.undo else { return Ok(None) };
        let with = undo.with.clone().unwrap_or_else(|| Literal::empty_table(undo.span.clone()));
        let with = view.template("undo.with", &with, flaws);
        let plugin = undo.plugin.as_ref().ok_or(Flawed)?;
        let grants = self.plugin(plugin, &undo.grants, sight, flaws);
        Ok(Some(PluginCall { plugin: plugin.value.clone(), with: with.ok_or(Flawed)?, grants }))
    }
}

/// What a run that was let go has of its own, or has nothing to do with.
const DETACHED_WITHOUT: &[&str] = &[
    "grants",
    "timeout",
    "retry",
    "until",
    "every",
    "within",
    "undo",
    "pivot",
    "fresh_for",
    "assesses",
    "when_interrupted",
    "replay_within",
    "record",
];

fn is_detached(step: &StepDoc) -> bool {
    step.detach.as_ref().is_some_and(|it| it.value)
}

/// Notes keys that mean nothing to the action.
fn check_special(step: &StepDoc, action: &ActionDoc, flaws: &mut Vec<Flaw>) {
    let (what, known): (&str, &[&str]) = match action {
        ActionDoc::Unreadable => return,
        ActionDoc::Plugin(_) => ("a plugin", &["detach"]),
        ActionDoc::Workflow(_) if is_detached(step) => ("a detached workflow", DETACHED_WITHOUT),
        ActionDoc::Workflow(_) => {
            ("a child workflow", &["grants", "when_interrupted", "replay_within", "record"])
        }
        ActionDoc::Approval(_) => ("an approval", &[]),
        ActionDoc::Wait(_) => ("a wait", &[]),
        ActionDoc::Report => ("a report", &[]),
    };
    let child = matches!(action, ActionDoc::Workflow(_));
    for (key, span) in &step.special {
        // For these the list names what they cannot have; the others can have none.
        if !known.is_empty() && !known.contains(key) {
            continue;
        }
        let message = format!("`{key}` means nothing to {what}");
        let help = match (child, *key) {
            (_, "detach") => "only a `workflow` can be detached; remove it",
            (true, "grants") => "grants belong to the steps of the child workflow",
            (true, "timeout" | "retry" | "until" | "every" | "within" | "undo" | "pivot") => {
                "the step is over as soon as the run has begun; remove it, or remove `detach`"
            }
            (true, _) => "it belongs to the steps of the child workflow",
            (false, "timeout") if what == "an approval" => {
                "write it inside: approval = { prompt = \"…\", timeout = \"20m\" }"
            }
            _ => "remove it",
        };
        flaws.push(Flaw::at("misplaced-key", span.clone(), message).help(help));
    }
}

fn output((step, action): (&StepDoc, &Option<Resolved<'_>>)) -> Fields {
    if step.for_each.is_some() {
        return None;
    }
    match action.as_ref()? {
        Resolved::Workflow { detached: true, .. } => {
            Some(["run", "outcome"].map(str::to_owned).to_vec())
        }
        Resolved::Workflow { plan, .. } => output_of(plan.as_deref()?),
        Resolved::Report => Some(vec!["markdown".to_owned()]),
        Resolved::Plugin(_) | Resolved::Approval(_) | Resolved::Wait(_) => None,
    }
}

fn with(given: Option<&Literal>, step: &StepDoc) -> Literal {
    given.cloned().unwrap_or_else(|| Literal::empty_table(step.name.span.clone()))
}

fn poll(step: &StepDoc, view: &View<'_>, flaws: &mut Vec<Flaw>) -> Result<Option<Poll>, Flawed> {
    let Some(until) = &step.until else {
        for (key, value) in [("every", &step.every), ("within", &step.within)] {
            flaws.extend(value.as_ref().map(|value| without(key, "until", value.span.clone())));
        }
        return Ok(None);
    };
    let until = view.condition("until", until, flaws);
    Ok(Some(Poll {
        until: until.ok_or(Flawed)?,
        every_ms: step.every.as_ref().map_or(EVERY_MS_DEFAULT, |it| it.value),
        within_ms: step.within.as_ref().map_or(WITHIN_MS_DEFAULT, |it| it.value),
    }))
}

fn for_each(
    step: &StepDoc,
    view: &View<'_>,
    flaws: &mut Vec<Flaw>,
) -> Result<Option<ForEach>, Flawed> {
    let Some(literal) = &step.for_each else {
        let parallel = step.parallel.as_ref();
        flaws.extend(parallel.map(|it| without("parallel", "for_each", it.span.clone())));
        return Ok(None);
    };
    let items = view.template("for_each", literal, flaws);
    let given = literal.json.as_array().map(Vec::len);
    if given.is_some_and(|items| items > ITEMS_MAX) {
        let message = format!("`for_each` has more than {ITEMS_MAX} items");
        flaws.push(Flaw::at("out-of-bounds", literal.span.clone(), message));
    }
    if given.is_none() && items.as_ref().is_some_and(|items| !items.is_single_expression()) {
        let message = "`for_each` must give a list";
        let help = "write a list, or one expression that gives one: \"${steps.NAME.FIELD}\"";
        flaws.push(Flaw::at("wrong-type", literal.span.clone(), message).help(help));
    }
    let parallel = step.parallel.as_ref().map_or(1, |parallel| parallel.value);
    Ok(Some(ForEach { items: items.ok_or(Flawed)?, parallel }))
}

fn without(key: &str, partner: &str, span: std::ops::Range<usize>) -> Flaw {
    let message = format!("`{key}` means nothing without `{partner}`");
    Flaw::at("misplaced-key", span, message).help(format!("add `{partner}`, or remove `{key}`"))
}

fn retry(document: Option<&RetryDoc>) -> Retry {
    let backoff_ms = document.and_then(|it| it.backoff).unwrap_or(BACKOFF_MS_DEFAULT);
    Retry {
        attempts_max: document.and_then(|it| it.attempts).unwrap_or(1),
        backoff_ms,
        factor: document.and_then(|it| it.factor).unwrap_or(FACTOR_DEFAULT),
        backoff_ms_max: document
            .and_then(|it| it.max)
            .unwrap_or(BACKOFF_MS_MAX_DEFAULT.max(backoff_ms)),
        jitter: document.and_then(|it| it.jitter).unwrap_or(JITTER_DEFAULT),
    }
}

/// A child is bounded by its own time limit and steps, an approval and a wait by
/// themselves.
fn default_timeout(action: &Action) -> Millis {
    match action {
        Action::Plugin(_) | Action::Report => TIMEOUT_MS_DEFAULT,
        Action::Workflow(child) => child.plan.timeout_ms().unwrap_or(WAIT_MS_MAX),
        Action::Approval(_) | Action::Wait { .. } => WAIT_MS_MAX,
    }
}
