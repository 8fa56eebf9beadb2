//! Views of runs, and the loop's answers to those who only look.

use std::sync::Arc;

use baton_core::id::{AttemptId, Place, RunId, Side, StepId};
use baton_core::run::event::Cause;
use baton_core::run::{Ending, Item, Phase, Run, SkipReason, State, StepRun};
use baton_core::workflow::plan::{Action, Plan};
use baton_core::{Json, Millis};

use super::recover::closed_run;
use super::tape::tape;
use super::tries::{again, attempts, class, fault_view, side};
use super::view::{
    BuildsView, CallView, JoinedView, ParentView, RunView, StepView, Summary, TriggerView,
};
use super::{Filter, Input, Live, Runner, Versions};
use crate::journal::{Closed, Journal, JournalError};

impl Runner {
    /// Answers an input that changes nothing.
    pub(super) fn read(&mut self, input: Input) {
        match input {
            Input::List { filter, reply } => {
                let _ = reply.send(self.list(&filter));
            }
            Input::Show { run, reply } => self.show(run, reply),
            Input::Tape { run, wanted, reply } => {
                let journal = Arc::clone(&self.journal);
                tokio::task::spawn_blocking(move || {
                    let _ = reply.send(tape(&*journal, &run, &wanted));
                });
            }
            Input::Build { digest, reply } => {
                let journal = Arc::clone(&self.journal);
                tokio::task::spawn_blocking(move || {
                    let _ = reply.send(journal.plugin(digest).map_err(|error| error.to_string()));
                });
            }
            Input::Switches { reply } => {
                let now = self.clock.now();
                let _ = reply.send(self.switches_at(now));
            }
            Input::Stats { reply } => {
                let now = self.clock.now();
                let on = self.switches.brakes.iter().filter(|brake| brake.is_on(now));
                let (windows, pauses): (Vec<_>, Vec<_>) =
                    on.partition(|brake| brake.cluster.is_some());
                self.stats.pauses = pauses.len() as u64;
                self.stats.windows = windows.len() as u64;
                self.stats.held = self.count_held() as u64;
                self.stats.open = self.runs.len() as u64;
                self.stats.queued = self.index.queued() as u64;
                self.stats.attempts = self.tasks.len() as u64;
                self.stats.unreadable = self.unreadable.len() as u64;
                self.stats.stalled = self.journal.stalled();
                let _ = reply.send(self.stats.clone());
            }
            Input::Begin { .. }
            | Input::Cancel { .. }
            | Input::Answer { .. }
            | Input::Order { .. }
            | Input::Intend { .. }
            | Input::Outcome { .. }
            | Input::Progress { .. }
            | Input::Ended { .. }
            | Input::Stop { .. } => {}
        }
    }

    fn list(&self, filter: &Filter) -> Vec<Summary> {
        let open = self.runs.values().map(|live| summary(&live.run));
        let closed = self.closed.iter().map(closed_summary);
        let unreadable = self.unreadable.keys().map(unreadable_summary);
        let mut all: Vec<Summary> = open.chain(closed).chain(unreadable).collect();
        all.sort_by(|a, b| (b.begun_at, &b.id).cmp(&(a.begun_at, &a.id)));
        let after = filter.before.as_ref().map(|before| {
            // Behind a run that nobody knows is nothing, or a reader would begin anew.
            all.iter().position(|run| run.id == before.as_str()).map_or(all.len(), |at| at + 1)
        });
        all.into_iter()
            .skip(after.unwrap_or(0))
            .filter(|run| filter.workflow.as_ref().is_none_or(|wanted| *wanted == run.workflow))
            .filter(|run| filter.state.as_ref().is_none_or(|wanted| *wanted == run.state))
            .take(filter.limit.unwrap_or(usize::MAX))
            .collect()
    }

