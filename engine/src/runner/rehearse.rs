//! What a run would do: its read-only steps are run, in memory, and the others told.
//!
//! ```text
//! drive:    the machine goes as far as reading alone takes it; a step that changes
//!           something stays ready for ever, so that nothing behind it is ever run
//! forecast: what the machine left open is told from what is known
//! ```
//! An approval is taken for given and a `wait` for over, so that the picture does not
//! end at the first of them. What stands behind a change is never run, even where it
//! only reads: it would describe the world before the change.
//!
//! **Invariant:** nothing here can change anything. A step is run only if its grants
//! allow nothing but reads, and the wall that its host calls meet refuses the rest.

mod details;
mod doors;
mod forecast;
mod reach;
mod seen;
pub mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_core::Json;
use baton_core::id::{AttemptId, Place, Side};
use baton_core::run::event::{Answer, Event, Trigger, TriggerKind};
use baton_core::run::fault::Fault;
use baton_core::run::{Effect, Invocation, Item, Phase, State};
use baton_core::workflow::plan::{Action, Plan};
use baton_host::capability::Outside;
use baton_host::capability::redis::Cluster;
use baton_host::{Host, Plugin};
use futures::future::BoxFuture;

use super::ephemeral::Shell;
use view::Rehearsal;

/// What a rehearsal needs.
pub struct Kit {
    /// Runs plugins.
    pub host: Host,
    /// By name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Of baton.toml, to say which addresses a grant means.
    pub clusters: Vec<Cluster>,
    /// Of baton.toml, to say what the other grants mean.
    pub outside: Outside,
}

/// Runs what only reads and tells what the rest would do, in the name of `who`.
///
/// # Errors
/// In words, if the params do not fit or a plugin is missing.
pub async fn rehearse(
    kit: &Kit,
    plan: &Plan,
    params: &Json,
    who: &str,
) -> Result<Rehearsal, String> {
    drive(kit, plan, params.clone(), trigger(TriggerKind::Manual, who)).await
}

fn trigger(kind: TriggerKind, source: &str) -> Trigger {
    Trigger { kind, source: source.to_owned(), dedup: None, evidence: Arc::new(Json::Null) }
}

fn drive<'f>(
    kit: &'f Kit,
    plan: &'f Plan,
    params: Json,
    trigger: Trigger,
) -> BoxFuture<'f, Result<Rehearsal, String>> {
    Box::pin(async move {
        let shell = Shell::begin(plan, &params, trigger, &kit.host, &kit.plugins)?;
        let mut stage = Stage { kit, plan, shell, children: BTreeMap::new() };
        loop {
            let owed = stage.shell.owed();
            let mut moved = false;
            for effect in owed.due.iter().chain(&owed.later) {
                if stage.perform(effect).await? {
                    moved = true;
                    break;
                }
            }
            if moved {
                continue;
            }
            // Another try is waited for; a deadline is not.
            let retries = owed.later.iter().filter_map(|effect| stage.retries_at(effect));
            if !stage.shell.wait(retries.min()).await? {
                break;
            }
        }
        Ok(forecast::of_run(kit, plan, &stage.shell.run, stage.children))
    })
}

/// A run in memory, and the rehearsals of its child runs.
struct Stage<'f> {
    kit: &'f Kit,
    plan: &'f Plan,
    shell: Shell<'f>,
    children: BTreeMap<Place, Rehearsal>,
}

