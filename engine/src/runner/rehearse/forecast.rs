//! What is told of each step: what came of it, or what can be known of what would.

use std::collections::BTreeMap;

use baton_core::Json;
use baton_core::expression::{ExpressionError, Partial, Template};
use baton_core::id::{Place, StepId};
use baton_core::run::{Ending, Item, Run, SkipReason, StepRun};
use baton_core::workflow::plan::{Action, Plan, Step};
use serde_json::{Map, json};

use super::seen::Seen;
use super::view::{Fate, Rehearsal, StepPlan};
use super::{Kit, closed, details};
use crate::runner::tries;

/// Why nothing can be said yet, beside the names that are missing.
type Told = (Fate, Option<String>);

/// Tells of a run that reading alone has taken as far as it could.
pub(super) fn of_run(
    kit: &Kit,
    plan: &Plan,
    run: &Run,
    children: BTreeMap<Place, Rehearsal>,
) -> Rehearsal {
    let begun = run.begun();
    let trigger = &begun.trigger;
    let trigger = json!({
        "kind": trigger.kind.as_str(), "source": trigger.source, "evidence": *trigger.evidence,
    });
    let seen = Seen::new(plan.name(), (*begun.params).clone(), &[], trigger);
    let params = (*begun.params).clone();
    Forecast { kit, plan, run: Some(run), children, seen, fates: Vec::new() }.tell(params)
}

/// Tells of a child run of which nothing can be run, its parent being behind a change.
fn of_child(kit: &Kit, plan: &Plan, parent: &str, with: &Template, seen: &Seen) -> Rehearsal {
    let mut known = Map::new();
    let mut shown = Map::new();
    let mut unknown = Vec::new();
    for (name, param) in plan.params() {
        let given = with.source().get(name);
        let filled = given.and_then(|value| seen.fill(&Template::parse(value.clone()).ok()?).ok());
        match (given, filled) {
            (Some(_), Some(partial)) if partial.missed.is_empty() => {
                known.insert(name.clone(), partial.value.clone());
                shown.insert(name.clone(), partial.value);
            }
            (None, _) if let Some(default) = &param.default => {
                known.insert(name.clone(), default.clone());
                shown.insert(name.clone(), default.clone());
            }
            (given, filled) => {
                unknown.push(name.clone());
                let written = filled.map(|partial| partial.value).or_else(|| given.cloned());
                shown.insert(name.clone(), written.unwrap_or_default());
            }
        }
    }
    let trigger = json!({ "kind": "parent", "source": parent, "evidence": null });
    let seen = Seen::new(plan.name(), Json::Object(known), &unknown, trigger);
    let forecast =
        Forecast { kit, plan, run: None, children: BTreeMap::new(), seen, fates: Vec::new() };
    forecast.tell(Json::Object(shown))
}

struct Forecast<'f> {
    kit: &'f Kit,
    plan: &'f Plan,
    /// None: nothing of it was run.
    run: Option<&'f Run>,
    children: BTreeMap<Place, Rehearsal>,
    seen: Seen,
    /// Of the steps told already.
    fates: Vec<Fate>,
}

