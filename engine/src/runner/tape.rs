//! The tape of one attempt, as a document: for export, for `baton replay`, and for the
//! SDK's test harness. Read from the journal, where it is in parts.

use std::sync::Arc;

use baton_core::Json;
use baton_core::id::{AttemptId, Digest, Place, RunId, Side};
use baton_core::run::Run;
use baton_core::run::event::{Call, CallClass, Event, TapeEntry};
use baton_core::run::fault::Fault;
use baton_core::workflow::plan::{Action, Plan};
use baton_host::{Context, Done, TAPE_VERSION};
use serde::{Deserialize, Serialize};

use super::recover::closed_run;
use super::tries::fault_view;
use super::view::FaultView;
use crate::journal::Journal;

/// What a tape's document says that it is.
const FORMAT: &str = "baton-tape";

/// Which attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its step.
    pub step: String,
    /// Its item, from 0.
    pub item: u32,
    /// Doing or undoing.
    pub side: Side,
    /// Its number; none: the latest that has a tape.
    pub attempt: Option<u32>,
}

/// Why there is no tape to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapeError {
    /// No such run, step or attempt, or it kept none.
    #[error("{0}")]
    Missing(String),
    /// The run, or the journal, cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// One attempt: what it was given, asked, heard and gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapeView {
    /// `baton-tape`.
    pub format: String,
    /// Of the host that wrote it.
    pub version: u32,
    /// What it ran.
    pub plugin: BuildView,
    /// What the plugin was told of itself.
    pub context: ContextView,
    /// Its input.
    pub input: Json,
    /// Its host calls, in order.
    pub calls: Vec<TapedView>,
    /// How it ended.
    pub end: EndView,
}

/// A plugin's build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildView {
    /// Its name.
    pub name: String,
    /// Digest of its component.
    pub digest: String,
}

/// What a plugin is told of its attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextView {
    /// The run.
    pub run_id: String,
    /// The workflow.
    pub workflow: String,
    /// The step.
    pub step: String,
    /// The item, from 0.
    pub item: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Changing calls of interrupted attempts, oldest first.
    pub done: Vec<DoneView>,
}

/// A changing call of an earlier attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoneView {
    /// Whose.
    pub attempt: u32,
    /// Its number.
    pub index: u32,
    /// The command, redacted.
    pub request: String,
    /// What came back; null: in doubt.
    pub outcome: Option<String>,
}

/// One host call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapedView {
    /// Its first number.
    pub index: u32,
    /// The function: `redis.call`.
    pub function: String,
    /// What was asked, a line a command; for people: redacted, bounded.
    pub request: Vec<String>,
    /// Digest of all that was asked.
    pub digest: String,
    /// What was answered.
    pub answer: Json,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndView {
    /// It has not, or the engine died under it: the tape ends before it did.
    Open,
    /// With this output.
    Output(Json),
    /// With this fault.
    Fault(FaultView),
    /// Its replay left the tape: how.
    Diverged(String),
}

/// The tape of the attempt that is `wanted`.
///
/// # Errors
/// See [`TapeError`].
pub fn tape(journal: &dyn Journal, id: &RunId, wanted: &Wanted) -> Result<TapeView, TapeError> {
    let missing = |what: String| TapeError::Missing(what);
    let (plan, run) = closed_run(journal, id)
        .ok_or_else(|| missing(format!("no run {id}")))?
        .map_err(|why| TapeError::Unreadable(format!("run {id} is unreadable: {why}")))?;
    let events = match journal.events(id) {
        Ok(Some(Ok(events))) => events,
        Ok(None) => return Err(missing(format!("no run {id}"))),
        Ok(Some(Err(why))) => return Err(TapeError::Unreadable(why.to_string())),
        Err(error) => return Err(TapeError::Unreadable(error.to_string())),
    };
    let step = plan.find(&wanted.step).ok_or_else(|| {
        let names: Vec<&str> = plan.steps().iter().map(|step| step.name.as_str()).collect();
        missing(format!("run {id} has no step `{}`, but {}", wanted.step, names.join(", ")))
    })?;
    let place = Place { step, item: wanted.item };
    let attempt = latest(&events, place, wanted).ok_or_else(|| {
        missing(format!(
            "run {id} keeps no tape of step `{}`: one is kept where something was changed, or with `record = true`",
            wanted.step
        ))
    })?;
    gather(&plan, &run, &events, attempt)
}

/// The attempt with a tape that is wanted.
fn latest(events: &[Event], place: Place, wanted: &Wanted) -> Option<AttemptId> {
    let taped = events.iter().filter_map(|event| {
        let Event::Taped { attempt, tape, .. } = event else { return None };
        tape.head.is_some().then_some(*attempt)
    });
    taped
        .filter(|attempt| attempt.place == place && attempt.side == wanted.side)
        .rfind(|attempt| wanted.attempt.is_none_or(|number| number == attempt.number))
}

