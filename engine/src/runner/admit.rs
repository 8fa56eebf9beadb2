//! Whether a trigger becomes a run: dedup, concurrency key, cool-down. One incident
//! is one run, and no incident is swallowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_core::expression::Scope;
use baton_core::id::Place;
use baton_core::id::{AttemptId, RunId, StepId};
use baton_core::run::RULES_VERSION;
use baton_core::run::event::{Answer, Begun, Event, Parent, Pin, Queued, Trigger, TriggerKind};
use baton_core::run::fault::Fault;
use baton_core::workflow::plan::{Plan, Policy};
use baton_core::{Json, Millis};
use uuid::Uuid;

use super::stage::Stage;
use super::{Admission, Begin, BeginError, CommandError, Doing, Runner};
use crate::journal::Closed;

/// Namespace of child runs' ids: they follow from (run, step, item, attempt).
const CHILD_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3a5c_9b0e_4d2a_8c57_2e94_b1a0_7f63);

impl Runner {
    /// Decides on a trigger and stages what follows.
    pub(super) fn admit(
        &mut self,
        stage: &mut Stage,
        begin: Begin,
    ) -> Result<Admission, BeginError> {
        if self.draining.is_some() {
            return Err(BeginError::Unavailable("the engine is stopping".to_owned()));
        }
        let plan = self.loaded.plans.get(&begin.workflow).cloned();
        let plan = plan.ok_or_else(|| BeginError::UnknownWorkflow(begin.workflow.clone()))?;
        let params = plan.bind(&begin.params).map_err(BeginError::BadParams)?;
        if let Some(dedup) = &begin.trigger.dedup
            && let Some(run) = self.index.repeats(&dedup.key, stage.now)
        {
            return Ok(Admission::Duplicate(run.clone()));
        }
        let key = key_of(&plan, &params).map_err(|why| BeginError::BadParams(vec![why]))?;
        let Some((key, policy)) = key else {
            return self.begin_root(stage, plan, params, begin.trigger, None, None);
        };
        if let Some(holder) = self.index.holder(&key).cloned() {
            return match policy {
                Policy::Join => self.join(stage, holder, begin.trigger),
                Policy::Refuse => Err(BeginError::Refused { key, holder }),
                Policy::Queue => {
                    let reason = format!("run {holder} holds `{key}`");
                    self.queue(stage, plan, params, begin.trigger, key, reason)
                }
            };
        }
        if policy != Policy::Queue
            && let Some(waiting) = self.index.queue(&key).first().cloned()
            && begin.trigger.kind != TriggerKind::Manual
        {
            return self.join(stage, waiting, begin.trigger);
        }
        if policy == Policy::Queue
            && let Some(first) = self.index.queue(&key).first()
            && begin.trigger.kind != TriggerKind::Manual
        {
            let reason = format!("run {first} waits for `{key}` and came first");
            return self.queue(stage, plan, params, begin.trigger, key, reason);
        }
        // A person overrides the cool-down; nothing else does.
        if let Some(until) = self.cooling_until(&plan, &key, stage.now)
            && begin.trigger.kind != TriggerKind::Manual
        {
            let after = self.index.acted(plan.name(), &key).map(|(_, run)| {
                format!(" after run {run}; `baton ack {run} --reason WHY` ends that")
            });
            let reason = format!(
                "`{key}` is cooling down for {} s more{}",
                (until - stage.now).div_ceil(1000),
                after.unwrap_or_default()
            );
            return self.queue(stage, plan, params, begin.trigger, key, reason);
        }
        self.begin_root(stage, plan, params, begin.trigger, Some(key), None)
    }

    fn cooling_until(&self, plan: &Plan, key: &str, now: Millis) -> Option<Millis> {
        let (closed_at, run) = self.index.acted(plan.name(), key)?;
        let until = closed_at + plan.cooldown_ms()?;
        // Who has seen what it did need not be protected from the next one.
        (until > now && !self.switches.seen_since(run, closed_at)).then_some(until)
    }

    /// When a queued run may start after all, because the run it waited for acted.
    pub(super) fn still_cooling(&self, id: &RunId, now: Millis) -> Option<Millis> {
        let live = self.runs.get(id)?;
        let begun = live.run.begun();
        if begun.trigger.kind == TriggerKind::Manual {
            return None;
        }
        self.cooling_until(&live.plan, begun.key.as_deref()?, now)
    }

    fn join(
        &mut self,
        stage: &mut Stage,
        holder: RunId,
        trigger: Trigger,
    ) -> Result<Admission, BeginError> {
        let Some(live) = self.runs.get(&holder) else {
            return Err(BeginError::Unavailable(format!("run {holder} is not in memory")));
        };
        // A watch comes round every few hundred milliseconds: once is news, then it is not.
        let same = |known: &Trigger| known.kind == trigger.kind && known.source == trigger.source;
        let known = same(&live.run.begun().trigger)
            || live.run.joined().iter().any(|joined| same(&joined.trigger));
        if trigger.kind == TriggerKind::Watch && known {
            return Ok(Admission::Joined(holder));
        }
        let event = Event::Joined { at: stage.now, trigger };
        self.event(stage, &holder, event)
            .map_err(|illegal| BeginError::Unavailable(illegal.to_string()))?;
        Ok(Admission::Joined(holder))
    }

