//! Facts about a run, from outside the core. The journal is a list of these.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::id::{AttemptId, Digest, Place, RunId};
use crate::run::fault::Fault;
use crate::workflow::plan::WhenInterrupted;
use crate::{Json, Millis};

/// A fact about a run. `at` is when the shell learnt of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run exists. Always the first.
    Begun {
        /// When.
        at: Millis,
        /// Everything the run needs for ever.
        begun: Arc<Begun>,
    },
    /// A queued run may go on: its key is free and its time has come.
    Admitted {
        /// When.
        at: Millis,
    },
    /// Another trigger for the same key was folded into this run.
    Joined {
        /// When it arrived.
        at: Millis,
        /// What arrived.
        trigger: Trigger,
    },
    /// An attempt began.
    Started {
        /// When.
        at: Millis,
        /// Which.
        attempt: AttemptId,
    },
    /// A changing call is about to be made (without outcome), or its outcome is
    /// known (with it). Rides in the append before the call is sent.
    Called {
        /// When.
        at: Millis,
        /// Whose call.
        attempt: AttemptId,
        /// The call.
        call: Call,
    },
    /// What an attempt heard from the world since the last of these, in order. Rides
    /// in the append of the next change, at the latest with the attempt's end.
    Taped {
        /// When.
        at: Millis,
        /// Who heard it.
        attempt: AttemptId,
        /// What it heard.
        tape: Tape,
    },
    /// An attempt ended well.
    Succeeded {
        /// When.
        at: Millis,
        /// Which.
        attempt: AttemptId,
        /// What it gave.
        output: Arc<Json>,
    },
    /// An attempt failed.
    Failed {
        /// When.
        at: Millis,
        /// Which.
        attempt: AttemptId,
        /// Why.
        fault: Fault,
        /// Chance for the back-off's jitter, 0 to 65535, drawn by the shell.
        jitter: u16,
    },
    /// The engine died while this attempt ran. Not an attempt of `retry`.
    Interrupted {
        /// When the engine came back.
        at: Millis,
        /// Which.
        attempt: AttemptId,
        /// Version of the tapes that the host which came back can play.
        plays: u32,
    },
    /// A replayed attempt did not do again what its tape says: it cannot go on there.
    Diverged {
        /// When.
        at: Millis,
        /// Which.
        attempt: AttemptId,
        /// Where, and how: a sentence.
        why: String,
    },
    /// An attempt that could change something was about to start on evidence past its
    /// shelf life. Instead of it the evidence is gathered again.
    Stale {
        /// When it would have started.
        at: Millis,
        /// The attempt that did not start.
        attempt: AttemptId,
    },
    /// A timer of this place fired.
    Woke {
        /// When.
        at: Millis,
        /// Where.
        place: Place,
    },
    /// A child run closed.
    ChildClosed {
        /// When.
        at: Millis,
        /// The parent's attempt that it belongs to.
        attempt: AttemptId,
        /// How it ended.
        outcome: Outcome,
        /// Its output (null if it has none), or null.
        output: Arc<Json>,
        /// When the child's latest assessing step began.
        assessed_at: Option<Millis>,
        /// Whether it may have changed anything, its own children included.
        acted: bool,
    },
    /// A person answered a question.
    Answered {
        /// When.
        at: Millis,
        /// Which question.
        place: Place,
        /// The answer.
        answer: Answer,
    },
    /// A person, a parent or a time limit wants it to end.
    Cancelled {
        /// When.
        at: Millis,
        /// Who and why.
        by: Cause,
    },
    /// Everything settled and undone; the run is over. Appended by the shell when
    /// [`crate::run::Effect::Close`] is due.
    Closed {
        /// When.
        at: Millis,
    },
}

/// Everything a run needs for ever. A run ends on what it began with.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// The run.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// The workflow's source, verbatim.
    pub source: Arc<str>,
    /// Sources of all child workflows, by name.
    pub children: BTreeMap<String, Arc<str>>,
    /// Every plugin used, by name.
    pub plugins: BTreeMap<String, Pin>,
    /// Checked params: a JSON object.
    pub params: Arc<Json>,
    /// Why it was begun.
    pub trigger: Trigger,
    /// The concurrency key that it holds or waits for, rendered.
    pub key: Option<String>,
    /// Set when it may not start at once.
    pub queued: Option<Queued>,
    /// The attempt that this is a child run of.
    pub parent: Option<Parent>,
    /// Version of the rules (the transition table) it runs by; see [`crate::run::RULES_VERSION`].
    pub rules: u32,
}

/// The build of a plugin that a run began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Digest of its component.
    pub digest: Digest,
    /// What the plugin wants for attempts that were cut off.
    pub when_interrupted: WhenInterrupted,
}

/// Why a run waits on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Not before this time (cool-down), whatever the key says.
    pub not_before: Millis,
}

/// The attempt of a parent run that a child run belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent run.
    pub run: RunId,
    /// Its attempt.
    pub attempt: AttemptId,
    /// Until when the evidence behind the child's params may be acted upon.
    pub fresh_until: Option<Millis>,
}

/// What started a run, with the evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Which kind.
    pub kind: TriggerKind,
    /// Who or what: a webhook's path, a watch's workflow, a person's name.
    pub source: String,
    /// Deliveries with the same key are the same incident.
    pub dedup: Option<Dedup>,
    /// Body, verdict, or whatever it knew; null if nothing.
    pub evidence: Arc<Json>,
}

