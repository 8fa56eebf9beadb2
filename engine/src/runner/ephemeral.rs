//! A run in memory, for looking only: nothing is journaled, nothing can change.
//!
//! The same machine with a smaller shell: no questions, no resume. A watch runs its
//! detection in it ([`look`]); `baton plan` runs what only reads in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_core::id::{AttemptId, RunId};
use baton_core::run::event::{
    Begun, Call, Cause, Event, Outcome, Pin, TapeEntry, Trigger, TriggerKind,
};
use baton_core::run::fault::Fault;
use baton_core::run::{Effect, Invocation, Phase, RULES_VERSION, Run, Taping, apply, outstanding};
use baton_core::workflow::plan::Plan;
use baton_core::{Json, Millis};
use baton_host::{Attempt, Context, Durable, Host, Kept, Plugin, Wall, WallError};
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use super::Clock;

/// Runs a read-only plan once, in memory, on connections that are kept for the next
/// time, and gives its outcome and output.
///
/// # Errors
/// In words, if the plan asks for what only a journaled run can have.
pub async fn look(
    plan: &Plan,
    params: &Json,
    host: &Host,
    plugins: &BTreeMap<String, Plugin>,
    kept: &Kept,
) -> Result<(Outcome, Arc<Json>), String> {
    let trigger = Trigger {
        kind: TriggerKind::Watch,
        source: plan.name().to_owned(),
        dedup: None,
        evidence: Arc::new(Json::Null),
    };
    let mut shell = Shell::begin(plan, params, trigger, host, plugins)?;
    shell.kept = Some(kept.clone());
    loop {
        if let Phase::Closed { outcome, output, .. } = shell.run.phase() {
            return Ok((*outcome, Arc::clone(output)));
        }
        let owed = shell.owed();
        match owed.due.first() {
            Some(effect) => shell.perform(effect)?,
            None if shell.wait(owed.next).await? => {}
            None => return Err("it waits for something that never comes".to_owned()),
        }
    }
}

/// A run in memory, and the attempts that it waits for.
pub(super) struct Shell<'e> {
    plan: &'e Plan,
    host: &'e Host,
    plugins: &'e BTreeMap<String, Plugin>,
    pub(super) run: Run,
    /// Connections of looks before this one.
    kept: Option<Kept>,
    clock: Clock,
    working: JoinSet<(AttemptId, Result<Json, Fault>)>,
}

/// What the world owes the run.
pub(super) struct Owed {
    /// Now.
    pub(super) due: BTreeSet<Effect>,
    /// When the next of the rest is due, Unix ms.
    pub(super) next: Option<Millis>,
    /// The rest: timers.
    pub(super) later: BTreeSet<Effect>,
}

impl<'e> Shell<'e> {
    /// Begins a run of `plan`.
    ///
    /// # Errors
    /// If the params do not fit or a plugin is missing.
    pub(super) fn begin(
        plan: &'e Plan,
        params: &Json,
        trigger: Trigger,
        host: &'e Host,
        plugins: &'e BTreeMap<String, Plugin>,
    ) -> Result<Self, String> {
        let begun = Arc::new(begun(plan, params, trigger, plugins)?);
        let mut clock = Clock::default();
        let at = clock.now();
        let run = fold(plan, None, &Event::Begun { at, begun })?;
        Ok(Self { plan, host, plugins, run, kept: None, clock, working: JoinSet::new() })
    }

    pub(super) fn now(&mut self) -> Millis {
        self.clock.now()
    }

    pub(super) fn owed(&mut self) -> Owed {
        let now = self.clock.now();
        let is_later = |effect: &Effect| waits_until(effect).is_some_and(|at| at > now);
        let (later, due): (BTreeSet<_>, _) =
            outstanding(self.plan, &self.run).into_iter().partition(is_later);
        Owed { due, next: later.iter().filter_map(waits_until).min(), later }
    }

    pub(super) fn fold(&mut self, event: &Event) -> Result<(), String> {
        self.run = fold(self.plan, Some(&self.run), event)?;
        Ok(())
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), String> {
        let at = self.clock.now();
        match *effect {
            Effect::Invoke { attempt } => {
                if self.start(attempt)? {
                    return Ok(());
                }
                let step = &self.plan.step(attempt.place.step).name;
                Err(format!("step `{step}` needs a journaled run"))
            }
            Effect::Admit { .. } => self.fold(&Event::Admitted { at }),
            Effect::Wake { place, .. } => self.fold(&Event::Woke { at, place }),
            Effect::Stop { attempt } => {
                self.working.abort_all();
                let fault = Fault::permanent("stopped", "ended with its run");
                self.fold(&Event::Failed { at, attempt, fault, jitter: 0 })
            }
            Effect::Deadline { .. } => self.fold(&Event::Cancelled { at, by: Cause::Timeout }),
            Effect::Close => self.fold(&Event::Closed { at }),
        }
    }