fn gather(
    plan: &Plan,
    run: &Run,
    events: &[Event],
    attempt: AttemptId,
) -> Result<TapeView, TapeError> {
    let step = plan.step(attempt.place.step);
    let call = match (attempt.side, &step.action) {
        (Side::Undo, _) => step.undo.as_ref(),
        (Side::Do, Action::Plugin(call)) => Some(call),
        (Side::Do, _) => None,
    };
    let name = call.map_or_else(String::new, |call| call.plugin.clone());
    let digest = run.begun().plugins.get(&name).map(|pin| pin.digest.to_string());
    let mut view = TapeView {
        format: FORMAT.to_owned(),
        version: 0,
        plugin: BuildView { name, digest: digest.unwrap_or_default() },
        context: ContextView {
            run_id: run.id().to_string(),
            workflow: plan.name().to_owned(),
            step: step.name.clone(),
            item: attempt.place.item,
            attempt: attempt.number,
            done: done(run, attempt),
        },
        input: Json::Null,
        calls: Vec::new(),
        end: EndView::Open,
    };
    for event in events {
        if let Event::Taped { attempt: of, tape, .. } = event
            && *of == attempt
        {
            if let Some(head) = &tape.head {
                (view.version, view.input) = (head.version, (*head.input).clone());
            }
            for entry in &tape.entries {
                view.calls.push(TapedView::of(entry)?);
            }
        }
        if let Some(end) = end(event, attempt) {
            view.end = end;
        }
    }
    Ok(view)
}

fn end(event: &Event, attempt: AttemptId) -> Option<EndView> {
    if let Event::Succeeded { attempt: of, output, .. } = event {
        return (*of == attempt).then(|| EndView::Output((**output).clone()));
    }
    if let Event::Failed { attempt: of, fault, .. } = event {
        return (*of == attempt).then(|| EndView::of_fault(fault));
    }
    let Event::Diverged { attempt: of, why, .. } = event else { return None };
    (*of == attempt).then(|| EndView::Diverged(why.clone()))
}

fn done(run: &Run, attempt: AttemptId) -> Vec<DoneView> {
    let calls = run.item(attempt.place).map_or(&[][..], |item| item.calls());
    calls
        .iter()
        .filter(|known| known.attempt.side == attempt.side && known.attempt.number < attempt.number)
        .map(|known| DoneView {
            attempt: known.attempt.number,
            index: known.call.index,
            request: known.call.request.clone(),
            outcome: known.call.outcome.clone(),
        })
        .collect()
}

impl EndView {
    /// It ended with this fault.
    pub fn of_fault(fault: &Fault) -> Self {
        Self::Fault(fault_view(fault))
    }
}

impl TapedView {
    fn of(entry: &TapeEntry) -> Result<Self, TapeError> {
        let answer = serde_json::from_str(&entry.answer).map_err(|error| {
            TapeError::Unreadable(format!("the answer to call {} is no JSON: {error}", entry.index))
        })?;
        Ok(Self {
            index: entry.index,
            function: entry.function.clone(),
            request: entry.request.lines().map(str::to_owned).collect(),
            digest: entry.digest.to_string(),
            answer,
        })
    }
}

impl TapeView {
    /// Reads an exported tape.
    ///
    /// # Errors
    /// In words, if it is none, or none that this build plays.
    pub fn read(text: &str) -> Result<Self, String> {
        // What it is comes first: of another version nothing else need be as here.
        let json: Json =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        if json["format"] != FORMAT {
            return Err(format!("it is no tape: its `format` is not \"{FORMAT}\""));
        }
        if json["version"] != TAPE_VERSION {
            return Err(format!(
                "it is a tape of version {}, and this build plays version {TAPE_VERSION}",
                json["version"]
            ));
        }
        serde_json::from_value(json).map_err(|error| format!("it is a damaged tape: {error}"))
    }

    /// As the host plays it.
    ///
    /// # Errors
    /// In words, if a digest is none.
    pub fn entries(&self) -> Result<Vec<Arc<TapeEntry>>, String> {
        let entry = |call: &TapedView| {
            let digest: Digest = call.digest.parse().map_err(|error| format!("{error}"))?;
            Ok(Arc::new(TapeEntry {
                index: call.index,
                function: call.function.clone(),
                request: call.request.join("\n"),
                digest,
                answer: call.answer.to_string().into(),
            }))
        };
        self.calls.iter().map(entry).collect()
    }

    /// What the plugin was told of itself.
    ///
    /// # Errors
    /// In words, if the run id is none.
    pub fn context(&self) -> Result<Context, String> {
        let it = &self.context;
        let done = it.done.iter().map(|done| Done {
            attempt: done.attempt,
            // The guest is not told the class, and nobody else asks here.
            call: Call {
                index: done.index,
                class: CallClass::Once,
                request: done.request.clone(),
                outcome: done.outcome.clone(),
            },
        });
        Ok(Context {
            run: it.run_id.parse().map_err(|error| format!("{error}"))?,
            workflow: it.workflow.clone(),
            step: it.step.clone(),
            item: it.item,
            attempt: it.attempt,
            done: done.collect(),
        })
    }
}
