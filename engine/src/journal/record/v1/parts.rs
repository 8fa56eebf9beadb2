//! What the records of version 1 are made of.

use std::str::FromStr;
use std::sync::Arc;

use baton_core::id::{self, Digest, RunId, StepId};
use baton_core::run::{event as core, fault};
use baton_core::workflow::plan;
use baton_core::{Json, Millis};
use serde::{Deserialize, Serialize};

/// `serde_json` reads values up to this deep; one that is deeper could be written and
/// never read again.
const DEPTH_MAX: usize = 127;

/// Words on disk for words of the core.
macro_rules! words {
    ($disk:ident = $core:path { $($word:ident),+ }) => {
        #[derive(Clone, Copy, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(in crate::journal) enum $disk { $($word),+ }

        impl From<$core> for $disk {
            fn from(core: $core) -> Self {
                match core { $(<$core>::$word => Self::$word),+ }
            }
        }

        impl From<$disk> for $core {
            fn from(disk: $disk) -> Self {
                match disk { $($disk::$word => Self::$word),+ }
            }
        }
    };
}

words!(Side = id::Side { Do, Undo });
words!(Outcome = core::Outcome { Succeeded, Failed, Cancelled, TimedOut });
words!(TriggerKind = core::TriggerKind { Manual, Webhook, Watch, Schedule, Parent, Reassess });
words!(CallClass = core::CallClass { Read, Idempotent, Guarded, Once });
words!(FaultKind = fault::FaultKind { Retryable, Permanent });
words!(WhenInterrupted = plan::WhenInterrupted { Replay, Rerun, Ask });

/// A JSON value as text.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::journal) struct JsonText(String);

impl JsonText {
    pub(super) fn of(what: &str, value: &Json) -> Result<Self, String> {
        if deeper_than(value, DEPTH_MAX) {
            return Err(format!("its {what} is nested deeper than {DEPTH_MAX} levels"));
        }
        serde_json::to_string(value).map(Self).map_err(|error| format!("its {what}: {error}"))
    }

    pub(super) fn into_core<T: From<Json>>(self) -> Result<T, String> {
        serde_json::from_str::<Json>(&self.0).map(T::from).map_err(|error| error.to_string())
    }
}

