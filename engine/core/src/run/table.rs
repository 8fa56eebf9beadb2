//! The one transition table: what a fact does to one lane of one place.

use crate::Millis;
use crate::id::Side;
use crate::limits;
use crate::run::event::{Answer, CallClass};
use crate::run::fault::{Fault, FaultKind};
use crate::run::place::{AttemptEnd, AttemptRecord, CallRecord, Item, Question, State};
use crate::workflow::plan::{OnFailure, Retry, Step, WhenInterrupted};

/// A fact about one lane, with all that the rules need to know of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fact<'a> {
    /// The attempt began.
    Started,
    /// It gave what it should; of a poll, the condition holds.
    Succeeded,
    /// It ended well, but `until` does not hold yet; look again after this time.
    NotYet { wait_ms: Millis },
    /// It failed.
    Failed { fault: &'a Fault, jitter: u16 },
    /// The engine died under it; the one that came back can play tapes of this version.
    Interrupted { policy: WhenInterrupted, plays: u32 },
    /// Its replay left the tape.
    Diverged { why: &'a str },
    /// It rests on evidence past its shelf life: that is gathered again, or, with a
    /// fault, it was often enough.
    Stale { fault: Option<&'a Fault> },
    /// A timer fired.
    Woke,
    /// A person answered, or silence did.
    Answered(&'a Answer),
}

/// How work on the way forward stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// A step failed: what runs may finish, nothing new starts.
    Drain,
    /// Cancelled or out of time: what runs ends as well.
    Stop,
}

/// What the rules of a lane depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub step: &'a Step,
    pub side: Side,
    /// How the run ends, if it does.
    pub halt: Option<Halt>,
}

impl Item {
    /// The state that follows, or `None` if the fact cannot happen here.
    /// `number` is the attempt's, 0 where the fact is of no attempt.
    pub(super) fn next(
        &self,
        rules: Rules<'_>,
        number: u32,
        at: Millis,
        fact: &Fact<'_>,
    ) -> Option<State> {
        use State as S;
        match (self.lane(rules.side), fact) {
            (S::Ready, Fact::Started) if number == self.next_number(rules.side) => {
                Some(S::Running { number, since: at, stopping: false })
            }
            (S::Running { number: n, .. }, Fact::Succeeded) if *n == number => {
                Some(S::Succeeded { at })
            }
            (S::Running { number: n, .. }, Fact::NotYet { wait_ms }) if *n == number => {
                let until = at + wait_ms;
                Some(if self.stops(rules) { S::Cancelled } else { S::BackingOff { until } })
            }
            (S::Running { number: n, .. }, Fact::Failed { fault, jitter }) if *n == number => {
                Some(self.after_failure(rules, number, at, fault, *jitter))
            }
            (S::Running { number: n, .. }, Fact::Interrupted { policy, plays }) if *n == number => {
                Some(self.after_interruption(rules, number, at, *policy, *plays))
            }
            (S::Running { number: n, .. }, Fact::Diverged { .. })
                if *n == number && self.resumed[rules.side as usize] =>
            {
                Some(self.after_divergence(rules, number, at))
            }
            (S::Ready, Fact::Stale { fault }) if number == self.next_number(rules.side) => {
                Some(match fault {
                    None => S::Waiting,
                    Some(_) => Self::give_up(rules, at),
                })
            }
            (S::BackingOff { until }, Fact::Woke) if at >= *until => Some(S::Ready),
            (S::Sleeping { until }, Fact::Woke) if at >= *until => Some(S::Succeeded { at }),
            // Only a child run has a timer while it runs: its time is up.
            (S::Running { number, since, stopping: false }, Fact::Woke)
                if at >= since + rules.step.timeout_ms =>
            {
                Some(S::Running { number: *number, since: *since, stopping: true })
            }
            (S::Asking { question: Question::Approval { .. }, .. }, Fact::Answered(answer)) => {
                Some(if answer.approved { S::Succeeded { at } } else { S::Failed { at } })
            }
            (S::Asking { .. }, Fact::Answered(answer)) => {
                Some(if answer.approved { S::Ready } else { S::Failed { at } })
            }
            _ => None,
        }
    }

    fn after_failure(
        &self,
        rules: Rules<'_>,
        number: u32,
        at: Millis,
        fault: &Fault,
        jitter: u16,
    ) -> State {
        if self.stops(rules) {
            let told = rules.halt == Some(Halt::Stop);
            return if told { State::Cancelled } else { State::Failed { at } };
        }
        let failures = self.failures[rules.side as usize];
        let tries_left = failures + 1 < rules.step.retry.attempts_max;
        if fault.kind == FaultKind::Retryable && tries_left {
            if self.is_in_doubt(rules.side, number) {
                return State::Asking { question: Question::InDoubt, since: at, until: None };
            }
            let wait = rules.step.retry.wait_ms(failures, jitter);
            return State::BackingOff { until: at + wait };
        }
        Self::give_up(rules, at)
    }

    /// No tries are left.
    fn give_up(rules: Rules<'_>, at: Millis) -> State {
        match (rules.side, rules.step.on_failure) {
            (Side::Do, OnFailure::Ask) => {
                State::Asking { question: Question::Failed, since: at, until: None }
            }
            (Side::Do, OnFailure::Fail | OnFailure::Continue) | (Side::Undo, _) => {
                State::Failed { at }
            }
        }
    }

    fn after_interruption(
        &self,
        rules: Rules<'_>,
        number: u32,
        at: Millis,
        policy: WhenInterrupted,
        plays: u32,
    ) -> State {
        if self.stops(rules) {
            return State::Cancelled;
        }
        let ask = |question| State::Asking { question, since: at, until: None };
        let strongest = self.strongest(rules.side, number);
        let in_doubt = self.is_in_doubt(rules.side, number);
        if self.interruptions[rules.side as usize] + 1 >= limits::INTERRUPTIONS_MAX {
            return ask(Question::Poison);
        }
        let again = match policy {
            WhenInterrupted::Replay => {
                strongest < CallClass::Once || self.is_playable(rules, number, at, plays)
            }
            WhenInterrupted::Rerun => !in_doubt,
            WhenInterrupted::Ask => strongest == CallClass::Read,
        };
        match (again, in_doubt) {
            (true, _) => State::Ready,
            (false, true) => ask(Question::InDoubt),
            (false, false) => ask(Question::Interrupted),
        }
    }

    /// What a replayed attempt did before it was cut off stands; run again from the
    /// start it would do it twice, which only calls below `once` bear.
    fn after_divergence(&self, rules: Rules<'_>, number: u32, at: Millis) -> State {
        if self.stops(rules) {
            State::Cancelled
        } else if self.strongest(rules.side, number) == CallClass::Once {
            State::Asking { question: Question::Diverged, since: at, until: None }
        } else {
            State::Ready
        }
    }

    /// Whether the attempt that was cut off can go on from its tape: it has changed
    /// something, its tape is of a kind that this host plays, and nothing of what it
    /// heard is too old to act upon.
    fn is_playable(&self, rules: Rules<'_>, number: u32, at: Millis, plays: u32) -> bool {
        let lane = rules.side as usize;
        let young = at.saturating_sub(self.heard_at[lane]) <= rules.step.replay_within_ms;
        self.strongest(rules.side, number) > CallClass::Read
            && young
            && self.tapes[lane].as_ref().is_some_and(|heard| heard.version == plays)
    }

    /// Whether the attempt that a fact ended goes on as the same, on its tape.
    fn resumes(&self, rules: Rules<'_>, number: u32, at: Millis, fact: &Fact<'_>) -> bool {
        let Fact::Interrupted { policy: WhenInterrupted::Replay, plays } = fact else {
            return false;
        };
        *self.lane(rules.side) == State::Ready && self.is_playable(rules, number, at, *plays)
    }

    /// The strongest class among the calls of an attempt.
    fn strongest(&self, side: Side, number: u32) -> CallClass {
        let of_this =
            |record: &&CallRecord| record.attempt.side == side && record.attempt.number == number;
        let classes = self.calls.iter().filter(of_this).map(|record| record.call.class);
        classes.max().unwrap_or(CallClass::Read)
    }

    /// Work on the way forward stops with the run. Undo and `always` steps do not,
    /// and a pivot that has an intent stops for a cancel only.
    fn stops(&self, rules: Rules<'_>) -> bool {
        let forward = rules.side == Side::Do && !rules.step.always;
        match rules.halt {
            Some(Halt::Drain) => forward && !(rules.step.pivot && self.has_intents()),
            Some(Halt::Stop) => forward,
            None => false,
        }
    }

    /// Whether a call that must happen at most once was made by this attempt and
    /// its outcome is not known.
    fn is_in_doubt(&self, side: Side, number: u32) -> bool {
        self.calls.iter().any(|record| {
            record.attempt.side == side
                && record.attempt.number == number
                && record.call.class == CallClass::Once
                && record.call.outcome.is_none()
        })
    }

    /// Keeps the counters that the table reads. Called after the state moved.
    pub(super) fn count(&mut self, rules: Rules<'_>, number: u32, at: Millis, fact: &Fact<'_>) {
        let (side, lane) = (rules.side, rules.side as usize);
        let resumes = self.resumes(rules, number, at, fact);
        match fact {
            Fact::Started => {
                self.numbers[lane] = number;
                // What an attempt that goes on had heard does not become younger by it.
                if !self.resumed[lane] {
                    self.tapes[lane] = None;
                    self.heard_at[lane] = at;
                }
                if side == Side::Do {
                    self.since = Some(at);
                    self.polling_since.get_or_insert(at);
                }
            }
            Fact::Succeeded => {
                self.faults[lane] = None;
                self.failures[lane] = 0;
                self.interruptions[lane] = 0;
            }
            Fact::NotYet { .. } => {
                self.failures[lane] = 0;
                self.interruptions[lane] = 0;
            }
            Fact::Failed { fault, .. } => {
                self.failures[lane] += 1;
                self.interruptions[lane] = 0;
                self.faults[lane] = Some((*fault).clone());
            }
            Fact::Diverged { why } => {
                self.faults[lane] = Some(Fault::permanent("diverged", *why));
            }
            Fact::Stale { fault: Some(fault) } => self.faults[lane] = Some((*fault).clone()),
            Fact::Answered(_) => {
                self.failures[lane] = 0;
                self.interruptions[lane] = 0;
                self.polling_since = None;
            }
            Fact::Interrupted { .. } => self.interruptions[lane] += 1,
            Fact::Woke | Fact::Stale { fault: None } => {}
        }
        // A start changes nothing about which attempt it is.
        if *fact != Fact::Started {
            self.resumed[lane] = resumes;
        }
        if !self.resumed[lane] && !matches!(self.lane(side), State::Running { .. }) {
            self.tapes[lane] = None;
        }
        self.remember(side, number, at, fact);
    }

    fn remember(&mut self, side: Side, number: u32, at: Millis, fact: &Fact<'_>) {
        let end = match fact {
            Fact::Started => {
                if self.history.len() == limits::HISTORY_MAX {
                    self.history.remove(0);
                }
                self.history.push(AttemptRecord { side, number, started_at: at, end: None });
                return;
            }
            Fact::Succeeded | Fact::NotYet { .. } => AttemptEnd::Succeeded,
            Fact::Failed { fault, .. } => AttemptEnd::Failed((*fault).clone()),
            Fact::Interrupted { .. } => AttemptEnd::Interrupted,
            Fact::Diverged { why } => AttemptEnd::Diverged((*why).to_owned()),
            Fact::Stale { .. } | Fact::Woke | Fact::Answered(_) => return,
        };
        let of_this = |record: &&mut AttemptRecord| record.side == side && record.number == number;
        if let Some(record) = self.history.iter_mut().rev().find(of_this) {
            record.end = Some((at, end));
        }
    }
}

impl Retry {
    /// The wait before the next try, in milliseconds, after `failures` earlier ones.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "waits are bounded by WAIT_MS_MAX, far inside f64's exact integers"
    )]
    fn wait_ms(&self, failures: u32, jitter: u16) -> Millis {
        let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
        let grown = self.backoff_ms as f64 * self.factor.powi(exponent);
        let bounded = grown.min(self.backoff_ms_max as f64).min(limits::WAIT_MS_MAX as f64);
        let chance = f64::from(jitter) / f64::from(u16::MAX);
        (bounded * (1.0 - self.jitter * chance)) as Millis
    }
}
