//! What crash safety costs, and how soon a killed engine is back:
//! `cargo xtask bench journal`.
//!
//! Steps and runs go through the runner and the journal on disk, as in `baton serve`. The
//! restarts are real processes: this program again, which opens a journal full of runs
//! that were cut off, and says when the first of them is at work again.
#![allow(clippy::print_stdout, reason = "the table is for whoever runs the bench")]

mod figures;
#[path = "../common/guest.rs"]
mod guest;
#[path = "../common/house.rs"]
mod house;
#[path = "../common/machine.rs"]
mod machine;
mod resume;
#[path = "../common/spread.rs"]
mod spread;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use baton::runner::Handle;
use figures::{Figures, Pace, Rate};
use guest::Does;
use house::{appends, chain_run, crowd, engine, rewrites};
use machine::PLACE;
use resume::Left;

// As in the `baton` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SLICES: u32 = 100;
const CALLERS: [u32; 4] = [1, 16, 64, 256];
/// Runs of a crowd, for each caller and at least.
const RUNS_PER_CALLER: u32 = 60;
const RUNS_MIN: u32 = 1_000;
/// How much history the second half of the figures is taken on.
const HISTORY_RUNS: u32 = 100_000;

fn main() -> Result<()> {
    // The same program is the engine that comes back.
    if let Some(folder) = std::env::var_os(resume::FOLDER) {
        return resume::child(Path::new(&folder));
    }
    let mut figures = measure()?;
    for (left, count) in [(Left::CutOff, 1), (Left::CutOff, 1_000), (Left::CutOff, 10_000)] {
        figures.resumed.push((count, resume::measure(left, count)?));
    }
    figures.idle = resume::measure(Left::Nothing, 0)?.rss_kib;
    figures.waiting = resume::measure(Left::Waiting, 10_000)?.rss_kib;
    figures.print();
    if let Some(file) = std::env::var_os("BATON_BENCH_OUT") {
        let text = serde_json::to_string_pretty(&figures.json())?;
        fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

#[tokio::main]
async fn measure() -> Result<Figures> {
    let folder = tempfile::tempdir_in(PLACE)?;
    let host = house::host(folder.path())?;
    let plugin = host.load_bytes(guest::NAME, &guest::component(Does::Nothing)?)?;
    let handle = engine(folder.path(), &host, &plugin).await?;
    let mut figures = Figures::default();
    // Warms caches and lets the store find its size.
    crowd(&handle, 64, RUNS_MIN).await?;
    figures.call = house::calls(&host, &plugin).await?;
    let before = bytes(&folder.path().join("journal"))?;
    let ran = CALLERS.iter().map(|callers| runs_of(*callers)).sum::<u32>();
    figures.fresh = pace(&handle, folder.path(), &mut figures.machine).await?;
    let stored = bytes(&folder.path().join("journal"))?.saturating_sub(before);
    figures.bytes_per_run = stored / u64::from(ran);
    crowd(&handle, 256, HISTORY_RUNS).await?;
    figures.history_bytes = bytes(&folder.path().join("journal"))?;
    figures.old = pace(&handle, folder.path(), &mut figures.machine).await?;
    handle.stop(1_000).await;
    Ok(figures)
}

fn runs_of(callers: u32) -> u32 {
    (callers * RUNS_PER_CALLER).max(RUNS_MIN)
}

/// Steps in sequence, in slices beside the machine's own syncs, and crowds.
async fn pace(handle: &Handle, folder: &Path, machine: &mut [Vec<Duration>; 2]) -> Result<Pace> {
    let mut pace = Pace::default();
    for _ in 0..SLICES {
        machine[0].extend(appends(&folder.join("appends"))?);
        pace.step.extend(chain_run(handle).await?.0);
        machine[1].extend(rewrites(&folder.join("rewrites"))?);
    }
    for callers in CALLERS {
        let begun = Instant::now();
        let done = crowd(handle, callers, runs_of(callers)).await?;
        let batches_per_s = done.batches_per_run * done.runs_per_s;
        tracing::debug!(callers, took = ?begun.elapsed(), "a crowd is done");
        pace.rates.push(Rate { callers, runs_per_s: done.runs_per_s, batches_per_s });
    }
    Ok(pace)
}

/// Blocks that a folder takes on the disk, in bytes.
fn bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        total += if facts.is_dir() { bytes(&entry.path())? } else { facts.blocks() * 512 };
    }
    Ok(total)
}
