//! `baton cancel`.

use clap::Args;

use super::failure::Failure;
use super::out::Out;
use super::runs::Runbook;
use super::{Exit, Global, Person, Server, load};

/// End a run: nothing new starts, and what can be undone is undone
///
/// Steps after a point of no return are not undone. Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton cancel last --reason \"false alarm, the node was rebooted by hand\"")]
pub(super) struct Cancel {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

impl Cancel {
    /// Asks the server to end it.
    ///
    /// # Errors
    /// If no server runs, or the run is unknown or closed.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let client = Runbook::served(&self.server, &config).await?;
        let id = Runbook::Server(client.clone()).resolve(&self.run).await?;
        client.cancel(id.as_str(), &self.by).await?;
        out.print(&format!("run {id} is being cancelled; `baton show {id}` shows how it ends\n"))?;
        Ok(Exit::Good)
    }
}
