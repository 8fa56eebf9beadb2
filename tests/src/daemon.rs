//! `baton serve` as an operator runs it: a process with a configuration file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::keeper::{Kept, Order};
use crate::wait::wait_for;
use crate::web;

/// From the start of the process to `/readyz` answering 200. Long, because the
/// first start compiles the plugins.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Where everything of one Baton is, across its kills and restarts.
#[derive(Clone, Debug)]
pub struct Home {
    /// The `baton` binary.
    pub binary: PathBuf,
    /// A folder with `baton.toml`; data goes to `data` below it.
    pub folder: PathBuf,
    /// Environment variables, secrets among them.
    pub environment: Vec<(String, String)>,
}

impl Home {
    /// Where all that Baton says goes, across its kills and restarts.
    pub fn log(&self) -> PathBuf {
        self.folder.join("baton.log")
    }

    /// The last lines of that.
    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// What became of a start.
#[derive(Debug)]
pub enum Start {
    /// It is ready.
    Ready(Daemon),
    /// It ended before that.
    Ended(ExitStatus),
}

/// A running `baton serve`; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    process: Kept,
    address: SocketAddr,
}

impl Daemon {
    /// Starts `baton serve` in `home` and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time; with the end of its log.
    pub fn start(home: &Home) -> Result<Self> {
        match Self::launch(home, &[])? {
            Start::Ready(daemon) => Ok(daemon),
            Start::Ended(status) => {
                bail!("baton serve ended at its start ({status}):\n{}", home.last_lines())
            }
        }
    }

    /// The same with more variables in its environment; that it ends is no error.
    ///
    /// # Errors
    /// When it is not ready in time; with the end of its log.
    pub fn launch(home: &Home, variables: &[(&str, String)]) -> Result<Start> {
        let listening = home.folder.join("data/listening");
        // What a killed one left behind would be taken for the new address.
        match fs::remove_file(&listening) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let mut process = Kept::start(Order {
            program: home.binary.clone().into_os_string(),
            arguments: ["serve", "--config", "baton.toml"].map(OsString::from).to_vec(),
            environment: home
                .environment
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .chain(variables.iter().map(|(name, value)| (name.into(), value.into())))
                .collect(),
            folder: home.folder.clone(),
            log: log_file(home)?,
        })?;
        let ready = wait_for("baton serve is ready", READY_WITHIN, || {
            if let Some(status) = process.ended() {
                return Some(Err(status));
            }
            let address = fs::read_to_string(&listening).ok()?.trim().parse().ok()?;
            let answer = web::get(address, "/readyz").ok()?;
            (answer.status == 200).then_some(Ok(address))
        });
        match ready {
            Ok(Ok(address)) => Ok(Start::Ready(Self { process, address })),
            Ok(Err(status)) => Ok(Start::Ended(status)),
            Err(error) => Err(error.context(home.last_lines())),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the process exists.
    pub fn running(&mut self) -> bool {
        self.process.running()
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM: asks it to end by itself.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// `GET path`, as JSON.
    ///
    /// # Errors
    /// When it does not answer, or not with 200 and JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = web::get(self.address, path)?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        answer.json()
    }

    /// The runs of `workflow`, newest first as the API gives them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn runs(&self, workflow: &str) -> Result<Vec<Value>> {
        let list = self.get(&format!("/runs?workflow={workflow}&limit=100"))?;
        let runs = list.get("runs").and_then(Value::as_array).context("a list without `runs`")?;
        Ok(runs.clone())
    }

    /// One run as `GET /runs/<id>` shows it.
    ///
    /// # Errors
    /// When it does not answer or knows no such run.
    pub fn run(&self, id: &str) -> Result<Value> {
        self.get(&format!("/runs/{id}"))
    }
}

/// Whether a run in this state is over.
pub fn closed(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "timed-out" | "unreadable")
}

fn log_file(home: &Home) -> Result<File> {
    let path = home.log();
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    opened.with_context(|| format!("open {}", path.display()))
}
