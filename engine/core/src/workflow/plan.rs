//! A checked workflow. Everything here is immutable and known to be sound.

mod grants;
mod rests;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::graph::DiGraph;

use crate::expression::{Condition, Template};
use crate::id::{AttemptId, Digest, Side, StepId};
use crate::{Json, Millis};

pub use grants::{ExecGrant, Grants, HttpGrant, ProbeGrant, RedisGrant};
pub use schedule::{CatchUp, Overlap, Schedule};

/// A workflow after `check`: typed, acyclic, pinned by the digest of its source.
#[derive(Debug)]
pub struct Plan {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) source: Arc<str>,
    pub(crate) digest: Digest,
    pub(crate) params: BTreeMap<String, Param>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) steps: Vec<Step>,
    pub(crate) graph: DiGraph<StepId, ()>,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) cooldown_ms: Option<Millis>,
    pub(crate) timeout_ms: Option<Millis>,
    pub(crate) output: Option<Template>,
}

impl Plan {
    /// The workflow's name: the file's stem.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// One line for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }
    /// The TOML it was made from.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }
    /// Digest of the source.
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// Declared params by name.
    pub fn params(&self) -> &BTreeMap<String, Param> {
        &self.params
    }
    /// What may start it besides a person.
    pub fn triggers(&self) -> &[Trigger] {
        &self.triggers
    }
    /// Steps in topological order: a step's index is greater than those it needs.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
    /// The step with this id.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[usize::from(id.0)]
    }
    /// Whether this attempt is a child run. One that was let go is nobody's child.
    pub fn is_child(&self, attempt: AttemptId) -> bool {
        let action = &self.step(attempt.place.step).action;
        attempt.side == Side::Do && matches!(action, Action::Workflow(child) if !child.detached)
    }
    /// The step with this name.
    pub fn find(&self, name: &str) -> Option<StepId> {
        self.ids().find(|id| self.step(*id).name == name)
    }
    /// All step ids, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = StepId> + use<> {
        (0..u16::try_from(self.steps.len()).expect("STEPS_MAX fits")).map(StepId)
    }
    /// The graph; node weights are step ids, an edge runs from a step to one that needs it.
    pub fn graph(&self) -> &DiGraph<StepId, ()> {
        &self.graph
    }
    /// One run at a time per key.
    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.concurrency.as_ref()
    }
    /// Quiet time after a run before the same key may act again, in milliseconds.
    pub fn cooldown_ms(&self) -> Option<Millis> {
        self.cooldown_ms
    }
    /// Bound on the whole run, in milliseconds.
    pub fn timeout_ms(&self) -> Option<Millis> {
        self.timeout_ms
    }
    /// What the run gives, if declared.
    pub fn output(&self) -> Option<&Template> {
        self.output.as_ref()
    }
    /// Names of every plugin that this plan refers to, sorted, once each: its steps',
    /// its children's, and its watches'.
    pub fn plugins(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for plan in std::iter::once(self).chain(self.children().into_values().map(|plan| &**plan)) {
            for step in &plan.steps {
                if let Action::Plugin(call) = &step.action {
                    names.push(&call.plugin);
                }
                names.extend(step.undo.as_ref().map(|undo| undo.plugin.as_str()));
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }
    /// Every workflow that this one refers to, here or below, by name: child runs and
    /// what its watches run. With their sources the plan can be made again.
    pub fn children(&self) -> BTreeMap<&str, &Arc<Plan>> {
        let children = self.steps.iter().filter_map(|step| match &step.action {
            Action::Workflow(child) => Some(&child.plan),
            Action::Plugin(_) | Action::Approval(_) | Action::Wait { .. } | Action::Report => None,
        });
        let watched = self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Watch(watch) => Some(&watch.plan),
            Trigger::Webhook(_) | Trigger::Schedule(_) => None,
        });
        let mut found = BTreeMap::new();
        for plan in children.chain(watched) {
            found.insert(plan.name(), plan);
            found.extend(plan.children());
        }
        found
    }
}

/// A declared param.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its type.
    pub kind: ParamKind,
    /// Used when none is given; a param without default is required.
    pub default: Option<Json>,
    /// One line for people.
    pub summary: String,
}

/// Types of params.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    List,
    /// A table.
    Table,
}

/// What the outside world may start a run with.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// `POST /hooks/<path>`.
    Webhook(Webhook),
    /// A detection workflow, run over and over until its verdict holds.
    Watch(Watch),
    /// The clock.
    Schedule(Schedule),
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Path below `/hooks/`, without slashes.
    pub path: String,
    /// How the body reads.
    pub format: WebhookFormat,
    /// Who may call. The secrets are named here and kept in baton.toml.
    pub auth: WebhookAuth,
    /// Starts a run only if this holds; sees `body`, and for alertmanager
    /// `alerts`, `labels` (common labels), `status`.
    pub when: Option<Condition>,
    /// Params of the run; same scope as `when`.
    pub params: Template,
    /// A repeat of a delivery within this time after success is a duplicate, ms.
    pub dedup_for_ms: Millis,
    /// Dedup key for `json`; alertmanager has its own. Same scope as `when`.
    pub dedup_key: Option<Template>,
}

/// Body formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Alertmanager, version "4".
    Alertmanager,
    /// Any JSON object.
    Json,
}

/// How a caller proves who it is. Each holds the names of one or two secrets in
/// baton.toml (two while rotating).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookAuth {
    /// `Authorization: Bearer …`.
    Bearer(Vec<String>),
    /// Standard Webhooks 1.0, HMAC-SHA256.
    StandardWebhooks(Vec<String>),
    /// Nobody is asked; only on a loopback bind.
    None,
}

