//! The command line: one file a verb. Reads arguments, prints, and asks the rooms
//! below; decides nothing.
//!
//! What is asked for goes to stdout, what is said about it to stderr. Errors say
//! what happened, to what, and what to do.

mod ack;
mod answer;
mod cancel;
mod check;
mod client;
mod doctor;
mod failure;
mod follow;
mod graph;
mod journal;
mod load;
mod maintenance;
mod out;
mod pause;
mod plan;
mod plugins;
mod render;
mod replay;
mod run;
mod runs;
mod serve;
mod show;
mod tape;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use failure::Failure;
use out::{Colour, Out, Output};

/// Runs failover pipelines that finish.
#[derive(Debug, Parser)]
#[command(
    name = "baton",
    version,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Configuration [default: ./baton.toml, else /etc/baton/baton.toml, else built-in]
    #[arg(long, global = true, value_name = "FILE", env = "BATON_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// When to colour; `auto` means on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Args)]
struct Format {
    /// For people, or one JSON document for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// Where the server is.
#[derive(Clone, Debug, Args)]
struct Server {
    /// Address of `baton serve` [default: what <data>/listening says]
    ///
    /// The address is `host:port` or `http://host:port`. If the server asks for a
    /// token it is taken from `BATON_TOKEN`, else from baton.toml as the server does.
    #[arg(long, value_name = "URL", env = "BATON_SERVER", hide_env_values = true)]
    server: Option<String>,
}

/// Who acts, and why; kept in the journal.
#[derive(Clone, Debug, Args)]
struct Person {
    /// Who acts [default: $USER, else `unknown`]
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env = true,
        default_value = "unknown",
        hide_default_value = true
    )]
    who: String,
    /// Why; it is kept with the run
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Plan(plan::Plan),
    Doctor(doctor::Doctor),
    Replay(replay::Replay),
    Tape(tape::Tape),
    Run(run::Run),
    Serve(serve::Serve),
    Runs(runs::Runs),
    Show(show::Show),
    Cancel(cancel::Cancel),
    Approve(answer::Approve),
    Reject(answer::Reject),
    Ack(ack::Ack),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Maintenance(maintenance::Maintenance),
    Graph(graph::Graph),
    Plugins(plugins::Plugins),
    Journal(journal::Journal),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done; a run succeeded.
    Good,
    /// It did not work; a run failed or was cancelled.
    Failed,
    /// A bad file or bad usage.
    Bad,
    /// A run timed out.
    TimedOut,
    /// The person left while the run goes on.
    Left,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Bad => 2,
            Exit::TimedOut => 4,
            // 128 + SIGINT, as shells count.
            Exit::Left => 130,
        })
    }
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Exit codes: 0 done or succeeded, 1 failed, 2 bad file or usage, 4 timed out,
130 left by Ctrl-C while the run goes on.

First steps:
  baton check workflows/hello.toml     find every mistake in a workflow
  baton plan workflows/hello.toml      see what it would do, changing nothing
  baton run workflows/hello.toml       run it and watch it
  baton serve                          take webhooks, watch, resume what is unfinished
  baton help run                       more on one verb";

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(cli.global.color);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(format!("cannot start threads: {error}"));
            return out.fail(&failure).into();
        }
    };
    let ended = runtime.block_on(cli.verb.run(&cli.global, &out));
    // A blocked read of some file must not hold the process back.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit,
        Err(failure) => out.fail(&failure),
    }
    .into()
}

impl Verb {
    async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        match self {
            Self::Check(check) => check.run(global, out),
            Self::Plan(plan) => plan.run(global, out).await,
            Self::Doctor(doctor) => doctor.run(global, out).await,
            Self::Replay(replay) => replay.run(global, out).await,
            Self::Tape(tape) => tape.run(global, out).await,
            Self::Run(run) => run.run(global, out).await,
            Self::Serve(serve) => serve.run(global, out).await,
            Self::Runs(runs) => runs.run(global, out).await,
            Self::Show(show) => show.run(global, out).await,
            Self::Cancel(cancel) => cancel.run(global, out).await,
            Self::Approve(approve) => approve.run(global, out).await,
            Self::Reject(reject) => reject.run(global, out).await,
            Self::Ack(ack) => ack.run(global, out).await,
            Self::Pause(pause) => pause.run(global, out).await,
            Self::Resume(resume) => resume.run(global, out).await,
            Self::Maintenance(maintenance) => maintenance.run(global, out).await,
            Self::Graph(graph) => graph.run(global, out),
            Self::Plugins(plugins) => plugins.run(global, out),
            Self::Journal(journal) => journal.run(global, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_is_for_and_shows_an_example() {
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            assert!(verb.get_about().is_some(), "{name}");
            let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("baton {name} ")), "{name}: {example}");
            for below in verb.get_subcommands() {
                let name = format!("{name} {}", below.get_name());
                assert!(below.get_about().is_some(), "{name}");
                let example = below.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&format!("baton {name}")), "{name}: {example}");
            }
        }
    }
}