    fn show(&mut self, id: RunId, reply: tokio::sync::oneshot::Sender<Option<RunView>>) {
        let now = self.clock.now();
        if let Some(live) = self.runs.get(&id) {
            let mut view = live.view(now);
            view.builds.changed = self.versions.changed(live.run.begun());
            self.adorn(&mut view, &id, now);
            let _ = reply.send(Some(view));
            return;
        }
        if let Some(why) = self.unreadable.get(&id) {
            let _ = reply.send(Some(unreadable(&id, why, now)));
            return;
        }
        let (journal, versions) = (Arc::clone(&self.journal), Arc::clone(&self.versions));
        let seen = self.switches.seen(&id).map(super::view::SeenView::from);
        tokio::task::spawn_blocking(move || {
            let view = closed_run(&*journal, &id).map(|known| match known {
                Ok((plan, run)) => {
                    let view = run_view(&plan, &run, now);
                    versions.of(RunView { acknowledged: seen, ..view }, run.begun())
                }
                Err(why) => unreadable(&id, &why, now),
            });
            let _ = reply.send(view);
        });
    }
}

/// Every run of a journal that no engine has open, newest first.
///
/// # Errors
/// If the journal cannot be read.
pub fn archive(journal: &dyn Journal, versions: &Versions) -> Result<Vec<RunView>, JournalError> {
    let mut clock = super::Clock::default();
    let now = clock.now();
    let mut ids: Vec<RunId> = journal.open_runs()?.into_iter().map(|(id, _)| id).collect();
    let closed = journal.closed_runs(None, super::CLOSED_RUNS_MAX)?;
    ids.extend(closed.into_iter().map(|known| match known {
        Ok(closed) => closed.run,
        Err((id, _)) => id,
    }));
    let view = |id: &RunId| match closed_run(journal, id)? {
        Ok((plan, run)) => Some(versions.of(run_view(&plan, &run, now), run.begun())),
        Err(why) => Some(unreadable(id, &why, now)),
    };
    let mut views: Vec<RunView> = ids.iter().filter_map(view).collect();
    views.sort_by(|a, b| (b.begun_at, &b.id).cmp(&(a.begun_at, &a.id)));
    Ok(views)
}

impl Live {
    fn view(&self, now: Millis) -> RunView {
        let mut view = run_view(&self.plan, &self.run, now);
        for (place, progress) in &self.progress {
            let step = &mut view.steps[usize::from(place.step.0)];
            match step.items.get_mut(usize::try_from(place.item).unwrap_or(usize::MAX)) {
                Some(item) => item.progress = Some(progress.clone()),
                None => step.progress = Some(progress.clone()),
            }
        }
        view
    }
}

fn summary(run: &Run) -> Summary {
    let begun = run.begun();
    Summary {
        id: begun.id.to_string(),
        workflow: begun.workflow.clone(),
        state: run.status().to_owned(),
        begun_at: run.begun_at(),
        closed_at: closed_at(run),
        trigger: begun.trigger.kind.as_str().to_owned(),
        key: begun.key.clone(),
    }
}

fn closed_summary(closed: &Closed) -> Summary {
    Summary {
        id: closed.run.to_string(),
        workflow: closed.workflow.clone(),
        state: closed.outcome.as_str().to_owned(),
        begun_at: closed.begun_at,
        closed_at: Some(closed.closed_at),
        trigger: closed.trigger.as_str().to_owned(),
        key: closed.key.clone(),
    }
}

fn unreadable_summary(id: &RunId) -> Summary {
    Summary {
        id: id.to_string(),
        workflow: String::new(),
        state: "unreadable".to_owned(),
        begun_at: 0,
        closed_at: None,
        trigger: String::new(),
        key: None,
    }
}

fn unreadable(id: &RunId, why: &str, now: Millis) -> RunView {
    RunView {
        id: id.to_string(),
        workflow: String::new(),
        state: "unreadable".to_owned(),
        begun_at: 0,
        closed_at: None,
        key: None,
        digest: String::new(),
        builds: BuildsView::default(),
        params: Json::Null,
        trigger: TriggerView {
            kind: String::new(),
            source: String::new(),
            evidence: Json::Null,
            dedup: None,
        },
        parent: None,
        output: Json::Null,
        joined: Vec::new(),
        interruptions: 0,
        acknowledged: None,
        now,
        steps: Vec::new(),
        note: Some(why.to_owned()),
    }
}

