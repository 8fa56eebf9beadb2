//! Turning what runs are owed into events of the batch that made it owed; what is
//! left then is work for the outside.

use std::sync::Arc;

use baton_core::Millis;
use baton_core::id::{RunId, Side};
use baton_core::run::event::{Cause, Event};
use baton_core::run::fault::Fault;
use baton_core::run::{Effect, Invocation, outstanding};
use baton_core::workflow::plan::Action;

use super::stage::Stage;
use super::{Doing, Runner};

impl Runner {
    /// A timer of this run is due: whatever its state says is due now is staged.
    pub(super) fn wake(&mut self, stage: &mut Stage, id: &RunId) {
        let Some(live) = self.runs.get(id) else { return };
        for effect in outstanding(&live.plan, &live.run) {
            if due_at(&effect).is_none_or(|at| at <= stage.now) {
                stage.owed.insert((id.clone(), effect));
            }
        }
    }

    /// Turns what is owed into events of the same batch, until only work for the
    /// outside is left.
    pub(super) fn settle(&mut self, stage: &mut Stage) {
        while let Some((id, effect)) = stage.owed.pop_first() {
            let Some(live) = self.runs.get(&id) else { continue };
            if !outstanding(&live.plan, &live.run).contains(&effect) {
                continue;
            }
            self.owe(stage, &id, &effect);
        }
    }

    fn owe(&mut self, stage: &mut Stage, id: &RunId, effect: &Effect) {
        let at = stage.now;
        if let Some(due) = due_at(effect)
            && due > at
        {
            self.timers.set(due, id);
            return;
        }
        let staged = match *effect {
            Effect::Invoke { attempt } => {
                self.invoke(stage, Doing { run: id.clone(), attempt });
                Ok(())
            }
            Effect::Stop { attempt } => {
                self.stop_attempt(stage, Doing { run: id.clone(), attempt });
                Ok(())
            }
            Effect::Admit { .. } if !self.is_key_free(id) => Ok(()),
            Effect::Admit { .. } if let Some(until) = self.still_cooling(id, at) => {
                self.timers.set(until, id);
                Ok(())
            }
            Effect::Admit { .. } => self.event(stage, id, Event::Admitted { at }),
            Effect::Wake { place, .. } => self.event(stage, id, Event::Woke { at, place }),
            Effect::Deadline { .. } => {
                self.event(stage, id, Event::Cancelled { at, by: Cause::Timeout })
            }
            Effect::Close => self.event(stage, id, Event::Closed { at }),
        };
        if let Err(illegal) = staged {
            tracing::error!(run = %id, %illegal, "the machine refused what it asked for");
        }
    }

    fn is_key_free(&self, id: &RunId) -> bool {
        let key = self.runs.get(id).and_then(|live| live.run.begun().key.as_deref());
        let Some(key) = key else { return true };
        self.index.holder(key).is_none() && self.index.queue(key).first() == Some(id)
    }

    /// `Started` rides in the batch of what made the attempt ready.
    fn invoke(&mut self, stage: &mut Stage, of: Doing) {
        let Some(live) = self.runs.get(&of.run) else { return };
        let step = live.plan.step(of.attempt.place.step);
        // What is undone is undone by a plugin, whatever the step itself runs.
        let takes_slot = matches!(step.action, Action::Plugin(_)) || of.attempt.side == Side::Undo;
        if takes_slot && self.draining.is_some() {
            // It is ready on disk: the next start begins it.
            return;
        }
        if takes_slot && self.tasks.len() + stage.begin.len() >= self.bounds.attempts_max {
            if !self.backlog.contains(&of) {
                self.backlog.push_back(of);
            }
            return;
        }
        let (at, attempt) = (stage.now, of.attempt);
        if self.is_held_back(&of, at) {
            return;
        }
        let Some(live) = self.runs.get(&of.run) else { return };
        let step = live.plan.step(attempt.place.step);
        if live.run.stale(&live.plan, attempt, at).is_some() {
            tracing::info!(run = %of.run, step = step.name, "what it rests on is past its shelf life and gathered again");
            if let Err(illegal) = self.event(stage, &of.run, Event::Stale { at, attempt }) {
                tracing::error!(run = %of.run, %illegal, "stale evidence could not be recorded");
            }
            return;
        }
        let invocation = live.run.invocation(&live.plan, attempt);
        if let Err(illegal) = self.event(stage, &of.run, Event::Started { at, attempt }) {
            tracing::error!(run = %of.run, %illegal, "an attempt could not be started");
            return;
        }
        match invocation {
            Ok(Invocation::Plugin { .. }) => stage.begin.push(of),
            Ok(Invocation::Child { plan, params, fresh_until }) => {
                self.begin_child(stage, &of, plan, &params, fresh_until);
            }
            Ok(Invocation::Detached { plan, params }) => {
                self.let_go(stage, &of, plan, &params);
            }
            Ok(Invocation::Report) => {
                let Some(live) = self.runs.get(&of.run) else { return };
                let markdown =
                    super::report::markdown(&live.plan, &live.run, at, self.switches.seen(&of.run));
                let output = Arc::new(serde_json::json!({ "markdown": markdown }));
                let _ = self.event(stage, &of.run, Event::Succeeded { at, attempt, output });
            }
            Err(fault) => {
                let _ = self.event(stage, &of.run, Event::Failed { at, attempt, fault, jitter: 0 });
            }
        }
    }

    fn stop_attempt(&mut self, stage: &mut Stage, of: Doing) {
        let Some(live) = self.runs.get(&of.run) else { return };
        let (at, attempt) = (stage.now, of.attempt);
        if live.plan.is_child(attempt) {
            let child = super::admit::child_id(&of.run, attempt);
            let _ = self.event(stage, &child, Event::Cancelled { at, by: Cause::Parent });
            return;
        }
        stage.begin.retain(|doing| *doing != of);
        self.flush_outcomes(stage, &of.run);
        let fault = Fault::permanent("stopped", "ended with its run");
        let _ = self.event(stage, &of.run, Event::Failed { at, attempt, fault, jitter: 0 });
        stage.end.push(of);
    }
}

/// When an effect is due by the clock; none: at once.
fn due_at(effect: &Effect) -> Option<Millis> {
    match effect {
        Effect::Admit { not_before: at } | Effect::Wake { at, .. } | Effect::Deadline { at } => {
            Some(*at)
        }
        Effect::Invoke { .. } => Some(0),
        Effect::Stop { .. } | Effect::Close => None,
    }
}
