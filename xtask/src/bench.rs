//! Measurements; results go to `target/bench`.

mod watch;

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::plugins;
use crate::shell::{cargo, run};

mod failover;
mod verify;

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum What {
    /// Durable steps, runs and plugin calls, beside this machine's own fdatasync
    Step,
    /// What crash safety costs: steps, crowds, a long history, and restarts
    Journal,
    /// Sentinel alone and Baton: a master killed, hanging, and handed over
    Failover,
    /// What it costs to watch a real cluster ten and four times a second
    Watch,
    /// A million keys compared and a million orders checked, beside a client that writes
    Verify,
}

/// Our crates as in a release. What we depend on is optimised in `dev` already, so
/// wasmtime is not built again, as it would be under a profile of another name.
const PROFILE: &[&str] = &[
    "profile.dev.opt-level=3",
    "profile.dev.package.baton-core.opt-level=3",
    "profile.dev.package.baton-host.opt-level=3",
    "profile.dev.debug-assertions=false",
    "profile.dev.overflow-checks=false",
];

/// Runs one measurement, which prints a table and writes `target/bench/<what>.json`.
///
/// # Errors
/// When it does not build, does not end well, or leaves no result.
pub(crate) fn bench(root: &Path, what: What, rounds: u32, min_replicas: u32) -> Result<()> {
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let name = match what {
        What::Failover => return failover(root, rounds, min_replicas),
        What::Step => "step",
        What::Journal => "journal",
        What::Watch => return watch::bench(root, &folder.join("watch.json"), PROFILE),
        What::Verify => return verify::bench(root, &folder.join("verify.json"), PROFILE),
    };
    let file = folder.join(format!("{name}.json"));
    // All of the workspace, so that features are unified as everywhere else.
    let mut arguments = vec!["bench", "--workspace", "--bench", name, "--profile", "dev"];
    arguments.extend(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    run(cargo(root, &arguments)
        .env("BATON_BENCH_OUT", &file)
        .env("BATON_BENCH_PROFILE", format!("dev, {}", PROFILE.join(", "))))?;
    let size = std::fs::metadata(&file).with_context(|| format!("read {}", file.display()))?.len();
    anyhow::ensure!(size > 0, "{} is empty", file.display());
    println!("all figures: {}", file.display());
    Ok(())
}

fn failover(root: &Path, rounds: u32, min_replicas: u32) -> Result<()> {
    plugins::build(root)?;
    run(&mut cargo(root, &["build", "--workspace"]))?;
    let document = failover::measure(root, rounds, min_replicas)?;
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("failover.json");
    std::fs::write(&file, serde_json::to_string_pretty(&document)?)?;
    println!("all figures: {}", file.display());
    Ok(())
}