    /// A run that waits until its key is free and has cooled down, which is looked up
    /// when it could start: an acknowledgement may end the cool-down before its time.
    fn queue(
        &mut self,
        stage: &mut Stage,
        plan: Arc<Plan>,
        params: Json,
        trigger: Trigger,
        key: String,
        reason: String,
    ) -> Result<Admission, BeginError> {
        let queued = Some(Queued { not_before: stage.now });
        let run = match self.begin_root(stage, plan, params, trigger, Some(key), queued)? {
            Admission::Started(run) => run,
            other @ (Admission::Queued { .. } | Admission::Joined(_) | Admission::Duplicate(_)) => {
                return Ok(other);
            }
        };
        Ok(Admission::Queued { run, reason })
    }

    fn begin_root(
        &mut self,
        stage: &mut Stage,
        plan: Arc<Plan>,
        params: Json,
        trigger: Trigger,
        key: Option<String>,
        queued: Option<Queued>,
    ) -> Result<Admission, BeginError> {
        // A run that closes in this very batch makes room; a re-assessment is owed.
        let is_full = || {
            let open = self.runs.values().filter(|live| !live.run.is_closed()).count();
            open >= self.bounds.open_runs_max
        };
        if trigger.kind != TriggerKind::Reassess && is_full() {
            let most = self.bounds.open_runs_max;
            return Err(BeginError::Unavailable(format!(
                "{most} runs are open, the most that limits.open_runs allows"
            )));
        }
        let id: RunId = Uuid::now_v7().to_string().parse().expect("a UUID is a run id");
        let begun = Begun {
            id,
            workflow: plan.name().to_owned(),
            source: Arc::clone(plan.source()),
            children: sources(&plan),
            plugins: self.pins(&plan).map_err(BeginError::Unavailable)?,
            params: Arc::new(params),
            trigger,
            key,
            queued,
            parent: None,
            rules: RULES_VERSION,
        };
        tracing::info!(run = %begun.id, workflow = begun.workflow, trigger = begun.trigger.kind.as_str(), "run begun");
        let event = Event::Begun { at: stage.now, begun: Arc::new(begun) };
        let run = self
            .begun(stage, plan, event)
            .map_err(|illegal| BeginError::Unavailable(illegal.to_string()))?;
        Ok(Admission::Started(run))
    }

    fn pins(&self, plan: &Plan) -> Result<BTreeMap<String, Pin>, String> {
        let pin = |name: &str| {
            let plugin = self
                .loaded
                .plugins
                .get(name)
                .ok_or_else(|| format!("plugin `{name}` is not loaded"))?;
            let info = plugin.info();
            Ok((
                name.to_owned(),
                Pin { digest: info.digest, when_interrupted: info.when_interrupted },
            ))
        };
        plan.plugins().into_iter().map(pin).collect()
    }

    /// Stages a child run of `of`; its parent's `Started` is in the same batch.
    pub(super) fn begin_child(
        &mut self,
        stage: &mut Stage,
        of: &Doing,
        plan: Arc<Plan>,
        params: &Json,
        fresh_until: Option<Millis>,
    ) {
        let Some(parent) = self.runs.get(&of.run) else { return };
        let parents = Arc::clone(parent.run.begun());
        let (at, attempt) = (stage.now, of.attempt);
        let params = match plan.bind(params) {
            Ok(params) => params,
            Err(flaws) => {
                let message =
                    format!("params of `{}` do not fit: {}", plan.name(), flaws.join("; "));
                let fault = Fault::permanent("bad-params", message);
                let _ = self.event(stage, &of.run, Event::Failed { at, attempt, fault, jitter: 0 });
                return;
            }
        };
        let wanted = plan.plugins();
        let plugins = parents.plugins.iter().filter(|(name, _)| wanted.contains(&name.as_str()));
        let begun = Begun {
            id: child_id(&of.run, attempt),
            workflow: plan.name().to_owned(),
            source: Arc::clone(plan.source()),
            children: sources(&plan),
            plugins: plugins.map(|(name, pin)| (name.clone(), *pin)).collect(),
            params: Arc::new(params),
            trigger: Trigger {
                kind: TriggerKind::Parent,
                source: parents.workflow.clone(),
                dedup: None,
                evidence: Arc::new(Json::Null),
            },
            key: None,
            queued: None,
            parent: Some(Parent { run: of.run.clone(), attempt, fresh_until }),
            rules: RULES_VERSION,
        };
        if let Err(illegal) = self.begun(stage, plan, Event::Begun { at, begun: Arc::new(begun) }) {
            tracing::error!(run = %of.run, %illegal, "a child run could not begin");
        }
    }

