//! The main job, whole: a Redis master is killed under load, the engine is killed
//! in the middle of the failover, and the run finishes without a person.
//!
//! Everything is real: servers, Sentinels, a client that counts what it was
//! promised, the `baton` binary and its workflows. There is no hook in the product
//! for this: `promote` lasts milliseconds, so one Sentinel is stopped, which makes
//! its read-back wait long enough to be killed in.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use self::incident::Incident;
use self::stage::Stage;
use self::summary::Settled;
use crate::shell::{Phases, cargo, run};
use crate::{install, plugins};

mod alert;
mod incident;
mod interrupt;
mod report;
mod runs;
mod stage;
mod summary;
mod timeline;

/// How the incident goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The engine is killed while `promote` runs, and started again.
    EngineKilled,
    /// The engine is left alone.
    Undisturbed,
    /// The engine only observes; Sentinel does it.
    SentinelOnly,
}

impl Course {
    /// What Baton may do to the cluster, as baton.toml spells it.
    fn mode(self) -> &'static str {
        match self {
            Self::EngineKilled | Self::Undisturbed => "lead",
            Self::SentinelOnly => "observe",
        }
    }

    /// As summary.json spells it.
    fn name(self) -> &'static str {
        match self {
            Self::EngineKilled => "engine-killed",
            Self::Undisturbed => "no-engine-kill",
            Self::SentinelOnly => "sentinel-only",
        }
    }
}

/// Plays the demo.
///
/// # Errors
/// When it cannot be played, or ends badly.
pub(crate) fn demo(root: &Path, course: Course) -> Result<()> {
    let good = play(root, course)?;
    ensure!(good, "the outcome is not good: see target/demo/report.md");
    Ok(())
}

/// Plays the demo, writes `target/demo/summary.json` and `report.md`, and says
/// whether all is as promised.
///
/// # Errors
/// When it cannot be played to its end.
pub(crate) fn play(root: &Path, course: Course) -> Result<bool> {
    let mut phases = Phases::begin();
    phases.phase("install what is missing", install::redis)?;
    phases.phase("build the plugins", || plugins::build(root))?;
    phases.phase("build baton", || run(&mut cargo(root, &["build", "--workspace"])))?;

    let folder = root.join("target/demo");
    fs::create_dir_all(&folder)?;
    let mut stage = Stage::set(root, course, &mut phases)?;
    let played = unfold(&mut stage, &mut phases);
    // Kept also when it went wrong: that is when it is read.
    fs::copy(stage.home.log(), folder.join("baton.log"))?;
    phases.phase("stop everything", || {
        drop(stage);
        Ok(())
    })?;

    let (incident, settled) = played?;
    let summary = &settled.summary;
    fs::write(folder.join("summary.json"), serde_json::to_string_pretty(summary)? + "\n")?;
    fs::write(folder.join("report.md"), report::text(&incident, &settled, phases.done()))?;
    phases.print_all();
    summary.print();
    println!("\nwritten to target/demo: report.md, summary.json and baton.log");
    Ok(summary.good())
}

fn unfold(stage: &mut Stage, phases: &mut Phases) -> Result<(Incident, Settled)> {
    let incident = incident::unfold(stage, phases)?;
    let settled = phases.phase("count what was lost, and verify once more at rest", || {
        summary::settle(stage, &incident)
    })?;
    Ok((incident, settled))
}
