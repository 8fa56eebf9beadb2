//! `baton run`.

use std::path::PathBuf;
use std::sync::Arc;

use baton_core::Json;
use baton_core::id::RunId;
use baton_core::run::event::{Trigger, TriggerKind};
use baton_core::workflow::plan::{ParamKind, Plan};
use baton_host::Host;
use baton_host::capability::Outside;
use clap::Args;
use serde_json::Map;

use super::client::Client;
use super::failure::Failure;
use super::follow::{Followed, Source, follow};
use super::out::{Out, Output};
use super::{Exit, Format, Global, Server, load, serve};
use crate::config::Config;
use crate::engine::{self, Doors, Materials};
use crate::library::{Library, Plugins};
use crate::runner::view::RunView;
use crate::runner::{Admission, Begin};

/// How long attempts that still run may take when the process ends.
const GRACE_MS: u64 = 2_000;

/// Run a workflow and watch it to its end
///
/// Where `baton serve` runs on the data folder, the run is sent to it (and lives on
/// there whatever happens to this process); otherwise it runs in this process. What is
/// cut off goes on at the next start.
///
/// Ctrl-C asks to cancel the run; Ctrl-C again leaves it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton run workflows/hello.toml
  baton run workflows/redis-failover.toml --param cluster=bondx
  baton run workflows/verify-redis.toml --output json | jq .output

Exit codes: 0 the run succeeded, 1 it failed or was cancelled, 2 bad file or usage,
4 it timed out, 130 left by Ctrl-C while it goes on.")]
pub(super) struct Run {
    /// A workflow file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A param of the workflow; lists and tables as JSON. May be repeated
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Begin the run on the server and print its id, without watching it
    #[arg(long, short)]
    detach: bool,
    /// Who runs it [default: $USER, else `unknown`]
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
    #[command(flatten)]
    server: Server,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Run {
    /// Checks the file, begins a run of it, and follows that.
    ///
    /// # Errors
    /// If the file or the params are bad, or the run cannot begin.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let client = Client::find(&self.server, &config).await?;
        let (clusters, outside) = if client.is_some() {
            (Vec::new(), Outside::default())
        } else {
            load::data_folder(&config)?;
            (config.clusters()?, config.outside()?)
        };
        let host = load::host(&config, clusters, outside)?;
        let plugins = Arc::new(load::plugins(&config, &host, out));
        let (library, name) = load::around(&self.file, &config, &plugins)?;
        let plan = load::checked(&library, &name, out)?;
        let params = params(&plan, &self.params)?;
        match client {
            Some(client) => self.there(client, config, &plan, &params, out).await,
            None if self.detach => Err(Failure::new("nobody would run it: no server is running")
                .help("start `baton serve`, or leave out --detach")),
            None => self.here(Kit { config, host, library }, &plan, params, out).await,
        }
    }

    async fn there(
        &self,
        client: Client,
        config: Config,
        plan: &Plan,
        params: &Json,
        out: &Out,
    ) -> Result<Exit, Failure> {
        let (name, file) = (plan.name(), self.file.display());
        let loaded = client.digest(name).await?;
        if loaded.as_deref() != Some(&*plan.digest().to_string()) {
            let has = loaded.map_or("does not have this workflow", |_| "has another version of it");
            return Err(Failure::bad(format!("the server at {} {has}: {file}", client.address()))
                .help("put the file into its folder of workflows and start it again"));
        }
        let begun = client.begin(name, params, &self.who).await?;
        let run: RunId = begun.run.parse().map_err(|error| Failure::new(format!("{error}")))?;
        announce(&begun.outcome, &run, begun.reason.as_deref(), out);
        if self.detach {
            match self.format.output {
                Output::Text => out.print(&format!("{run}\n"))?,
                Output::Json => {
                    out.json(&serde_json::json!({ "run": begun.run, "outcome": begun.outcome }))?;
                }
            }
            return Ok(Exit::Good);
        }
        let server = self.server.clone();
        let source = Source::There { client, server, config: Box::new(config) };
        let followed = follow(source, &run, &self.who, self.format.output, out).await?;
        self.end(followed, out)
    }

