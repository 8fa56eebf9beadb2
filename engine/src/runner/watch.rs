//! Watches: a detection workflow run over and over in memory until its verdict
//! holds, then its evidence begins a run.
//!
//! A verdict that goes on holding is one incident: the watch fires again only after
//! the verdict has gone away, when it is about something else (other params), or when the
//! workflow's cool-down has passed. A run that looked and could do nothing (mode `observe`,
//! say) is so not begun again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_core::expression::Scope;
use baton_core::run::event::{Outcome, Trigger, TriggerKind};
use baton_core::workflow::plan::{self, Plan};
use baton_core::{Json, Millis};
use baton_host::capability::redis::Hints;
use baton_host::{Host, Kept, Plugin};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Admission, Begin, BeginError, Handle, look};

/// When a verdict that still holds begins another run, for a workflow without cool-down.
const REARM_MS: Millis = 60_000;

/// From an event to the look: a Sentinel tells of a death in several events at once, and
/// one that is out of its mind makes nobody look more often than the shortest `every`.
const HINT_PAUSE: Duration = Duration::from_millis(50);

/// Starts every watch of `plans`; dropping a handle's task ends it.
pub fn start(
    handle: &Handle,
    host: &Host,
    plans: &BTreeMap<String, Arc<Plan>>,
    plugins: &BTreeMap<String, Plugin>,
) -> Vec<JoinHandle<()>> {
    let plugins = Arc::new(plugins.clone());
    let mut tasks = Vec::new();
    for (workflow, plan) in plans {
        for trigger in plan.triggers() {
            if let plan::Trigger::Watch(watch) = trigger {
                let hints = watch.hint.as_deref().and_then(|cluster| {
                    let hints = host.hints(cluster);
                    if hints.is_none() {
                        tracing::warn!(workflow, cluster, "its watch has a hint from a cluster that baton.toml does not have: it looks by the clock alone");
                    }
                    hints
                });
                let watcher = Watcher {
                    hints,
                    workflow: workflow.clone(),
                    rearm: Duration::from_millis(plan.cooldown_ms().unwrap_or(REARM_MS)),
                    fired: None,
                    watch: watch.clone(),
                    handle: handle.clone(),
                    host: host.clone(),
                    plugins: Arc::clone(&plugins),
                    kept: Kept::default(),
                    trouble: None,
                };
                tasks.push(tokio::spawn(watcher.watch()));
            }
        }
    }
    tasks
}

/// Never ends where nobody listens.
async fn heard(hints: Option<&Hints>) {
    match hints {
        Some(hints) => hints.heard().await,
        None => std::future::pending().await,
    }
}

struct Watcher {
    workflow: String,
    watch: plan::Watch,
    handle: Handle,
    host: Host,
    plugins: Arc<BTreeMap<String, Plugin>>,
    /// Connections from one look to the next.
    kept: Kept,
    /// Events that make it look at once.
    hints: Option<Hints>,
    /// How long a verdict must go on holding to fire again.
    rearm: Duration,
    /// When it fired for the verdict that holds now, and with which params.
    fired: Option<(Instant, Json)>,
    /// What went wrong last, so that it is said once and not four times a second.
    trouble: Option<String>,
}

impl Watcher {
    async fn watch(mut self) {
        let every = Duration::from_millis(self.watch.every_ms);
        let mut ticks = tokio::time::interval_at(Instant::now(), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held: u32 = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = heard(self.hints.as_ref()) => {
                    // A flood of events is still one look at a time.
                    tokio::time::sleep(HINT_PAUSE).await;
                    ticks.reset();
                }
            }
            match self.look().await {
                Ok(Some(output)) => {
                    held = held.saturating_add(1);
                    self.say(None);
                    if held >= self.watch.times {
                        self.fire(output).await;
                    }
                }
                Ok(None) => {
                    held = 0;
                    self.fired = None;
                    self.say(None);
                }
                Err(trouble) => {
                    held = 0;
                    self.say(Some(trouble));
                }
            }
        }
    }

    /// One look; gives the evidence if the verdict holds.
    async fn look(&self) -> Result<Option<Arc<Json>>, String> {
        let with =
            self.watch.with.render(&Scope::new()).map_err(|error| format!("with: {error}"))?;
        let (outcome, output) =
            look(&self.watch.plan, &with, &self.host, &self.plugins, &self.kept).await?;
        if outcome != Outcome::Succeeded {
            return Err(format!("detection ended {}", outcome.as_str()));
        }
        let scope = Scope::new().with("output", &output);
        let holds = self.watch.when.holds(&scope).map_err(|error| format!("when: {error}"))?;
        Ok(holds.then_some(output))
    }

    /// Begins a run, unless one was begun for the same not long ago.
    async fn fire(&mut self, evidence: Arc<Json>) {
        let params = match self.watch.params.render(&Scope::new().with("output", &evidence)) {
            Ok(params) => params,
            Err(error) => return self.say(Some(format!("params: {error}"))),
        };
        let is_news =
            |(at, known): &(Instant, Json)| at.elapsed() >= self.rearm || *known != params;
        if self.fired.as_ref().is_none_or(is_news) {
            self.begin(params, evidence).await;
        }
    }

    async fn begin(&mut self, params: Json, evidence: Arc<Json>) {
        let source = self.watch.plan.name().to_owned();
        let trigger = Trigger { kind: TriggerKind::Watch, source, dedup: None, evidence };
        let begin = Begin { workflow: self.workflow.clone(), params: params.clone(), trigger };
        let answer = self.handle.begin(begin).await;
        match &answer {
            Ok(Admission::Started(run)) => {
                tracing::warn!(%run, watch = self.watch.plan.name(), "the verdict held; a run began");
            }
            Ok(Admission::Queued { .. } | Admission::Joined(_) | Admission::Duplicate(_))
            | Err(BeginError::Refused { .. }) => {}
            Err(error) => self.say(Some(error.to_string())),
        }
        // What was not taken is tried again at the next look.
        if answer.is_ok() {
            self.fired = Some((Instant::now(), params));
        }
    }

    fn say(&mut self, trouble: Option<String>) {
        if self.trouble != trouble {
            let watch = self.watch.plan.name();
            if let Some(trouble) = &trouble {
                tracing::warn!(watch, trouble, "the watch cannot see");
            } else {
                tracing::info!(watch, "the watch sees again");
            }
            self.trouble = trouble;
        }
    }
}
