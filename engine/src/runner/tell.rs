//! What running attempts tell: their intents, behind what they heard, and their ends.
//!
//! ```text
//! [outcomes known meanwhile, Taped, Called, Called, …]     before a change
//! [outcomes known meanwhile, Taped, Succeeded]             at the end
//! ```
//! Each is one batch, so that on disk no change stands without what led to it.

use std::sync::Arc;

use baton_core::Json;
use baton_core::id::{AttemptId, Side};
use baton_core::run::event::{Call, CallClass, Event, Tape, TapeEntry, TapeHead};
use baton_core::run::{CallRecord, Illegal, Run};
use baton_core::workflow::plan::Plan;
use baton_host::{End, TAPE_VERSION};

use super::stage::{Stage, chance};
use super::{Doing, Input, Runner, Told};

/// Outcome of intents that are on disk beside one that could not be stored.
const NOT_SENT: &str = "not sent: another intent could not be stored";

impl Runner {
    /// Stages the intents of one pipeline.
    ///
    /// # Errors
    /// If one of them cannot be: then none may be sent.
    pub(super) fn intend(
        &mut self,
        stage: &mut Stage,
        of: &Doing,
        told: Told,
        calls: &[Call],
    ) -> Result<(), Illegal> {
        self.told(stage, of, told.outcomes);
        self.taped(stage, of, told.input, told.heard)?;
        let (at, attempt) = (stage.now, of.attempt);
        for (staged, call) in calls.iter().enumerate() {
            let intent = Event::Called { at, attempt, call: call.clone() };
            if let Err(illegal) = self.event(stage, &of.run, intent) {
                for call in &calls[..staged] {
                    let call = Call { outcome: Some(NOT_SENT.to_owned()), ..call.clone() };
                    self.event(stage, &of.run, Event::Called { at, attempt, call })?;
                }
                return Err(illegal);
            }
        }
        Ok(())
    }

    /// Stages the end of an attempt. Its tape is kept only if it may be wanted: a
    /// read-only attempt is run again rather than replayed.
    pub(super) fn ended(&mut self, stage: &mut Stage, of: Doing, told: Told, end: End) {
        self.tasks.remove(&of);
        self.told(stage, &of, told.outcomes.clone());
        let mut wanted = false;
        if let Some(live) = self.runs.get_mut(&of.run) {
            live.progress.remove(&of.attempt.place);
            wanted = wants_tape(&live.plan, &live.run, of.attempt);
        }
        let kept = if wanted {
            self.taped(stage, &of, Arc::clone(&told.input), told.heard.clone())
        } else {
            Ok(())
        };
        let (at, attempt) = (stage.now, of.attempt);
        let event = match end.clone() {
            End::Output(output) => Event::Succeeded { at, attempt, output: Arc::new(output) },
            End::Fault(fault) => Event::Failed { at, attempt, fault, jitter: chance() },
            End::Diverged(how) => Event::Diverged { at, attempt, why: how.to_string() },
        };
        if let Err(illegal) = kept.and_then(|()| self.event(stage, &of.run, event)) {
            tracing::debug!(run = %of.run, %illegal, "a late result is dropped");
        }
        // Its outcomes are put back with the batch, if it must be.
        let told = Told { outcomes: Vec::new(), ..told };
        stage.facts.push(Input::Ended { of, told, end });
    }

    fn told(&mut self, stage: &mut Stage, of: &Doing, outcomes: Vec<Call>) {
        if let Some(live) = self.runs.get_mut(&of.run) {
            live.outcomes.extend(outcomes.into_iter().map(|call| (of.attempt, call)));
        }
        self.flush_outcomes(stage, &of.run);
    }

    /// Stages what an attempt heard. Told twice (intents that came with it were refused)
    /// it is kept once.
    fn taped(
        &mut self,
        stage: &mut Stage,
        of: &Doing,
        input: Arc<Json>,
        mut heard: Vec<Arc<TapeEntry>>,
    ) -> Result<(), Illegal> {
        let Some(live) = self.runs.get(&of.run) else { return Ok(()) };
        let begins = match live.run.tape(of.attempt) {
            None => Some(TapeHead { version: TAPE_VERSION, input }),
            Some(known) => {
                let last = known.last().map(|entry| entry.index);
                heard.retain(|entry| Some(entry.index) > last);
                None
            }
        };
        if begins.is_none() && heard.is_empty() {
            return Ok(());
        }
        let tape = Tape { head: begins, entries: heard };
        self.event(stage, &of.run, Event::Taped { at: stage.now, attempt: of.attempt, tape })
    }
}

fn wants_tape(plan: &Plan, run: &Run, attempt: AttemptId) -> bool {
    let asked = attempt.side == Side::Do && plan.step(attempt.place.step).record;
    let changed = run.item(attempt.place).is_some_and(|item| {
        let of_this = |call: &&CallRecord| call.attempt == attempt;
        item.calls().iter().filter(of_this).any(|record| record.call.class != CallClass::Read)
    });
    asked || changed
}
