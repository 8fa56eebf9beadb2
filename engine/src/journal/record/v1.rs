//! Version 1 of what is on disk. Never change a shape here: a new shape is a new
//! version of the envelope. A field may come with a meaning for records without it. Names on disk are the kebab-case of the names here.

mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_core::id::RunId;
use baton_core::run::event as core;
use baton_core::{Json, Millis};
use serde::{Deserialize, Serialize};

use parts::{
    Answer, Attempt, Call, Cause, Dedup, Fault, JsonText, Outcome, Parent, Pin, Place, Tape,
    Trigger, TriggerKind, run_id,
};

/// A fact about a run.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::journal) enum Event {
    Begun {
        at: Millis,
        begun: Box<Begun>,
    },
    Admitted {
        at: Millis,
    },
    Joined {
        at: Millis,
        trigger: Trigger,
    },
    Started {
        at: Millis,
        attempt: Attempt,
    },
    Called {
        at: Millis,
        attempt: Attempt,
        call: Call,
    },
    Succeeded {
        at: Millis,
        attempt: Attempt,
        output: JsonText,
    },
    Failed {
        at: Millis,
        attempt: Attempt,
        fault: Fault,
        jitter: u16,
    },
    Taped {
        at: Millis,
        attempt: Attempt,
        tape: Tape,
    },
    Interrupted {
        at: Millis,
        attempt: Attempt,
        #[serde(default)]
        plays: u32,
    },
    Diverged {
        at: Millis,
        attempt: Attempt,
        why: String,
    },
    Stale {
        at: Millis,
        attempt: Attempt,
    },
    Woke {
        at: Millis,
        place: Place,
    },
    ChildClosed(ChildClosed),
    Answered {
        at: Millis,
        place: Place,
        answer: Answer,
    },
    Cancelled {
        at: Millis,
        by: Cause,
    },
    Closed {
        at: Millis,
    },
}

/// A child run closed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct ChildClosed {
    at: Millis,
    attempt: Attempt,
    outcome: Outcome,
    output: JsonText,
    assessed_at: Option<Millis>,
    /// Older records do not say; what is not known may have been.
    #[serde(default = "yes")]
    acted: bool,
}

fn yes() -> bool {
    true
}

/// Everything a run needs for ever.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Begun {
    id: String,
    workflow: String,
    source: Arc<str>,
    children: BTreeMap<String, Arc<str>>,
    plugins: BTreeMap<String, Pin>,
    params: JsonText,
    trigger: Trigger,
    key: Option<String>,
    /// Set if the run waits: not before this time.
    queued_until: Option<Millis>,
    parent: Option<Parent>,
    rules: u32,
}

/// A closed run in short.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "names on disk, next to `begun_at`")]
pub(in crate::journal) struct Closed {
    run: String,
    workflow: String,
    begun_at: Millis,
    closed_at: Millis,
    outcome: Outcome,
    trigger: TriggerKind,
    source: String,
    key: Option<String>,
    dedup: Option<Dedup>,
    acted: bool,
}

impl Event {
    /// The record of an event.
    pub(in crate::journal) fn of(event: &core::Event) -> Result<Self, String> {
        use core::Event as E;
        Ok(match event {
            E::Begun { at, begun } => Self::Begun { at: *at, begun: Box::new(Begun::of(begun)?) },
            E::Admitted { at } => Self::Admitted { at: *at },
            E::Joined { at, trigger } => Self::Joined { at: *at, trigger: Trigger::of(trigger)? },
            E::Started { at, attempt } => Self::Started { at: *at, attempt: (*attempt).into() },
            E::Called { at, attempt, call } => {
                Self::Called { at: *at, attempt: (*attempt).into(), call: Call::of(call) }
            }
            E::Succeeded { at, attempt, output } => Self::Succeeded {
                at: *at,
                attempt: (*attempt).into(),
                output: JsonText::of("output", output)?,
            },
            E::Failed { at, attempt, fault, jitter } => Self::Failed {
                at: *at,
                attempt: (*attempt).into(),
                fault: Fault::of(fault)?,
                jitter: *jitter,
            },
            E::Taped { at, attempt, tape } => {
                Self::Taped { at: *at, attempt: (*attempt).into(), tape: Tape::of(tape)? }
            }
            E::Interrupted { at, attempt, plays } => {
                Self::Interrupted { at: *at, attempt: (*attempt).into(), plays: *plays }
            }
            E::Diverged { at, attempt, why } => {
                Self::Diverged { at: *at, attempt: (*attempt).into(), why: why.clone() }
            }
            E::Stale { at, attempt } => Self::Stale { at: *at, attempt: (*attempt).into() },
            E::Woke { at, place } => Self::Woke { at: *at, place: (*place).into() },
            E::ChildClosed { at, attempt, outcome, output, assessed_at, acted } => {
                Self::ChildClosed(ChildClosed {
                    at: *at,
                    attempt: (*attempt).into(),
                    outcome: (*outcome).into(),
                    output: JsonText::of("output", output)?,
                    assessed_at: *assessed_at,
                    acted: *acted,
                })
            }
            E::Answered { at, place, answer } => {
                Self::Answered { at: *at, place: (*place).into(), answer: Answer::of(answer) }
            }
            E::Cancelled { at, by } => Self::Cancelled { at: *at, by: Cause::of(by) },
            E::Closed { at } => Self::Closed { at: *at },
        })
    }

