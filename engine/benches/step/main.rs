//! What a durable step costs: `cargo xtask bench step`.
//!
//! Everything goes through the runner and the journal on disk, as in `baton serve`,
//! and stands beside what this machine takes for one `fdatasync`. Rounds alternate
//! between the measurements, so that a change of the machine's mood meets all of them.
#![allow(clippy::print_stdout, reason = "the table is for whoever runs the bench")]

mod figures;
#[path = "../common/guest.rs"]
mod guest;
#[path = "../common/house.rs"]
mod house;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/spread.rs"]
mod spread;

use std::fs;

use anyhow::{Context as _, Result};
use figures::Figures;
use guest::Does;
use house::{CHAIN_STEPS, appends, calls, chain_run, crowd, engine, rewrites};
use machine::PLACE;
use spread::tenths;

// As in the `baton` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: u32 = 6;
const SLICES: u32 = 25;
const CALLERS: u32 = 64;
const RUNS: u32 = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir_in(PLACE)?;
    let host = house::host(folder.path())?;
    let plugin = host.load_bytes(guest::NAME, &guest::component(Does::Nothing)?)?;
    let handle = engine(folder.path(), &host, &plugin).await?;
    let mut figures = Figures::default();
    // The first round warms caches and lets the store find its size.
    for round in 0..=ROUNDS {
        let mut one = Figures::default();
        one.runs_per_s.push(tenths(crowd(&handle, CALLERS, RUNS).await?.runs_per_s));
        one.call = calls(&host, &plugin).await?;
        // In small slices: a disk that others use is fast now and slow the next moment.
        for _ in 0..SLICES {
            one.append.extend(appends(&folder.path().join("appends"))?);
            let (steps, chain) = chain_run(&handle).await?;
            one.step.extend(steps);
            one.chain.push(chain);
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
