//! `baton runs`, and how a run is named on the command line.

use baton_core::id::RunId;
use clap::Args;
use serde_json::json;

use super::client::{Client, Wanted};
use super::failure::Failure;
use super::out::{Out, Output, now};
use super::{Exit, Format, Global, Server, load, render};
use crate::config::Config;
use crate::engine;
use crate::runner::view::{RunView, Summary};

/// Runs among which a part of an id or `last` is looked up.
const LOOKED_AT: usize = 500;

/// List runs, newest first
///
/// Asks the server where one runs, else reads the journal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton runs --state failed --limit 5
  baton runs --workflow redis-failover --output json")]
pub(super) struct Runs {
    /// Only runs of this workflow
    #[arg(long, short, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs in this state
    #[arg(long, short, value_name = "STATE", value_parser = [
        "queued", "running", "asking", "undoing", "cancelling", "succeeded", "failed",
        "cancelled", "timed-out", "unreadable"
    ])]
    state: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Runs {
    /// Lists them.
    ///
    /// # Errors
    /// If neither server nor journal answers.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let wanted = Wanted { workflow: self.workflow, state: self.state, limit };
        let runbook = Runbook::open(&self.server, config).await?;
        let runs = runbook.list(&wanted).await?;
        if let (Runbook::Server(client), Output::Text) = (&runbook, self.format.output) {
            for note in render::switches::notes(&client.switches().await?, now()) {
                out.warn(&note);
            }
        }
        match self.format.output {
            Output::Text => out.print(&render::runs::runs(&runs, now(), out.look()))?,
            Output::Json => out.json(&json!({ "runs": runs }))?,
        }
        Ok(Exit::Good)
    }
}

/// Where runs are looked up.
pub(super) enum Runbook {
    /// A server.
    Server(Client),
    /// The journal itself, newest first: nobody serves it.
    Journal(Vec<RunView>),
}

impl Runbook {
    /// The server, or the journal where none runs.
    ///
    /// # Errors
    /// If neither can be reached.
    pub(super) async fn open(server: &Server, config: Config) -> Result<Self, Failure> {
        if let Some(client) = Client::find(server, &config).await? {
            return Ok(Self::Server(client));
        }
        if !config.paths.data.is_dir() {
            return Ok(Self::Journal(Vec::new()));
        }
        Ok(Self::Journal(engine::archive(&config)?))
    }

    /// The server.
    ///
    /// # Errors
    /// If none runs.
    pub(super) async fn served(server: &Server, config: &Config) -> Result<Client, Failure> {
        Client::find(server, config).await?.ok_or_else(|| {
            let data = config.paths.data.display();
            Failure::new(format!("no server is running on the data folder {data}"))
                .help("start `baton serve`: it goes on with every open run, and takes this then")
        })
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(super) async fn list(&self, wanted: &Wanted) -> Result<Vec<Summary>, Failure> {
        match self {
            Self::Server(client) => Ok(client.runs(wanted).await?),
            Self::Journal(runs) => {
                let fits = |filter: &Option<String>, is: &str| {
                    filter.as_deref().is_none_or(|wanted| wanted == is)
                };
                let runs = runs.iter().filter(|run| {
                    fits(&wanted.workflow, &run.workflow) && fits(&wanted.state, &run.state)
                });
                Ok(runs.take(wanted.limit).map(summary).collect())
            }
        }
    }

    /// The run that `named` means: an id, a part of one, or `last`.
    ///
    /// # Errors
    /// If it means none or several.
    pub(super) async fn resolve(&self, named: &str) -> Result<RunId, Failure> {
        let bad = |what: String| Failure::bad(what).help("`baton runs` lists them");
        if named != "last" {
            let id: RunId = named.parse().map_err(|error| bad(format!("{error}")))?;
            if self.show(&id).await?.is_some() {
                return Ok(id);
            }
        }
        let wanted = Wanted { limit: LOOKED_AT, ..Wanted::default() };
        let runs = self.list(&wanted).await?;
        let found = pick(named, &runs).map_err(bad)?;
        found.parse().map_err(|error| bad(format!("{error}")))
    }

    /// One run, whole.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(super) async fn show(&self, id: &RunId) -> Result<Option<RunView>, Failure> {
        match self {
            Self::Server(client) => Ok(client.run(id.as_str()).await?),
            Self::Journal(runs) => Ok(runs.iter().find(|run| run.id == id.as_str()).cloned()),
        }
    }
}

/// The id among `runs`, newest first, that `named` means.
fn pick<'r>(named: &str, runs: &'r [Summary]) -> Result<&'r str, String> {
    if named == "last" {
        return runs.first().map(|run| &*run.id).ok_or_else(|| "there is no run yet".to_owned());
    }
    let fits = |run: &&Summary| run.id.starts_with(named) || run.id.ends_with(named);
    let found: Vec<&str> = runs.iter().filter(fits).map(|run| &*run.id).collect();
    match *found.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("no run `{named}`")),
        _ => Err(format!("`{named}` means {} runs; give more of the id", found.len())),
    }
}

fn summary(run: &RunView) -> Summary {
    Summary {
        id: run.id.clone(),
        workflow: run.workflow.clone(),
        state: run.state.clone(),
        begun_at: run.begun_at,
        closed_at: run.closed_at,
        trigger: run.trigger.kind.clone(),
        key: run.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> Summary {
        Summary {
            id: id.to_owned(),
            workflow: "w".to_owned(),
            state: "running".to_owned(),
            begun_at: 0,
            closed_at: None,
            trigger: "manual".to_owned(),
            key: None,
        }
    }

    #[test]
    fn a_run_may_be_named_by_its_beginning_its_end_or_as_the_last() {
        let runs = [run("0193-bbbb"), run("0193-aaaa")];
        assert_eq!(pick("last", &runs), Ok("0193-bbbb"));
        assert_eq!(pick("aaaa", &runs), Ok("0193-aaaa"));
        assert_eq!(pick("0193-a", &runs), Ok("0193-aaaa"));
        assert_eq!(pick("0193", &runs), Err("`0193` means 2 runs; give more of the id".to_owned()));
        assert_eq!(pick("ffff", &runs), Err("no run `ffff`".to_owned()));
        assert_eq!(pick("last", &[]), Err("there is no run yet".to_owned()));
    }
}
