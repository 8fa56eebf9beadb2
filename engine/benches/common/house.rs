//! An engine to measure, and those who keep it busy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baton::journal::SledJournal;
use baton::runner::{self, Begin, Bounds, Handle, Loaded};
use baton_core::Json;
use baton_core::run::Taping;
use baton_core::run::event::{Call, TapeEntry, Trigger, TriggerKind};
use baton_core::workflow::plan::{Grants, Plan};
use baton_core::workflow::{self, Asks, PluginFacts};
use baton_host::capability::Outside;
use baton_host::{Attempt, Context, Durable, End, Host, Options, Plugin, Wall, WallError};
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Attempts at the same time.
pub(crate) const ATTEMPTS_MAX: u32 = 64;
/// Steps of the long run.
pub(crate) const CHAIN_STEPS: u32 = 20;
/// Calls of the guest, one after another.
const CALLS: u32 = 500;
/// How long one may take.
const CALL_WITHIN: Duration = Duration::from_secs(30);
const SYNCS: u32 = 10;
const PAGE: usize = 4096;

/// A host with its cache below `folder`.
pub(crate) fn host(folder: &Path) -> Result<Host> {
    Ok(Host::new(Options {
        cache_dir: folder.join("cache"),
        lineage_dir: None,
        clusters: Vec::new(),
        outside: Outside::default(),
        memory_bytes_max: 64 << 20,
        fuel_max: 10_000_000_000,
        attempts_max: ATTEMPTS_MAX,
    })?)
}

/// An engine on the journal below `folder`, with a chain of steps and a run of three.
pub(crate) async fn engine(folder: &Path, host: &Host, plugin: &Plugin) -> Result<Handle> {
    let library = library(plugin);
    let plans = [chain("chain", CHAIN_STEPS, &library)?, chain("three", 3, &library)?];
    let loaded = Loaded {
        plans: plans.into_iter().map(|plan| (plan.name().to_owned(), plan)).collect(),
        plugins: BTreeMap::from([(plugin.info().name.clone(), plugin.clone())]),
    };
    let journal = folder.join("journal");
    fs::create_dir_all(&journal)?;
    let journal = Arc::new(SledJournal::open(&journal)?);
    let bounds = Bounds { attempts_max: ATTEMPTS_MAX as usize, open_runs_max: 100_000 };
    let (handle, _) = runner::start(journal, host.clone(), loaded, bounds, None).await?;
    Ok(handle)
}

/// What workflows may refer to: this plugin.
pub(crate) fn library(plugin: &Plugin) -> workflow::Library {
    let facts = PluginFacts {
        redis_commands: Vec::new(),
        asks: Asks::default(),
        when_interrupted: plugin.info().when_interrupted,
    };
    workflow::Library {
        workflows: BTreeMap::new(),
        plugins: BTreeMap::from([(plugin.info().name.clone(), facts)]),
        is_read: baton_host::redis_is_read,
    }
}

/// A workflow of `steps` steps, each of which needs the one before.
pub(crate) fn chain(name: &str, steps: u32, library: &workflow::Library) -> Result<Arc<Plan>> {
    let mut source = format!("name = \"{name}\"\nsummary = \"Does nothing, durably.\"\n");
    for step in 0..steps {
        write!(source, "[steps.s{step}]\nplugin = \"{}\"\n", crate::guest::NAME)?;
        if let Some(before) = step.checked_sub(1) {
            writeln!(source, "needs = [\"s{before}\"]")?;
        }
    }
    workflow::check(name, &source, library).map_err(|flaws| anyhow::anyhow!("{flaws:?}"))
}

/// Appends, each with a change of the file's size that the file system must log too.
pub(crate) fn appends(path: &Path) -> Result<Vec<Duration>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    synced(&file, |file, _| file.write_all(&[7; PAGE]))
}

/// Writes within a file whose blocks are there: what the disk itself takes.
pub(crate) fn rewrites(path: &Path) -> Result<Vec<Duration>> {
    if !path.exists() {
        fs::write(path, vec![0; PAGE * SYNCS as usize])?;
        File::open(path)?.sync_all()?;
    }
    let file = OpenOptions::new().write(true).open(path)?;
    synced(&file, |file, at| file.write_all_at(&[7; PAGE], at))
}

