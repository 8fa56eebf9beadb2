//! `[steps.<name>]` as written.

use super::grants::GrantsDoc;
use super::read::{At, Fields, Reader, Span};
use super::text::{Literal, Text};
use crate::Millis;
use crate::limits::{ATTEMPTS_MAX, ITEMS_MAX};
use crate::workflow::flaw::Flaw;
use crate::workflow::plan::{OnFailure, Silence, WhenInterrupted};

/// One step.
#[derive(Debug)]
pub(in crate::workflow) struct StepDoc {
    pub(in crate::workflow) name: Text,
    /// Every action that is there, with the place of its key.
    pub(in crate::workflow) actions: Vec<(ActionDoc, Span)>,
    pub(in crate::workflow) detach: Option<At<bool>>,
    pub(in crate::workflow) needs: Vec<Text>,
    pub(in crate::workflow) when: Option<Text>,
    pub(in crate::workflow) with: Option<Literal>,
    pub(in crate::workflow) grants: GrantsDoc,
    pub(in crate::workflow) timeout: Option<At<Millis>>,
    pub(in crate::workflow) retry: Option<RetryDoc>,
    pub(in crate::workflow) until: Option<Text>,
    pub(in crate::workflow) every: Option<At<Millis>>,
    pub(in crate::workflow) within: Option<At<Millis>>,
    pub(in crate::workflow) for_each: Option<Literal>,
    pub(in crate::workflow) parallel: Option<At<u32>>,
    pub(in crate::workflow) undo: Option<PluginDoc>,
    pub(in crate::workflow) pivot: Option<At<bool>>,
    pub(in crate::workflow) on_failure: Option<At<OnFailure>>,
    pub(in crate::workflow) always: Option<At<bool>>,
    pub(in crate::workflow) assesses: Option<At<bool>>,
    pub(in crate::workflow) fresh_for: Option<At<Millis>>,
    pub(in crate::workflow) when_interrupted: Option<At<WhenInterrupted>>,
    pub(in crate::workflow) replay_within: Option<At<Millis>>,
    pub(in crate::workflow) record: Option<At<bool>>,
    /// Places of the keys that only some actions know.
    pub(in crate::workflow) special: Vec<(&'static str, Span)>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(in crate::workflow) enum ActionDoc {
    Plugin(Text),
    Workflow(Text),
    Approval(ApprovalDoc),
    Wait(Millis),
    Report,
    /// Named, but its value cannot be read; that flaw is noted.
    Unreadable,
}

/// `approval = { prompt = "…", timeout = "…", on_timeout = "…" }`
#[derive(Clone, Debug)]
pub(in crate::workflow) struct ApprovalDoc {
    pub(in crate::workflow) prompt: Option<Text>,
    pub(in crate::workflow) timeout: Option<Millis>,
    pub(in crate::workflow) on_timeout: Option<Silence>,
}

/// `undo = { plugin = "…", with = {…}, grants.redis = […] }`
#[derive(Debug)]
pub(in crate::workflow) struct PluginDoc {
    pub(in crate::workflow) plugin: Option<Text>,
    pub(in crate::workflow) with: Option<Literal>,
    pub(in crate::workflow) grants: GrantsDoc,
    pub(in crate::workflow) span: Span,
}

/// `retry = { … }`
#[derive(Debug)]
pub(in crate::workflow) struct RetryDoc {
    pub(in crate::workflow) attempts: Option<u32>,
    pub(in crate::workflow) backoff: Option<Millis>,
    pub(in crate::workflow) factor: Option<f64>,
    pub(in crate::workflow) max: Option<Millis>,
    pub(in crate::workflow) jitter: Option<f64>,
}

/// Keys that mean something only to some actions.
const SPECIAL: [&str; 16] = [
    "with",
    "detach",
    "grants",
    "timeout",
    "retry",
    "until",
    "every",
    "within",
    "for_each",
    "parallel",
    "undo",
    "pivot",
    "fresh_for",
    "when_interrupted",
    "replay_within",
    "record",
];

/// Growth of the wait beyond which the second retry is the last.
const FACTOR_MAX: f64 = 100.0;

impl StepDoc {
    pub(super) fn read_all(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Vec<Self> {
        let Some(value) = parent.take("steps") else { return Vec::new() };
        let Some(table) = Fields::of(value, "steps", "`steps`", reader) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, value) in table.named() {
            if let Some(mut fields) = Fields::of(value, &name.value, "a step", reader) {
                fields.span = name.span.clone();
                all.push(Self::read(name, fields, reader));
            }
        }
        all
    }

