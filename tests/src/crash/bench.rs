//! One Redis server, and homes for engines that use it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::daemon::Home;
use crate::query;
use crate::wait::wait_for;
use crate::{Lab, Options};

/// For the server's answer, on a machine that does much else.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// What happens to an attempt that made changes and was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// It is run anew and told what was done.
    Rerun,
    /// A person is asked.
    Ask,
    /// It is run again on what it was told, and then goes on.
    Replay,
}

impl Policy {
    /// Those that the engine knows.
    pub const ALL: [Self; 3] = [Self::Rerun, Self::Ask, Self::Replay];

    /// As a workflow spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::Ask => "ask",
            Self::Replay => "replay",
        }
    }

    /// What the torture plugin relies on under it.
    pub fn memory(self) -> &'static str {
        match self {
            Self::Rerun | Self::Ask => "done",
            Self::Replay => "tape",
        }
    }

    /// The torture workflow under it.
    pub fn workflow(self) -> String {
        format!("{}-torture", self.word())
    }
}

/// A server and a folder, shared by all that is played on it.
#[derive(Debug)]
pub struct Bench {
    lab: Lab,
    binary: PathBuf,
    plugins: PathBuf,
    workflows: PathBuf,
    homes: AtomicU64,
}

impl Bench {
    /// Starts the server. `binary` is an armed `baton` of the repository at `root`, whose
    /// plugins are built.
    ///
    /// # Errors
    /// When the server does not start, or something is not built.
    pub fn start(root: &Path, binary: &Path) -> Result<Self> {
        let plugins = root.join("target/plugins-test");
        ensure!(
            plugins.join("torture.wasm").is_file(),
            "no torture plugin: run `cargo xtask plugins`"
        );
        ensure!(binary.is_file(), "{} is missing: build the workspace", binary.display());
        let lab = Lab::start(Options { replicas: 0, sentinels: 0, ..Options::bondx() })?;
        let workflows = lab.folder().join("workflows");
        fs::create_dir_all(&workflows)?;
        fs::create_dir_all(lab.folder().join("cache"))?;
        write_workflows(&root.join("tests/torture"), &workflows)?;
        Ok(Self { lab, binary: binary.to_owned(), plugins, workflows, homes: AtomicU64::new(0) })
    }

    /// The server's address.
    pub fn address(&self) -> String {
        self.lab.data()[0].address()
    }

    /// A name that nobody else on this bench has: what all keys of a run begin with.
    pub fn book(&self) -> String {
        format!("torture:{}", self.homes.fetch_add(1, Ordering::Relaxed))
    }

    /// Removes all that a run has left: the server is looked through again and again.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn forget(&self, book: &str) -> Result<()> {
        let keys: Vec<String> = self.ask(&["KEYS", &format!("{book}:*")])?;
        let words: Vec<&str> =
            std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
        if keys.is_empty() { Ok(()) } else { self.ask::<u64>(&words).map(drop) }
    }

    /// Asks the server, which may be slow, something that may be asked again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let what = format!("the server answers {}", words.join(" "));
        wait_for(&what, ANSWERED_WITHIN, || query::ask(&self.lab.data()[0], words).ok())
    }

    /// A fresh home, with all torture workflows and no history. `more` is added to its
    /// baton.toml.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn home(&self, more: &str) -> Result<Home> {
        let number = self.homes.fetch_add(1, Ordering::Relaxed);
        let folder = self.lab.folder().join(format!("home-{number}"));
        fs::create_dir_all(folder.join("data"))?;
        // Compiled once for all homes: a start must be cheap.
        symlink(self.lab.folder().join("cache"), folder.join("data/cache"))?;
        let configuration = format!(
            "[server]\nbind = \"127.0.0.1:0\"\n\n[paths]\ndata = \"data\"\nplugins = {:?}\n\
             workflows = {:?}\n\n[clusters.bench]\nmaster_name = \"bench\"\nmode = \"lead\"\n\
             nodes = [{:?}]\nsentinels = [\"127.0.0.1:1\"]\n\n{more}",
            self.plugins.display().to_string(),
            self.workflows.display().to_string(),
            self.address(),
        );
        fs::write(folder.join("baton.toml"), configuration)?;
        Ok(Home { binary: self.binary.clone(), folder, environment: Vec::new() })
    }
}

/// Each torture workflow once for each policy; the others as they are.
fn write_workflows(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("torture") {
            fs::write(to.join(&name), &text)?;
            continue;
        }
        for policy in Policy::ALL {
            let word = policy.word();
            let mut under = text
                .replace("when_interrupted = \"rerun\"", &format!("when_interrupted = {word:?}"));
            for key in ["name", "workflow", "path"] {
                under = under.replace(
                    &format!("\n{key} = \"torture"),
                    &format!("\n{key} = \"{word}-torture"),
                );
            }
            fs::write(to.join(format!("{word}-{name}")), under)?;
        }
    }
    Ok(())
}