    async fn here(
        &self,
        kit: Kit,
        plan: &Arc<Plan>,
        params: Json,
        out: &Out,
    ) -> Result<Exit, Failure> {
        serve::log(serve::LogFormat::Text, "warn");
        let engine = engine::start(kit.materials(plan), Doors::Shut).await?;
        if engine.resumed > 0 {
            out.note(&format!("{} open runs of this data folder go on meanwhile", engine.resumed));
        }
        let begin = Begin {
            workflow: plan.name().to_owned(),
            params,
            trigger: Trigger {
                kind: TriggerKind::Manual,
                source: self.who.clone(),
                dedup: None,
                evidence: Arc::new(Json::Null),
            },
        };
        let ended = match engine.handle.begin(begin).await {
            Err(error) => Err(Failure::new(error.to_string())),
            Ok(admission) => {
                let (outcome, run, reason) = match admission {
                    Admission::Started(run) => ("started", run, None),
                    Admission::Queued { run, reason } => ("queued", run, Some(reason)),
                    Admission::Joined(run) => ("joined", run, None),
                    Admission::Duplicate(run) => ("duplicate", run, None),
                };
                announce(outcome, &run, reason.as_deref(), out);
                let source = Source::here(engine.handle.clone());
                follow(source, &run, &self.who, self.format.output, out).await
            }
        };
        engine.stop(GRACE_MS).await;
        self.end(ended?, out)
    }

    fn end(&self, followed: Followed, out: &Out) -> Result<Exit, Failure> {
        let Followed::Closed(view) = followed else { return Ok(Exit::Left) };
        if self.format.output == Output::Json {
            out.json(&view)?;
        }
        Ok(exit(&view))
    }
}

/// What a run in this process needs.
struct Kit {
    config: Config,
    host: Host,
    library: Library,
}

impl Kit {
    /// The workflow itself, and every other one that is sound: runs of those may be
    /// open in the journal.
    fn materials(self, plan: &Arc<Plan>) -> Materials {
        let mut plans: std::collections::BTreeMap<String, Arc<Plan>> = (self.library.sources)
            .keys()
            .filter_map(|name| Some((name.clone(), self.library.check(name).ok()?)))
            .collect();
        plans.insert(plan.name().to_owned(), Arc::clone(plan));
        let Plugins { loaded, .. } = &*self.library.plugins;
        let (config, host) = (self.config, self.host);
        // What else is in the folders was not asked for.
        Materials { config, host, plugins: loaded.clone(), plans, broken: Vec::new() }
    }
}

/// Says what became of the wish, where it is not simply a new run.
fn announce(outcome: &str, run: &RunId, reason: Option<&str>, out: &Out) {
    match outcome {
        "started" => {}
        "queued" => out.note(&format!("run {run} waits: {}", reason.unwrap_or("its key is held"))),
        "joined" => out.note(&format!("joined run {run}, which is open under the same key")),
        _ => out.note(&format!("run {run} answers this already")),
    }
}

fn exit(view: &RunView) -> Exit {
    match view.state.as_str() {
        "succeeded" => Exit::Good,
        "timed-out" => Exit::TimedOut,
        _ => Exit::Failed,
    }
}

/// Params as the workflow types them.
pub(super) fn params(plan: &Plan, given: &[(String, String)]) -> Result<Json, Failure> {
    let mut params = Map::new();
    for (name, text) in given {
        let kind = plan.params().get(name).map_or(ParamKind::String, |param| param.kind);
        if params.insert(name.clone(), typed(kind, text)).is_some() {
            return Err(Failure::bad(format!("param `{name}` is given twice")));
        }
    }
    plan.bind(&Json::Object(params)).map_err(|errors| {
        let what = format!("params of {} do not fit:\n{}", plan.name(), errors.join("\n"));
        Failure::bad(what).help(usage(plan))
    })
}

/// The text as this type where it reads as one; else as text, for the check to name.
fn typed(kind: ParamKind, text: &str) -> Json {
    let as_text = || Json::from(text);
    match kind {
        ParamKind::String => as_text(),
        ParamKind::Integer
        | ParamKind::Number
        | ParamKind::Boolean
        | ParamKind::List
        | ParamKind::Table => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
    }
}

fn usage(plan: &Plan) -> String {
    let params = plan.params().iter().map(|(name, param)| {
        let kind = format!("{:?}", param.kind).to_lowercase();
        let default = param
            .default
            .as_ref()
            .map_or_else(|| "required".to_owned(), |value| format!("default {value}"));
        format!("--param {name}=<{kind}>  {} ({default})", param.summary)
    });
    let params: Vec<String> = params.collect();
    if params.is_empty() { "it takes no params".to_owned() } else { params.join("\n") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_param_takes_the_type_that_the_workflow_declares() {
        assert_eq!(typed(ParamKind::String, "7"), json!("7"));
        assert_eq!(typed(ParamKind::Integer, "7"), json!(7));
        assert_eq!(typed(ParamKind::Boolean, "true"), json!(true));
        assert_eq!(typed(ParamKind::List, "[1, \"a\"]"), json!([1, "a"]));
        assert_eq!(typed(ParamKind::Integer, "seven"), json!("seven"));
    }

    #[test]
    fn a_pair_needs_its_sign_and_keeps_the_rest() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("a").is_err());
    }
}
