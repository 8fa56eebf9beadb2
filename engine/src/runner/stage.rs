//! check -> append -> flush -> install -> perform, in one function ([`Runner::batch`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baton_core::Millis;
use baton_core::id::{AttemptId, RunId};
use baton_core::run::event::{Call, Event};
use baton_core::run::{Effect, Illegal, Phase, Run, outstanding, step};
use baton_core::workflow::plan::Plan;
use tokio::sync::oneshot;

use super::index::Index;
use super::obey::Said;
use super::reply::{Intent, Reply};
use super::verdict::Verdict;
use super::{CLOSED_RUNS_MAX, CommandError, Doing, Input, Live, RETRY_AFTER, Runner, Told};
use crate::journal::{AppendError, Batch, Closed, Entry};

/// A batch in the making: what goes to disk, what is owed after, and how to go back.
pub(super) struct Stage {
    pub now: Millis,
    entries: Vec<Entry>,
    pub(super) owed: BTreeSet<(RunId, Effect)>,
    /// Runs as they were before this batch; none: it did not exist.
    before: BTreeMap<RunId, Option<(Run, u64)>>,
    pub(super) begin: Vec<Doing>,
    pub(super) end: Vec<Doing>,
    replies: Vec<Reply>,
    pub(super) orders: Vec<Said>,
    /// Facts that must not be lost if the journal refuses the batch.
    pub(super) facts: Vec<Input>,
    /// Outcomes that this batch carries; they too.
    outcomes: Vec<(RunId, AttemptId, Call)>,
    closed: Vec<Closed>,
}

impl Stage {
    pub(super) fn owe_all(&mut self, id: &RunId, effects: BTreeSet<Effect>) {
        self.owed.extend(effects.into_iter().map(|effect| (id.clone(), effect)));
    }
}

impl Runner {
    /// Takes what waits, in one batch.
    pub(super) async fn batch(&mut self, inputs: Vec<Input>) {
        let mut stage = self.stage();
        let mut reads = Vec::new();
        for input in inputs {
            self.take(&mut stage, input, &mut reads);
        }
        self.obey(&mut stage).await;
        for run in self.timers.take(stage.now) {
            self.wake(&mut stage, &run);
        }
        self.settle(&mut stage);
        // If it failed, everybody concerned has been told.
        let _ = self.commit(stage).await;
        for read in reads {
            self.read(read);
        }
    }

