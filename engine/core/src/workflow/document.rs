//! A workflow file as it is written: one field for each key, none interpreted
//! beyond its own type. Unknown keys and wrong types are flaws already.

use toml::de::DeTable;

use super::flaw::Flaw;
use super::plan::{ParamKind, Policy};
use crate::Millis;

mod grants;
mod read;
mod step;
mod text;
mod trigger;

pub(super) use grants::{ExecGrantDoc, GrantDoc, GrantsDoc, HttpGrantDoc, ProbeGrantDoc};
use read::Fields;
pub use read::parse_duration;
pub(super) use read::{At, Reader, Span};
pub(super) use step::{ActionDoc, ApprovalDoc, RetryDoc, StepDoc};
pub(super) use text::{Literal, Text};
pub(super) use trigger::{AuthDoc, ScheduleDoc, SourceDoc, TriggerDoc, WatchDoc, WebhookDoc};

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) name: Option<Text>,
    pub(super) summary: Option<Text>,
    pub(super) timeout: Option<At<Millis>>,
    pub(super) cooldown: Option<At<Millis>>,
    pub(super) concurrency: Option<ConcurrencyDoc>,
    pub(super) output: Option<Literal>,
    pub(super) params: Vec<ParamDoc>,
    pub(super) triggers: Vec<TriggerDoc>,
    pub(super) steps: Vec<StepDoc>,
}

/// `concurrency = { key = "…", policy = "…" }`
#[derive(Debug)]
pub(super) struct ConcurrencyDoc {
    pub(super) key: Option<Text>,
    pub(super) policy: Option<At<Policy>>,
}

/// One entry of `[params]`.
#[derive(Debug)]
pub(super) struct ParamDoc {
    pub(super) name: Text,
    pub(super) kind: Option<At<ParamKind>>,
    pub(super) default: Option<Literal>,
    pub(super) summary: Option<Text>,
}

impl Document {
    /// Reads `source`; what cannot be read is a flaw in the reader and absent here.
    pub(super) fn read(source: &str) -> (Self, Reader<'_>) {
        let mut reader = Reader { source, flaws: Vec::new() };
        let root = match DeTable::parse(source) {
            Ok(root) => root,
            Err(error) => {
                let span = error.span().filter(|span| source.get(span.clone()).is_some());
                let message = format!("not TOML: {}", error.message().replace('\n', ", "));
                reader.flaw(Flaw { code: "toml", message, span, help: None });
                return (Self::default(), reader);
            }
        };
        let document = Self::fields(root.get_ref(), &mut reader);
        (document, reader)
    }

    fn fields(root: &DeTable<'_>, reader: &mut Reader<'_>) -> Self {
        let mut fields = Fields::new(root, "a workflow", 0..0);
        let document = Self {
            name: fields.text("name", reader),
            summary: fields.text("summary", reader),
            timeout: fields.duration("timeout", 1, reader),
            cooldown: fields.duration("cooldown", 0, reader),
            concurrency: ConcurrencyDoc::read(&mut fields, reader),
            output: fields.literal("output", reader),
            params: ParamDoc::read_all(&mut fields, reader),
            triggers: TriggerDoc::read_all(&mut fields, reader),
            steps: StepDoc::read_all(&mut fields, reader),
        };
        fields.finish(reader);
        document
    }
}

impl ConcurrencyDoc {
    fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = parent.take("concurrency")?;
        let mut fields = Fields::of(value, "concurrency", "`concurrency`", reader)?;
        let policies =
            [("join", Policy::Join), ("queue", Policy::Queue), ("refuse", Policy::Refuse)];
        let read = Self {
            key: fields.text("key", reader),
            policy: fields.choice("policy", &policies, reader),
        };
        fields.require("key", "key = \"redis:${params.cluster}\"", reader);
        fields.require("policy", "policy = \"join\" (or \"queue\", \"refuse\")", reader);
        fields.finish(reader);
        Some(read)
    }
}

impl ParamDoc {
    fn read_all(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Vec<Self> {
        let Some(value) = parent.take("params") else { return Vec::new() };
        let Some(table) = Fields::of(value, "params", "`params`", reader) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, value) in table.named() {
            let Some(mut fields) = Fields::of(value, &name.value, "a param", reader) else {
                continue;
            };
            fields.span = name.span.clone();
            let param = Self {
                kind: fields.choice("type", &ParamKind::ALL, reader),
                default: fields.literal("default", reader),
                summary: fields.text("summary", reader),
                name,
            };
            fields.require("type", "type = \"string\"", reader);
            fields.finish(reader);
            all.push(param);
        }
        all
    }
}