fn closed_at(run: &Run) -> Option<Millis> {
    match run.phase() {
        Phase::Closed { at, .. } => Some(*at),
        Phase::Queued { .. } | Phase::Open => None,
    }
}

/// The run as the outside sees it at `now`.
pub(super) fn run_view(plan: &Plan, run: &Run, now: Millis) -> RunView {
    let begun = run.begun();
    let output = match run.phase() {
        Phase::Closed { output, .. } => (**output).clone(),
        Phase::Queued { .. } | Phase::Open => Json::Null,
    };
    RunView {
        id: begun.id.to_string(),
        workflow: begun.workflow.clone(),
        state: run.status().to_owned(),
        begun_at: run.begun_at(),
        closed_at: closed_at(run),
        key: begun.key.clone(),
        digest: plan.digest().to_string(),
        builds: super::versions::builds(begun),
        params: (*begun.params).clone(),
        trigger: TriggerView {
            kind: begun.trigger.kind.as_str().to_owned(),
            source: begun.trigger.source.clone(),
            evidence: (*begun.trigger.evidence).clone(),
            dedup: begun.trigger.dedup.as_ref().map(|dedup| dedup.key.clone()),
        },
        parent: begun.parent.as_ref().map(|parent| ParentView {
            run: parent.run.to_string(),
            attempt: parent.attempt.to_string(),
        }),
        output,
        joined: run
            .joined()
            .iter()
            .map(|joined| JoinedView {
                at: joined.at,
                kind: joined.trigger.kind.as_str().to_owned(),
                source: joined.trigger.source.clone(),
            })
            .collect(),
        interruptions: run.interruptions(),
        acknowledged: None,
        now,
        steps: plan.ids().map(|id| step_view(plan, run, id)).collect(),
        note: note(plan, run),
    }
}

fn note(plan: &Plan, run: &Run) -> Option<String> {
    match run.ending()? {
        Ending::Failed(id) => Some(format!("step `{}` failed", plan.step(*id).name)),
        Ending::Cancelled(Cause::Person { who, reason }) => {
            Some(format!("cancelled by {who}: {reason}"))
        }
        Ending::Cancelled(Cause::Parent) => Some("cancelled with its parent run".to_owned()),
        Ending::Cancelled(Cause::Timeout) => Some("the workflow's timeout passed".to_owned()),
    }
}

fn step_view(plan: &Plan, run: &Run, id: StepId) -> StepView {
    let (step, state) = (plan.step(id), run.step(id));
    let (kind, plugin) = match &step.action {
        Action::Plugin(call) => ("plugin", Some(call.plugin.clone())),
        Action::Workflow(child) => ("workflow", Some(child.plan.name().to_owned())),
        Action::Approval(_) => ("approval", None),
        Action::Wait { .. } => ("wait", None),
        Action::Report => ("report", None),
    };
    let single = state.fan().is_none().then(|| &state.items()[0]);
    let blank = Item::default();
    let item = single.map_or(&blank, |item| item);
    let mut view = item_view(plan, run, step.name.clone(), Place { step: id, item: 0 }, item);
    kind.clone_into(&mut view.kind);
    view.plugin = plugin;
    view.needs = step.needs.iter().map(|need| plan.step(*need).name.clone()).collect();
    state.status().clone_into(&mut view.state);
    view.when = step.when.as_ref().map(|when| when.source().to_owned());
    view.pivot = step.pivot;
    view.always = step.always;
    view.question = view.question.or_else(|| skip_note(plan, state));
    match &step.action {
        Action::Workflow(child) if child.detached => {
            view.child = view.output["run"].as_str().map(str::to_owned);
        }
        Action::Workflow(_) => {}
        Action::Plugin(_) | Action::Approval(_) | Action::Wait { .. } | Action::Report => {
            view.child = None;
        }
    }
    if single.is_none() {
        let items = (0u32..).zip(state.items());
        view.items = items
            .map(|(index, item)| {
                item_view(
                    plan,
                    run,
                    format!("{}[{index}]", step.name),
                    Place { step: id, item: index },
                    item,
                )
            })
            .collect();
        view.started_at = view.items.iter().filter_map(|item| item.started_at).min();
        view.ended_at = view.items.iter().filter_map(|item| item.ended_at).max();
        view.output = state.output().map_or(Json::Null, |output| (*output).clone());
    }
    view.again = state.refreshes().iter().map(|refresh| again(plan, refresh)).collect();
    view
}

