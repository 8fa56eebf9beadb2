//! Doing the work of a plugin's attempt, outside the loop.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_core::Json;
use baton_core::id::Digest;
use baton_core::run::Invocation;
use baton_core::run::event::{Call, TapeEntry};
use baton_core::run::fault::Fault;
use baton_host::{Attempt, Context, Done, Durable, End, Ended, Host, Plugin, Wall, WallError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::view::ProgressView;
use super::{Doing, Input, Live, Runner, Told};
use crate::journal::Journal;

/// What is to be run, but for the plugin.
struct Work {
    pin: Digest,
    plugin: String,
    attempt: Box<dyn FnOnce(Plugin) -> Attempt + Send>,
}

impl Runner {
    /// Starts the work of an attempt whose `Started` is on disk.
    pub(super) fn perform(&mut self, of: Doing) {
        let (Some(live), Some(outbox)) = (self.runs.get(&of.run), self.sender()) else { return };
        // The start is on disk and does not change what the templates see.
        let (input, work) = work(live, &of);
        let known = work.as_ref().ok().and_then(|work| self.builds.get(&work.pin)).cloned();
        let (host, journal) = (self.host.clone(), Arc::clone(&self.journal));
        let door = Door { of: of.clone(), input, outbox: outbox.clone(), unsaid: Mutex::default() };
        let door = Arc::new(door);
        let (doing, wall) = (of.clone(), Arc::clone(&door));
        let task = tokio::spawn(async move {
            let work = async move {
                let work = work?;
                let plugin = match known {
                    Some(plugin) => plugin,
                    None => kept(journal, host.clone(), work.pin, work.plugin).await?,
                };
                Ok(host.run((work.attempt)(plugin), wall).await)
            };
            // A panic that nobody tells would leave the run waiting for ever.
            let ended = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                Err(Fault::retryable(
                    "internal",
                    "the engine failed while it ran the plugin; see its log",
                ))
            });
            let Ended { end, heard } =
                ended.unwrap_or_else(|fault| Ended { end: End::Fault(fault), heard: Vec::new() });
            let told = door.told(heard);
            let _ = outbox.send(Input::Ended { of: doing, told, end }).await;
        });
        self.tasks.insert(of, task.abort_handle());
    }
}

/// The input of an attempt, and what is to be done with it.
fn work(live: &Live, of: &Doing) -> (Arc<Json>, Result<Work, Fault>) {
    let nothing = || Arc::new(Json::Null);
    let invocation = match live.run.invocation(&live.plan, of.attempt) {
        Ok(invocation) => invocation,
        Err(fault) => return (nothing(), Err(fault)),
    };
    let Invocation::Plugin { pin, name, input, grants, timeout_ms, done, taping } = invocation
    else {
        return (nothing(), Err(Fault::permanent("internal", "the step needs no plugin")));
    };
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
    let input = Arc::new(input);
    let given = Arc::clone(&input);
    let timeout = Duration::from_millis(timeout_ms);
    let attempt = Box::new(move |plugin| Attempt {
        plugin,
        context,
        input: given,
        grants: *grants,
        timeout,
        taping,
    });
    (input, Ok(Work { pin: pin.digest, plugin: name, attempt }))
}

/// The build that a resumed run began with, from the journal.
async fn kept(
    journal: Arc<dyn Journal>,
    host: Host,
    digest: Digest,
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
    /// The head of the attempt's tape.
    input: Arc<Json>,
    outbox: mpsc::Sender<Input>,
    /// Outcomes for which the inbox had no place; they ride with what comes next. Lost
    /// with the engine they are in doubt, never wrong.
    unsaid: Mutex<Vec<Call>>,
}

impl Door {
    fn told(&self, heard: Vec<Arc<TapeEntry>>) -> Told {
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        Told { input: Arc::clone(&self.input), outcomes: std::mem::take(&mut unsaid), heard }
    }
}

impl Wall for Door {
    fn intend(
        &self,
        calls: Vec<Call>,
        heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let gone = || WallError("the engine is stopping".to_owned());
            let told = self.told(heard);
            let input = Input::Intend { of: self.of.clone(), told, calls, reply };
            self.outbox.send(input).await.map_err(|_| gone())?;
            let durable: Durable =
                Box::pin(async move { answer.await.unwrap_or_else(|_| Err(gone())) });
            Ok(durable)
        })
    }

    fn outcome(&self, calls: Vec<Call>) {
        let of = self.of.clone();
        if let Err(full) = self.outbox.try_send(Input::Outcome { of, calls })
            && let Input::Outcome { calls, .. } = full.into_inner()
        {
            self.unsaid.lock().unwrap_or_else(PoisonError::into_inner).extend(calls);
        }
    }

    fn progress(&self, done: u64, total: Option<u64>, message: String) {
        let progress = ProgressView { done, total, message };
        let _ = self.outbox.try_send(Input::Progress { of: self.of.clone(), progress });
    }
}