impl Forecast<'_> {
    fn tell(mut self, params: Json) -> Rehearsal {
        let mut steps = Vec::new();
        for id in self.plan.ids() {
            let step = self.step(id);
            self.fates.push(step.fate);
            self.learn(id, &step);
            steps.push(step);
        }
        let closed = self.run.and_then(|run| closed(run.phase()));
        let output = match (&closed, self.plan.output()) {
            (Some((_, output)), _) => output.clone(),
            (None, Some(output)) => {
                self.seen.fill(output).map_or_else(|error| wrong(&error), |partial| partial.value)
            }
            (None, None) => Json::Null,
        };
        let key = self.plan.concurrency().and_then(|it| self.seen.fill(&it.key).ok());
        Rehearsal {
            workflow: self.plan.name().to_owned(),
            summary: self.plan.summary().to_owned(),
            digest: self.plan.digest().to_string(),
            params,
            key: key
                .map(|key| key.value.as_str().map_or_else(|| key.value.to_string(), str::to_owned)),
            steps,
            output,
            closed,
        }
    }

    fn step(&mut self, id: StepId) -> StepPlan {
        let step = self.plan.step(id);
        let (fate, why) = self.fate(id);
        let mut told = StepPlan {
            fate,
            why,
            needs: step.needs.iter().map(|need| self.plan.step(*need).name.clone()).collect(),
            when: step.when.as_ref().map(|when| when.source().to_owned()),
            looks_at: step.when.as_ref().map(|when| self.seen.looked_at(when)).unwrap_or_default(),
            ..details::blank(step, &step.name)
        };
        if matches!(fate, Fate::WouldSkip) {
            return told;
        }
        self.detail(id, &mut told);
        if let Some(run) = self.run {
            came_of(&mut told, run.step(id));
        }
        told
    }

    /// What it would do it with; of a `for_each`, for each item.
    fn detail(&mut self, id: StepId, told: &mut StepPlan) {
        let step = self.plan.step(id);
        let Some(each) = &step.for_each else {
            let child = self.children.remove(&Place { step: id, item: 0 });
            return self.action(step, child, &self.seen, told);
        };
        let known = self.run.and_then(|run| run.step(id).fan());
        let list = known.map(|list| Json::Array(list.to_vec())).map_or_else(
            || self.seen.fill(&each.items),
            |value| Ok(Partial { value, missed: std::collections::BTreeSet::new() }),
        );
        match list {
            Ok(Partial { value: Json::Array(list), missed }) if missed.is_empty() => {
                for (index, item) in list.iter().enumerate() {
                    let mut one = details::blank(step, &format!("{}[{index}]", step.name));
                    one.fate = told.fate;
                    let place = Place { step: id, item: u32::try_from(index).unwrap_or(u32::MAX) };
                    let child = self.children.remove(&place);
                    self.action(step, child, &self.seen.with_item(item, index), &mut one);
                    told.items.push(one);
                }
            }
            Ok(partial) => {
                told.for_each = Some(partial.value);
                told.missed.extend(partial.missed);
                self.action(step, None, &self.seen.without_item(), told);
            }
            Err(error) => told.why = Some(format!("it would fail: for_each: {error}")),
        }
    }

    fn action(&self, step: &Step, child: Option<Rehearsal>, seen: &Seen, told: &mut StepPlan) {
        let with = match &step.action {
            Action::Plugin(call) => {
                details::call(self.kit, step, call, seen, told);
                &call.with
            }
            Action::Workflow(inner) => {
                let unrun = || of_child(self.kit, &inner.plan, self.plan.name(), &inner.with, seen);
                told.child = Some(Box::new(child.unwrap_or_else(unrun)));
                &inner.with
            }
            Action::Approval(approval) => return details::approval(approval, seen, told),
            Action::Wait { for_ms } => return told.waits_ms = Some(*for_ms),
            Action::Report => return,
        };
        details::filled("with", seen.fill(with), told);
    }

    fn fate(&self, id: StepId) -> Told {
        let step = self.plan.step(id);
        let Some(run) = self.run else { return self.guess(id) };
        match run.step(id).status() {
            "succeeded" => (self.done(id), None),
            "failed" => (Fate::Failed, None),
            "asking" if matches!(step.action, Action::Approval(_)) => (Fate::WouldAsk, None),
            "asking" => (Fate::Failed, Some("a person would be asked to try again".to_owned())),
            "skipped" => (Fate::WouldSkip, skipped(self.plan, run, id)),
            "cancelled" => (Fate::WouldNotRun, run.ending().map(|ending| ended(self.plan, ending))),
            "waiting" => self.guess(id),
            _ => (would(step), None),
        }
    }

    /// What a step that succeeded here has done.
    fn done(&self, id: StepId) -> Fate {
        let step = self.plan.step(id);
        let inner = (0u32..).map_while(|item| self.children.get(&Place { step: id, item }));
        let is_open = |step: &&StepPlan| {
            matches!(step.fate, Fate::WouldAsk | Fate::WouldWait | Fate::WouldRun)
                && step.kind != "report"
        };
        match &step.action {
            // It came to its end only because an approval was taken for given.
            Action::Workflow(_) if inner.flat_map(Rehearsal::all).any(|step| is_open(&step)) => {
                Fate::WouldRun
            }
            Action::Plugin(_) | Action::Workflow(_) => Fate::Ran,
            Action::Approval(_) | Action::Wait { .. } | Action::Report => would(step),
        }
    }

    /// Of a step behind something that was not run.
    fn guess(&self, id: StepId) -> Told {
        let step = self.plan.step(id);
        let of = |need: StepId| self.fates[usize::from(need.0)];
        let name = |need: StepId| &self.plan.step(need).name;
        if !step.always {
            let mut needs = step.needs.iter().copied();
            if let Some(need) = needs.clone().find(|need| of(*need) == Fate::WouldSkip) {
                return (Fate::WouldSkip, Some(format!("`{}` would be skipped", name(need))));
            }
            if let Some(need) = needs.find(|need| of(*need) == Fate::WouldNotRun) {
                return (Fate::WouldNotRun, Some(format!("`{}` would not run", name(need))));
            }
        }
        match step.when.as_ref().map(|when| (when, self.seen.holds(when))) {
            Some((_, Ok(Some(false)))) => {
                return (Fate::WouldSkip, Some("its condition does not hold".to_owned()));
            }
            Some((_, Err(error))) => {
                return (Fate::WouldRun, Some(format!("it would fail: when: {error}")));
            }
            Some((when, Ok(None))) => {
                let missed = self.seen.missed_by(when).join(", ");
                return (Fate::NotKnown, Some(format!("only a real run knows {missed}")));
            }
            Some((_, Ok(Some(true)))) | None => {}
        }
        if !step.always
            && let Some(need) = step.needs.iter().find(|need| of(**need) == Fate::NotKnown)
        {
            return (
                Fate::NotKnown,
                Some(format!("it is not known whether `{}` runs", name(*need))),
            );
        }
        let open = |need: &&StepId| {
            matches!(of(**need), Fate::WouldRun | Fate::WouldAsk | Fate::WouldWait | Fate::NotKnown)
        };
        let after: Vec<String> =
            step.needs.iter().filter(open).map(|need| format!("`{}`", name(*need))).collect();
        let why = (!after.is_empty()).then(|| format!("after {}", after.join(", ")));
        (would(step), why)
    }

    /// What the steps behind it may know of it.
    fn learn(&mut self, id: StepId, told: &StepPlan) {
        let step = self.plan.step(id);
        let name = &step.name;
        let status = |seen: &mut Seen, word: &str| seen.learn("status", name, json!(word));
        let reached = self.run.is_some_and(|run| run.step(id).status() == "succeeded");
        match told.fate {
            // What comes after it comes after yes.
            Fate::WouldAsk => {
                status(&mut self.seen, "succeeded");
                self.seen.learn("steps", name, json!({ "approved": true }));
                for field in ["who", "reason", "at"] {
                    self.seen.miss(format!("steps.{name}.{field}"));
                }
            }
            Fate::Ran | Fate::WouldRun | Fate::WouldWait if reached => {
                status(&mut self.seen, "succeeded");
                let output = self.run.and_then(|run| run.step(id).output());
                self.seen.learn("steps", name, output.map_or(Json::Null, |it| (*it).clone()));
            }
            Fate::WouldSkip => status(&mut self.seen, "skipped"),
            Fate::Failed => {
                status(&mut self.seen, "failed");
                self.seen.miss(format!("steps.{name}"));
                if let Some(fault) = &told.fault {
                    let fault = json!({ "code": fault.code, "message": fault.message });
                    self.seen.learn("faults", name, fault);
                }
            }
            Fate::WouldNotRun => {
                status(&mut self.seen, "cancelled");
                self.seen.miss(format!("steps.{name}"));
            }
            Fate::Ran | Fate::WouldRun | Fate::WouldWait | Fate::NotKnown => {
                self.seen.miss_step(name);
            }
        }
    }
}