    /// The event of a record.
    pub(in crate::journal) fn into_core(self) -> Result<core::Event, String> {
        use core::Event as E;
        Ok(match self {
            Self::Begun { at, begun } => E::Begun { at, begun: Arc::new(begun.into_core()?) },
            Self::Admitted { at } => E::Admitted { at },
            Self::Joined { at, trigger } => E::Joined { at, trigger: trigger.into_core()? },
            Self::Started { at, attempt } => E::Started { at, attempt: attempt.into() },
            Self::Called { at, attempt, call } => {
                E::Called { at, attempt: attempt.into(), call: call.into_core() }
            }
            Self::Succeeded { at, attempt, output } => {
                E::Succeeded { at, attempt: attempt.into(), output: output.into_core()? }
            }
            Self::Failed { at, attempt, fault, jitter } => {
                E::Failed { at, attempt: attempt.into(), fault: fault.into_core()?, jitter }
            }
            Self::Taped { at, attempt, tape } => {
                E::Taped { at, attempt: attempt.into(), tape: tape.into_core()? }
            }
            Self::Interrupted { at, attempt, plays } => {
                E::Interrupted { at, attempt: attempt.into(), plays }
            }
            Self::Diverged { at, attempt, why } => E::Diverged { at, attempt: attempt.into(), why },
            Self::Stale { at, attempt } => E::Stale { at, attempt: attempt.into() },
            Self::Woke { at, place } => E::Woke { at, place: place.into() },
            Self::ChildClosed(ChildClosed { at, attempt, outcome, output, assessed_at, acted }) => {
                E::ChildClosed {
                    at,
                    attempt: attempt.into(),
                    outcome: outcome.into(),
                    output: output.into_core()?,
                    assessed_at,
                    acted,
                }
            }
            Self::Answered { at, place, answer } => {
                E::Answered { at, place: place.into(), answer: answer.into_core() }
            }
            Self::Cancelled { at, by } => E::Cancelled { at, by: by.into_core() },
            Self::Closed { at } => E::Closed { at },
        })
    }
}

impl Begun {
    fn of(begun: &core::Begun) -> Result<Self, String> {
        let core::Begun {
            id,
            workflow,
            source,
            children,
            plugins,
            params,
            trigger,
            key,
            queued,
            parent,
            rules,
        } = begun;
        Ok(Self {
            id: id.to_string(),
            workflow: workflow.clone(),
            source: Arc::clone(source),
            children: children.clone(),
            plugins: plugins.iter().map(|(name, pin)| (name.clone(), Pin::of(pin))).collect(),
            params: JsonText::of("params", params)?,
            trigger: Trigger::of(trigger)?,
            key: key.clone(),
            queued_until: queued.map(|core::Queued { not_before }| not_before),
            parent: parent.as_ref().map(Parent::of),
            rules: *rules,
        })
    }

    fn into_core(self) -> Result<core::Begun, String> {
        Ok(core::Begun {
            id: run_id(&self.id)?,
            workflow: self.workflow,
            source: self.source,
            children: self.children,
            plugins: self
                .plugins
                .into_iter()
                .map(|(name, pin)| Ok((name, pin.into_core()?)))
                .collect::<Result<_, String>>()?,
            params: self.params.into_core::<Arc<Json>>()?,
            trigger: self.trigger.into_core()?,
            key: self.key,
            queued: self.queued_until.map(|not_before| core::Queued { not_before }),
            parent: self.parent.map(Parent::into_core).transpose()?,
            rules: self.rules,
        })
    }
}

impl Closed {
    /// The record of a summary.
    pub(in crate::journal) fn of(closed: &crate::journal::Closed) -> Self {
        let crate::journal::Closed {
            run,
            workflow,
            begun_at,
            closed_at,
            outcome,
            trigger,
            source,
            key,
            dedup,
            acted,
        } = closed;
        Self {
            run: RunId::to_string(run),
            workflow: workflow.clone(),
            begun_at: *begun_at,
            closed_at: *closed_at,
            outcome: (*outcome).into(),
            trigger: (*trigger).into(),
            source: source.clone(),
            key: key.clone(),
            dedup: dedup.as_ref().map(Dedup::of),
            acted: *acted,
        }
    }

    /// The summary of a record.
    pub(in crate::journal) fn into_core(self) -> Result<crate::journal::Closed, String> {
        Ok(crate::journal::Closed {
            run: run_id(&self.run)?,
            workflow: self.workflow,
            begun_at: self.begun_at,
            closed_at: self.closed_at,
            outcome: self.outcome.into(),
            trigger: self.trigger.into(),
            source: self.source,
            key: self.key,
            dedup: self.dedup.map(Dedup::into_core),
            acted: self.acted,
        })
    }
}
