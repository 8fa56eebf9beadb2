//! Every boundary at which the engine can die, one after the other: the whole of what
//! the tests try by sample.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_lab::crash::boundary::{Choice, Subject, Tally, every, from_outside};
use baton_lab::crash::failover::{Begun, Failover};
use baton_lab::crash::torture::{Policy, Torture};
use baton_lab::crash::{Bench, random};
use clap::Args;

use crate::shell::{Phases, cargo, run};
use crate::{install, plugins};

#[derive(Args)]
pub(crate) struct Wanted {
    /// Plays at the same time; they mostly wait for the disk
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// The seed of all that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds of many runs at once
    #[arg(long, default_value_t = 200)]
    random: u64,
    /// Of each point of the failover at most so many passings; absent: all of them
    #[arg(long)]
    failover_most: Option<u64>,
}

/// Deaths from outside, for each that dies so.
const OUTSIDE: usize = 40;
/// The latest of them after the start: about as long as an uncrashed run takes.
const LONGEST: Duration = Duration::from_millis(300);
const LONGEST_FAILOVER: Duration = Duration::from_secs(4);

/// Tries every boundary of every subject, and prints what came of it.
///
/// # Errors
/// When anything is not as promised.
pub(crate) fn crashpoints(root: &Path, wanted: &Wanted) -> Result<()> {
    let mut phases = Phases::begin();
    phases.phase("install what is missing", install::redis)?;
    phases.phase("build the plugins", || plugins::build(root))?;
    phases.phase("build baton, armed", || run(&mut cargo(root, &["build", "--workspace"])))?;
    let folder = root.join("target/crashpoints");
    fs::create_dir_all(&folder)?;
    // A copy, so that it stays the same one whatever is built meanwhile.
    let binary = folder.join("baton");
    fs::copy(root.join("target/debug/baton"), &binary)?;
    let bench = Bench::start(root, &binary)?;
    let mut violations = 0;
    let mut tell = |tally: &Tally| {
        print!("{}", tally.table());
        violations += tally.violations.len();
    };
    for policy in Policy::ALL {
        let torture = Torture::new(&bench, policy)?;
        let tally = phases.phase(&torture.name(), || every(&torture, Choice::All, wanted.jobs))?;
        tell(&tally);
        let name = format!("{}, from outside", torture.name());
        let tally = phases.phase(&name, || {
            Ok(from_outside(&torture, wanted.seed, OUTSIDE, LONGEST, wanted.jobs))
        })?;
        tell(&tally);
    }
    let name =
        format!("{} rounds of {} runs, from seed {}", wanted.random, random::RUNS, wanted.seed);
    let tally =
        phases.phase(&name, || random::rounds(&bench, wanted.seed, wanted.random, wanted.jobs))?;
    tell(&tally);
    let failover = |begun| Failover::new(root, &binary, &folder.join("cache"), begun);
    let subject = failover(Begun::ByAlert)?;
    let most = wanted.failover_most.map_or(Choice::AtMost(u64::MAX), Choice::AtMost);
    let tally = phases.phase(&subject.name(), || every(&subject, most, wanted.jobs))?;
    tell(&tally);
    let subject = failover(Begun::ByAll)?;
    let name = format!("{}, from outside", subject.name());
    let tally = phases.phase(&name, || {
        Ok(from_outside(&subject, wanted.seed, OUTSIDE, LONGEST_FAILOVER, wanted.jobs))
    })?;
    tell(&tally);
    phases.print_all();
    ensure!(violations == 0, "{violations} violations");
    Ok(())
}
