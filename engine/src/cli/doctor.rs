//! `baton doctor`.

use std::sync::Arc;
use std::time::Duration;

use baton_core::run::event::Outcome;
use baton_host::Kept;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::failure::Failure;
use super::out::{Out, Output};
use super::{Exit, Format, Global, load, render};
use crate::runner::look;

/// The workflow that does it.
const WORKFLOW: &str = "redis-doctor";
/// Between two frames of the sign of life.
const FRAME: Duration = Duration::from_millis(120);

/// Look for what will go wrong at the next failover of a cluster
///
/// Asks every node and Sentinel for its settings and state, and changes nothing. Each
/// finding says why it matters and what mends it. It runs the workflow `redis-doctor`
/// without leaving a trace; as a run it can be scheduled, and kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton doctor bondx
  baton doctor bondx --output json | jq '.findings[] | select(.severity == \"error\")'

Exit codes: 0 nothing worse than a warning, 1 errors were found or it could not look,
2 bad configuration or usage.")]
pub(super) struct Doctor {
    /// A cluster of baton.toml
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    #[command(flatten)]
    format: Format,
}

impl Doctor {
    /// Examines the cluster and prints what was found.
    ///
    /// # Errors
    /// If there is no such cluster, or it could not be examined.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let (clusters, outside) = (config.clusters()?, config.outside()?);
        if !clusters.iter().any(|it| it.name == self.cluster) {
            let known: Vec<&str> = clusters.iter().map(|it| it.name.as_str()).collect();
            return Err(Failure::bad(match known[..] {
                [] => "baton.toml names no cluster: add [clusters.<name>]".to_owned(),
                [..] => format!(
                    "baton.toml names no cluster `{}`, but {}",
                    self.cluster,
                    known.join(", ")
                ),
            }));
        }
        let host = load::host(&config, clusters, outside)?;
        let plugins = Arc::new(load::plugins(&config, &host, out));
        let file = config.paths.workflows.join(format!("{WORKFLOW}.toml"));
        let (library, name) = load::around(&file, &config, &plugins)?;
        let plan = load::checked(&library, &name, out)?;
        let params = json!({ "cluster": self.cluster });
        let sign = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        sign.set_message(format!("examining {}", self.cluster));
        sign.enable_steady_tick(FRAME);
        let looked = look(&plan, &params, &host, &plugins.loaded, &Kept::default()).await;
        sign.finish_and_clear();
        let (outcome, output) = looked.map_err(Failure::new)?;
        if outcome != Outcome::Succeeded {
            return Err(Failure::new(format!(
                "{} could not be examined; `baton plan {} --param cluster={}` says why",
                self.cluster,
                file.display(),
                self.cluster
            )));
        }
        match self.format.output {
            Output::Text => {
                out.print(&render::doctor::found(&self.cluster, &output, out.look()))?;
            }
            Output::Json => out.json(&output)?,
        }
        Ok(if output["verdict"] == "errors" { Exit::Failed } else { Exit::Good })
    }
}
