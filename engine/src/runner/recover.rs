//! Going on where the last engine stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_core::id::{AttemptId, RunId};
use baton_core::run::event::{Begun, Event};
use baton_core::run::fault::Fault;
use baton_core::run::{RULES_VERSION, Run, apply, outstanding};
use baton_core::workflow::plan::Plan;
use baton_core::workflow::{Asks, Library, PluginFacts, check};
use baton_host::TAPE_VERSION;

use super::admit::child_id;
use super::index::Index;
use super::{CLOSED_RUNS_MAX, Live, Runner};
use crate::journal::{AppendError, Journal, JournalError};

impl Runner {
    /// Replays every unfinished run, says which attempts were cut off, and performs
    /// what is outstanding. One unreadable run never stops the others. Gives how many
    /// were unfinished.
    pub(super) async fn recover(&mut self) -> Result<usize, JournalError> {
        let journal = Arc::clone(&self.journal);
        let read = move || -> Result<_, JournalError> {
            Ok((journal.open_runs()?, journal.closed_runs(None, CLOSED_RUNS_MAX)?))
        };
        let (open, closed) = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| JournalError::Unread(error.to_string()))??;
        for known in closed.into_iter().rev() {
            match known {
                Ok(closed) => self.closed.push_back(closed),
                Err((run, why)) => self.set_aside(run, &why.to_string()),
            }
        }
        let mut plans = BTreeMap::new();
        for (id, history) in open {
            let replayed = history.map_err(|why| why.to_string()).and_then(|events| {
                let (plan, run) = replay(&events, &mut plans)?;
                Ok(Live {
                    plan,
                    run,
                    seq: events.len() as u64,
                    outcomes: Vec::new(),
                    progress: BTreeMap::new(),
                })
            });
            match replayed {
                Ok(live) => {
                    let changed = self.versions.changed(live.run.begun()).join(", ");
                    if !changed.is_empty() {
                        tracing::warn!(run = %id, changed, "files have changed since the run began; it ends on what it began with");
                    }
                    self.runs.insert(id, live);
                }
                Err(why) => self.set_aside(id, &why),
            }
        }
        self.index = Index::derive(self.runs.values().map(|live| &live.run), &self.closed);
        let unfinished = self.runs.len();
        self.resume().await?;
        self.stats.ready_since = Some(self.clock.now());
        Ok(unfinished)
    }

    pub(super) fn set_aside(&mut self, run: RunId, why: &str) {
        tracing::error!(%run, why, "run is unreadable and set aside; the others go on");
        self.unreadable.insert(run, why.to_owned());
    }

    async fn resume(&mut self) -> Result<(), JournalError> {
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        if !ids.is_empty() {
            tracing::info!(runs = ids.len(), "unfinished runs go on");
        }
        let Err(error) = self.resume_runs(&ids).await else { return Ok(()) };
        tracing::error!(%error, "unfinished runs could not go on together; trying one by one");
        for id in ids {
            match self.resume_runs(std::slice::from_ref(&id)).await {
                Ok(()) => {}
                Err(AppendError::Stopped(why)) => return Err(JournalError::Stopped(why)),
                // Left as it is it would wait for ever for an attempt that nobody makes.
                Err(error) => {
                    if self.runs.remove(&id).is_some() {
                        self.set_aside(id, &error.to_string());
                    }
                }
            }
        }
        self.index = Index::derive(self.runs.values().map(|live| &live.run), &self.closed);
        Ok(())
    }

    async fn resume_runs(&mut self, ids: &[RunId]) -> Result<(), AppendError> {
        let mut stage = self.stage();
        for id in ids {
            let Some(live) = self.runs.get(id) else { continue };
            let plan = Arc::clone(&live.plan);
            for attempt in live.run.cut_off(&plan) {
                tracing::warn!(run = %id, step = plan.step(attempt.place.step).name, attempt = attempt.number, "attempt was cut off; the run goes on");
                let at = stage.now;
                if let Err(illegal) = self.event(
                    &mut stage,
                    id,
                    Event::Interrupted { at, attempt, plays: TAPE_VERSION },
                ) {
                    tracing::error!(run = %id, %illegal, "an interruption could not be recorded");
                }
            }
            for attempt in orphaned(&self.runs, id) {
                let child = child_id(id, attempt);
                let message = format!(
                    "child run {child} is not open and did not tell its end; see `baton show {child}`"
                );
                let fault = Fault::permanent("child-lost", message);
                let event = Event::Failed { at: stage.now, attempt, fault, jitter: 0 };
                if let Err(illegal) = self.event(&mut stage, id, event) {
                    tracing::error!(run = %id, %illegal, "a lost child run could not be recorded");
                }
            }
            if let Some(live) = self.runs.get(id) {
                let owed = outstanding(&live.plan, &live.run);
                stage.owe_all(id, owed);
            }
        }
        self.settle(&mut stage);
        self.commit(stage).await
    }
}

