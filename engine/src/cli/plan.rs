//! `baton plan`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::failure::Failure;
use super::out::{Out, Output};
use super::{Exit, Format, Global, load, render, run};
use crate::runner::rehearse::view::Fate;
use crate::runner::rehearse::{Kit, rehearse};

/// Between two frames of the sign of life.
const FRAME: Duration = Duration::from_millis(120);

/// Show what a run would do now, without changing anything
///
/// Steps whose grants only let them read are run, now and here; nothing is journaled.
/// Of every other step it says whether it would run, be skipped, ask or wait, with
/// what input, what it may reach, and how it is taken back. What only a real run
/// knows (the output of a step that changes something) stands as it is written:
/// ${steps.promote.master}.
///
/// Approvals are taken for given and waits for over; what stands behind a change is
/// never run, even where it only reads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton plan workflows/redis-failover.toml --param cluster=bondx
  baton plan workflows/redis-failover.toml --output json | jq '.steps[] | {name, fate, why}'

Exit codes: 0 planned, 1 a step that only reads failed, 2 bad file or usage.")]
pub(super) struct Plan {
    /// A workflow file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A param of the workflow; lists and tables as JSON. May be repeated
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = run::pair)]
    params: Vec<(String, String)>,
    /// In whose name it is planned [default: $USER, else `unknown`]
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env = true,
        default_value = "unknown",
        hide_default_value = true
    )]
    who: String,
    #[command(flatten)]
    format: Format,
}

impl Plan {
    /// Checks the file, runs what only reads, and prints the plan.
    ///
    /// # Errors
    /// If the file or the params are bad.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let (clusters, outside) = (config.clusters()?, config.outside()?);
        let host = load::host(&config, clusters.clone(), outside.clone())?;
        let plugins = Arc::new(load::plugins(&config, &host, out));
        let (library, name) = load::around(&self.file, &config, &plugins)?;
        let plan = load::checked(&library, &name, out)?;
        let params = run::params(&plan, &self.params)?;
        let kit = Kit { host, plugins: plugins.loaded.clone(), clusters, outside };
        let sign = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        sign.set_message(format!("running what only reads of {name}"));
        sign.enable_steady_tick(FRAME);
        let told = rehearse(&kit, &plan, &params, &self.who).await;
        sign.finish_and_clear();
        let told = told.map_err(Failure::new)?;
        match self.format.output {
            Output::Text => out.print(&render::plan::plan(&told, out.look()))?,
            Output::Json => out.json(&told)?,
        }
        let failed = told.all().iter().any(|step| step.fate == Fate::Failed);
        Ok(if failed { Exit::Failed } else { Exit::Good })
    }
}
