//! What a durable step costs: `cargo xtask bench step`.
//!
//! Everything goes through the runner and the journal on disk, as in `baton serve`,
//! and stands beside what this machine takes for one `fdatasync`. Rounds alternate
//! between the measurements, so that a change of the machine's mood meets all of them.
#![allow(clippy::print_stdout, reason = "the table is for whoever runs the bench")]

mod figures;
mod guest;
mod machine;

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
use baton_core::workflow::{self, PluginFacts};
use baton_host::{Attempt, Context, Durable, End, Host, Options, Plugin, Wall, WallError};
use figures::Figures;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// On the disk that the project is on; `/tmp` may be memory.
const PLACE: &str = env!("CARGO_TARGET_TMPDIR");
const ROUNDS: u32 = 6;
const SLICES: u32 = 25;
const SYNCS: u32 = 10;
const PAGE: usize = 4096;
const CALLS: u32 = 500;
const CHAIN_STEPS: u32 = 20;
const CALLERS: u32 = 64;
const RUNS: u32 = 2_000;
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir_in(PLACE)?;
    let host = Host::new(Options {
        cache_dir: folder.path().join("cache"),
        clusters: Vec::new(),
        memory_bytes_max: 64 << 20,
        fuel_max: 10_000_000_000,
        attempts_max: ATTEMPTS_MAX,
    })?;
    let plugin = host.load_bytes(guest::NAME, &guest::component()?)?;
    let handle = engine(folder.path(), &host, &plugin).await?;
    let mut figures = Figures::default();
    // The first round warms caches and lets the store find its size.
    for round in 0..=ROUNDS {
        let mut one = Figures::default();
        one.runs_per_s.push(crowd(&handle).await?);
        one.call = calls(&host, &plugin).await?;
        // In small slices: a disk that others use is fast now and slow the next moment.
        for _ in 0..SLICES {
            one.append.extend(appends(&folder.path().join("appends"))?);
            chain_run(&handle, &mut one).await?;
            one.rewrite.extend(rewrites(&folder.path().join("rewrites"))?);
        }
        if round > 0 {
            figures.add(one);
        }
    }
    handle.stop(1_000).await;
    figures.print(CHAIN_STEPS, CALLERS);
    if let Some(file) = std::env::var_os("BATON_BENCH_OUT") {
        let text = serde_json::to_string_pretty(&figures.json(CHAIN_STEPS, CALLERS))?;
        fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

async fn engine(folder: &Path, host: &Host, plugin: &Plugin) -> Result<Handle> {
    let facts = PluginFacts {
        redis_commands: Vec::new(),
        when_interrupted: plugin.info().when_interrupted,
    };
    let library = workflow::Library {
        workflows: BTreeMap::new(),
        plugins: BTreeMap::from([(guest::NAME.to_owned(), facts)]),
        is_read: baton_host::redis_is_read,
    };
    let plans = [chain("chain", CHAIN_STEPS, &library)?, chain("three", 3, &library)?];
    let loaded = Loaded {
        plans: plans.into_iter().map(|plan| (plan.name().to_owned(), plan)).collect(),
        plugins: BTreeMap::from([(guest::NAME.to_owned(), plugin.clone())]),
    };
    let journal = folder.join("journal");
    fs::create_dir(&journal)?;
    let journal = Arc::new(SledJournal::open(&journal)?);
    let bounds = Bounds { attempts_max: ATTEMPTS_MAX as usize, open_runs_max: 1_000 };
    let (handle, _) = runner::start(journal, host.clone(), loaded, bounds).await?;
    Ok(handle)
}

/// A workflow of `steps` steps, each of which needs the one before.
fn chain(name: &str, steps: u32, library: &workflow::Library) -> Result<Arc<Plan>> {
    let mut source = format!("name = \"{name}\"\nsummary = \"Does nothing, durably.\"\n");
    for step in 0..steps {
        write!(source, "[steps.s{step}]\nplugin = \"{}\"\n", guest::NAME)?;
        if let Some(before) = step.checked_sub(1) {
            writeln!(source, "needs = [\"s{before}\"]")?;
        }
    }
    workflow::check(name, &source, library).map_err(|flaws| anyhow::anyhow!("{flaws:?}"))
}

/// Appends, each with a change of the file's size that the file system must log too.
fn appends(path: &Path) -> Result<Vec<Duration>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    synced(&file, |file, _| file.write_all(&[7; PAGE]))
}

/// Writes within a file whose blocks are there: what the disk itself takes.
fn rewrites(path: &Path) -> Result<Vec<Duration>> {
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

async fn calls(host: &Host, plugin: &Plugin) -> Result<Vec<Duration>> {
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
            timeout: STEP_TIMEOUT,
            taping: Taping::Off,
        };
        let begun = Instant::now();
        let ended = host.run(attempt, Arc::new(Solid)).await;
        took.push(begun.elapsed());
        ensure!(ended.end == End::Output(json!({})), "the guest gave {ended:?}");
    }
    Ok(took)
}

/// A wall that nobody passes: the guest makes no calls.
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

/// One long run. Each batch that is durable moves `changes` by one: the
/// run's beginning, then each step's end together with the next one's start.
async fn chain_run(handle: &Handle, figures: &mut Figures) -> Result<()> {
    let mut changes = handle.changes();
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
                figures.step.extend((0..steps).map(|_| each));
            }
            (seen, at) = (version, now);
        }
        anyhow::Ok(())
    };
    let (admitted, watched) = tokio::join!(admitted, watched);
    admitted?;
    watched?;
    figures.chain.push(begun.elapsed());
    Ok(())
}

/// `CALLERS` callers, each of which begins a run when one has ended; runs a second.
async fn crowd(handle: &Handle) -> Result<f64> {
    let before = succeeded(handle).await;
    let free = Arc::new(Semaphore::new(CALLERS as usize));
    let mut changes = handle.changes();
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    let mut left = u64::from(RUNS);
    let watched = async {
        while left > 0 {
            changes.changed().await?;
            let ended = succeeded(handle).await - before - (u64::from(RUNS) - left);
            left -= ended;
            free.add_permits(usize::try_from(ended)?);
        }
        anyhow::Ok(())
    };
    for caller in 0..CALLERS {
        let (handle, free) = (handle.clone(), Arc::clone(&free));
        let share = RUNS / CALLERS + u32::from(caller < RUNS % CALLERS);
        callers.spawn(async move {
            for _ in 0..share {
                free.acquire().await?.forget();
                handle.begin(begin("three")).await?;
            }
            anyhow::Ok(())
        });
    }
    let watching = tokio::time::timeout(Duration::from_mins(2), watched);
    watching.await.context("the runs do not end")??;
    let took = begun.elapsed();
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(figures::tenths(f64::from(RUNS) / took.as_secs_f64()))
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
