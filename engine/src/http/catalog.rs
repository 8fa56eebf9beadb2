//! `/workflows` and `/plugins`: what is loaded, as of the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use baton_core::workflow::plan::{ParamKind, Plan, Trigger};
use baton_host::Plugin;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;

/// What is loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Workflows by name.
    pub workflows: Vec<WorkflowView>,
    /// Plugins by name.
    pub plugins: Vec<PluginView>,
    /// What is in the folders and cannot be served.
    pub broken: Vec<BrokenView>,
}

/// Something that is there and cannot be served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenView {
    /// `workflow`, `plugin` or `webhook`.
    pub kind: String,
    /// Its name; a webhook's path.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

/// A loaded workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Digest of its source.
    pub digest: String,
    /// Its params by name.
    pub params: BTreeMap<String, ParamView>,
    /// What starts it: `webhook /hooks/<path>`, `watch <workflow>`.
    pub triggers: Vec<String>,
    /// Its steps, in topological order.
    pub steps: Vec<String>,
    /// Plugins that it and its children use.
    pub plugins: Vec<String>,
}

/// A declared param.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamView {
    /// `string`, `integer`, `number`, `boolean`, `list` or `table`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value when none is given; absent: it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// One line.
    pub summary: String,
}

/// A loaded plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// Digest of the component.
    pub digest: String,
    /// Size of the component, in bytes.
    pub bytes: u64,
    /// Interfaces it imports: all that it can ever touch.
    pub imports: Vec<String>,
    /// Redis commands it asks for.
    pub redis_commands: Vec<String>,
    /// What it asks for besides: `HTTP GET`, `exec`, `probe`.
    #[serde(default)]
    pub asks: Vec<String>,
    /// JSON Schema of its input.
    pub input_schema: Value,
    /// JSON Schema of its output.
    pub output_schema: Value,
}

impl Catalog {
    /// What to show of what was loaded.
    pub fn of(
        plans: &BTreeMap<String, Arc<Plan>>,
        plugins: &BTreeMap<String, Plugin>,
        broken: Vec<BrokenView>,
    ) -> Self {
        Self {
            workflows: plans.values().map(|plan| WorkflowView::of(plan)).collect(),
            plugins: plugins.values().map(PluginView::of).collect(),
            broken,
        }
    }

    /// Why a workflow that is there is not loaded.
    pub(super) fn broken_workflow(&self, name: &str) -> Option<&BrokenView> {
        self.broken.iter().find(|broken| broken.kind == "workflow" && broken.name == name)
    }

    /// Whether some workflow is not loaded, whose webhooks are so not known.
    pub(super) fn lacks_workflows(&self) -> bool {
        self.broken.iter().any(|broken| broken.kind == "workflow")
    }
}

impl PluginView {
    /// What to show of `plugin`.
    pub fn of(plugin: &Plugin) -> Self {
        let info = plugin.info();
        Self {
            name: info.name.clone(),
            version: info.version.clone(),
            summary: info.summary.clone(),
            digest: info.digest.to_string(),
            bytes: info.bytes,
            imports: info.imports.clone(),
            redis_commands: info.redis_commands.clone(),
            asks: info.asks.words(),
            input_schema: info.input_schema.clone(),
            output_schema: info.output_schema.clone(),
        }
    }
}

impl WorkflowView {
    /// What to show of `plan`.
    pub fn of(plan: &Plan) -> Self {
        let trigger = |trigger: &Trigger| match trigger {
            Trigger::Webhook(webhook) => format!("webhook /hooks/{}", webhook.path),
            Trigger::Watch(watch) => format!("watch {}", watch.plan.name()),
            Trigger::Schedule(schedule) => format!("schedule {schedule}"),
        };
        let params = plan.params().iter().map(|(name, param)| {
            let view = ParamView {
                kind: kind(param.kind).to_owned(),
                default: param.default.clone(),
                summary: param.summary.clone(),
            };
            (name.clone(), view)
        });
        Self {
            name: plan.name().to_owned(),
            summary: plan.summary().to_owned(),
            digest: plan.digest().to_string(),
            params: params.collect(),
            triggers: plan.triggers().iter().map(trigger).collect(),
            steps: plan.steps().iter().map(|step| step.name.clone()).collect(),
            plugins: plan.plugins().into_iter().map(str::to_owned).collect(),
        }
    }
}

fn kind(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::String => "string",
        ParamKind::Integer => "integer",
        ParamKind::Number => "number",
        ParamKind::Boolean => "boolean",
        ParamKind::List => "list",
        ParamKind::Table => "table",
    }
}

pub(super) async fn workflows(Shared(state): Shared<State>) -> Json<Value> {
    let Catalog { workflows, broken, .. } = &*state.catalog;
    let broken: Vec<&BrokenView> = broken.iter().filter(|one| one.kind != "plugin").collect();
    Json(json!({ "workflows": workflows, "broken": broken }))
}

pub(super) async fn plugins(Shared(state): Shared<State>) -> Json<Value> {
    let Catalog { plugins, broken, .. } = &*state.catalog;
    let broken: Vec<&BrokenView> = broken.iter().filter(|one| one.kind == "plugin").collect();
    Json(json!({ "plugins": plugins, "broken": broken }))
}
