//! What is known of a run in which not everything has happened.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::Json;
use baton_core::expression::{Condition, ExpressionError, Partial, Scope, Template};
use baton_core::id::StepId;
use baton_core::workflow::plan::{Action, Plan, Step};
use serde_json::{Map, json};

/// The scope of expressions, and which names it lacks although a real run has them.
pub(super) struct Seen {
    /// Root names to what is known of them.
    known: Map<String, Json>,
    /// Dotted names that only a real run knows, with all below them.
    unknown: BTreeSet<String>,
}

impl Seen {
    /// Before any step. `unknown` are names of params.
    pub(super) fn new(workflow: &str, params: Json, unknown: &[String], trigger: Json) -> Self {
        let mut known = Map::new();
        known.insert("params".to_owned(), params);
        known.insert("trigger".to_owned(), trigger);
        known.insert("run".to_owned(), json!({ "workflow": workflow }));
        for root in ["steps", "status", "faults"] {
            known.insert(root.to_owned(), json!({}));
        }
        let mut unknown: BTreeSet<String> =
            unknown.iter().map(|name| format!("params.{name}")).collect();
        unknown.insert("run.id".to_owned());
        Self { known, unknown }
    }

    /// A name of a step: `steps`, `status` or `faults`, and what is known of it.
    pub(super) fn learn(&mut self, root: &str, step: &str, value: Json) {
        if let Some(Json::Object(fields)) = self.known.get_mut(root) {
            fields.insert(step.to_owned(), value);
        }
    }

    /// `name` and all below it is known to a real run only.
    pub(super) fn miss(&mut self, name: String) {
        self.unknown.insert(name);
    }

    /// Nothing of what `step` gives or how it ends is known.
    pub(super) fn miss_step(&mut self, step: &str) {
        for root in ["steps", "status", "faults"] {
            self.miss(format!("{root}.{step}"));
        }
    }

    /// The same with an item of a `for_each`.
    pub(super) fn with_item(&self, item: &Json, index: usize) -> Self {
        let mut known = self.known.clone();
        known.insert("item".to_owned(), item.clone());
        known.insert("index".to_owned(), json!(index));
        Self { known, unknown: self.unknown.clone() }
    }

    /// The same within a `for_each` of which the list is not known.
    pub(super) fn without_item(&self) -> Self {
        let mut unknown = self.unknown.clone();
        unknown.extend(["item".to_owned(), "index".to_owned()]);
        Self { known: self.known.clone(), unknown }
    }

    pub(super) fn params(&self) -> &Json {
        self.known.get("params").unwrap_or(&Json::Null)
    }

    /// Whether the condition holds; none: that is not known yet.
    pub(super) fn holds(&self, when: &Condition) -> Result<Option<bool>, ExpressionError> {
        when.holds_so_far(&self.scope(), &|name| self.knows(name))
    }

    pub(super) fn fill(&self, template: &Template) -> Result<Partial, ExpressionError> {
        template.render_so_far(&self.scope(), &|name| self.knows(name))
    }

    /// What a condition looks at, where it is known.
    pub(super) fn looked_at(&self, when: &Condition) -> BTreeMap<String, Json> {
        let known = when.variables().into_iter().filter(|name| self.knows(name));
        known.filter_map(|name| self.find(&name).cloned().map(|value| (name, value))).collect()
    }

    /// Which of the names that a condition needs are not known.
    pub(super) fn missed_by(&self, when: &Condition) -> Vec<String> {
        when.variables().into_iter().filter(|name| !self.knows(name)).collect()
    }

    fn find(&self, name: &str) -> Option<&Json> {
        let mut path = name.split('.');
        let root = self.known.get(path.next()?)?;
        path.try_fold(root, |value, field| value.get(field))
    }

    fn knows(&self, name: &str) -> bool {
        let below = |name: &str, of: &str| {
            name.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Nor is a whole known of which a part is not.
        !self.unknown.iter().any(|unknown| below(name, unknown) || below(unknown, name))
    }

    fn scope(&self) -> Scope {
        self.known.iter().fold(Scope::new(), |scope, (name, value)| scope.with(name, value))
    }
}

/// Whether some step looks at more of the approval `id` than that it was given.
pub(super) fn asks_who(plan: &Plan, id: StepId) -> bool {
    let whole = format!("steps.{}", plan.step(id).name);
    let more = |name: String| {
        name == "steps"
            || name.strip_prefix(&whole).is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('.') && rest != ".approved")
            })
    };
    plan.steps().iter().flat_map(names).any(more)
}

/// Every name that an expression of the step mentions.
fn names(step: &Step) -> BTreeSet<String> {
    let action = match &step.action {
        Action::Plugin(call) => Some(&call.with),
        Action::Workflow(child) => Some(&child.with),
        Action::Approval(approval) => Some(&approval.prompt),
        Action::Wait { .. } | Action::Report => None,
    };
    let each = step.for_each.as_ref().map(|each| &each.items);
    let undo = step.undo.as_ref().map(|undo| &undo.with);
    let templates = action.into_iter().chain(each).chain(undo).flat_map(Template::variables);
    let until = step.poll.as_ref().map(|poll| &poll.until);
    let conditions = step.when.as_ref().into_iter().chain(until);
    templates.chain(conditions.flat_map(Condition::variables)).collect()
}
