//! What a rehearsal tells: on-wire types, as `baton plan --output json` prints them.

use std::collections::BTreeMap;

use baton_core::run::event::Outcome;
use baton_core::{Json, Millis};
use serde::Serialize;

use crate::runner::view::FaultView;

/// What a run of a workflow would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rehearsal {
    /// The workflow.
    pub workflow: String,
    /// One line for people.
    pub summary: String,
    /// Digest of its source.
    pub digest: String,
    /// Its params; what is not known is as it is written.
    pub params: Json,
    /// The concurrency key that the run would hold.
    pub key: Option<String>,
    /// Its steps, in topological order.
    pub steps: Vec<StepPlan>,
    /// The workflow's output as far as it is known.
    pub output: Json,
    /// How it ended, and its output, if reading alone took it to its end.
    #[serde(skip)]
    pub closed: Option<(Outcome, Json)>,
}

/// What would become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It only reads and was run.
    Ran,
    /// It only reads, was run, and failed.
    Failed,
    /// It would run.
    WouldRun,
    /// Its condition does not hold, or a step that it needs would be skipped.
    WouldSkip,
    /// It would ask a person.
    WouldAsk,
    /// It would let time pass.
    WouldWait,
    /// What decides about it is known to a real run only.
    NotKnown,
    /// Another step failed, and the run would end.
    WouldNotRun,
}

/// What a step did or would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepPlan {
    /// Its name; of an item `name[index]`.
    pub name: String,
    /// `plugin`, `workflow`, `approval`, `wait` or `report`.
    pub kind: &'static str,
    /// The plugin or child workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Names of the steps it needs.
    pub needs: Vec<String>,
    /// What became of it, or would.
    pub fate: Fate,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What the condition looks at, where it is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub looks_at: BTreeMap<String, Json>,
    /// Whether its grants allow a change.
    pub changes: bool,
    /// A point of no return.
    pub pivot: bool,
    /// Runs whatever happened before.
    pub always: bool,
    /// How long it took, tries and the waits between them included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<Millis>,
    /// Tries made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<usize>,
    /// What it gave.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub output: Json,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultView>,
    /// Its input, or a child's params; what is not known is as it is written.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub input: Json,
    /// What only a real run knows, of all that is shown here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<String>,
    /// What it may reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<Reach>,
    /// What else it may reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<Door>,
    /// What it is: an approval's question or a wait's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
    /// The time that a `wait` step lets pass, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_ms: Option<Millis>,
    /// Bounds on its tries, of a plugin or a child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// How it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// What happens to an attempt that changed something and was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_interrupted: Option<&'static str>,
    /// What its failure means: `fail`, `continue` or `ask`.
    pub on_failure: &'static str,
    /// The list of a `for_each`, as it is written, while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Json>,
    /// The items of a `for_each`, where the list is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<StepPlan>,
    /// The child run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<Box<Rehearsal>>,
}

/// Access that a step is granted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reach {
    /// The cluster of baton.toml.
    pub cluster: String,
    /// Its mode; none if there is no such cluster, or it is not known which.
    pub mode: Option<&'static str>,
    /// Which members, as the workflow says.
    pub members: Vec<String>,
    /// Their addresses.
    pub nodes: Vec<String>,
    /// Commands.
    pub commands: Vec<String>,
    /// Patterns of keys.
    pub keys: Vec<String>,
    /// What stands in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Access besides Redis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Door {
    /// `http`, `exec` or `probe`.
    pub door: &'static str,
    /// The name in baton.toml.
    pub name: String,
    /// Where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What it may do there.
    pub may: Vec<String>,
    /// Whether nothing can be changed by it.
    pub only_reads: bool,
    /// What stands in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asks {
    /// What the person would read.
    pub prompt: String,
    /// How long an answer is waited for, in milliseconds.
    pub timeout_ms: Millis,
    /// What silence means: `approve` or `reject`.
    pub on_timeout: &'static str,
}

/// Bounds on tries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// One try, in milliseconds.
    pub timeout_ms: Millis,
    /// Tries in all.
    pub attempts: u32,
    /// Wait before the second try, in milliseconds.
    pub backoff_ms: Millis,
    /// Longest wait, in milliseconds.
    pub backoff_ms_max: Millis,
    /// Repeated until this holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Items at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// What takes a step back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Undo {
    /// The plugin.
    pub plugin: String,
    /// Its input; what is not known is as it is written.
    pub input: Json,
    /// What it may reach.
    pub reaches: Vec<Reach>,
    /// What else it may reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<Door>,
}

impl Rehearsal {
    /// Every step, items and children's included.
    pub fn all(&self) -> Vec<&StepPlan> {
        let mut all = Vec::new();
        for step in &self.steps {
            step.collect(&mut all);
        }
        all
    }
}

impl StepPlan {
    fn collect<'s>(&'s self, all: &mut Vec<&'s StepPlan>) {
        all.push(self);
        self.items.iter().for_each(|item| item.collect(all));
        for step in self.child.iter().flat_map(|child| &child.steps) {
            step.collect(all);
        }
    }
}
