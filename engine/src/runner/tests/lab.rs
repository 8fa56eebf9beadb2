//! A loop to try things on: workflows from text, one plugin that sleeps until the test
//! says how its attempt ended.

#[path = "../../../host/tests/guests/mod.rs"]
#[allow(dead_code, reason = "the host's tests need more of it")]
mod guests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use baton_core::Json;
use baton_core::id::{AttemptId, Digest, Place, RunId, Side, StepId};
use baton_core::run::event::{
    Answer, Call, CallClass, Cause, Dedup, Event, Outcome, TapeEntry, Trigger, TriggerKind,
};
use baton_core::run::fault::Fault;
use baton_core::workflow::{Asks, Library, PluginFacts, check};
use baton_host::capability::Outside;
use baton_host::capability::redis::{Auth, Cluster, Mode as ClusterMode};
use baton_host::{End, Host, Options, Plugin};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::gate::{Gate, Mode};
use crate::journal::{Journal, MemoryJournal};
use crate::runner::view::{RunView, StepView};
use crate::runner::{
    Admission, Begin, BeginError, Bounds, CommandError, Doing, Handle, Input, Loaded, Told, start,
};

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

static SANDBOX: LazyLock<(Host, Plugin, TempDir)> = LazyLock::new(|| {
    let cache = tempfile::tempdir().unwrap();
    let host = Host::new(Options {
        cache_dir: cache.path().to_owned(),
        lineage_dir: None,
        clusters: ["bondx", "other"].map(cluster).to_vec(),
        outside: Outside::default(),
        memory_bytes_max: 4 << 20,
        fuel_max: 100_000_000,
        attempts_max: 64,
    })
    .unwrap();
    let guest = guests::Guest {
        imports: r#"(import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))"#,
        ..guests::Guest::running("i32.const 3600000 call $sleep i32.const 2048")
    };
    let wit = include_str!("../../../../plugins/wit/baton.wit");
    let plugin = host.load_bytes("sleep", &guests::component(&guest.module(), wit)).unwrap();
    (host, plugin, cache)
});

/// A cluster that nobody talks to.
fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        master_name: name.to_owned(),
        mode: ClusterMode::Lead,
        nodes: vec!["127.0.0.1:1".to_owned()],
        sentinels: Vec::new(),
        zones: BTreeMap::new(),
        auth: Auth::default(),
        sentinel_auth: Auth::default(),
        tls: None,
        resp: 3,
        down_after_ms: 5_000,
        restart_grace_ms: 0,
        max_lost_bytes: 0,
    }
}

/// A workflow of one question.
pub(super) fn asking(name: &str, head: &str) -> String {
    let approval = r#"approval = { prompt = "Go?", timeout = "20m", on_timeout = "reject" }"#;
    format!("name = \"{name}\"\n{head}\n[steps.ok]\n{approval}\n")
}

/// A workflow of one attempt that sleeps.
pub(super) fn sleeping(name: &str, head: &str) -> String {
    format!("name = \"{name}\"\n{head}\n[steps.act]\nplugin = \"sleep\"\ntimeout = \"10m\"\n")
}

pub(super) fn key(policy: &str) -> String {
    format!("concurrency = {{ key = \"k\", policy = \"{policy}\" }}")
}

pub(super) fn trigger(kind: TriggerKind, source: &str) -> Trigger {
    Trigger { kind, source: source.to_owned(), dedup: None, evidence: Arc::new(Json::Null) }
}

pub(super) fn manual(workflow: &str) -> Begin {
    wish(workflow, trigger(TriggerKind::Manual, "ann"))
}

pub(super) fn webhook(workflow: &str) -> Begin {
    wish(workflow, trigger(TriggerKind::Webhook, "alerts"))
}

pub(super) fn delivery(workflow: &str, key: &str, for_ms: u64) -> Begin {
    let dedup = Some(Dedup { key: key.to_owned(), for_ms });
    wish(workflow, Trigger { dedup, ..trigger(TriggerKind::Webhook, "alerts") })
}

fn wish(workflow: &str, trigger: Trigger) -> Begin {
    Begin { workflow: workflow.to_owned(), params: json!({}), trigger }
}

pub(super) fn ann() -> Cause {
    Cause::Person { who: "ann".to_owned(), reason: "a test".to_owned() }
}