fn synced(
    mut file: &File,
    write: impl Fn(&mut &File, u64) -> io::Result<()>,
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for page in 0..u64::from(SYNCS) {
        let begun = Instant::now();
        write(&mut file, page * PAGE as u64)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    Ok(took)
}

/// One long run: how long each step took, and all of it. Each batch that is durable
/// moves `changes` by one: the run's beginning, then each step's end together with the
/// next one's start.
pub(crate) async fn chain_run(handle: &Handle) -> Result<(Vec<Duration>, Duration)> {
    let mut changes = handle.changes();
    let mut took = Vec::new();
    let begun = Instant::now();
    let first = *changes.borrow_and_update();
    let admitted = handle.begin(begin("chain"));
    let mut seen = first;
    let mut at = begun;
    let watched = async {
        while seen < first + 1 + u64::from(CHAIN_STEPS) {
            changes.changed().await?;
            let (version, now) = (*changes.borrow_and_update(), Instant::now());
            // A wake-up may tell of two steps, when this task came late.
            let steps = u32::try_from(version - seen)?;
            if seen > first {
                let each = (now - at) / steps;
                took.extend((0..steps).map(|_| each));
            }
            (seen, at) = (version, now);
        }
        anyhow::Ok(())
    };
    let (admitted, watched) = tokio::join!(admitted, watched);
    admitted?;
    watched?;
    Ok((took, begun.elapsed()))
}

/// What a crowd of callers got done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Runs of three steps in a second.
    pub(crate) runs_per_s: f64,
    /// Batches made durable for each run: with one caller as many as it has steps, with
    /// many fewer, because they share.
    #[allow(dead_code, reason = "only one of the benches tells it")]
    pub(crate) batches_per_run: f64,
}

/// `callers` callers, each of which begins a run when one has ended.
pub(crate) async fn crowd(handle: &Handle, callers: u32, runs: u32) -> Result<Done> {
    let before = succeeded(handle).await;
    let free = Arc::new(Semaphore::new(callers as usize));
    let mut changes = handle.changes();
    let first = *changes.borrow_and_update();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let mut left = u64::from(runs);
    let watched = async {
        while left > 0 {
            changes.changed().await?;
            let ended = succeeded(handle).await - before - (u64::from(runs) - left);
            left -= ended;
            free.add_permits(usize::try_from(ended)?);
        }
        anyhow::Ok(())
    };
    for caller in 0..callers {
        let (handle, free) = (handle.clone(), Arc::clone(&free));
        let share = runs / callers + u32::from(caller < runs % callers);
        tasks.spawn(async move {
            for _ in 0..share {
                free.acquire().await?.forget();
                handle.begin(begin("three")).await?;
            }
            anyhow::Ok(())
        });
    }
    let watching = tokio::time::timeout(Duration::from_mins(5), watched);
    watching.await.context("the runs do not end")??;
    let took = begun.elapsed();
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let batches = u32::try_from(*handle.changes().borrow() - first)?;
    Ok(Done {
        runs_per_s: f64::from(runs) / took.as_secs_f64(),
        batches_per_run: f64::from(batches) / f64::from(runs),
    })
}

async fn succeeded(handle: &Handle) -> u64 {
    let closed = handle.stats().await.closed;
    closed.get(&("three".to_owned(), "succeeded")).copied().unwrap_or(0)
}

fn begin(workflow: &str) -> Begin {
    let trigger = Trigger {
        kind: TriggerKind::Manual,
        source: "bench".to_owned(),
        dedup: None,
        evidence: Arc::new(Json::Null),
    };
    Begin { workflow: workflow.to_owned(), params: json!({}), trigger }
}

/// `Host::run` of the guest that does nothing.
pub(crate) async fn calls(host: &Host, plugin: &Plugin) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for number in 1..=CALLS {
        let context = Context {
            run: "bench".parse()?,
            workflow: "chain".to_owned(),
            step: "s0".to_owned(),
            item: 0,
            attempt: number,
            done: Vec::new(),
        };
        let attempt = Attempt {
            plugin: plugin.clone(),
            context,
            input: Arc::new(json!({})),
            grants: Grants::default(),
            timeout: CALL_WITHIN,
            taping: Taping::Off,
        };
        let begun = Instant::now();
        let ended = host.run(attempt, Arc::new(Solid)).await;
        took.push(begun.elapsed());
        ensure!(ended.end == End::Output(json!({})), "the guest gave {ended:?}");
    }
    Ok(took)
}

/// A wall that nobody passes: the guest makes no changes.
struct Solid;

impl Wall for Solid {
    fn intend(
        &self,
        _: Vec<Call>,
        _: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        Box::pin(async { Err(WallError("nothing is sent from here".to_owned())) })
    }
    fn outcome(&self, _: Vec<Call>) {}
    fn progress(&self, _: u64, _: Option<u64>, _: String) {}
}