/// How a repeat is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The key.
    pub key: String,
    /// For how long after success a repeat is a duplicate, in milliseconds.
    pub for_ms: Millis,
}

/// Kinds of triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerKind {
    /// A person, by command line or API.
    Manual,
    /// A webhook.
    Webhook,
    /// A watch.
    Watch,
    /// A clock.
    Schedule,
    /// A parent run.
    Parent,
    /// Owed after a delivery that came too late for the last assessment.
    Reassess,
}

/// One changing host call of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Counted from 0 over all host calls of the attempt.
    pub index: u32,
    /// What its repetition would mean.
    pub class: CallClass,
    /// For people and for divergence: redacted, bounded.
    pub request: String,
    /// What came back; `None` while only the intent is known.
    pub outcome: Option<String>,
}

/// Part of what an attempt heard from the world: enough to run it again on the same
/// words up to here. Made and understood by the host; to the machine it is opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    /// With the first part of an attempt's tape, and only then.
    pub head: Option<TapeHead>,
    /// Answers in the order they were heard.
    pub entries: Vec<Arc<TapeEntry>>,
}

/// How a tape begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeHead {
    /// Version of the host's tapes; another one cannot play it.
    pub version: u32,
    /// The input that the attempt was given.
    pub input: Arc<Json>,
}

/// One host call with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeEntry {
    /// Its first number among the host calls of the attempt.
    pub index: u32,
    /// The function: `redis.call`.
    pub function: String,
    /// What was asked, for people: redacted, bounded.
    pub request: String,
    /// Digest of all that was asked, to notice a divergence.
    pub digest: Digest,
    /// The answer, as the host writes it.
    pub answer: Arc<str>,
}

impl TapeEntry {
    /// What it takes to keep it, in bytes.
    pub fn size(&self) -> usize {
        self.function.len() + self.request.len() + self.answer.len() + size_of::<Self>()
    }
}

/// What repeating a call would mean. Weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallClass {
    /// Changes nothing.
    Read,
    /// Again is the same.
    Idempotent,
    /// Again is harmless only if the world is still as it was.
    Guarded,
    /// At most once.
    Once,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All that had to succeed did.
    Succeeded,
    /// A step failed.
    Failed,
    /// Ended by a person or its parent.
    Cancelled,
    /// Ended by its own time limit.
    TimedOut,
}

/// Who ends a run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person.
    Person {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// The parent run was cancelled, or its step timed out.
    Parent,
    /// The workflow's `timeout` passed.
    Timeout,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no. To a failed or interrupted step: try again, or give up.
    pub approved: bool,
    /// Who; `timeout` when nobody did.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl Event {
    /// Where it happened, if it did at one place.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Started { attempt, .. }
            | Self::Called { attempt, .. }
            | Self::Taped { attempt, .. }
            | Self::Succeeded { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::Interrupted { attempt, .. }
            | Self::Diverged { attempt, .. }
            | Self::Stale { attempt, .. }
            | Self::ChildClosed { attempt, .. } => Some(attempt.place),
            Self::Woke { place, .. } | Self::Answered { place, .. } => Some(*place),
            Self::Begun { .. }
            | Self::Admitted { .. }
            | Self::Joined { .. }
            | Self::Cancelled { .. }
            | Self::Closed { .. } => None,
        }
    }
    /// When the shell learnt of it.
    pub fn at(&self) -> Millis {
        match *self {
            Self::Begun { at, .. }
            | Self::Admitted { at }
            | Self::Joined { at, .. }
            | Self::Started { at, .. }
            | Self::Called { at, .. }
            | Self::Taped { at, .. }
            | Self::Succeeded { at, .. }
            | Self::Failed { at, .. }
            | Self::Interrupted { at, .. }
            | Self::Diverged { at, .. }
            | Self::Stale { at, .. }
            | Self::Woke { at, .. }
            | Self::ChildClosed { at, .. }
            | Self::Answered { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Closed { at } => at,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { begun, .. } => write!(f, "the beginning of {}", begun.workflow),
            Self::Admitted { .. } => f.write_str("admission"),
            Self::Joined { trigger, .. } => write!(f, "joining by {}", trigger.source),
            Self::Started { attempt, .. } => write!(f, "start of {attempt}"),
            Self::Called { attempt, call, .. } => write!(f, "call {} of {attempt}", call.index),
            Self::Succeeded { attempt, .. } => write!(f, "success of {attempt}"),
            Self::Failed { attempt, fault, .. } => {
                write!(f, "failure ({}) of {attempt}", fault.code)
            }
            Self::Taped { attempt, .. } => write!(f, "tape of {attempt}"),
            Self::Interrupted { attempt, .. } => write!(f, "interruption of {attempt}"),
            Self::Diverged { attempt, .. } => write!(f, "divergence of {attempt}"),
            Self::Stale { attempt, .. } => write!(f, "stale evidence of {attempt}"),
            Self::Woke { place, .. } => write!(f, "timer of step {}[{}]", place.step.0, place.item),
            Self::ChildClosed { attempt, .. } => write!(f, "end of the child of {attempt}"),
            Self::Answered { place, answer, .. } => {
                write!(f, "answer of {} to step {}[{}]", answer.who, place.step.0, place.item)
            }
            Self::Cancelled { .. } => f.write_str("cancel"),
            Self::Closed { .. } => f.write_str("close"),
        }
    }
}