    fn read(name: Text, mut fields: Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let on_failure =
            [("fail", OnFailure::Fail), ("continue", OnFailure::Continue), ("ask", OnFailure::Ask)];
        let when_interrupted = [
            ("replay", WhenInterrupted::Replay),
            ("rerun", WhenInterrupted::Rerun),
            ("ask", WhenInterrupted::Ask),
        ];
        let items_max = u32::try_from(ITEMS_MAX).expect("ITEMS_MAX is small");
        let step = Self {
            actions: ActionDoc::read_all(&mut fields, reader),
            detach: fields.flag("detach", reader),
            needs: fields.texts("needs", reader).unwrap_or_default(),
            when: fields.text("when", reader),
            with: fields.table("with", reader),
            grants: GrantsDoc::read(&mut fields, reader),
            timeout: fields.duration("timeout", 1, reader),
            retry: RetryDoc::read(&mut fields, reader),
            until: fields.text("until", reader),
            every: fields.duration("every", 1, reader),
            within: fields.duration("within", 1, reader),
            for_each: fields.literal("for_each", reader),
            parallel: fields.count("parallel", 1..=items_max, reader),
            undo: PluginDoc::read(&mut fields, reader),
            pivot: fields.flag("pivot", reader),
            on_failure: fields.choice("on_failure", &on_failure, reader),
            always: fields.flag("always", reader),
            assesses: fields.flag("assesses", reader),
            fresh_for: fields.duration("fresh_for", 1, reader),
            when_interrupted: fields.choice("when_interrupted", &when_interrupted, reader),
            replay_within: fields.duration("replay_within", 1, reader),
            record: fields.flag("record", reader),
            special: SPECIAL
                .into_iter()
                .chain(["assesses"])
                .filter_map(|key| Some((key, fields.key_span(key)?)))
                .collect(),
            name,
        };
        fields.finish(reader);
        step
    }
}

impl ActionDoc {
    fn read_all(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Vec<(Self, Span)> {
        let plugin = fields.text("plugin", reader).map(Self::Plugin);
        let workflow = fields.text("workflow", reader).map(Self::Workflow);
        let approval = ApprovalDoc::read(fields, reader).map(Self::Approval);
        let wait = fields.duration("wait", 1, reader).map(|wait| Self::Wait(wait.value));
        let report = fields.flag("report", reader).and_then(|report| {
            if !report.value {
                let message =
                    "`report` can only be true; leave it out of a step that does something else";
                reader.flaw(Flaw::at("bad-choice", report.span, message));
            }
            report.value.then_some(Self::Report)
        });
        let read = [
            ("plugin", plugin),
            ("workflow", workflow),
            ("approval", approval),
            ("wait", wait),
            ("report", report),
        ];
        let named = read.into_iter().filter_map(|(key, action)| {
            Some((action.unwrap_or(Self::Unreadable), fields.key_span(key)?))
        });
        named.collect()
    }
}

impl ApprovalDoc {
    fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = parent.take("approval")?;
        let mut fields = Fields::of(value, "approval", "`approval`", reader)?;
        let silences = [("approve", Silence::Approve), ("reject", Silence::Reject)];
        let read = Self {
            prompt: fields.text("prompt", reader),
            timeout: fields.duration("timeout", 1, reader).map(|timeout| timeout.value),
            on_timeout: fields.choice("on_timeout", &silences, reader).map(|found| found.value),
        };
        fields.require("prompt", "prompt = \"Go?\"", reader);
        fields.require("timeout", "timeout = \"20m\"", reader);
        fields.finish(reader);
        Some(read)
    }
}

impl PluginDoc {
    fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = parent.take("undo")?;
        let mut fields = Fields::of(value, "undo", "`undo`", reader)?;
        let read = Self {
            plugin: fields.text("plugin", reader),
            with: fields.table("with", reader),
            grants: GrantsDoc::read(&mut fields, reader),
            span: parent.key_span("undo").unwrap_or(value.span()),
        };
        fields.require("plugin", "plugin = \"…\"", reader);
        fields.finish(reader);
        Some(read)
    }
}

impl RetryDoc {
    fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = parent.take("retry")?;
        let mut fields = Fields::of(value, "retry", "`retry`", reader)?;
        let read = Self {
            attempts: fields.count("attempts", 1..=ATTEMPTS_MAX, reader).map(|count| count.value),
            backoff: fields.duration("backoff", 0, reader).map(|backoff| backoff.value),
            factor: fields.number("factor", 1.0..=FACTOR_MAX, reader),
            max: fields.duration("max", 0, reader).map(|max| max.value),
            jitter: fields.number("jitter", 0.0..=1.0, reader),
        };
        fields.require("attempts", "attempts = 3", reader);
        fields.finish(reader);
        Some(read)
    }
}
