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
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baton_core::run::Taping;
use baton_core::run::event::{Call, TapeEntry};
use baton_core::workflow::plan::Grants;
use baton_host::{Attempt, Context, Durable, End, Host, Plugin, Wall, WallError};
use figures::Figures;
use futures::future::BoxFuture;
use guest::Does;
use house::{CHAIN_STEPS, appends, chain_run, crowd, engine, rewrites};
use machine::PLACE;
use serde_json::json;
use spread::tenths;

const ROUNDS: u32 = 6;
const SLICES: u32 = 25;
const CALLS: u32 = 500;
const CALLERS: u32 = 64;
const RUNS: u32 = 2_000;
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

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
