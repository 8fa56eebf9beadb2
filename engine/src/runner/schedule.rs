//! Schedules: runs that begin by the clock.
//!
//! A time begins one run, however often the engine dies around it: the time is the dedup
//! key of its trigger, and the dedup is derived from the runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baton_core::Millis;
use baton_core::expression::Scope;
use baton_core::run::event::{Dedup, Trigger, TriggerKind};
use baton_core::workflow::plan::{self, CatchUp, Overlap, Plan};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Begin, BeginError, Filter, Handle};

/// Longest sleep: the machine's clock may be set meanwhile.
const SLEEP: Duration = Duration::from_secs(20);
/// After an engine that could not take it, and for how long such a time is still news.
const AGAIN: Duration = Duration::from_secs(1);
const NEWS: Duration = Duration::from_mins(10);
/// Runs of the workflow among which an open one is looked for.
const LOOKED_AT: usize = 100;

/// Starts every schedule of `plans`; aborting a handle's task ends it.
pub fn start(handle: &Handle, plans: &BTreeMap<String, Arc<Plan>>) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for (workflow, plan) in plans {
        for trigger in plan.triggers() {
            if let plan::Trigger::Schedule(schedule) = trigger {
                let clockwork = Clockwork {
                    workflow: workflow.clone(),
                    source: schedule.to_string(),
                    schedule: schedule.clone(),
                    handle: handle.clone(),
                };
                tasks.push(tokio::spawn(clockwork.run()));
            }
        }
    }
    tasks
}

struct Clockwork {
    workflow: String,
    /// As the run's trigger names it.
    source: String,
    schedule: plan::Schedule,
    handle: Handle,
}

impl Clockwork {
    async fn run(self) {
        let mut done = now();
        if self.schedule.catch_up == CatchUp::Latest
            && let Some(missed) = self.schedule.latest(done)
        {
            self.begin(missed).await;
        }
        loop {
            let Some(due) = self.schedule.next(done) else {
                let workflow = &self.workflow;
                tracing::warn!(workflow, schedule = self.source, "the schedule comes never again");
                return;
            };
            // A clock that is set back brings no time twice.
            while now() < due {
                let left = Duration::from_millis(due.saturating_sub(now()));
                tokio::time::sleep(left.min(SLEEP)).await;
            }
            self.begin(due).await;
            // Times that passed in one leap of the clock, or while the engine could not
            // take them, are one.
            done = self.schedule.latest(now()).unwrap_or(due).max(due);
            if done > due {
                self.begin(done).await;
            }
        }
    }

    async fn begin(&self, due: Millis) {
        let workflow = &self.workflow;
        if self.schedule.overlap == Overlap::Skip && self.is_open().await {
            tracing::warn!(workflow, due, "left out: the schedule's latest run is still open");
            return;
        }
        let params = match self.schedule.params.render(&Scope::new()) {
            Ok(params) => params,
            Err(error) => {
                tracing::error!(workflow, %error, "params of the schedule");
                return;
            }
        };
        let next = self.schedule.next(due).unwrap_or(due);
        let dedup = Dedup {
            key: format!("schedule:{workflow}:{}:{due}", self.source),
            // Until long after it could be made up for.
            for_ms: next.saturating_sub(due).saturating_mul(2),
        };
        let trigger = Trigger {
            kind: TriggerKind::Schedule,
            source: self.source.clone(),
            dedup: Some(dedup),
            evidence: Arc::new(json!({ "due": due })),
        };
        let begin = Begin { workflow: workflow.clone(), params, trigger };
        while let Err(error) = self.handle.begin(begin.clone()).await {
            let late = u128::from(now().saturating_sub(due)) > NEWS.as_millis();
            if late || !matches!(error, BeginError::Unavailable(_)) {
                tracing::error!(workflow, due, %error, "the run of a schedule could not begin");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether a run that this schedule began is open.
    async fn is_open(&self) -> bool {
        let filter = Filter {
            workflow: Some(self.workflow.clone()),
            limit: Some(LOOKED_AT),
            ..Filter::default()
        };
        let runs = self.handle.runs(filter).await;
        let kind = TriggerKind::Schedule.as_str();
        runs.iter().any(|run| run.closed_at.is_none() && run.trigger == kind)
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    super::millis(since)
}
