//! Measurements, in the release profile; results go to `target/bench`.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::shell::{cargo, run};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum What {
    /// Durable steps, runs and plugin calls, beside this machine's own fdatasync
    Step,
}

/// Runs one measurement, which writes `target/bench/<what>.json`, and prints that.
///
/// # Errors
/// When it does not build, does not end well, or leaves no result.
pub(crate) fn bench(root: &Path, what: What) -> Result<()> {
    let What::Step = what;
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("step.json");
    crate::plugins::build(root)?;
    run(cargo(root, &["bench", "--package", "baton", "--bench", "step"])
        .env("BATON_BENCH_OUT", &file))?;
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    println!("{text}");
    Ok(())
}
