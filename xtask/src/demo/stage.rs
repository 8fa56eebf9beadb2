//! Before the fault: servers, order books, a trader, and Baton on watch.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_lab::daemon::{Daemon, Home};
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::{Lab, Options, market, query, wait_until};

use super::{Course, interrupt};
use crate::shell::Phases;

/// Instruments in the order book.
const INSTRUMENTS: usize = 200;
/// What the trader aims at.
const WRITES_PER_S: u32 = 1_000;
/// What it writes before the fault: two seconds' worth.
const WRITES_BEFORE: usize = 2_000;
/// The bearer token of this one demo's webhook.
pub(crate) const HOOK_TOKEN: &str = "demo-hook-token";

/// All that runs. Ends in this order: trader, Baton, servers.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) course: Course,
    /// None once it has been stopped, for counting.
    pub(crate) trader: Option<Trader>,
    /// None only while it is dead on purpose.
    pub(crate) daemon: Option<Daemon>,
    pub(crate) home: Home,
    pub(crate) lab: Lab,
}

impl Stage {
    /// Starts everything and lets it trade for two seconds.
    ///
    /// # Errors
    /// What did not start.
    pub(crate) fn set(root: &Path, course: Course, phases: &mut Phases) -> Result<Self> {
        let lab = phases
            .phase("start 1 master, 2 replicas and 3 Sentinels", || Lab::start(Options::bondx()))?;
        interrupt::guard(lab.folder().to_owned())?;
        let market = phases.phase("fill the order books of 200 instruments", || {
            let mut connection = query::connect(&lab.data()[0].address(), None)?;
            market::fill(&mut connection, INSTRUMENTS, 1)
        })?;
        let habits = Habits { name: "demo".to_owned(), rate_per_s: WRITES_PER_S, seed: 2 };
        let trader = Trader::start(Route::of(&lab), market, &habits);
        let home = home(root, &lab, course)?;
        let daemon = phases.phase("start baton serve", || Daemon::start(&home))?;
        phases.phase("let the trader write 2,000 transactions", || {
            let begin = trader.acked();
            wait_until("2,000 transactions are acknowledged", Duration::from_mins(1), || {
                trader.acked() >= begin + WRITES_BEFORE
            })
        })?;
        Ok(Self { course, trader: Some(trader), daemon: Some(daemon), home, lab })
    }

    /// Baton, which runs except where it was killed on purpose.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("baton is not running")
    }

    /// The trader, until it was stopped for counting.
    ///
    /// # Errors
    /// After that.
    pub(crate) fn trader(&self) -> Result<&Trader> {
        self.trader.as_ref().context("the trader has been stopped")
    }
}

/// Writes Baton's own folder: configuration and workflows as they are shipped.
fn home(root: &Path, lab: &Lab, course: Course) -> Result<Home> {
    let folder = lab.folder().join("baton");
    let workflows = folder.join("workflows");
    fs::create_dir_all(&workflows)?;
    let shipped = root.join("workflows");
    for entry in fs::read_dir(&shipped).with_context(|| format!("read {}", shipped.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, workflows.join(name))?;
        }
    }
    let configuration = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n\n[paths]\ndata = \"data\"\nplugins = {:?}\n\
         workflows = \"workflows\"\n\n[secrets]\nhook-token = {{ env = \"HOOK_TOKEN\" }}\n\n{}",
        root.join("target/plugins").display().to_string(),
        lab.cluster_toml("bondx", course.mode()),
    );
    fs::write(folder.join("baton.toml"), configuration)?;
    Ok(Home {
        binary: root.join("target/debug/baton"),
        folder,
        environment: vec![("HOOK_TOKEN".to_owned(), HOOK_TOKEN.to_owned())],
    })
}