/// A watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The detection workflow: every step of it read-only by its grants.
    pub plan: Arc<Plan>,
    /// Its params.
    pub with: Template,
    /// Time from the start of one look to the start of the next, in milliseconds.
    pub every_ms: Millis,
    /// Holds when true; sees `output`, the detection workflow's output.
    pub when: Condition,
    /// How many looks in a row it must hold.
    pub times: u32,
    /// A cluster whose Sentinels' events make it look at once.
    pub hint: Option<String>,
    /// Params of the run it starts; sees `output`.
    pub params: Template,
}

/// One run at a time per key.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// Sees `params`.
    pub key: Template,
    /// What happens to a second one.
    pub policy: Policy,
}

/// What happens to a run whose key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It joins the open run: no run of its own.
    Join,
    /// It waits on disk until the key is free.
    Queue,
    /// It is refused, with the holder's id.
    Refuse,
}

/// A node of the plan.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of the file, independent of the others"
)]
pub struct Step {
    /// Unique in the plan.
    pub name: String,
    /// Steps that must be settled first, sorted.
    pub needs: Vec<StepId>,
    /// Skipped unless this holds.
    pub when: Option<Condition>,
    /// What it does.
    pub action: Action,
    /// Tries.
    pub retry: Retry,
    /// Bound on one attempt, in milliseconds.
    pub timeout_ms: Millis,
    /// Repeat until a condition on the output holds.
    pub poll: Option<Poll>,
    /// Once per item of a list.
    pub for_each: Option<ForEach>,
    /// How to take it back when the run fails.
    pub undo: Option<PluginCall>,
    /// A point of no return: once it has an intent, nothing before it is undone.
    pub pivot: bool,
    /// What a failure of this step means for the run.
    pub on_failure: OnFailure,
    /// Runs whatever happened to the steps it needs.
    pub always: bool,
    /// It judges whether the incident exists; a delivery that arrives after the
    /// latest such step began is owed one re-assessment.
    pub assesses: bool,
    /// Shelf life of its output, in milliseconds.
    pub fresh_for_ms: Option<Millis>,
    /// What to do with an attempt that has intents and was cut off; none: as the
    /// plugin says.
    pub when_interrupted: Option<WhenInterrupted>,
    /// A tape is played only if the engine was away no longer than this, in
    /// milliseconds. Never more than the shortest shelf life among what it rests on.
    pub replay_within_ms: Millis,
    /// Keep a tape although it only reads.
    pub record: bool,
    /// See [`Step::changes_nothing`].
    pub(crate) changes_nothing: bool,
}

impl Step {
    /// Whether it can change nothing outside: by its grants it only reads, or it is
    /// a child workflow of such steps, an approval, a wait or a report.
    pub fn changes_nothing(&self) -> bool {
        self.changes_nothing
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Runs a plugin.
    Plugin(PluginCall),
    /// Runs another workflow as a child run, or begins it and lets it go.
    Workflow(Child),
    /// Waits for a person.
    Approval(Approval),
    /// Lets time pass.
    Wait {
        /// Milliseconds.
        for_ms: Millis,
    },
    /// Renders the run so far as Markdown; output `{ markdown }`.
    Report,
}

/// A call of a plugin.
#[derive(Clone, Debug)]
pub struct PluginCall {
    /// The plugin's name.
    pub plugin: String,
    /// Its input.
    pub with: Template,
    /// What it may reach.
    pub grants: Grants,
}

/// A child run.
#[derive(Clone, Debug)]
pub struct Child {
    /// The child's plan.
    pub plan: Arc<Plan>,
    /// Its params.
    pub with: Template,
    /// It is begun and let go: a run of its own, under its own concurrency key, that
    /// outlives this one. The step succeeds as soon as it has begun.
    pub detached: bool,
}

/// A question to a person.
#[derive(Clone, Debug)]
pub struct Approval {
    /// What the person reads.
    pub prompt: Template,
    /// How long to wait, in milliseconds.
    pub timeout_ms: Millis,
    /// What silence means.
    pub on_timeout: Silence,
}

/// What an unanswered approval means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Yes.
    Approve,
    /// No: the step fails.
    Reject,
}

/// How often to try again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Tries in all, from 1.
    pub attempts_max: u32,
    /// Wait before the second try, in milliseconds.
    pub backoff_ms: Millis,
    /// Growth of the wait.
    pub factor: f64,
    /// Longest wait, in milliseconds.
    pub backoff_ms_max: Millis,
    /// Share of the wait, 0.0 to 1.0, that chance may take away.
    pub jitter: f64,
}

/// Repeat until.
#[derive(Clone, Debug)]
pub struct Poll {
    /// Sees `output` besides the usual scope.
    pub until: Condition,
    /// From the end of one try to the start of the next, in milliseconds.
    pub every_ms: Millis,
    /// Bound on all tries together, in milliseconds.
    pub within_ms: Millis,
}

/// Once per item.
#[derive(Clone, Debug)]
pub struct ForEach {
    /// Gives a list; `item` and `index` are then in scope of `with`.
    pub items: Template,
    /// How many at a time, from 1.
    pub parallel: u32,
}

/// What a failed step means for its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The run fails: nothing new starts, undo runs.
    Fail,
    /// The run goes on; steps that need this one see it as failed and still run.
    Continue,
    /// A person decides.
    Ask,
}

/// What happens to an attempt with intents that a crash cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenInterrupted {
    /// The same attempt again on what it had heard, and on from there. Where that
    /// cannot be (an old tape, another host), as [`Self::Rerun`], or as [`Self::Ask`]
    /// if it had made an at-most-once call.
    Replay,
    /// A fresh attempt that reads the world anew and is told what was done.
    Rerun,
    /// A person decides.
    Ask,
}
