//! A run in memory, for looking only: nothing is journaled, nothing can change.
//!
//! The same machine with a smaller shell: no child runs, no questions, no resume.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_core::Json;
use baton_core::id::RunId;
use baton_core::run::event::{Begun, Call, Event, Outcome, Pin, TapeEntry, Trigger, TriggerKind};
use baton_core::run::fault::Fault;
use baton_core::run::{Effect, Invocation, Phase, RULES_VERSION, Run, Taping, apply, outstanding};
use baton_core::workflow::plan::Plan;
use baton_host::{Attempt, Context, Durable, Host, Plugin, Wall, WallError};
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use super::Clock;

/// Runs a read-only plan once, in memory, and gives its outcome and output.
///
/// # Errors
/// In words, if the plan asks for what only a journaled run can have.
pub async fn look(
    plan: &Plan,
    params: &Json,
    host: &Host,
    plugins: &BTreeMap<String, Plugin>,
) -> Result<(Outcome, Arc<Json>), String> {
    let mut clock = Clock::default();
    let begun = begun(plan, params, plugins)?;
    let at = clock.now();
    let mut run = fold(plan, None, &Event::Begun { at, begun: Arc::new(begun) })?;
    let mut working = JoinSet::new();
    loop {
        if let Phase::Closed { outcome, output, .. } = run.phase() {
            return Ok((*outcome, Arc::clone(output)));
        }
        let now = clock.now();
        let mut next = None;
        let mut idle = true;
        for effect in outstanding(plan, &run) {
            if let Some(at) = waits_until(&effect)
                && at > now
            {
                next = Some(next.map_or(at, |known: u64| known.min(at)));
                continue;
            }
            idle = false;
            run = perform(plan, &run, &effect, now, host, plugins, &mut working)?;
            break;
        }
        if !idle {
            continue;
        }
        let pause = next.map(|at| Duration::from_millis(at - now));
        let ended = tokio::select! {
            Some(ended) = working.join_next() => ended,
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => continue,
            else => return Err("it waits for something that never comes".to_owned()),
        };
        let (attempt, result) = ended.map_err(|error| error.to_string())?;
        let at = clock.now();
        let event = match result {
            Ok(output) => Event::Succeeded { at, attempt, output: Arc::new(output) },
            Err(fault) => Event::Failed { at, attempt, fault, jitter: 0 },
        };
        run = fold(plan, Some(&run), &event)?;
    }
}

fn begun(plan: &Plan, params: &Json, plugins: &BTreeMap<String, Plugin>) -> Result<Begun, String> {
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
        trigger: Trigger {
            kind: TriggerKind::Watch,
            source: plan.name().to_owned(),
            dedup: None,
            evidence: Arc::new(Json::Null),
        },
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

fn waits_until(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Admit { not_before: at } | Effect::Wake { at, .. } | Effect::Deadline { at } => {
            Some(*at)
        }
        Effect::Invoke { .. } | Effect::Stop { .. } | Effect::Close => None,
    }
}

type Working = JoinSet<(baton_core::id::AttemptId, Result<Json, Fault>)>;

fn perform(
    plan: &Plan,
    run: &Run,
    effect: &Effect,
    at: u64,
    host: &Host,
    plugins: &BTreeMap<String, Plugin>,
    working: &mut Working,
) -> Result<Run, String> {
    let event = match *effect {
        Effect::Invoke { attempt } => {
            let invocation = run.invocation(plan, attempt);
            let started = fold(plan, Some(run), &Event::Started { at, attempt })?;
            match invocation {
                Ok(Invocation::Plugin { name, input, grants, timeout_ms, .. }) => {
                    let plugin = plugins
                        .get(&name)
                        .cloned()
                        .ok_or_else(|| format!("plugin `{name}` is not loaded"))?;
                    let context = Context {
                        run: looking(),
                        workflow: plan.name().to_owned(),
                        step: plan.step(attempt.place.step).name.clone(),
                        item: attempt.place.item,
                        attempt: attempt.number,
                        done: Vec::new(),
                    };
                    let timeout = Duration::from_millis(timeout_ms);
                    let host = host.clone();
                    working.spawn(async move {
                        let (input, taping) = (Arc::new(input), Taping::Off);
                        let attempt_of_host =
                            Attempt { plugin, context, input, grants, timeout, taping };
                        let ended = host.run(attempt_of_host, Arc::new(Closed)).await;
                        (attempt, ended.end.into_result())
                    });
                    return Ok(started);
                }
                Ok(Invocation::Child { .. } | Invocation::Report) => {
                    return Err(format!(
                        "step `{}` needs a journaled run",
                        plan.step(attempt.place.step).name
                    ));
                }
                Err(fault) => {
                    return fold(
                        plan,
                        Some(&started),
                        &Event::Failed { at, attempt, fault, jitter: 0 },
                    );
                }
            }
        }
        Effect::Admit { .. } => Event::Admitted { at },
        Effect::Wake { place, .. } => Event::Woke { at, place },
        Effect::Stop { attempt } => {
            working.abort_all();
            Event::Failed {
                at,
                attempt,
                fault: Fault::permanent("stopped", "ended with its run"),
                jitter: 0,
            }
        }
        Effect::Deadline { .. } => {
            Event::Cancelled { at, by: baton_core::run::event::Cause::Timeout }
        }
        Effect::Close => Event::Closed { at },
    };
    fold(plan, Some(run), &event)
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
        let refused = format!("a watch only looks; it may not send `{asked}`");
        Box::pin(async { Err(WallError(refused)) })
    }
    fn outcome(&self, _: Vec<Call>) {}
    fn progress(&self, _: u64, _: Option<u64>, _: String) {}
}
