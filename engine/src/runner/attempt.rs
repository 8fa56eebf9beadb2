//! Doing the work of a plugin's attempt, outside the loop.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use baton_core::run::Invocation;
use baton_core::run::event::Call;
use baton_core::run::fault::Fault;
use baton_host::{Attempt, Context, Done, Host, Plugin, Wall, WallError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::view::ProgressView;
use super::{Doing, Input, Runner};
use crate::journal::Journal;

impl Runner {
    /// Starts the work of an attempt whose `Started` is on disk.
    pub(super) fn perform(&mut self, of: Doing) {
        let (Some(live), Some(outbox)) = (self.runs.get(&of.run), self.sender()) else { return };
        // The start is on disk and does not change what the templates see.
        let work =
            live.run.invocation(&live.plan, of.attempt).and_then(|invocation| match invocation {
                Invocation::Plugin { pin, name, input, grants, timeout_ms, done, .. } => {
                    let known = self.builds.get(&pin.digest).cloned();
                    let context = Context {
                        run: of.run.clone(),
                        workflow: live.plan.name().to_owned(),
                        step: live.plan.step(of.attempt.place.step).name.clone(),
                        item: of.attempt.place.item,
                        attempt: of.attempt.number,
                        done: done
                            .into_iter()
                            .map(|done| Done { attempt: done.attempt, call: done.call })
                            .collect(),
                    };
                    Ok((
                        known,
                        pin.digest,
                        name,
                        context,
                        input,
                        grants,
                        Duration::from_millis(timeout_ms),
                    ))
                }
                Invocation::Child { .. } | Invocation::Report => {
                    Err(Fault::permanent("internal", "the step needs no plugin"))
                }
            });
        let (host, journal) = (self.host.clone(), Arc::clone(&self.journal));
        let wall = Arc::new(Door { of: of.clone(), outbox: outbox.clone() });
        let doing = of.clone();
        let task = tokio::spawn(async move {
            let work = async move {
                let (known, digest, name, context, input, grants, timeout) = work?;
                let plugin = match known {
                    Some(plugin) => plugin,
                    None => kept(journal, host.clone(), digest, name).await?,
                };
                host.run(Attempt { plugin, context, input, grants, timeout }, wall).await
            };
            // A panic that nobody tells would leave the run waiting for ever.
            let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                Err(Fault::retryable(
                    "internal",
                    "the engine failed while it ran the plugin; see its log",
                ))
            });
            let _ = outbox.send(Input::Ended { of: doing, result }).await;
        });
        self.tasks.insert(of, task.abort_handle());
    }
}

/// The build that a resumed run began with, from the journal.
async fn kept(
    journal: Arc<dyn Journal>,
    host: Host,
    digest: baton_core::id::Digest,
    name: String,
) -> Result<Plugin, Fault> {
    let load = move || {
        let lost = |why: String| {
            let message =
                format!("plugin `{name}` ({}) that this run began with: {why}", digest.short());
            Fault::permanent("no-plugin", message)
        };
        let bytes = journal.plugin(digest).map_err(|error| lost(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| lost("not in the journal".to_owned()))?;
        host.load_bytes("<journal>", &bytes).map_err(|error| lost(error.to_string()))
    };
    tokio::task::spawn_blocking(load)
        .await
        .unwrap_or_else(|error| Err(Fault::retryable("internal", error.to_string())))
}

/// The loop, as an attempt's host sees it.
struct Door {
    of: Doing,
    outbox: mpsc::Sender<Input>,
}

impl Wall for Door {
    fn intend(&self, call: Call) -> BoxFuture<'_, Result<(), WallError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let gone = || WallError("the engine is stopping".to_owned());
            let input = Input::Intend { of: self.of.clone(), call, reply };
            self.outbox.send(input).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }

    fn outcome(&self, call: Call) {
        // Without a place in the inbox the outcome stays unknown: in doubt, never wrong.
        if self.outbox.try_send(Input::Outcome { of: self.of.clone(), call }).is_err() {
            tracing::warn!(run = %self.of.run, "the inbox is full: the outcome of a call is lost");
        }
    }

    fn progress(&self, done: u64, total: Option<u64>, message: String) {
        let progress = ProgressView { done, total, message };
        let _ = self.outbox.try_send(Input::Progress { of: self.of.clone(), progress });
    }
}
