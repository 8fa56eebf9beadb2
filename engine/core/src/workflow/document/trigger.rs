//! `[[triggers]]` as written.

use toml::Spanned;
use toml::de::DeValue;

use super::read::{At, Fields, Reader, Span};
use super::text::{Literal, Text};
use crate::Millis;
use crate::workflow::flaw::Flaw;
use crate::workflow::plan::{CatchUp, Overlap, WebhookFormat};

/// One entry of `[[triggers]]`.
#[derive(Debug)]
pub(in crate::workflow) struct TriggerDoc {
    pub(in crate::workflow) span: Span,
    pub(in crate::workflow) when: Option<Text>,
    pub(in crate::workflow) params: Option<Literal>,
    pub(in crate::workflow) source: SourceDoc,
}

/// What is particular to its kind.
#[derive(Debug)]
pub(in crate::workflow) enum SourceDoc {
    Webhook(WebhookDoc),
    Watch(WatchDoc),
    Schedule(ScheduleDoc),
}

/// `kind = "webhook"`
#[derive(Debug)]
pub(in crate::workflow) struct WebhookDoc {
    pub(in crate::workflow) path: Option<Text>,
    pub(in crate::workflow) format: Option<At<WebhookFormat>>,
    pub(in crate::workflow) auth: Option<AuthDoc>,
    pub(in crate::workflow) dedup_for: Option<At<Millis>>,
    pub(in crate::workflow) dedup_key: Option<Text>,
}

/// Who may call.
#[derive(Debug)]
pub(in crate::workflow) enum AuthDoc {
    Bearer(Vec<Text>, Span),
    StandardWebhooks(Vec<Text>, Span),
    None,
}

/// `kind = "watch"`
#[derive(Debug)]
pub(in crate::workflow) struct WatchDoc {
    pub(in crate::workflow) workflow: Option<Text>,
    pub(in crate::workflow) with: Option<Literal>,
    pub(in crate::workflow) every: Option<At<Millis>>,
    pub(in crate::workflow) times: Option<At<u32>>,
    /// `hint = { cluster = "…" }`
    pub(in crate::workflow) hint: Option<Text>,
}

/// `kind = "schedule"`
#[derive(Debug)]
pub(in crate::workflow) struct ScheduleDoc {
    pub(in crate::workflow) cron: Option<Text>,
    pub(in crate::workflow) timezone: Option<Text>,
    pub(in crate::workflow) catch_up: Option<At<CatchUp>>,
    pub(in crate::workflow) overlap: Option<At<Overlap>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Webhook,
    Watch,
    Schedule,
}

/// Looks in a row that a watch may ask for: more is a longer `every`.
const TIMES_MAX: u32 = 1_000;
/// A watch faster than this would only keep the engine busy.
const EVERY_MS_MIN: Millis = 50;

impl TriggerDoc {
    pub(super) fn read_all(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Vec<Self> {
        let Some(value) = parent.take("triggers") else { return Vec::new() };
        let items = reader.items_of("triggers", value);
        items.into_iter().filter_map(|item| Self::read(item, reader)).collect()
    }

    fn read(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut fields = Fields::of(value, "triggers", "a trigger", reader)?;
        fields.require("kind", "kind = \"webhook\" (or \"watch\", \"schedule\")", reader);
        let kinds =
            [("webhook", Kind::Webhook), ("watch", Kind::Watch), ("schedule", Kind::Schedule)];
        let kind = fields.choice("kind", &kinds, reader)?;
        let span = fields.key_span("kind").unwrap_or(kind.span);
        let when = fields.text("when", reader);
        let params = fields.table("params", reader);
        let source = match kind.value {
            Kind::Webhook => SourceDoc::Webhook(WebhookDoc::read(&mut fields, reader)),
            Kind::Watch => SourceDoc::Watch(WatchDoc::read(&mut fields, reader)),
            Kind::Schedule => SourceDoc::Schedule(ScheduleDoc::read(&mut fields, reader)),
        };
        fields.finish(reader);
        Some(Self { span, when, params, source })
    }
}

impl WebhookDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let formats =
            [("alertmanager", WebhookFormat::Alertmanager), ("json", WebhookFormat::Json)];
        let read = Self {
            path: fields.text("path", reader),
            format: fields.choice("format", &formats, reader),
            auth: AuthDoc::read(fields, reader),
            dedup_for: fields.duration("dedup_for", 0, reader),
            dedup_key: fields.text("dedup_key", reader),
        };
        fields.require(
            "path",
            "path = \"alertmanager\", served as POST /hooks/alertmanager",
            reader,
        );
        fields.require("format", "format = \"alertmanager\" (or \"json\")", reader);
        fields.require("auth", "auth = { bearer = [\"hook-token\"] }", reader);
        read
    }
}

impl AuthDoc {
    fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Self> {
        const HELP: &str = "write auth = { bearer = [\"hook-token\"] }, \
                            auth = { standard_webhooks = [\"hook-secret\"] } or auth = \"none\"";
        let value = parent.take("auth")?;
        if value.get_ref().as_str() == Some("none") {
            return Some(Self::None);
        }
        if !value.get_ref().is_table() {
            let message = "`auth` does not say how a caller proves who it is";
            reader.flaw(Flaw::at("bad-auth", value.span(), message).help(HELP));
            return None;
        }
        let mut fields = Fields::of(value, "auth", "`auth`", reader)?;
        let bearer = fields.texts("bearer", reader);
        let signed = fields.texts("standard_webhooks", reader);
        fields.finish(reader);
        match (bearer, signed) {
            (Some(names), None) => Some(Self::Bearer(names, value.span())),
            (None, Some(names)) => Some(Self::StandardWebhooks(names, value.span())),
            _ => {
                let message = "`auth` needs exactly one way to prove who calls";
                reader.flaw(Flaw::at("bad-auth", value.span(), message).help(HELP));
                None
            }
        }
    }
}

impl WatchDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let read = Self {
            workflow: fields.text("workflow", reader),
            with: fields.table("with", reader),
            every: fields.duration("every", EVERY_MS_MIN, reader),
            times: fields.count("times", 1..=TIMES_MAX, reader),
            hint: hint(fields, reader),
        };
        fields.require("workflow", "workflow = \"detect-redis\"", reader);
        fields.require("every", "every = \"250ms\"", reader);
        fields.require("when", "when = \"output.verdict == 'dead'\"", reader);
        read
    }
}

impl ScheduleDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let catch_up = [("none", CatchUp::None), ("latest", CatchUp::Latest)];
        let overlap = [("skip", Overlap::Skip), ("allow", Overlap::Allow)];
        let read = Self {
            cron: fields.text("cron", reader),
            timezone: fields.text("timezone", reader),
            catch_up: fields.choice("catch_up", &catch_up, reader),
            overlap: fields.choice("overlap", &overlap, reader),
        };
        fields.require("cron", "cron = \"0 3 * * *\"", reader);
        read
    }
}

fn hint(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Option<Text> {
    let value = parent.take("hint")?;
    let mut fields = Fields::of(value, "hint", "`hint`", reader)?;
    let cluster = fields.text("cluster", reader);
    fields.require("cluster", "hint = { cluster = \"bondx\" }", reader);
    fields.finish(reader);
    cluster
}
