//! All that must be true of a change before it is taken.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::demo::{self, Course};
use crate::shell::{Phases, cargo, run};
use crate::{plugins, test, tidy};

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the tests.
    Tests,
    /// With a demo: the product's promise, kept once.
    Demo,
}

/// Runs every check, cheapest first, and prints what each one took.
///
/// # Errors
/// The first one that fails.
pub(crate) fn ci(root: &Path, ending: Ending) -> Result<()> {
    let mut phases = Phases::begin();
    let outcome = checks(root, ending, &mut phases);
    phases.print_all();
    outcome
}

fn checks(root: &Path, ending: Ending, phases: &mut Phases) -> Result<()> {
    let guests = root.join("plugins");
    phases.phase("format", || {
        run(&mut cargo(root, &["fmt", "--all", "--check"]))?;
        run(&mut cargo(&guests, &["fmt", "--all", "--check"]))
    })?;
    phases.phase("tidy", || tidy::tidy(root))?;
    phases.phase("lint the engine", || run(&mut clippy(root)))?;
    phases.phase("make sure that plugins can be built", plugins::ensure_toolchain)?;
    phases.phase("lint the plugins", || {
        run(clippy(&guests).env("CARGO_TARGET_DIR", root.join("target/guests-native")))
    })?;
    test::test(root, phases)?;
    if ending == Ending::Demo {
        let good = phases.phase("demo", || demo::play(root, Course::EngineKilled))?;
        ensure!(good, "the demo ended badly: see target/demo/report.md");
    }
    Ok(())
}

fn clippy(place: &Path) -> std::process::Command {
    cargo(place, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}
