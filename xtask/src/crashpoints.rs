//! Every boundary at which the engine can die, one after the other: the whole of what
//! the tests try by sample.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_lab::crash::boundary::{Choice, Subject, Tally, again_and_again, every, from_outside};
use baton_lab::crash::failover::{Begun, Failover};
use baton_lab::crash::torture::{Policy, Torture};
use baton_lab::crash::{Bench, Blow, Passing, random};
use clap::{Args, ValueEnum};

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
    /// Only this part
    #[arg(long)]
    only: Option<Part>,
    /// Only this death, as a violation names it: append:17:before
    #[arg(long, requires = "only")]
    at: Option<Passing>,
    /// How often that
    #[arg(long, default_value_t = 10)]
    times: usize,
    /// Of each point of the failover at most so many passings; absent: all of them
    #[arg(long)]
    failover_most: Option<u64>,
}

/// Deaths from outside, for each that dies so.
const OUTSIDE: usize = 40;
/// The latest of them after the start: before an uncrashed run is over.
const LONGEST: Duration = Duration::from_millis(300);
const LONGEST_FAILOVER: Duration = Duration::from_millis(1_200);

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every boundary of the torture workflow, under each policy
    Torture,
    /// Rounds of many runs at once
    Rounds,
    /// Every boundary of the real failover
    Failover,
}

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
    let mut course = Course { root, binary, cache: folder.join("cache"), wanted, phases, wrong: 0 };
    let parts = [Part::Torture, Part::Rounds, Part::Failover];
    for part in parts.into_iter().filter(|part| wanted.only.is_none_or(|only| only == *part)) {
        match part {
            Part::Torture => course.torture()?,
            Part::Rounds => course.rounds()?,
            Part::Failover => course.failover()?,
        }
    }
    course.phases.print_all();
    ensure!(course.wrong == 0, "{} violations", course.wrong);
    Ok(())
}

/// One going-through of all parts.
struct Course<'a> {
    root: &'a Path,
    binary: PathBuf,
    cache: PathBuf,
    wanted: &'a Wanted,
    phases: Phases,
    wrong: usize,
}

impl Course<'_> {
    fn torture(&mut self) -> Result<()> {
        let bench = Bench::start(self.root, &self.binary)?;
        for policy in Policy::ALL {
            let torture = Torture::new(&bench, policy)?;
            self.every(&torture, Choice::All)?;
            self.outside(&torture, LONGEST)?;
        }
        Ok(())
    }

    fn rounds(&mut self) -> Result<()> {
        let bench = Bench::start(self.root, &self.binary)?;
        let Wanted { jobs, seed, random: rounds, .. } = *self.wanted;
        let name = format!("{rounds} rounds of {} runs, from seed {seed}", random::RUNS);
        self.play(&name, || random::rounds(&bench, seed, rounds, jobs))
    }

    fn failover(&mut self) -> Result<()> {
        let subject = |begun| Failover::new(self.root, &self.binary, &self.cache, begun);
        let (by_alert, by_all) = (subject(Begun::ByAlert)?, subject(Begun::ByAll)?);
        let most = self.wanted.failover_most.unwrap_or(u64::MAX);
        self.every(&by_alert, Choice::AtMost(most))?;
        self.outside(&by_all, LONGEST_FAILOVER)
    }

    fn every(&mut self, subject: &dyn Subject, choice: Choice) -> Result<()> {
        let Wanted { jobs, at, times, .. } = *self.wanted;
        self.play(&subject.name(), || match at {
            Some(passing) => Ok(again_and_again(subject, &[Blow::At(passing)], times, jobs)),
            None => every(subject, choice, jobs),
        })
    }

    fn outside(&mut self, subject: &dyn Subject, longest: Duration) -> Result<()> {
        let Wanted { jobs, seed, at, .. } = *self.wanted;
        if at.is_some() {
            return Ok(());
        }
        let name = format!("{}, from outside", subject.name());
        self.play(&name, || Ok(from_outside(subject, seed, OUTSIDE, longest, jobs)))
    }

    fn play(&mut self, name: &str, play: impl FnOnce() -> Result<Tally>) -> Result<()> {
        let tally = self.phases.phase(name, play)?;
        print!("{}", tally.table());
        self.wrong += tally.violations.len();
        Ok(())
    }
}