fn deeper_than(value: &Json, levels: usize) -> bool {
    match value {
        Json::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Json::Object(fields) => {
            levels == 0 || fields.values().any(|field| deeper_than(field, levels - 1))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Place {
    step: u16,
    item: u32,
}

impl From<id::Place> for Place {
    fn from(id::Place { step: StepId(step), item }: id::Place) -> Self {
        Self { step, item }
    }
}

impl From<Place> for id::Place {
    fn from(Place { step, item }: Place) -> Self {
        Self { step: StepId(step), item }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Attempt {
    step: u16,
    item: u32,
    side: Side,
    number: u32,
}

impl From<id::AttemptId> for Attempt {
    fn from(id::AttemptId { place, side, number }: id::AttemptId) -> Self {
        Self { step: place.step.0, item: place.item, side: side.into(), number }
    }
}

impl From<Attempt> for id::AttemptId {
    fn from(Attempt { step, item, side, number }: Attempt) -> Self {
        Self { place: Place { step, item }.into(), side: side.into(), number }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Pin {
    digest: String,
    when_interrupted: WhenInterrupted,
}

impl Pin {
    pub(super) fn of(core::Pin { digest, when_interrupted }: &core::Pin) -> Self {
        Self { digest: digest.to_string(), when_interrupted: (*when_interrupted).into() }
    }

    pub(super) fn into_core(self) -> Result<core::Pin, String> {
        Ok(core::Pin {
            digest: Digest::from_str(&self.digest).map_err(|error| error.to_string())?,
            when_interrupted: self.when_interrupted.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Parent {
    run: String,
    attempt: Attempt,
    #[serde(default)]
    fresh_until: Option<Millis>,
}

impl Parent {
    pub(super) fn of(core::Parent { run, attempt, fresh_until }: &core::Parent) -> Self {
        Self { run: run.to_string(), attempt: (*attempt).into(), fresh_until: *fresh_until }
    }

    pub(super) fn into_core(self) -> Result<core::Parent, String> {
        let Self { run, attempt, fresh_until } = self;
        Ok(core::Parent { run: run_id(&run)?, attempt: attempt.into(), fresh_until })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Trigger {
    kind: TriggerKind,
    source: String,
    dedup: Option<Dedup>,
    evidence: JsonText,
}

impl Trigger {
    pub(super) fn of(trigger: &core::Trigger) -> Result<Self, String> {
        let core::Trigger { kind, source, dedup, evidence } = trigger;
        Ok(Self {
            kind: (*kind).into(),
            source: source.clone(),
            dedup: dedup.as_ref().map(Dedup::of),
            evidence: JsonText::of("evidence", evidence)?,
        })
    }

    pub(super) fn into_core(self) -> Result<core::Trigger, String> {
        Ok(core::Trigger {
            kind: self.kind.into(),
            source: self.source,
            dedup: self.dedup.map(Dedup::into_core),
            evidence: self.evidence.into_core::<Arc<Json>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Dedup {
    key: String,
    for_ms: Millis,
}

impl Dedup {
    pub(super) fn of(core::Dedup { key, for_ms }: &core::Dedup) -> Self {
        Self { key: key.clone(), for_ms: *for_ms }
    }

    pub(super) fn into_core(self) -> core::Dedup {
        core::Dedup { key: self.key, for_ms: self.for_ms }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Call {
    index: u32,
    class: CallClass,
    request: String,
    outcome: Option<String>,
}

impl Call {
    pub(super) fn of(core::Call { index, class, request, outcome }: &core::Call) -> Self {
        Self {
            index: *index,
            class: (*class).into(),
            request: request.clone(),
            outcome: outcome.clone(),
        }
    }

    pub(super) fn into_core(self) -> core::Call {
        let Self { index, class, request, outcome } = self;
        core::Call { index, class: class.into(), request, outcome }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Tape {
    head: Option<TapeHead>,
    entries: Vec<TapeEntry>,
}

impl Tape {
    pub(super) fn of(core::Tape { head, entries }: &core::Tape) -> Result<Self, String> {
        Ok(Self {
            head: head.as_ref().map(TapeHead::of).transpose()?,
            entries: entries.iter().map(|entry| TapeEntry::of(entry)).collect(),
        })
    }

    pub(super) fn into_core(self) -> Result<core::Tape, String> {
        Ok(core::Tape {
            head: self.head.map(TapeHead::into_core).transpose()?,
            entries: self
                .entries
                .into_iter()
                .map(|entry| entry.into_core().map(Arc::new))
                .collect::<Result<_, String>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapeHead {
    version: u32,
    input: JsonText,
}

impl TapeHead {
    fn of(core::TapeHead { version, input }: &core::TapeHead) -> Result<Self, String> {
        Ok(Self { version: *version, input: JsonText::of("tape's input", input)? })
    }

    fn into_core(self) -> Result<core::TapeHead, String> {
        Ok(core::TapeHead { version: self.version, input: self.input.into_core::<Arc<Json>>()? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapeEntry {
    index: u32,
    function: String,
    request: String,
    digest: String,
    answer: Arc<str>,
}

impl TapeEntry {
    fn of(entry: &core::TapeEntry) -> Self {
        let core::TapeEntry { index, function, request, digest, answer } = entry;
        Self {
            index: *index,
            function: function.clone(),
            request: request.clone(),
            digest: digest.to_string(),
            answer: Arc::clone(answer),
        }
    }

    fn into_core(self) -> Result<core::TapeEntry, String> {
        let Self { index, function, request, digest, answer } = self;
        let digest = Digest::from_str(&digest).map_err(|error| error.to_string())?;
        Ok(core::TapeEntry { index, function, request, digest, answer })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Fault {
    kind: FaultKind,
    code: String,
    message: String,
    details: JsonText,
}

impl Fault {
    pub(super) fn of(fault: &fault::Fault) -> Result<Self, String> {
        let fault::Fault { kind, code, message, details } = fault;
        Ok(Self {
            kind: (*kind).into(),
            code: code.clone(),
            message: message.clone(),
            details: JsonText::of("fault's details", details)?,
        })
    }

    pub(super) fn into_core(self) -> Result<fault::Fault, String> {
        Ok(fault::Fault {
            kind: self.kind.into(),
            code: self.code,
            message: self.message,
            details: self.details.into_core()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::journal) struct Answer {
    approved: bool,
    who: String,
    reason: String,
}

impl Answer {
    pub(super) fn of(core::Answer { approved, who, reason }: &core::Answer) -> Self {
        Self { approved: *approved, who: who.clone(), reason: reason.clone() }
    }

    pub(super) fn into_core(self) -> core::Answer {
        core::Answer { approved: self.approved, who: self.who, reason: self.reason }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::journal) enum Cause {
    Person { who: String, reason: String },
    Parent,
    Timeout,
}

impl Cause {
    pub(super) fn of(cause: &core::Cause) -> Self {
        match cause {
            core::Cause::Person { who, reason } => {
                Self::Person { who: who.clone(), reason: reason.clone() }
            }
            core::Cause::Parent => Self::Parent,
            core::Cause::Timeout => Self::Timeout,
        }
    }

    pub(super) fn into_core(self) -> core::Cause {
        match self {
            Self::Person { who, reason } => core::Cause::Person { who, reason },
            Self::Parent => core::Cause::Parent,
            Self::Timeout => core::Cause::Timeout,
        }
    }
}

/// A run id in text.
pub(super) fn run_id(text: &str) -> Result<RunId, String> {
    RunId::from_str(text).map_err(|error| error.to_string())
}
