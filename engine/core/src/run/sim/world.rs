//! The simulated shell and the world around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::invariants::{self, Look, Violation, violated};
use super::ledger::Ledger;
use super::plant::{Plant, tamper};
use super::{Rng, Tally};
use crate::Millis;
use crate::id::{AttemptId, Digest, Side};
use crate::run::event::{
    Answer, Begun, Call, CallClass, Cause, Event, Outcome, Pin, Queued, Tape, TapeHead, Trigger,
    TriggerKind,
};
use crate::run::fault::Fault;
use crate::run::place::{CallRecord, Item, State};
use crate::run::state::Run;
use crate::run::{Effect, RULES_VERSION, apply, outstanding, step};
use crate::workflow::plan::{Action, Plan, WhenInterrupted};

/// One simulated run, its shell and its journal.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rng: Rng,
    plant: Plant,
    pub(super) now: Millis,
    journal: Vec<Event>,
    run: Option<Run>,
    owed: BTreeSet<Effect>,
    /// Attempts that somebody is working on; lost in a crash, but for child runs.
    working: BTreeMap<AttemptId, u32>,
    /// What the facts alone say.
    pub(super) ledger: Ledger,
    /// Of 100 turns, how many are crashes; some runs meet a storm.
    crashes_percent: u64,
    /// A fact was acted upon that is not in the journal; the engine dies next.
    unwritten: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, rng: Rng, plant: Plant) -> Self {
        Self {
            plan,
            rng,
            plant,
            now: 1_000,
            journal: Vec::new(),
            run: None,
            owed: BTreeSet::new(),
            working: BTreeMap::new(),
            ledger: Ledger::default(),
            crashes_percent: 7,
            unwritten: false,
        }
    }

    /// Lives the run to its end.
    pub(super) fn live(mut self, tally: &mut Tally) -> Result<(), Violation> {
        let begun = self.begun();
        self.commit(Event::Begun { at: self.now, begun: Arc::new(begun) })?;
        if self.rng.one_in(10) {
            self.crashes_percent = 50;
        }
        let mut crashes_left = 16_u32;
        for _ in 0..3_000 {
            if self.run().is_closed() {
                return self.after_close(tally);
            }
            let crash = crashes_left > 0 && self.rng.below(100) < self.crashes_percent;
            if crash || self.unwritten {
                crashes_left = crashes_left.saturating_sub(1);
                tally.crashes += 1;
                self.crash()?;
                continue;
            }
            self.now += self.rng.below(6);
            self.check_owed()?;
            self.act(tally)?;
        }
        violated(invariants::CLOSES, format!("still {} after 3000 turns", self.run().status()))
    }

    pub(super) fn run(&self) -> &Run {
        self.run.as_ref().expect("the run has begun")
    }

    pub(super) fn begun(&mut self) -> Begun {
        let policies = [WhenInterrupted::Ask, WhenInterrupted::Rerun, WhenInterrupted::Replay];
        let policy = *self.rng.pick(&policies).expect("three");
        let pin = Pin { digest: Digest::of(b"p"), when_interrupted: policy };
        let queued = self.rng.one_in(5).then(|| Queued { not_before: self.now + 20 });
        Begun {
            id: "sim".parse().expect("an id"),
            workflow: "root".to_owned(),
            source: "".into(),
            children: BTreeMap::new(),
            plugins: BTreeMap::from([("p".to_owned(), pin)]),
            params: Arc::new(json!({})),
            trigger: trigger(TriggerKind::Manual),
            key: None,
            queued,
            parent: None,
            rules: RULES_VERSION,
        }
    }

    /// check -> append -> install -> perform, in this order.
    fn commit(&mut self, event: Event) -> Result<(), Violation> {
        let next = match step(self.plan, self.run.as_ref(), &event) {
            Ok(next) => next,
            Err(illegal) => return violated(invariants::LEGAL, illegal.to_string()),
        };
        let mut after = next.run;
        tamper(self.plant, self.plan, self.run.as_ref(), &event, &mut after);
        let mut ledger = self.ledger.clone();
        ledger.note(self.plan, self.run.as_ref(), &event);
        invariants::check(&Look {
            plan: self.plan,
            before: self.run.as_ref(),
            event: &event,
            after: &after,
            ledger: &ledger,
            earlier: &self.ledger,
        })
        .map_err(|violation| violation.after(&self.journal, &event))?;
        self.ledger = ledger;
        self.unwritten = self.plant == Plant::PerformBeforeAppend && self.rng.one_in(30);
        if !self.unwritten {
            self.journal.push(event);
        }
        if self.plant == Plant::Nothing {
            self.owed.extend(next.effects);
        } else {
            self.owed.extend(outstanding(self.plan, &after));
        }
        self.run = Some(after);
        Ok(())
    }

    fn check_owed(&mut self) -> Result<(), Violation> {
        let owed = outstanding(self.plan, self.run());
        // What a later event made moot is dropped, as the shell does.
        self.owed.retain(|effect| owed.contains(effect));
        if self.owed != owed {
            return violated(
                invariants::OWED,
                format!("owed {owed:?}, remembered {:?}", self.owed),
            );
        }
        Ok(())
    }

    /// Folds the journal, with a look at each state on the way.
    fn replay(
        &self,
        each: impl Fn(&Run) -> Result<(), Violation>,
    ) -> Result<Option<Run>, Violation> {
        let mut run = None;
        for event in &self.journal {
            let mut next = match apply(self.plan, run.as_ref(), event) {
                Ok(next) => next,
                Err(illegal) => return violated(invariants::REPLAY, illegal.to_string()),
            };
            tamper(self.plant, self.plan, run.as_ref(), event, &mut next);
            each(&next)?;
            run = Some(next);
        }
        Ok(run)
    }

    /// Whatever a crash leaves of the journal, what it cut off can be told so.
    fn could_crash(&self, run: &Run) -> Result<(), Violation> {
        for attempt in run.cut_off(self.plan) {
            let cut = Event::Interrupted { at: self.now, attempt, plays: 1 };
            if let Err(illegal) = apply(self.plan, Some(run), &cut) {
                return violated(invariants::LEGAL, illegal.to_string());
            }
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), Violation> {
        let back = self.replay(|_| Ok(()))?;
        if back != self.run {
            return violated(invariants::REPLAY, "replay differs from the live run");
        }
        self.run = back;
        self.owed = outstanding(self.plan, self.run());
        if self.plant == Plant::LoseTimers {
            self.owed.retain(|effect| !matches!(effect, Effect::Wake { .. }));
        }
        self.unwritten = false;
        self.working.retain(|attempt, _| self.plan.is_child(*attempt));
        if self.plant == Plant::ForgetInterrupted {
            return Ok(());
        }
        for attempt in self.run().cut_off(self.plan) {
            self.commit(Event::Interrupted { at: self.now, attempt, plays: 1 })?;
        }
        Ok(())
    }

    fn act(&mut self, tally: &mut Tally) -> Result<(), Violation> {
        let owed: Vec<Effect> = self.owed.iter().cloned().collect();
        let rare = if self.run().is_queued() { 2 } else { 15 };
        match self.rng.below(24) {
            0 if self.rng.one_in(rare) && self.may_cancel() => {
                let who = Cause::Person { who: "sim".to_owned(), reason: "because".to_owned() };
                let by = if self.rng.one_in(3) { Cause::Parent } else { who };
                self.commit(Event::Cancelled { at: self.now, by })
            }
            0 if self.rng.one_in(3) => {
                tally.joined += 1;
                self.commit(Event::Joined { at: self.now, trigger: trigger(TriggerKind::Webhook) })
            }
            23 => self.provoke(),
            1..=10 => match self.rng.pick(&owed).cloned() {
                Some(effect) => self.perform(&effect, tally),
                None => Ok(()),
            },
            11..=13 => self.answer(tally),
            _ => self.work(),
        }
    }

    /// Nobody did, and there is something left to end.
    fn may_cancel(&self) -> bool {
        self.ledger.cancel.is_none() && !self.owed.contains(&Effect::Close)
    }

    fn perform(&mut self, effect: &Effect, tally: &mut Tally) -> Result<(), Violation> {
        match *effect {
            Effect::Invoke { attempt } => {
                if self.run().stale(self.plan, attempt, self.now).is_some() {
                    tally.stale += 1;
                    return self.commit(Event::Stale { at: self.now, attempt });
                }
                tally.undos += u64::from(attempt.side == Side::Undo);
                tally.replays += u64::from(self.ledger.lane(attempt.place, attempt.side).resumes);
                self.commit(Event::Started { at: self.now, attempt })?;
                // An attempt that goes on makes the calls after those on its tape.
                let of_this = |record: &&CallRecord| record.attempt == attempt;
                let calls = self.run().item(attempt.place).map(Item::calls).unwrap_or_default();
                let calls = calls.iter().filter(of_this).count();
                self.working.insert(attempt, u32::try_from(calls).expect("few"));
                Ok(())
            }
            Effect::Wake { place, at } => {
                // Time runs on to a timer only now and then, so that others come first.
                if self.now < at && !self.rng.one_in(4) {
                    return Ok(());
                }
                self.now = self.now.max(at);
                self.commit(Event::Woke { at: self.now, place })
            }
            Effect::Admit { not_before } => {
                self.now = self.now.max(not_before);
                self.commit(Event::Admitted { at: self.now })
            }
            Effect::Deadline { at } => {
                if self.now < at && !self.rng.one_in(10) {
                    return Ok(());
                }
                self.now = self.now.max(at);
                self.commit(Event::Cancelled { at: self.now, by: Cause::Timeout })
            }
            Effect::Stop { attempt } => {
                self.working.remove(&attempt);
                if self.plan.is_child(attempt) {
                    return self.child_closed(attempt, Outcome::Cancelled);
                }
                self.failed(attempt, Fault::permanent("stopped", "stopped"))
            }
            Effect::Close => self.commit(Event::Closed { at: self.now }),
        }
    }

    /// Somebody makes progress on an attempt.
    fn work(&mut self) -> Result<(), Violation> {
        let working: Vec<(AttemptId, u32)> = self.working.iter().map(|(a, n)| (*a, *n)).collect();
        let Some((attempt, calls)) = self.rng.pick(&working).copied() else { return Ok(()) };
        if self.plan.is_child(attempt) {
            self.working.remove(&attempt);
            let outcome = match self.rng.below(12) {
                0..=2 => Outcome::Failed,
                3 => Outcome::Cancelled,
                4 => Outcome::TimedOut,
                _ => Outcome::Succeeded,
            };
            return self.child_closed(attempt, outcome);
        }
        let action = &self.plan.step(attempt.place.step).action;
        let reports = attempt.side == Side::Do && matches!(action, Action::Report);
        // Who lets a run go makes no calls.
        let lets_go = attempt.side == Side::Do && matches!(action, Action::Workflow(_));
        if self.ledger.lane(attempt.place, attempt.side).resumed && self.rng.one_in(5) {
            self.working.remove(&attempt);
            let why = "call 1 asks for something else".to_owned();
            return self.commit(Event::Diverged { at: self.now, attempt, why });
        }
        let reads = self.plan.step(attempt.place.step).changes_nothing;
        match self.rng.below(8) {
            0 | 1 if calls < 3 && !reports && !lets_go && !reads => self.call(attempt, calls),
            2 | 3 => {
                self.working.remove(&attempt);
                let fault = if self.rng.one_in(3) {
                    Fault::permanent("broken", "broken")
                } else {
                    Fault::retryable("flaky", "flaky")
                };
                self.failed(attempt, fault)
            }
            _ => {
                self.working.remove(&attempt);
                let output = Arc::new(json!({ "done": self.rng.one_in(2) }));
                let event = Event::Succeeded { at: self.now, attempt, output };
                if self.plant == Plant::ReplyTwice {
                    self.commit(event.clone())?;
                }
                self.commit(event)
            }
        }
    }

    fn call(&mut self, attempt: AttemptId, index: u32) -> Result<(), Violation> {
        self.working.insert(attempt, index + 1);
        let class = match self.rng.below(4) {
            0 => CallClass::Read,
            1 => CallClass::Once,
            _ => CallClass::Guarded,
        };
        // What was heard goes ahead of the change; of work that only reads nothing is kept.
        if class > CallClass::Read && !self.rng.one_in(4) {
            self.tape(attempt)?;
        }
        let mut call = Call { index, class, request: "INCR x".to_owned(), outcome: None };
        self.commit(Event::Called { at: self.now, attempt, call: call.clone() })?;
        if self.rng.one_in(2) {
            call.outcome = Some("1".to_owned());
            self.commit(Event::Called { at: self.now, attempt, call })?;
        }
        Ok(())
    }

    fn tape(&mut self, attempt: AttemptId) -> Result<(), Violation> {
        let taped = self.ledger.lane(attempt.place, attempt.side).taped;
        let head = (!taped).then(|| TapeHead { version: 1, input: Arc::new(json!({})) });
        let tape = Tape { head, entries: Vec::new() };
        self.commit(Event::Taped { at: self.now, attempt, tape })
    }

    fn failed(&mut self, attempt: AttemptId, fault: Fault) -> Result<(), Violation> {
        let jitter = u16::try_from(self.rng.below(65_536)).expect("16 bits");
        self.commit(Event::Failed { at: self.now, attempt, fault, jitter })
    }

    fn child_closed(&mut self, attempt: AttemptId, outcome: Outcome) -> Result<(), Violation> {
        let output = Arc::new(json!(null));
        let assessed_at = self.rng.one_in(3).then(|| self.now - self.rng.below(50));
        // A child of steps that only read has nothing to act with.
        let acted = !self.plan.step(attempt.place.step).changes_nothing && self.rng.one_in(4);
        self.commit(Event::ChildClosed {
            at: self.now,
            attempt,
            outcome,
            output,
            assessed_at,
            acted,
        })
    }

    fn answer(&mut self, tally: &mut Tally) -> Result<(), Violation> {
        let asking = |state: &State| matches!(state, State::Asking { .. });
        let open: Vec<_> = self
            .run()
            .places()
            .filter(|(_, item)| asking(item.work()) || asking(item.undo()))
            .map(|(place, _)| place)
            .collect();
        let Some(place) = self.rng.pick(&open).copied() else { return Ok(()) };
        tally.questions += 1;
        let approved = self.rng.one_in(2);
        let answer = Answer { approved, who: "sim".to_owned(), reason: String::new() };
        self.commit(Event::Answered { at: self.now, place, answer })
    }

    fn after_close(&mut self, tally: &mut Tally) -> Result<(), Violation> {
        tally.events += self.journal.len() as u64;
        *tally.outcomes.entry(self.run().status()).or_default() += 1;
        for _ in 0..3 {
            self.provoke()?;
        }
        if self.replay(|run| self.could_crash(run))? != self.run {
            return violated(invariants::REPLAY, "replay differs from the live run");
        }
        Ok(())
    }
}

fn trigger(kind: TriggerKind) -> Trigger {
    let evidence = Arc::new(json!(null));
    Trigger { kind, source: "sim".to_owned(), dedup: None, evidence }
}