    pub(super) fn stage(&mut self) -> Stage {
        Stage {
            now: self.clock.now(),
            entries: Vec::new(),
            owed: BTreeSet::new(),
            before: BTreeMap::new(),
            begin: Vec::new(),
            end: Vec::new(),
            replies: Vec::new(),
            orders: Vec::new(),
            facts: Vec::new(),
            outcomes: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, stage: &mut Stage, input: Input, reads: &mut Vec<Input>) {
        match input {
            Input::Begin { begin, reply } => {
                let answer = self.admit(stage, begin);
                stage.replies.push(Reply::Begin(reply, answer));
            }
            Input::Cancel { run, by, reply } => {
                let event = Event::Cancelled { at: stage.now, by };
                let answer = self.command(stage, &run, event);
                stage.replies.push(Reply::Command(reply, answer));
            }
            Input::Answer { run, step, item, answer, reply } => {
                let answer = self.answer(stage, &run, &step, item, answer);
                stage.replies.push(Reply::Command(reply, answer));
            }
            Input::Order { order, by, reply } => stage.orders.push(Said { order, by, reply }),
            Input::Intend { of, told, calls, reply } => {
                // Its outcomes are put back with the batch, if it must be.
                let again = Told { outcomes: Vec::new(), ..told.clone() };
                let answer = self
                    .intend(stage, &of, told, &calls)
                    .map_err(|illegal| baton_host::WallError(illegal.to_string()));
                stage.replies.push(Reply::Intend(Intent { of, told: again, calls, reply }, answer));
            }
            Input::Outcome { of, calls } => {
                if let Some(live) = self.runs.get_mut(&of.run) {
                    live.outcomes.extend(calls.into_iter().map(|call| (of.attempt, call)));
                }
            }
            Input::Progress { of, progress } => {
                // What is told after the end is no progress any more.
                if let Some(live) = self.runs.get_mut(&of.run)
                    && self.tasks.contains_key(&of)
                {
                    live.progress.insert(of.attempt.place, progress);
                    self.changes.send_modify(|version| *version += 1);
                }
            }
            Input::Ended { of, told, end } => self.ended(stage, of, told, end),
            Input::List { .. }
            | Input::Show { .. }
            | Input::Tape { .. }
            | Input::Build { .. }
            | Input::Switches { .. }
            | Input::Stats { .. } => reads.push(input),
            Input::Stop { grace_ms, reply } => self.drain(grace_ms, reply),
        }
    }

    fn command(
        &mut self,
        stage: &mut Stage,
        run: &RunId,
        event: Event,
    ) -> Result<(), CommandError> {
        if !self.runs.contains_key(run) {
            return Err(self.not_open(run));
        }
        self.event(stage, run, event).map_err(|illegal| CommandError::Illegal(illegal.to_string()))
    }

    /// Why nothing can be told to a run that is not in memory.
    pub(super) fn not_open(&self, run: &RunId) -> CommandError {
        if let Some(closed) = self.closed.iter().rev().find(|closed| closed.run == *run) {
            let outcome = closed.outcome.as_str();
            return CommandError::Illegal(format!("run {run} is over: {outcome}"));
        }
        match self.unreadable.get(run) {
            Some(why) => CommandError::Illegal(format!("run {run} is unreadable: {why}")),
            None => CommandError::UnknownRun(run.clone()),
        }
    }

    /// Stages one event: checks it with the machine and moves the run in memory.
    pub(super) fn event(
        &mut self,
        stage: &mut Stage,
        id: &RunId,
        event: Event,
    ) -> Result<(), Illegal> {
        let Some(live) = self.runs.get_mut(id) else {
            return Err(Illegal { event: event.to_string(), state: "no such open run".to_owned() });
        };
        let next = step(&live.plan, Some(&live.run), &event)?;
        let before = std::mem::replace(&mut live.run, next.run);
        stage.before.entry(id.clone()).or_insert(Some((before, live.seq)));
        let closed = closed_in_short(&live.run);
        if matches!(event, Event::Admitted { .. }) {
            self.index.open(&live.run);
        }
        stage.entries.push(Entry { run: id.clone(), seq: live.seq, event, closed: closed.clone() });
        live.seq += 1;
        stage.owe_all(id, next.effects);
        if let Some(closed) = closed {
            self.index.close(&closed);
            self.after_close(stage, closed);
        }
        Ok(())
    }

    /// Stages the beginning of a run.
    pub(super) fn begun(
        &mut self,
        stage: &mut Stage,
        plan: Arc<Plan>,
        event: Event,
    ) -> Result<RunId, Illegal> {
        let next = step(&plan, None, &event)?;
        let id = next.run.id().clone();
        stage.before.insert(id.clone(), None);
        stage.entries.push(Entry { run: id.clone(), seq: 0, event, closed: None });
        stage.owe_all(&id, next.effects);
        self.index.open(&next.run);
        let live =
            Live { plan, run: next.run, seq: 1, outcomes: Vec::new(), progress: BTreeMap::new() };
        self.runs.insert(id.clone(), live);
        Ok(id)
    }

    /// Outcomes that wait ride ahead of what is staged next.
    pub(super) fn flush_outcomes(&mut self, stage: &mut Stage, id: &RunId) {
        let outcomes = self.runs.get_mut(id).map(|live| std::mem::take(&mut live.outcomes));
        for (attempt, call) in outcomes.unwrap_or_default() {
            let event = Event::Called { at: stage.now, attempt, call: call.clone() };
            match self.event(stage, id, event) {
                Ok(()) => stage.outcomes.push((id.clone(), attempt, call)),
                Err(illegal) => {
                    tracing::debug!(run = %id, %illegal, "a late outcome is dropped");
                }
            }
        }
    }

    /// What a closed run leaves to others: its parent, and those who wait for its key.
    fn after_close(&mut self, stage: &mut Stage, closed: Closed) {
        let Some(live) = self.runs.get(&closed.run) else { return };
        let (begun, assessed_at) = (Arc::clone(live.run.begun()), live.run.assessed_at());
        let acted = live.run.has_acted();
        if let (Some(parent), Phase::Closed { outcome, output, .. }) =
            (&begun.parent, live.run.phase())
        {
            let event = Event::ChildClosed {
                at: stage.now,
                attempt: parent.attempt,
                outcome: *outcome,
                output: Arc::clone(output),
                assessed_at,
                acted,
            };
            if let Err(illegal) = self.event(stage, &parent.run, event) {
                tracing::warn!(run = %parent.run, %illegal, "a child's end came too late");
            }
        }
        self.reassess(stage, &closed);
        if let Some(key) = &closed.key
            && let Some(next) = self.index.queue(key).first().cloned()
        {
            self.wake(stage, &next);
            if let Some(live) = self.runs.get(&next) {
                stage.owe_all(&next, outstanding(&live.plan, &live.run));
            }
        }
        stage.closed.push(closed);
    }

    /// The one place where anything becomes durable, visible and done.
    pub(super) async fn commit(&mut self, mut stage: Stage) -> Result<(), AppendError> {
        if !stage.entries.is_empty() {
            let (done, durable) = oneshot::channel();
            let batch = Batch { entries: std::mem::take(&mut stage.entries) };
            self.journal.append(
                batch,
                Box::new(move |result| {
                    let _ = done.send(result);
                }),
            );
            let gone = || AppendError::Stopped("the journal's writer is gone".to_owned());
            if let Err(error) = durable.await.unwrap_or_else(|_| Err(gone())) {
                self.take_back(stage, &error);
                return Err(error);
            }
            self.changes.send_modify(|version| *version += 1);
        }
        for closed in stage.closed {
            self.retire(closed);
        }
        for of in stage.end {
            if let Some(task) = self.tasks.remove(&of) {
                task.abort();
            }
            if let Some(live) = self.runs.get_mut(&of.run) {
                live.progress.remove(&of.attempt.place);
            }
        }
        for of in stage.begin {
            self.perform(of);
        }
        for reply in stage.replies {
            self.reply(reply, None);
        }
        self.refill();
        Ok(())
    }

    /// The journal refused: nothing of the batch happened. Facts that came from
    /// outside are tried again; everybody else is told.
    fn take_back(&mut self, mut stage: Stage, error: &AppendError) {
        if error.passes() {
            // The journal logs when that begins and when it ends.
            tracing::debug!(%error, "the journal did not take a batch; it is tried again");
        } else {
            tracing::error!(%error, "the journal did not take a batch; nothing of it was done");
        }
        // Only opening the journal anew tells what is true: the engine must start again.
        self.halted |= matches!(error, AppendError::Stopped(_));
        for (id, before) in stage.before {
            match before {
                None => {
                    self.runs.remove(&id);
                }
                Some((run, seq)) => {
                    if let Some(live) = self.runs.get_mut(&id) {
                        live.run = run;
                        live.seq = seq;
                    }
                    self.timers.set(stage.now + 500, &id);
                }
            }
        }
        for (id, attempt, call) in stage.outcomes {
            if let Some(live) = self.runs.get_mut(&id) {
                live.outcomes.push((attempt, call));
            }
        }
        if let AppendError::Refused { run, .. } = error {
            self.give_up(run, error);
        }
        self.index = Index::derive(self.runs.values().map(|live| &live.run), &self.closed);
        for reply in stage.replies {
            match reply.again(error) {
                Ok(input) => stage.facts.push(input),
                Err(reply) => self.reply(reply, Some(error)),
            }
        }
        if let (Some(outbox), false) = (self.sender(), matches!(error, AppendError::Stopped(_))) {
            tokio::spawn(async move {
                tokio::time::sleep(RETRY_AFTER).await;
                for fact in stage.facts {
                    let _ = outbox.send(fact).await;
                }
            });
        }
    }

    /// A record of this run can never be stored. Trying again would refuse, for ever,
    /// every batch that it is in: the run is set aside, and the others go on.
    fn give_up(&mut self, run: &RunId, error: &AppendError) {
        if self.runs.remove(run).is_none() {
            return;
        }
        self.tasks.retain(|of, task| {
            let other = of.run != *run;
            if !other {
                task.abort();
            }
            other
        });
        self.set_aside(run.clone(), &error.to_string());
    }

    fn retire(&mut self, closed: Closed) {
        let run = self.runs.remove(&closed.run).map(|live| live.run);
        if let Some(verdict) = run.as_ref().and_then(verdict_of) {
            let counted = (closed.workflow.clone(), verdict.word());
            *self.stats.verdicts.entry(counted).or_default() += 1;
            self.stats.last_verdicts.insert(closed.workflow.clone(), verdict.word());
        }
        let counted = (closed.workflow.clone(), closed.outcome.as_str());
        *self.stats.closed.entry(counted).or_default() += 1;
        tracing::info!(run = %closed.run, workflow = closed.workflow, outcome = closed.outcome.as_str(), "run closed");
        if self.closed.len() == CLOSED_RUNS_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(closed);
    }

    /// Slots became free: lets attempts start that waited for one.
    fn refill(&mut self) {
        if self.backlog.is_empty() || self.tasks.len() >= self.bounds.attempts_max {
            return;
        }
        for of in std::mem::take(&mut self.backlog) {
            self.timers.set(self.clock.latest, &of.run);
        }
    }
}

fn verdict_of(run: &Run) -> Option<Verdict> {
    let Phase::Closed { output, .. } = run.phase() else { return None };
    Verdict::of(output)
}

fn closed_in_short(run: &Run) -> Option<Closed> {
    let Phase::Closed { at, outcome, .. } = run.phase() else { return None };
    let begun = run.begun();
    Some(Closed {
        run: begun.id.clone(),
        workflow: begun.workflow.clone(),
        begun_at: run.begun_at(),
        closed_at: *at,
        outcome: *outcome,
        trigger: begun.trigger.kind,
        source: begun.trigger.source.clone(),
        key: begun.key.clone(),
        dedup: begun.trigger.dedup.clone(),
        acted: run.has_intents(),
    })
}

/// Chance for a back-off's jitter, from the random bits of a fresh id.
pub(super) fn chance() -> u16 {
    let id = uuid::Uuid::now_v7();
    u16::from_be_bytes([id.as_bytes()[14], id.as_bytes()[15]])
}
