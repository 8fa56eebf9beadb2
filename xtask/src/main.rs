//! The project's own commands: `cargo xtask <verb>`, one file a verb.
//!
//! It stays light: no engine, no wasmtime. What it needs of Baton it takes as an
//! operator would: a binary, a configuration file, HTTP.

#![allow(clippy::print_stdout, reason = "its commands talk to the person who typed them")]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

mod bench;
mod chaos;
mod ci;
mod crashpoints;
mod demo;
mod install;
mod plugins;
mod shell;
mod test;
mod tidy;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Kill a Redis master, then the engine in the middle of the failover, and see it finish
    Demo(DemoArgs),
    /// Install what is missing, build the plugins, run every test of both workspaces
    Test,
    /// All that must be true of a change: format, lints, tidy, tests, one demo
    Ci(CiArgs),
    /// Build the plugins into target/plugins
    Plugins,
    /// Rules of the house that no compiler checks
    Tidy,
    /// Install the Debian packages that demo and tests need
    Install,
    /// Kill the engine at every boundary, and hold it to its promises
    Crashpoints(crashpoints::Wanted),
    /// Break a real cluster and the engine at drawn moments, and hold both to what must follow
    Chaos(chaos::Wanted),
    /// Measure; results go to target/bench
    Bench(BenchArgs),
}

#[derive(Args)]
struct DemoArgs {
    /// Leave the engine alone
    #[arg(long, conflicts_with = "sentinel_only")]
    no_engine_kill: bool,
    /// Baton only observes; Sentinel does it
    #[arg(long)]
    sentinel_only: bool,
}

#[derive(Args)]
struct CiArgs {
    /// Leave out the demo at the end
    #[arg(long)]
    no_demo: bool,
}

#[derive(Args)]
struct BenchArgs {
    /// What to measure
    what: bench::What,
    /// Rounds of each kind; failover only
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// `min-replicas-to-write` of every node; failover only
    #[arg(long, default_value_t = 0)]
    min_replicas: u32,
}

fn main() -> ExitCode {
    match perform(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: &Verb) -> Result<()> {
    let root = shell::root()?;
    match verb {
        Verb::Demo(DemoArgs { sentinel_only: true, .. }) => {
            demo::demo(&root, demo::Course::SentinelOnly)
        }
        Verb::Demo(DemoArgs { no_engine_kill: true, .. }) => {
            demo::demo(&root, demo::Course::Undisturbed)
        }
        Verb::Demo(_) => demo::demo(&root, demo::Course::EngineKilled),
        Verb::Test => test::test(&root, &mut shell::Phases::begin()),
        Verb::Ci(CiArgs { no_demo }) => {
            ci::ci(&root, if *no_demo { ci::Ending::Tests } else { ci::Ending::Demo })
        }
        Verb::Plugins => plugins::build(&root),
        Verb::Tidy => tidy::tidy(&root),
        Verb::Install => install::redis().and_then(|()| plugins::ensure_toolchain()),
        Verb::Crashpoints(wanted) => crashpoints::crashpoints(&root, wanted),
        Verb::Chaos(wanted) => chaos::chaos(&root, wanted),
        Verb::Bench(BenchArgs { what, rounds, min_replicas }) => {
            bench::bench(&root, *what, *rounds, *min_replicas)
        }
    }
}
