//! The failover laboratory: faults at drawn moments, and what must follow them.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use baton_lab::chaos::{Fault, Mode, Outcome, Plan, Site, head, matrix, play_all, row, totals};
use clap::Args;

use crate::shell::{Phases, cargo, run};
use crate::{install, plugins};

#[derive(Args)]
pub(crate) struct Wanted {
    /// Every fault once where Baton leads, and with the engine killed in the middle; the
    /// important ones in the other modes; pairs
    #[arg(long, conflicts_with = "rounds")]
    matrix: bool,
    /// The seed of the first round; each round after it has the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Only rounds with this fault
    #[arg(long)]
    only: Option<Fault>,
    /// Only in this mode: observe, assist, lead
    #[arg(long)]
    mode: Option<Mode>,
    /// Rounds at the same time; they mostly wait
    #[arg(long, default_value_t = 3)]
    jobs: usize,
}

/// Plays them, prints a table and the totals.
///
/// # Errors
/// When anything is not as it must be.
pub(crate) fn chaos(root: &Path, wanted: &Wanted) -> Result<()> {
    let mut phases = Phases::begin();
    phases.phase("install what is missing", install::redis)?;
    phases.phase("build the plugins", || plugins::build(root))?;
    phases.phase("build baton, armed", || run(&mut cargo(root, &["build", "--workspace"])))?;
    let folder = root.join("target/chaos");
    fs::create_dir_all(&folder)?;
    // A copy, so that it stays the same one whatever is built meanwhile.
    let binary = folder.join("baton");
    fs::copy(root.join("target/debug/baton"), &binary)?;
    let site = Site::new(root, &binary, &folder.join("cache"))?;
    phases.phase("compile the plugins", || site.compile())?;
    let Wanted { seed, rounds, only, mode, jobs, .. } = *wanted;
    let plans: Vec<Plan> = if wanted.matrix {
        matrix(seed, only, mode)
    } else {
        (seed..seed + rounds).map(|seed| Plan::drawn(seed, only, mode)).collect()
    };
    let outcomes = phases.phase(&format!("{} rounds from seed {seed}", plans.len()), || {
        println!("{}", head());
        let tell = |number: usize, outcome: &Result<Outcome>| {
            println!("{}", row(&plans[number], outcome));
        };
        Ok(play_all(&site, &plans, jobs, tell))
    })?;
    phases.print_all();
    println!("{}", totals(&outcomes));
    let bad = outcomes.iter().filter(|it| !it.as_ref().is_ok_and(|it| it.violations.is_empty()));
    let bad = bad.count();
    ensure!(bad == 0, "{bad} rounds are not as they must be");
    Ok(())
}