    /// Starts a plugin's attempt; gives whether it is one.
    pub(super) fn start(&mut self, attempt: AttemptId) -> Result<bool, String> {
        let at = self.clock.now();
        let (name, input, grants, timeout_ms) = match self.run.invocation(self.plan, attempt) {
            Ok(Invocation::Plugin { name, input, grants, timeout_ms, .. }) => {
                (name, input, grants, timeout_ms)
            }
            Ok(Invocation::Child { .. } | Invocation::Detached { .. } | Invocation::Report) => {
                return Ok(false);
            }
            Err(fault) => {
                self.fold(&Event::Started { at, attempt })?;
                self.fold(&Event::Failed { at, attempt, fault, jitter: 0 })?;
                return Ok(true);
            }
        };
        let plugin = self.plugins.get(&name).cloned();
        let plugin = plugin.ok_or_else(|| format!("plugin `{name}` is not loaded"))?;
        self.fold(&Event::Started { at, attempt })?;
        let context = Context {
            run: self.run.id().clone(),
            workflow: self.plan.name().to_owned(),
            step: self.plan.step(attempt.place.step).name.clone(),
            item: attempt.place.item,
            attempt: attempt.number,
            done: Vec::new(),
        };
        let timeout = Duration::from_millis(timeout_ms);
        let (host, kept) = (self.host.clone(), self.kept.clone());
        self.working.spawn(async move {
            let (input, taping) = (Arc::new(input), Taping::Off);
            let work = Attempt { plugin, context, input, grants: *grants, timeout, taping };
            let ended = match &kept {
                Some(kept) => host.look(work, Arc::new(Closed), kept).await,
                None => host.run(work, Arc::new(Closed)).await,
            };
            (attempt, ended.end.into_result())
        });
        Ok(true)
    }

    /// Until an attempt ended or it is `next`; false: nothing will ever come.
    pub(super) async fn wait(&mut self, next: Option<Millis>) -> Result<bool, String> {
        let now = self.clock.now();
        let pause = next.map(|at| Duration::from_millis(at.saturating_sub(now)));
        let ended = tokio::select! {
            Some(ended) = self.working.join_next() => ended,
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => return Ok(true),
            else => return Ok(false),
        };
        let (attempt, result) = ended.map_err(|error| error.to_string())?;
        let at = self.clock.now();
        let event = match result {
            Ok(output) => Event::Succeeded { at, attempt, output: Arc::new(output) },
            Err(fault) => Event::Failed { at, attempt, fault, jitter: 0 },
        };
        self.fold(&event)?;
        Ok(true)
    }
}

fn begun(
    plan: &Plan,
    params: &Json,
    trigger: Trigger,
    plugins: &BTreeMap<String, Plugin>,
) -> Result<Begun, String> {
    let pin = |name: &str| {
        let info =
            plugins.get(name).ok_or_else(|| format!("plugin `{name}` is not loaded"))?.info();
        Ok((name.to_owned(), Pin { digest: info.digest, when_interrupted: info.when_interrupted }))
    };
    Ok(Begun {
        id: looking(),
        workflow: plan.name().to_owned(),
        source: Arc::clone(plan.source()),
        children: BTreeMap::new(),
        plugins: plan.plugins().into_iter().map(pin).collect::<Result<_, String>>()?,
        params: Arc::new(plan.bind(params).map_err(|flaws| flaws.join("; "))?),
        trigger,
        key: None,
        queued: None,
        parent: None,
        rules: RULES_VERSION,
    })
}

fn looking() -> RunId {
    "look".parse().expect("a run id")
}

fn fold(plan: &Plan, run: Option<&Run>, event: &Event) -> Result<Run, String> {
    apply(plan, run, event).map_err(|illegal| illegal.to_string())
}

fn waits_until(effect: &Effect) -> Option<Millis> {
    match effect {
        Effect::Admit { not_before: at } | Effect::Wake { at, .. } | Effect::Deadline { at } => {
            Some(*at)
        }
        Effect::Invoke { .. } | Effect::Stop { .. } | Effect::Close => None,
    }
}

/// The wall of a run that only looks: every change is refused.
struct Closed;

impl Wall for Closed {
    fn intend(
        &self,
        calls: Vec<Call>,
        _: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        let asked = calls.first().map_or("", |call| &call.request);
        let refused = format!("nothing may be changed here; it may not send `{asked}`");
        Box::pin(async { Err(WallError(refused)) })
    }
    fn outcome(&self, _: Vec<Call>) {}
    fn progress(&self, _: u64, _: Option<u64>, _: String) {}
}

#[cfg(test)]
mod tests {
    use baton_core::run::event::CallClass;

    use super::*;

    #[tokio::test]
    async fn the_wall_lets_no_change_pass() {
        let request = "SET a 1".to_owned();
        for class in [CallClass::Idempotent, CallClass::Guarded, CallClass::Once] {
            let call = Call { index: 0, class, request: request.clone(), outcome: None };
            let Err(refused) = Closed.intend(vec![call], Vec::new()).await else {
                panic!("a call of class {class:?} passed");
            };
            assert!(refused.0.contains("may not send `SET a 1`"), "{refused}");
        }
    }
}
