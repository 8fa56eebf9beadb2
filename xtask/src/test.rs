//! Every test of both workspaces, with real Redis, and nothing skipped.

use std::path::Path;

use anyhow::Result;

use crate::shell::{Phases, cargo, installed, run};
use crate::{install, plugins};

/// Installs, builds the plugins, tests.
///
/// # Errors
/// The first phase that fails.
pub(crate) fn test(root: &Path, phases: &mut Phases) -> Result<()> {
    phases.phase("install what is missing", install::redis)?;
    phases.phase("build the plugins", || plugins::build(root))?;
    // Tests that start the engine start this binary. The whole workspace, as in the
    // tests: another selection of features would build wasmtime a second time.
    phases.phase("build the engine", || run(&mut cargo(root, &["build", "--workspace"])))?;
    phases.phase("test the engine, on real Redis", || run(&mut tests(root)))?;
    phases.phase("test the plugins natively", || {
        let guests = root.join("plugins");
        // Beside the components' own folder: other target, other profile.
        run(tests(&guests).env("CARGO_TARGET_DIR", root.join("target/guests-native")))
    })
}

/// nextest where it is installed: one process a test, and slow ones are named.
fn tests(place: &Path) -> std::process::Command {
    if installed("cargo-nextest") {
        cargo(place, &["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        cargo(place, &["test", "--workspace", "--no-fail-fast"])
    }
}