fn skip_note(plan: &Plan, state: &StepRun) -> Option<String> {
    match state.skipped()? {
        SkipReason::Condition => Some("its condition does not hold".to_owned()),
        SkipReason::Need(need) => Some(format!("`{}` was skipped", plan.step(need).name)),
    }
}

fn item_view(plan: &Plan, run: &Run, name: String, place: Place, item: &Item) -> StepView {
    let question = super::question::asked(plan, run, place, item);
    let latest = item.history().iter().rev().find(|record| record.side == Side::Do);
    let child = latest.map(|record| {
        let attempt = AttemptId { place, side: Side::Do, number: record.number };
        super::admit::child_id(run.id(), attempt).to_string()
    });
    StepView {
        name,
        kind: "plugin".to_owned(),
        plugin: None,
        needs: Vec::new(),
        state: item_state(item).to_owned(),
        when: None,
        pivot: false,
        always: false,
        started_at: item.history().first().map(|record| record.started_at),
        ended_at: ended_at(item),
        attempts: attempts(item),
        again: Vec::new(),
        output: item.output().map_or(Json::Null, |output| (**output).clone()),
        fault: item.fault().map(fault_view),
        calls: item
            .calls()
            .iter()
            .map(|record| CallView {
                attempt: record.attempt.number,
                side: side(record.attempt.side).to_owned(),
                index: record.call.index,
                class: class(record.call.class).to_owned(),
                request: record.call.request.clone(),
                outcome: record.call.outcome.clone(),
            })
            .collect(),
        child,
        question: question.as_ref().map(|(text, _)| text.clone()),
        asks: question.map(|(_, asks)| asks),
        answers: item.answers().iter().map(super::question::answer_view).collect(),
        progress: None,
        held: None,
        items: Vec::new(),
    }
}

fn ended_at(item: &Item) -> Option<Millis> {
    match *item.work() {
        State::Succeeded { at } | State::Failed { at } => Some(at),
        State::Cancelled => {
            item.history().last().and_then(|record| record.end.as_ref()).map(|(at, _)| *at)
        }
        State::Waiting
        | State::Ready
        | State::Running { .. }
        | State::BackingOff { .. }
        | State::Sleeping { .. }
        | State::Asking { .. }
        | State::Skipped => None,
    }
}

fn item_state(item: &Item) -> &'static str {
    match item.undo() {
        State::Succeeded { .. } => return "undone",
        State::Failed { .. } => return "undo-failed",
        State::Ready
        | State::Running { .. }
        | State::BackingOff { .. }
        | State::Sleeping { .. } => {
            return "undoing";
        }
        State::Asking { .. } => return "asking",
        State::Waiting | State::Skipped | State::Cancelled => {}
    }
    match item.work() {
        State::Waiting => "waiting",
        State::Ready => "ready",
        State::Running { .. } | State::Sleeping { .. } => "running",
        State::BackingOff { .. } => "backing-off",
        State::Asking { .. } => "asking",
        State::Succeeded { .. } => "succeeded",
        State::Failed { .. } => "failed",
        State::Skipped => "skipped",
        State::Cancelled => "cancelled",
    }
}