/// Attempts of `id` that wait for a child run which cannot go on.
fn orphaned(runs: &BTreeMap<RunId, Live>, id: &RunId) -> Vec<AttemptId> {
    let Some(live) = runs.get(id) else { return Vec::new() };
    let lost = |attempt: &AttemptId| {
        live.plan.is_child(*attempt) && !runs.contains_key(&child_id(id, *attempt))
    };
    live.run.running().into_iter().filter(lost).collect()
}

/// Folds a run's events; `plans` keeps what was compiled already.
pub(super) fn replay(
    events: &[Event],
    plans: &mut BTreeMap<(Arc<str>, String), Arc<Plan>>,
) -> Result<(Arc<Plan>, Run), String> {
    let Some(Event::Begun { begun, .. }) = events.first() else {
        return Err("its first record is not its beginning".to_owned());
    };
    if begun.rules != RULES_VERSION {
        return Err(format!(
            "it began under rules version {}, this build knows version {RULES_VERSION}: let a build that knows both finish it, or cancel it there",
            begun.rules
        ));
    }
    let children: String = begun.children.values().map(|source| &**source).collect();
    let same = (Arc::clone(&begun.source), children);
    let plan = if let Some(plan) = plans.get(&same) {
        Arc::clone(plan)
    } else {
        let plan = plan_of(begun)?;
        plans.insert(same, Arc::clone(&plan));
        plan
    };
    let mut run = None;
    for event in events {
        run = Some(apply(&plan, run.as_ref(), event).map_err(|illegal| illegal.to_string())?);
    }
    run.map(|run| (plan, run)).ok_or_else(|| "it has no records".to_owned())
}

/// The plan of a run, from what the run began with alone.
fn plan_of(begun: &Begun) -> Result<Arc<Plan>, String> {
    let facts = |pin: &baton_core::run::event::Pin| PluginFacts {
        // What the plugin asks for was checked when the run began.
        redis_commands: Vec::new(),
        asks: Asks::default(),
        when_interrupted: pin.when_interrupted,
    };
    let library = Library {
        workflows: begun.children.clone(),
        plugins: begun.plugins.iter().map(|(name, pin)| (name.clone(), facts(pin))).collect(),
        is_read: baton_host::capability::redis::is_read,
    };
    check(&begun.workflow, &begun.source, &library)
        .map_err(|flaws| format!("its workflow does not check any more: {flaws}"))
}

/// A closed run, from the journal: for showing.
pub(super) fn closed_run(
    journal: &dyn Journal,
    id: &RunId,
) -> Option<Result<(Arc<Plan>, Run), String>> {
    match journal.events(id) {
        Ok(None) => None,
        Ok(Some(Ok(events))) => Some(replay(&events, &mut BTreeMap::new())),
        Ok(Some(Err(why))) => Some(Err(why.to_string())),
        Err(error) => Some(Err(error.to_string())),
    }
}
