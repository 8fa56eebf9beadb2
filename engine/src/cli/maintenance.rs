//! `baton maintenance`: windows in which Baton keeps its hands off a cluster.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::failure::Failure;
use super::out::{Out, Output, now};
use super::pause::for_ms;
use super::runs::Runbook;
use super::{Exit, Format, Global, Person, Server, load, render};

/// Keep Baton's hands off a cluster for a while
///
/// In a window nothing that began by itself changes the cluster: a failover is detected
/// and shown, and held back until the window ends; then it looks again. What you begin
/// by hand goes on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton maintenance start bondx --for 2h --reason \"upgrade to 7.0.16\"
  baton maintenance list")]
pub(super) struct Maintenance {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Start(Start),
    End(End),
    List(List),
}

/// Begin a window, or announce one
///
/// It ends by itself; needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton maintenance start bondx --for 2h --reason \"upgrade to 7.0.16\"
  baton maintenance start bondx --from 2026-12-05T22:00:00Z --for 4h --reason \"new racks\"")]
struct Start {
    /// A cluster of baton.toml
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// For how long, as 30m or 2h; 7 days at most
    #[arg(long = "for", value_name = "TIME", value_parser = for_ms)]
    for_ms: u64,
    /// From when, as 2026-12-05T22:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

/// End a window early, or take back one that was announced
///
/// What was held back looks again and goes on. Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton maintenance end bondx --reason \"done\"
  baton maintenance end 3 --reason \"not tonight\"")]
struct End {
    /// The window's number, or a cluster for all of its windows
    #[arg(value_name = "WINDOW")]
    which: String,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

/// What holds changes back, now and later: pauses and windows, and the latest that ended
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton maintenance list --output json")]
struct List {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Maintenance {
    /// Begins, ends or lists windows.
    ///
    /// # Errors
    /// If no server runs, or it makes no sense.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        match self.verb {
            Verb::Start(start) => {
                let client = Runbook::served(&start.server, &config).await?;
                let from = start
                    .from
                    .map_or(now(), |from| u64::try_from(from.as_millisecond()).unwrap_or_default());
                let until = from.saturating_add(start.for_ms);
                let body = json!({
                    "cluster": start.cluster,
                    "from": from,
                    "until": until,
                    "who": start.by.who,
                    "reason": start.by.reason,
                });
                client.tell("/maintenance", &body).await?;
                let text = render::switches::window(&start.cluster, from, until);
                out.print(&text)?;
            }
            Verb::End(end) => {
                let client = Runbook::served(&end.server, &config).await?;
                let mut body = json!({ "who": end.by.who, "reason": end.by.reason });
                match end.which.parse::<u64>() {
                    Ok(id) => body["id"] = json!(id),
                    Err(_) => body["cluster"] = json!(end.which),
                }
                client.tell("/maintenance/end", &body).await?;
                out.print("ended: what was held back looks again and goes on\n")?;
            }
            Verb::List(list) => {
                let client = Runbook::served(&list.server, &config).await?;
                let switches = client.switches().await?;
                match list.format.output {
                    Output::Json => out.json(&switches)?,
                    Output::Text => {
                        out.print(&render::switches::switches(&switches, now(), out.look()))?;
                    }
                }
            }
        }
        Ok(Exit::Good)
    }
}