    /// A delivery that came after the closed run's last look at the world is owed one
    /// more look, once the cool-down is over.
    pub(super) fn reassess(&mut self, stage: &mut Stage, closed: &Closed) {
        let (Some(live), Some(key)) = (self.runs.get(&closed.run), &closed.key) else { return };
        let looked = live.run.assessed_at().unwrap_or(live.run.begun_at());
        let late = live
            .run
            .joined()
            .iter()
            .any(|joined| joined.trigger.kind == TriggerKind::Webhook && joined.at > looked);
        if !late || !self.index.queue(key).is_empty() {
            return;
        }
        let begun = Arc::clone(live.run.begun());
        let Some(plan) = self.loaded.plans.get(&begun.workflow).cloned() else {
            let workflow = &begun.workflow;
            tracing::error!(run = %closed.run, workflow, "a delivery came after its last assessment, and the workflow that would look again is not loaded: look yourself");
            return;
        };
        let trigger = Trigger {
            kind: TriggerKind::Reassess,
            source: closed.run.to_string(),
            dedup: None,
            evidence: Arc::new(serde_json::json!({ "after": closed.run.as_str() })),
        };
        // The workflow may have changed since that run began.
        let params = match plan.bind(&begun.params) {
            Ok(params) => params,
            Err(flaws) => {
                let flaws = flaws.join("; ");
                tracing::error!(run = %closed.run, flaws, "the re-assessment it owes does not fit the workflow any more");
                return;
            }
        };
        let reason = "a delivery came after the last assessment".to_owned();
        if let Err(error) = self.queue(stage, plan, params, trigger, key.clone(), reason) {
            tracing::error!(run = %closed.run, %error, "the re-assessment it owes could not be queued");
        }
    }

    /// Stages a person's answer.
    pub(super) fn answer(
        &mut self,
        stage: &mut Stage,
        run: &RunId,
        step: &str,
        item: Option<u32>,
        answer: Answer,
    ) -> Result<(), CommandError> {
        let live = self.runs.get(run).ok_or_else(|| self.not_open(run))?;
        let place = Place { step: step_named(&live.plan, step)?, item: item.unwrap_or(0) };
        let told = live.run.step(place.step);
        let is_fan = live.plan.step(place.step).for_each.is_some();
        if is_fan && item.is_none() {
            let message = format!(
                "step `{step}` of run {run} is made of items, each with questions of its own: name one, as `{step}[0]`"
            );
            return Err(CommandError::Illegal(message));
        }
        if live.run.item(place).is_none() || (!is_fan && place.item > 0) {
            let items = if is_fan { told.items().len() } else { 0 };
            let message = match items.checked_sub(1) {
                None => {
                    format!("step `{step}` of run {run} has no items; name it without brackets")
                }
                Some(last) => format!(
                    "step `{step}` of run {run} has no item {}; they are 0 to {last}",
                    place.item
                ),
            };
            return Err(CommandError::Illegal(message));
        }
        let event = Event::Answered { at: stage.now, place, answer };
        let item = item.map_or_else(String::new, |item| format!("[{item}]"));
        self.event(stage, run, event).map_err(|_| {
            CommandError::Illegal(format!("step `{step}{item}` of run {run} asks nothing"))
        })
    }
}

/// A plan's concurrency key with these params, and what becomes of whoever finds it held.
pub(super) fn key_of(plan: &Plan, params: &Json) -> Result<Option<(String, Policy)>, String> {
    let Some(concurrency) = plan.concurrency() else { return Ok(None) };
    let key = concurrency.key.render(&Scope::new().with("params", params));
    let key = key.map_err(|error| format!("concurrency.key: {error}"))?;
    let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    Ok(Some((key, concurrency.policy)))
}

/// The id of the child run that `attempt` of `parent` begins.
pub(super) fn child_id(parent: &RunId, attempt: AttemptId) -> RunId {
    let name =
        format!("{parent}/{}/{}/{}", attempt.place.step.0, attempt.place.item, attempt.number);
    let id = Uuid::new_v5(&CHILD_NAMESPACE, name.as_bytes());
    id.to_string().parse().expect("a UUID is a run id")
}

pub(super) fn sources(plan: &Plan) -> BTreeMap<String, Arc<str>> {
    plan.children()
        .into_iter()
        .map(|(name, child)| (name.to_owned(), Arc::clone(child.source())))
        .collect()
}

/// What became of a trigger, for the count of them.
pub(super) fn word(answer: &Result<Admission, BeginError>) -> &'static str {
    match answer {
        Ok(Admission::Started(_)) => "started",
        Ok(Admission::Queued { .. }) => "queued",
        Ok(Admission::Joined(_)) => "joined",
        Ok(Admission::Duplicate(_)) => "duplicate",
        Err(BeginError::Refused { .. }) => "refused",
        Err(BeginError::UnknownWorkflow(_) | BeginError::BadParams(_)) => "invalid",
        Err(BeginError::Unavailable(_)) => "unavailable",
    }
}

/// A step by its name, for commands.
fn step_named(plan: &Plan, name: &str) -> Result<StepId, CommandError> {
    plan.find(name).ok_or_else(|| {
        let steps: Vec<&str> = plan.steps().iter().map(|step| step.name.as_str()).collect();
        CommandError::Illegal(format!("no step `{name}`; the steps are {}", steps.join(", ")))
    })
}
