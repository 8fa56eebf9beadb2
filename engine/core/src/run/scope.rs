//! What expressions see of a run.

use std::collections::BTreeSet;

use serde_json::{Map, json};

use crate::Json;
use crate::expression::Scope;
use crate::id::Place;
use crate::run::event::TriggerKind;
use crate::run::state::Run;
use crate::workflow::plan::Plan;

impl Run {
    /// The scope of an expression at `place` that refers to `variables` (dotted
    /// names); outputs that it does not name are left out, as they may be large.
    pub fn scope(&self, plan: &Plan, place: Place, variables: &BTreeSet<String>) -> Scope {
        let scope = self.common(plan, &|root, name| {
            variables.iter().any(|variable| match variable.split_once('.') {
                None => variable == root,
                Some((first, rest)) => first == root && rest.split('.').next() == Some(name),
            })
        });
        let step = self.step(place.step);
        let item = usize::try_from(place.item).ok().and_then(|item| step.fan()?.get(item));
        match item {
            Some(item) => scope.with("item", item).with("index", &json!(place.item)),
            None => scope,
        }
    }

    /// The scope of the workflow's own output.
    pub(super) fn scope_all(&self, plan: &Plan) -> Scope {
        self.common(plan, &|_, _| true)
    }

    fn common(&self, plan: &Plan, wanted: &dyn Fn(&str, &str) -> bool) -> Scope {
        let (mut steps, mut status, mut faults) = (Map::new(), Map::new(), Map::new());
        for id in plan.ids() {
            let (name, state) = (&plan.step(id).name, self.step(id));
            status.insert(name.clone(), Json::from(state.status()));
            if let Some(fault) = state.items().iter().find_map(|item| item.fault()) {
                let mut told = json!({ "code": fault.code, "message": fault.message });
                if wanted("faults", name) {
                    told["details"] = fault.details.clone();
                }
                faults.insert(name.clone(), told);
            }
            if wanted("steps", name)
                && let Some(output) = state.visible()
            {
                steps.insert(name.clone(), (*output).clone());
            }
        }
        let trigger = &self.begun.trigger;
        Scope::new()
            .with("params", &self.begun.params)
            .with("steps", &Json::Object(steps))
            .with("status", &Json::Object(status))
            .with("faults", &Json::Object(faults))
            .with(
                "trigger",
                &json!({
                    "kind": trigger.kind.as_str(),
                    "source": trigger.source,
                    "evidence": *trigger.evidence,
                }),
            )
            .with("run", &json!({ "id": self.begun.id.as_str(), "workflow": self.begun.workflow }))
    }
}

impl TriggerKind {
    /// As lists, metrics and expressions spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Webhook => "webhook",
            Self::Watch => "watch",
            Self::Schedule => "schedule",
            Self::Parent => "parent",
            Self::Reassess => "reassess",
        }
    }
}