/// The attempt `number` of the first item of step `step`.
pub(super) fn doing(run: &RunId, step: u16, number: u32) -> Doing {
    let place = Place { step: StepId(step), item: 0 };
    Doing { run: run.clone(), attempt: AttemptId { place, side: Side::Do, number } }
}

pub(super) fn call(outcome: Option<&str>) -> Call {
    Call {
        index: 0,
        class: CallClass::Once,
        request: "INCR n".to_owned(),
        outcome: outcome.map(str::to_owned),
    }
}

/// What an attempt heard in the calls with these numbers.
pub(super) fn told(indices: &[u32]) -> Told {
    let entry = |index: &u32| {
        Arc::new(TapeEntry {
            index: *index,
            function: "clock.now".to_owned(),
            request: String::new(),
            digest: Digest::of(b""),
            answer: "1".into(),
        })
    };
    let heard = indices.iter().map(entry).collect();
    Told { input: Arc::new(json!({})), outcomes: Vec::new(), heard }
}

pub(super) fn step<'a>(view: &'a RunView, name: &str) -> &'a StepView {
    view.steps.iter().find(|step| step.name == name).unwrap()
}

/// Schedules that run until this drops.
pub(super) struct Clockworks(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Clockworks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

pub(super) struct Lab {
    pub(super) gate: Arc<Gate>,
    pub(super) handle: Handle,
    pub(super) resumed: usize,
    workflows: Vec<String>,
    bounds: Bounds,
    /// Where pauses and the like are kept.
    folder: Arc<TempDir>,
}

impl Lab {
    pub(super) async fn new(workflows: &[String]) -> Self {
        Self::bounded(workflows, 64, 1000).await
    }

    pub(super) async fn bounded(
        workflows: &[String],
        attempts_max: usize,
        open_runs_max: usize,
    ) -> Self {
        let journal = Arc::new(MemoryJournal::new(1000));
        let bounds = Bounds { attempts_max, open_runs_max };
        Self::open(Gate::new(journal, None), workflows.to_vec(), bounds, folder()).await
    }

    pub(super) async fn on(journal: Arc<dyn Journal>, workflows: &[String]) -> Self {
        let bounds = Bounds { attempts_max: 64, open_runs_max: 1000 };
        Self::open(Gate::new(journal, None), workflows.to_vec(), bounds, folder()).await
    }

    async fn open(
        gate: Gate,
        workflows: Vec<String>,
        bounds: Bounds,
        folder: Arc<TempDir>,
    ) -> Self {
        let gate = Arc::new(gate);
        let (host, ..) = &*SANDBOX;
        let journal: Arc<dyn Journal> = gate.clone();
        let switches = Some(folder.path().join("switches.json"));
        let (handle, resumed) =
            start(journal, host.clone(), loaded(&workflows), bounds, switches).await.unwrap();
        Self { gate, handle, resumed, workflows, bounds, folder }
    }

    /// The engine dies where it stands and starts again on what is on disk.
    pub(super) async fn crash(self) -> Self {
        self.crash_spoiling(None).await
    }

    /// The same, and the records of `spoiled` are damaged.
    pub(super) async fn crash_spoiling(self, spoiled: Option<RunId>) -> Self {
        self.die().await;
        let gate = Gate::new(self.gate.inner(), spoiled);
        Self::open(gate, self.workflows, self.bounds, self.folder).await
    }

    /// Starts the schedules of its workflows.
    pub(super) fn wind_up(&self) -> Clockworks {
        Clockworks(crate::runner::schedule::start(&self.handle, &loaded(&self.workflows).plans))
    }

    /// What is said to this engine cannot be kept any more.
    pub(super) fn spoil_switches(&self) {
        std::fs::create_dir(self.folder.path().join("switches.new")).unwrap();
    }

    /// From here on nothing of this engine reaches the disk.
    pub(super) async fn die(&self) {
        let dead = crate::journal::AppendError::Stopped("dead".to_owned());
        self.gate.set(Mode::Fail(dead));
        self.handle.stop(0).await;
        timeout(PATIENCE, self.handle.ended()).await.unwrap();
    }

    pub(super) async fn begin(&self, begin: Begin) -> Admission {
        self.handle.begin(begin).await.unwrap()
    }

    pub(super) async fn run(&self, begin: Begin) -> RunId {
        let admission = self.begin(begin).await;
        assert!(matches!(admission, Admission::Started(_)), "{admission:?}");
        admission.run().clone()
    }

    /// Both wait in the inbox before the loop turns: on a test's one thread it cannot.
    pub(super) fn post(&self, begin: Begin) -> oneshot::Receiver<Result<Admission, BeginError>> {
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.try_send(Input::Begin { begin, reply }).unwrap();
        answer
    }

    pub(super) async fn answer(
        &self,
        run: &RunId,
        step: &str,
        approved: bool,
    ) -> Result<(), CommandError> {
        let answer = Answer { approved, who: "ann".to_owned(), reason: "a test".to_owned() };
        self.handle.answer(run.clone(), step.to_owned(), None, answer).await
    }

    pub(super) async fn cancel(&self, run: &RunId) -> Result<(), CommandError> {
        self.handle.cancel(run.clone(), ann()).await
    }

    pub(super) async fn view(&self, run: &RunId) -> RunView {
        self.handle.run(run.clone()).await.unwrap()
    }

    /// Waits until the run is as `wanted` says.
    pub(super) async fn when(
        &self,
        run: &RunId,
        wanted: impl Fn(&RunView) -> bool + Send,
    ) -> RunView {
        let mut changes = self.handle.changes();
        let until = async {
            loop {
                let view = self.view(run).await;
                if wanted(&view) {
                    return view;
                }
                changes.changed().await.unwrap();
            }
        };
        if let Ok(view) = timeout(PATIENCE, until).await {
            return view;
        }
        panic!("it does not come to that: {:#?}", self.view(run).await)
    }

    pub(super) async fn state(&self, run: &RunId, state: &str) -> RunView {
        self.when(run, |view| view.state == state).await
    }

    /// Lets an attempt that runs end so.
    pub(super) async fn end(&self, of: Doing, result: Result<Json, Fault>) {
        self.end_telling(of, told(&[]), result).await;
    }

    /// The same, having heard that since its last change.
    pub(super) async fn end_telling(&self, of: Doing, told: Told, result: Result<Json, Fault>) {
        let end = result.map_or_else(End::Fault, End::Output);
        self.handle.inbox.send(Input::Ended { of, told, end }).await.unwrap();
    }

    /// Lets an attempt that runs change something.
    pub(super) async fn change(&self, of: &Doing) {
        self.intend(of).await.unwrap();
        let input = Input::Outcome { of: of.clone(), calls: vec![call(Some("1"))] };
        self.handle.inbox.send(input).await.unwrap();
    }

    pub(super) async fn intend(&self, of: &Doing) -> Result<(), baton_host::WallError> {
        self.intend_all(of, told(&[]), vec![call(None)]).await
    }

    /// Lets an attempt that runs intend these, having heard that.
    pub(super) async fn intend_all(
        &self,
        of: &Doing,
        told: Told,
        calls: Vec<Call>,
    ) -> Result<(), baton_host::WallError> {
        let (reply, answer) = oneshot::channel();
        let input = Input::Intend { of: of.clone(), told, calls, reply };
        self.handle.inbox.send(input).await.unwrap();
        answer.await.unwrap()
    }

    /// What is on disk of a run.
    pub(super) fn events(&self, run: &RunId) -> Vec<Event> {
        self.gate.inner().events(run).unwrap().unwrap().unwrap()
    }

    pub(super) fn outcome(&self, run: &RunId) -> Outcome {
        let closed = self.gate.inner().closed_runs(None, 1000).unwrap();
        closed.into_iter().map(Result::unwrap).find(|closed| closed.run == *run).unwrap().outcome
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

fn loaded(workflows: &[String]) -> Loaded {
    let (_, plugin, _) = &*SANDBOX;
    let name = |text: &String| text.split('"').nth(1).unwrap().to_owned();
    let facts = PluginFacts {
        // It asks for none and sends none.
        redis_commands: Vec::new(),
        asks: Asks::default(),
        when_interrupted: plugin.info().when_interrupted,
    };
    let library = Library {
        workflows: workflows.iter().map(|text| (name(text), Arc::from(text.as_str()))).collect(),
        plugins: BTreeMap::from([("sleep".to_owned(), facts)]),
        is_read: baton_host::capability::redis::is_read,
    };
    let plan = |text: &String| {
        let plan = check(&name(text), text, &library);
        (name(text), plan.unwrap_or_else(|flaws| panic!("{flaws}")))
    };
    Loaded {
        plans: workflows.iter().map(plan).collect(),
        plugins: BTreeMap::from([("sleep".to_owned(), plugin.clone())]),
    }
}
