//! What the outside sees of a run: on-wire types, derived from the machine's state.

use std::collections::BTreeMap;

use baton_core::{Json, Millis};
use serde::{Deserialize, Serialize};

/// One line of a list of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run.
    pub id: String,
    /// Its workflow.
    pub workflow: String,
    /// `queued`, `running`, `asking`, `undoing`, `cancelling`, `succeeded`, `failed`,
    /// `cancelled`, `timed-out` or `unreadable`.
    pub state: String,
    /// Unix ms.
    pub begun_at: Millis,
    /// Unix ms; null while open.
    pub closed_at: Option<Millis>,
    /// `manual`, `webhook`, `watch`, `schedule`, `parent` or `reassess`.
    pub trigger: String,
    /// The concurrency key it holds or held.
    pub key: Option<String>,
}

/// One run, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The run.
    pub id: String,
    /// Its workflow.
    pub workflow: String,
    /// As in [`Summary::state`].
    pub state: String,
    /// Unix ms.
    pub begun_at: Millis,
    /// Unix ms; null while open.
    pub closed_at: Option<Millis>,
    /// The concurrency key.
    pub key: Option<String>,
    /// Digest of the workflow's source.
    pub digest: String,
    /// What else it began with, and will end on.
    pub builds: BuildsView,
    /// Params.
    pub params: Json,
    /// Why it was begun.
    pub trigger: TriggerView,
    /// The step that this is a child run of.
    pub parent: Option<ParentView>,
    /// The workflow's output, once closed.
    pub output: Json,
    /// Triggers folded into it.
    pub joined: Vec<JoinedView>,
    /// How often the engine died under it.
    pub interruptions: u32,
    /// Who saw it first, and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<SeenView>,
    /// When this view was made, Unix ms.
    pub now: Millis,
    /// Steps in topological order.
    pub steps: Vec<StepView>,
    /// Why it cannot be shown whole (an unreadable record), or who ended it.
    pub note: Option<String>,
}

/// Digests of what a run began with, beside its workflow's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildsView {
    /// Of child workflows' sources, by name.
    pub workflows: BTreeMap<String, String>,
    /// Of plugins, by name.
    pub plugins: BTreeMap<String, String>,
    /// What is another version now, or gone: `workflow x`, `plugin y`. The run does
    /// not care; the next one does.
    pub changed: Vec<String>,
}

/// Why a run was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerView {
    /// As in [`Summary::trigger`].
    pub kind: String,
    /// A webhook's path, a watch's workflow, a person.
    pub source: String,
    /// What it knew.
    pub evidence: Json,
    /// Its dedup key.
    pub dedup: Option<String>,
}

/// The step that a run is a child of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentView {
    /// The parent run.
    pub run: String,
    /// The attempt, as `step 3[0] attempt 1`.
    pub attempt: String,
}

/// A trigger folded into a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinedView {
    /// Unix ms.
    pub at: Millis,
    /// As in [`Summary::trigger`].
    pub kind: String,
    /// A webhook's path, a watch's workflow, a person.
    pub source: String,
}

/// One step, or one item of a `for_each`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name; of an item `name[index]`.
    pub name: String,
    /// `plugin`, `workflow`, `approval`, `wait` or `report`.
    pub kind: String,
    /// The plugin or child workflow.
    pub plugin: Option<String>,
    /// Names of the steps it needs.
    pub needs: Vec<String>,
    /// `waiting`, `ready`, `held`, `running`, `backing-off`, `asking`, `succeeded`, `failed`,
    /// `skipped`, `cancelled`, `undoing`, `undone` or `undo-failed`.
    pub state: String,
    /// Its condition.
    pub when: Option<String>,
    /// A point of no return.
    pub pivot: bool,
    /// Runs whatever happened before.
    pub always: bool,
    /// First start, Unix ms.
    pub started_at: Option<Millis>,
    /// Last end, Unix ms.
    pub ended_at: Option<Millis>,
    /// Tries, oldest first; the newest [`baton_core::limits::HISTORY_MAX`].
    pub attempts: Vec<AttemptView>,
    /// What it gave.
    pub output: Json,
    /// Why it failed, or why the last try did.
    pub fault: Option<FaultView>,
    /// Why it was run again though it had succeeded: its output had become too old.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<AgainView>,
    /// Changing calls.
    pub calls: Vec<CallView>,
    /// The child run.
    pub child: Option<String>,
    /// What a person is asked.
    pub question: Option<String>,
    /// The same with all that the person should know; none while nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<QuestionView>,
    /// Answers that it was given, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerView>,
    /// How far it is; live only.
    pub progress: Option<ProgressView>,
    /// What holds it back, in state `held`; live only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldView>,
    /// The items of a `for_each`; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<StepView>,
}

/// Somebody has seen a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenView {
    /// Unix ms.
    pub at: Millis,
    /// Who.
    pub who: String,
    /// What they say.
    pub reason: String,
}

/// Why a step that is ready does not start: a pause, or a maintenance window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldView {
    /// Which, whose, and why.
    pub why: String,
    /// Since when it is in force, Unix ms.
    pub since: Millis,
    /// Until when, Unix ms; none: until somebody ends it.
    pub until: Option<Millis>,
    /// The command that ends it.
    pub end: String,
}

/// Evidence that was gathered again before something acted upon it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgainView {
    /// Unix ms.
    pub at: Millis,
    /// The step that was about to start.
    pub before: String,
    /// The step whose output was past its shelf life.
    pub because: String,
    /// How old that was, ms.
    pub age_ms: Millis,
    /// How old it may be, ms.
    pub fresh_for_ms: Millis,
}

/// A question that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionView {
    /// `approval`, `failed`, `interrupted`, `in-doubt`, `diverged` or `poison`.
    pub kind: String,
    /// `do`, or `undo` where the way back asks.
    pub side: String,
    /// Unix ms.
    pub since: Millis,
    /// When silence becomes an answer, Unix ms; none: it waits for ever.
    pub until: Option<Millis>,
    /// What silence means then: `approve` or `reject`.
    pub silence: Option<String>,
    /// What yes leads to.
    pub approve: String,
    /// What no leads to.
    pub reject: String,
}

/// An answer that a person gave, or silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerView {
    /// Unix ms.
    pub at: Millis,
    /// As in [`QuestionView::kind`].
    pub kind: String,
    /// Yes or no.
    pub approved: bool,
    /// Who; `timeout` when nobody did.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// From 1.
    pub number: u32,
    /// `do` or `undo`.
    pub side: String,
    /// Unix ms.
    pub started_at: Millis,
    /// Unix ms.
    pub ended_at: Option<Millis>,
    /// `running`, `succeeded`, `failed`, `interrupted`, or `diverged`: replayed, it did
    /// not do again what it had done.
    pub end: String,
    /// Why it failed.
    pub fault: Option<FaultView>,
    /// It is an earlier try that was cut off and went on from its tape.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replayed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultView {
    /// `retryable` or `permanent`.
    pub kind: String,
    /// Kebab-case.
    pub code: String,
    /// For the operator.
    pub message: String,
    /// Whatever else is known.
    pub details: Json,
}

/// A changing call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallView {
    /// The attempt that made it.
    pub attempt: u32,
    /// `do` or `undo`.
    pub side: String,
    /// Its number among the attempt's calls.
    pub index: u32,
    /// `idempotent`, `guarded` or `once`.
    pub class: String,
    /// The command, redacted.
    pub request: String,
    /// What came back; null: in doubt.
    pub outcome: Option<String>,
}

/// How far a running step is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// What is being done.
    pub message: String,
}
