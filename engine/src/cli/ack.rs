//! `baton ack`.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::out::Out;
use super::runs::Runbook;
use super::{Exit, Global, Person, Server, load};

/// Say that you have seen a run and deal with it
///
/// It is shown with the run and in its report. Given to a failover that is over, it also
/// ends the cool-down that follows it: the next one need not wait. Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton ack last --reason \"on it; 7001 has lost its disk\"")]
pub(super) struct Ack {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

impl Ack {
    /// Tells the server.
    ///
    /// # Errors
    /// If no server runs, or the run is unknown.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let client = Runbook::served(&self.server, &load::config(global)?).await?;
        let id = Runbook::Server(client.clone()).resolve(&self.run).await?;
        let body = json!({ "who": self.by.who, "reason": self.by.reason });
        client.tell(&format!("/runs/{id}/acknowledge"), &body).await?;
        out.print(&format!("run {id} is acknowledged by {}\n", self.by.who))?;
        Ok(Exit::Good)
    }
}
