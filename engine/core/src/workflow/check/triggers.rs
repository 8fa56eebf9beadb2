//! What starts runs by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::given::check_given;
use super::sight::{Sight, View, output_of};
use super::{Checker, Flawed, bad_dashed_name};
use crate::Millis;
use crate::expression::{Condition, Template};
use crate::workflow::document::{
    AuthDoc, Document, Literal, ScheduleDoc, SourceDoc, Text, TriggerDoc, WatchDoc, WebhookDoc,
};
use crate::workflow::flaw::Flaw;
use crate::workflow::plan::{
    Action, CatchUp, Overlap, Plan, Schedule, Trigger, Watch, Webhook, WebhookAuth, WebhookFormat,
};

/// A repeat within this time after success is a duplicate (design: 10 min).
const DEDUP_FOR_MS_DEFAULT: Millis = 10 * 60 * 1000;
/// One secret in use, one to rotate to.
const SECRETS_MAX: usize = 2;

impl Checker<'_> {
    /// One for each in the document; none where a flaw says why.
    pub(super) fn triggers(
        &mut self,
        document: &Document,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Vec<Option<Trigger>> {
        let mut paths = BTreeSet::new();
        let mut all = Vec::new();
        for trigger in &document.triggers {
            all.push(match &trigger.source {
                SourceDoc::Webhook(webhook) => {
                    if let Some(path) = &webhook.path
                        && !paths.insert(path.value.as_str())
                    {
                        let message = format!("two webhooks have the path `{}`", path.value);
                        flaws.push(Flaw::at("duplicate-webhook", path.span.clone(), message));
                    }
                    self.webhook(trigger, webhook, sight, flaws).map(Trigger::Webhook)
                }
                SourceDoc::Watch(watch) => {
                    self.watch(trigger, watch, sight, flaws).map(Trigger::Watch)
                }
                SourceDoc::Schedule(schedule) => {
                    self.schedule(trigger, schedule, sight, flaws).map(Trigger::Schedule)
                }
            });
        }
        all
    }

    fn webhook(
        &self,
        trigger: &TriggerDoc,
        webhook: &WebhookDoc,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Webhook> {
        let format = webhook.format.as_ref().map(|format| format.value);
        let view = match format {
            Some(WebhookFormat::Json) => sight.of(&["body"]),
            // Without a format there is a flaw already: no second one for each name.
            Some(WebhookFormat::Alertmanager) | None => {
                sight.of(&["body", "alerts", "labels", "group_labels", "receiver", "status"])
            }
        };
        let path = webhook.path.as_ref();
        flaws.extend(path.and_then(|path| bad_dashed_name("a webhook's path", path)));
        if let (Some(key), Some(WebhookFormat::Alertmanager)) = (&webhook.dedup_key, format) {
            let message =
                "`dedup_key` is for format \"json\"; Alertmanager's deliveries have their own";
            flaws.push(Flaw::at("misplaced-key", key.span.clone(), message));
        }
        let when = condition("when", trigger.when.as_ref(), &view, flaws);
        let dedup_key = webhook.dedup_key.clone().map(Literal::from);
        let dedup_key = dedup_key.map(|key| view.template("dedup_key", &key, flaws));
        let params = self.run_params(trigger, sight, &view, flaws);
        let auth = webhook.auth.as_ref().map(|auth| auth_of(auth, flaws));
        Some(Webhook {
            path: path?.value.clone(),
            format: format?,
            auth: auth?,
            when: when.ok()?,
            params: params?,
            dedup_for_ms: webhook.dedup_for.as_ref().map_or(DEDUP_FOR_MS_DEFAULT, |it| it.value),
            dedup_key: if let Some(key) = dedup_key { Some(key?) } else { None },
        })
    }

    fn watch(
        &mut self,
        trigger: &TriggerDoc,
        watch: &WatchDoc,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Watch> {
        let plan = watch.workflow.as_ref().and_then(|name| self.child(name, flaws));
        if let (Some(plan), Some(name)) = (&plan, &watch.workflow) {
            check_watched(plan, name, flaws);
            let with = watch.with.as_ref();
            check_given("with", plan.name(), plan.params(), with, &name.span, flaws);
        }
        let view = sight.of(&[]).and_output(plan.as_deref().and_then(output_of));
        let with = literal(watch.with.as_ref(), trigger);
        let with = sight.of(&[]).template("with", &with, flaws);
        let when = condition("when", trigger.when.as_ref(), &view, flaws);
        let params = self.run_params(trigger, sight, &view, flaws);
        Some(Watch {
            plan: plan?,
            with: with?,
            every_ms: watch.every.as_ref()?.value,
            when: when.ok()??,
            times: watch.times.as_ref().map_or(1, |times| times.value),
            hint: watch.hint.as_ref().map(|cluster| cluster.value.clone()),
            params: params?,
        })
    }

    fn schedule(
        &self,
        trigger: &TriggerDoc,
        schedule: &ScheduleDoc,
        sight: &Sight<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Schedule> {
        if let Some(when) = &trigger.when {
            let message = "a schedule has no `when`: there is nothing yet that it could look at";
            let help = "write it as `when` of the first step that depends on it";
            flaws.push(Flaw::at("misplaced-key", when.span.clone(), message).help(help));
        }
        let cron = schedule.cron.as_ref().and_then(|text| {
            let read = Schedule::cron(&text.value);
            let flaw = |why| {
                let message = format!("`{}` is no time table: {why}", text.value);
                let help =
                    "write minute, hour, day of month, month, day of week: cron = \"0 3 * * *\"";
                Flaw::at("bad-cron", text.span.clone(), message).help(help)
            };
            read.map_err(|why| flaws.push(flaw(why))).ok()
        });
        let name = schedule.timezone.as_ref().map_or("UTC", |text| text.value.as_str());
        let zone = Schedule::zone(name);
        if let (None, Some(text)) = (&zone, &schedule.timezone) {
            let message = format!("there is no time zone `{name}`");
            let help = "write a name of the IANA database: timezone = \"Europe/Berlin\"";
            flaws.push(Flaw::at("bad-timezone", text.span.clone(), message).help(help));
        }
        let params = self.run_params(trigger, sight, &sight.of(&[]), flaws);
        Some(Schedule {
            cron: cron?,
            zone: zone?,
            catch_up: schedule.catch_up.as_ref().map_or(CatchUp::None, |it| it.value),
            overlap: schedule.overlap.as_ref().map_or(Overlap::Skip, |it| it.value),
            params: params?,
        })
    }

    fn run_params(
        &self,
        trigger: &TriggerDoc,
        sight: &Sight<'_>,
        view: &View<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Template> {
        let given = trigger.params.as_ref();
        let whose = self.open.last().map_or("", String::as_str);
        check_given("params", whose, sight.params(), given, &trigger.span, flaws);
        view.template("params", &literal(given, trigger), flaws)
    }
}

fn literal(given: Option<&Literal>, trigger: &TriggerDoc) -> Literal {
    given.cloned().unwrap_or_else(|| Literal::empty_table(trigger.span.clone()))
}

fn condition(
    key: &str,
    text: Option<&Text>,
    view: &View<'_>,
    flaws: &mut Vec<Flaw>,
) -> Result<Option<Condition>, Flawed> {
    text.map(|text| view.condition(key, text, flaws).ok_or(Flawed)).transpose()
}

fn auth_of(document: &AuthDoc, flaws: &mut Vec<Flaw>) -> WebhookAuth {
    let mut secrets = |names: &[Text], span: &std::ops::Range<usize>| {
        flaws.extend(names.iter().filter_map(|name| bad_dashed_name("a secret's name", name)));
        if names.is_empty() || names.len() > SECRETS_MAX {
            let message = format!("`auth` takes one secret, or {SECRETS_MAX} while rotating");
            let help = "write auth = { bearer = [\"hook-token\"] }; its text is in baton.toml under [secrets]";
            flaws.push(Flaw::at("bad-auth", span.clone(), message).help(help));
        }
        names.iter().map(|name| name.value.clone()).collect()
    };
    match document {
        AuthDoc::Bearer(names, span) => WebhookAuth::Bearer(secrets(names, span)),
        AuthDoc::StandardWebhooks(names, span) => {
            WebhookAuth::StandardWebhooks(secrets(names, span))
        }
        AuthDoc::None => WebhookAuth::None,
    }
}

/// A watch is run over and over, in memory and unasked: it must change nothing, wait
/// for nobody, and have no steps that only a run on disk can have.
fn check_watched(plan: &Arc<Plan>, name: &Text, flaws: &mut Vec<Flaw>) {
    for step in plan.steps() {
        let cannot =
            format!("workflow `{}` cannot be watched: its step `{}`", plan.name(), step.name);
        if !step.changes_nothing() {
            let help = format!("grant step `{}` only reads: commands = [\"@read\"]", step.name);
            let message = format!("{cannot} may change something");
            flaws.push(Flaw::at("watch-changes", name.span.clone(), message).help(help));
        }
        let why = match &step.action {
            Action::Approval(_) => "waits for a person",
            Action::Workflow(_) => "runs a child workflow",
            Action::Report => "reports on a run",
            Action::Plugin(_) | Action::Wait { .. } => continue,
        };
        let help = "what is watched has only `plugin` and `wait` steps";
        let message = format!("{cannot} {why}");
        flaws.push(Flaw::at("watch-step", name.span.clone(), message).help(help));
    }
}
