//! A run that a step begins and lets go: it outlives its parent, under a concurrency key
//! of its own. What must be settled sooner or later (a fence that stands, a node that
//! has to come back) is such a run: on disk, seen by everybody, and never lost.

use std::sync::Arc;

use baton_core::Json;
use baton_core::id::RunId;
use baton_core::run::RULES_VERSION;
use baton_core::run::event::{Begun, Event, Queued, Trigger, TriggerKind};
use baton_core::run::fault::Fault;
use baton_core::workflow::plan::{Plan, Policy};

use super::admit::{child_id, key_of, sources};
use super::stage::Stage;
use super::{Doing, Runner};

impl Runner {
    /// Begins a run that is let go: under its own concurrency key, of nobody's lock, in
    /// the batch of its step's start and end. Where its key is held it joins the holder
    /// or waits, as its workflow says.
    pub(super) fn let_go(&mut self, stage: &mut Stage, of: &Doing, plan: Arc<Plan>, params: &Json) {
        let (at, attempt) = (stage.now, of.attempt);
        let event = match self.admit_detached(stage, of, plan, params) {
            Ok((run, outcome)) => {
                let output =
                    Arc::new(serde_json::json!({ "run": run.as_str(), "outcome": outcome }));
                Event::Succeeded { at, attempt, output }
            }
            Err(fault) => Event::Failed { at, attempt, fault, jitter: 0 },
        };
        if let Err(illegal) = self.event(stage, &of.run, event) {
            tracing::error!(run = %of.run, %illegal, "a run was let go, and its step could not be told");
        }
    }

    fn admit_detached(
        &mut self,
        stage: &mut Stage,
        of: &Doing,
        plan: Arc<Plan>,
        params: &Json,
    ) -> Result<(RunId, &'static str), Fault> {
        let name = plan.name().to_owned();
        let params = plan.bind(params).map_err(|flaws| {
            let message = format!("params of `{name}` do not fit: {}", flaws.join("; "));
            Fault::permanent("bad-params", message)
        })?;
        let internal = |why: String| Fault::permanent("internal", why);
        let parent =
            self.runs.get(&of.run).ok_or_else(|| internal("its run is gone".to_owned()))?;
        let parents = Arc::clone(parent.run.begun());
        let step = parent.plan.step(of.attempt.place.step).name.clone();
        let trigger = Trigger {
            kind: TriggerKind::Parent,
            source: parents.workflow.clone(),
            dedup: None,
            evidence: Arc::new(serde_json::json!({ "run": of.run.as_str(), "step": step })),
        };
        let key = key_of(&plan, &params).map_err(|why| Fault::permanent("expression", why))?;
        let mut queued = None;
        if let Some((key, policy)) = &key
            && let Some(holder) = self.index.holder(key).cloned()
        {
            match policy {
                Policy::Join => {
                    let event = Event::Joined { at: stage.now, trigger };
                    self.event(stage, &holder, event).map_err(|why| internal(why.to_string()))?;
                    return Ok((holder, "joined"));
                }
                Policy::Refuse => {
                    let message = format!("run {holder} of `{name}` holds `{key}`");
                    return Err(Fault::permanent("key-held", message));
                }
                Policy::Queue => queued = Some(Queued { not_before: 0 }),
            }
        }
        let wanted = plan.plugins();
        let plugins = parents.plugins.iter().filter(|(name, _)| wanted.contains(&name.as_str()));
        let outcome = if queued.is_some() { "queued" } else { "started" };
        let begun = Begun {
            id: child_id(&of.run, of.attempt),
            workflow: name,
            source: Arc::clone(plan.source()),
            children: sources(&plan),
            plugins: plugins.map(|(name, pin)| (name.clone(), *pin)).collect(),
            params: Arc::new(params),
            trigger,
            key: key.map(|(key, _)| key),
            queued,
            parent: None,
            rules: RULES_VERSION,
        };
        tracing::info!(run = %begun.id, workflow = begun.workflow, of = %of.run, "run begun and let go");
        let event = Event::Begun { at: stage.now, begun: Arc::new(begun) };
        let run = self.begun(stage, plan, event).map_err(|why| internal(why.to_string()))?;
        Ok((run, outcome))
    }
}
