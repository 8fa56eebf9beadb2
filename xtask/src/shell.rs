//! Running other programs, and telling which phase took how long.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Variables that `cargo run` sets for this program and that another cargo, or
/// a compiler of another toolchain, must not inherit.
const OF_OUR_CARGO: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "LD_LIBRARY_PATH"];

/// The folder of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask is not in a workspace")?.to_owned())
}

/// `cargo` in the folder `place`.
pub(crate) fn cargo(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(place);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OF_OUR_CARGO.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `command` with its output on ours.
///
/// # Errors
/// When it cannot be run, or does not succeed; naming it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{text}`"))?;
    ensure!(status.success(), "`{text}` failed ({status})");
    Ok(())
}

/// Whether a program of this name is on the PATH.
pub(crate) fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Phases of a longer work, told as they happen.
#[derive(Debug)]
pub(crate) struct Phases {
    begun: Instant,
    done: Vec<(String, Duration)>,
}

impl Phases {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), done: Vec::new() }
    }

    /// Does `work` and says how long it took.
    ///
    /// # Errors
    /// Those of `work`, with the phase's name.
    pub(crate) fn phase<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("▸ {name}");
        let begun = Instant::now();
        let outcome = work();
        let took = begun.elapsed();
        match &outcome {
            Ok(_) => println!("  done in {}", seconds(took)),
            Err(_) => println!("  failed after {}", seconds(took)),
        }
        self.done.push((name.to_owned(), took));
        outcome.with_context(|| name.to_owned())
    }

    /// Every phase and how long it took.
    pub(crate) fn done(&self) -> &[(String, Duration)] {
        &self.done
    }

    /// Prints all phases with their times, and the whole.
    pub(crate) fn print_all(&self) {
        println!();
        for (name, took) in &self.done {
            println!("{:>9}  {name}", seconds(*took));
        }
        println!("{:>9}  in all", seconds(self.begun.elapsed()));
    }
}

/// A length of time, for people.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
