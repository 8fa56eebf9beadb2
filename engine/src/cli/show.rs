//! `baton show`.

use clap::Args;

use super::failure::Failure;
use super::out::{Out, Output};
use super::runs::Runbook;
use super::{Exit, Format, Global, Server, load, render};

/// Show a run whole: its steps, tries, changing calls, faults and questions
///
/// Asks the server where one runs, else reads the journal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton show last
  baton show 01932b5e-7c1a-7000-8000-00000000002a --output json")]
pub(super) struct Show {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Show {
    /// Shows it.
    ///
    /// # Errors
    /// If there is no such run, or neither server nor journal answers.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let runbook = Runbook::open(&self.server, load::config(global)?).await?;
        let id = runbook.resolve(&self.run).await?;
        let view = runbook.show(&id).await?.ok_or_else(|| Failure::bad(format!("no run {id}")))?;
        match self.format.output {
            Output::Text => out.print(&render::run::run(&view, out.look()))?,
            Output::Json => out.json(&view)?,
        }
        Ok(Exit::Good)
    }
}