impl Stage<'_> {
    /// Does what is owed if it changes nothing; gives whether anything moved.
    async fn perform(&mut self, effect: &Effect) -> Result<bool, String> {
        let at = self.shell.now();
        match *effect {
            Effect::Invoke { attempt } if attempt.side == Side::Do => self.invoke(attempt).await,
            Effect::Wake { place, .. } => {
                let Some(event) = self.passed(place) else { return Ok(false) };
                self.shell.fold(&event).map(|()| true)
            }
            Effect::Close => self.shell.fold(&Event::Closed { at }).map(|()| true),
            Effect::Invoke { .. }
            | Effect::Admit { .. }
            | Effect::Stop { .. }
            | Effect::Deadline { .. } => Ok(false),
        }
    }

    async fn invoke(&mut self, attempt: AttemptId) -> Result<bool, String> {
        let step = self.plan.step(attempt.place.step);
        match &step.action {
            Action::Plugin(_) if step.changes_nothing() => self.shell.start(attempt),
            Action::Workflow(child)
                if !child.detached && !self.children.contains_key(&attempt.place) =>
            {
                self.child(attempt).await
            }
            Action::Report => {
                let now = self.shell.now();
                let markdown = super::report::markdown(self.plan, &self.shell.run, now, None);
                self.ended(attempt, Ok(serde_json::json!({ "markdown": markdown })))
            }
            Action::Plugin(_) | Action::Workflow(_) | Action::Approval(_) | Action::Wait { .. } => {
                Ok(false)
            }
        }
    }

    /// Rehearses a child run. Only if all of it could be run does its parent go on.
    async fn child(&mut self, attempt: AttemptId) -> Result<bool, String> {
        let (plan, params) = match self.shell.run.invocation(self.plan, attempt) {
            Ok(Invocation::Child { plan, params, .. }) => (plan, params),
            Ok(Invocation::Plugin { .. } | Invocation::Detached { .. } | Invocation::Report) => {
                return Ok(false);
            }
            Err(fault) => return self.ended(attempt, Err(fault)),
        };
        if let Err(flaws) = plan.bind(&params) {
            let message = format!("params of `{}` do not fit: {}", plan.name(), flaws.join("; "));
            return self.ended(attempt, Err(Fault::permanent("bad-params", message)));
        }
        let trigger = trigger(TriggerKind::Parent, self.plan.name());
        let inner = drive(self.kit, &plan, params, trigger).await?;
        let closed = inner.closed.clone();
        self.children.insert(attempt.place, inner);
        let Some((outcome, output)) = closed else { return Ok(false) };
        let at = self.shell.now();
        self.shell.fold(&Event::Started { at, attempt })?;
        let output = Arc::new(output);
        let (assessed_at, acted) = (None, false);
        self.shell.fold(&Event::ChildClosed {
            at,
            attempt,
            outcome,
            output,
            assessed_at,
            acted,
        })?;
        Ok(true)
    }

    fn ended(&mut self, attempt: AttemptId, result: Result<Json, Fault>) -> Result<bool, String> {
        let at = self.shell.now();
        self.shell.fold(&Event::Started { at, attempt })?;
        self.shell.fold(&match result {
            Ok(output) => Event::Succeeded { at, attempt, output: Arc::new(output) },
            Err(fault) => Event::Failed { at, attempt, fault, jitter: 0 },
        })?;
        Ok(true)
    }

    /// The end of what lets time pass: a wait is over, an approval given, a back-off
    /// is waited for.
    fn passed(&mut self, place: Place) -> Option<Event> {
        let now = self.shell.now();
        match *self.shell.run.item(place).map(Item::work)? {
            State::Sleeping { until } => Some(Event::Woke { at: until, place }),
            State::BackingOff { until } if until <= now => Some(Event::Woke { at: now, place }),
            // Somebody looks at who answered: then what follows is forecast, not run.
            State::Asking { until: Some(_), .. } if seen::asks_who(self.plan, place.step) => None,
            State::Asking { until: Some(_), .. } => {
                let unknown = || "only a real run knows".to_owned();
                let answer = Answer { approved: true, who: unknown(), reason: unknown() };
                Some(Event::Answered { at: now, place, answer })
            }
            State::Waiting
            | State::Ready
            | State::Running { .. }
            | State::BackingOff { .. }
            | State::Asking { until: None, .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Skipped
            | State::Cancelled => None,
        }
    }

    fn retries_at(&self, effect: &Effect) -> Option<u64> {
        let Effect::Wake { place, at } = effect else { return None };
        let is_retry =
            matches!(self.shell.run.item(*place).map(Item::work), Some(State::BackingOff { .. }));
        is_retry.then_some(*at)
    }
}

/// How the run ended, if reading alone took it to its end.
fn closed(phase: &Phase) -> Option<(baton_core::run::event::Outcome, Json)> {
    match phase {
        Phase::Closed { outcome, output, .. } => Some((*outcome, (**output).clone())),
        Phase::Queued { .. } | Phase::Open => None,
    }
}