fn would(step: &Step) -> Fate {
    match step.action {
        Action::Plugin(_) | Action::Workflow(_) | Action::Report => Fate::WouldRun,
        Action::Approval(_) => Fate::WouldAsk,
        Action::Wait { .. } => Fate::WouldWait,
    }
}

fn skipped(plan: &Plan, run: &Run, id: StepId) -> Option<String> {
    Some(match run.step(id).skipped()? {
        SkipReason::Condition => "its condition does not hold".to_owned(),
        SkipReason::Need(need) => format!("`{}` would be skipped", plan.step(need).name),
    })
}

fn ended(plan: &Plan, ending: &Ending) -> String {
    match ending {
        Ending::Failed(id) => format!("`{}` failed, so the run would end", plan.step(*id).name),
        Ending::Cancelled(_) => "the run would end".to_owned(),
    }
}

/// What came of a step, as far as it was run.
fn came_of(told: &mut StepPlan, run: &StepRun) {
    if run.fan().is_none() {
        happened(told, &run.items()[0]);
        return;
    }
    for (told, item) in told.items.iter_mut().zip(run.items()) {
        happened(told, item);
    }
    told.took_ms = told.items.iter().filter_map(|item| item.took_ms).max();
    told.output = run.output().map_or(Json::Null, |output| (*output).clone());
    told.fault = told.items.iter().find_map(|item| item.fault.clone());
}

/// What came of an item that was run.
fn happened(told: &mut StepPlan, item: &Item) {
    let history = item.history();
    let began = history.first().map(|first| first.started_at);
    let ended = history.last().and_then(|last| last.end.as_ref()).map(|(at, _)| *at);
    if let (Some(began), Some(ended), "plugin" | "workflow") = (began, ended, told.kind) {
        told.took_ms = Some(ended.saturating_sub(began));
        told.tries = Some(history.len());
        told.output = item.output().map_or(Json::Null, |output| (**output).clone());
    }
    told.fault = item.fault().map(tries::fault_view);
}

fn wrong(error: &ExpressionError) -> Json {
    json!({ "error": format!("output: {error}") })
}
