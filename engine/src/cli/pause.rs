//! `baton pause` and `baton resume`.

use baton_core::workflow::parse_duration;
use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::out::Out;
use super::runs::Runbook;
use super::{Exit, Global, Person, Server, load};

/// Stop every change: nothing that may change something starts any more, in any run
///
/// What only reads goes on, so that it is still seen what is wrong. A step that runs
/// already is not cut off (`baton cancel` does that), and no run is lost: it goes on,
/// after another look, when you resume. Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton pause --reason \"the network team moves a rack\"
  baton pause --for 30m --reason \"drill of the platform team\"")]
pub(super) struct Pause {
    /// For how long, as 30m or 2h [default: until `baton resume`]
    #[arg(long = "for", value_name = "TIME", value_parser = for_ms)]
    for_ms: Option<u64>,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

/// End every pause
///
/// What was held back looks again and goes on. Maintenance windows stay. Needs a
/// running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton resume --reason \"the rack is moved\"")]
pub(super) struct Resume {
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

/// `30m` in milliseconds.
pub(super) fn for_ms(text: &str) -> Result<u64, String> {
    let span = parse_duration(text).filter(|ms| *ms > 0);
    span.ok_or_else(|| "write a number and its unit: 90s, 30m, 2h or 1d".to_owned())
}

impl Pause {
    /// Tells the server.
    ///
    /// # Errors
    /// If no server runs, or it could not be kept.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let client = Runbook::served(&self.server, &load::config(global)?).await?;
        let body = json!({ "for_ms": self.for_ms, "who": self.by.who, "reason": self.by.reason });
        client.tell("/pause", &body).await?;
        out.print("paused: nothing is changed any more; `baton resume` ends it, `baton maintenance list` shows it\n")?;
        Ok(Exit::Good)
    }
}

impl Resume {
    /// Tells the server.
    ///
    /// # Errors
    /// If no server runs, or nothing is paused.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let client = Runbook::served(&self.server, &load::config(global)?).await?;
        client.tell("/resume", &json!({ "who": self.by.who, "reason": self.by.reason })).await?;
        out.print("resumed: what was held back looks again and goes on\n")?;
        Ok(Exit::Good)
    }
}
