//! One server process: a Redis node or a Sentinel.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::keeper::{Kept, Order};
use crate::ports::Port;

/// A Redis node or a Sentinel, running or not. It keeps its port, its folder
/// and its configuration across kills and restarts.
#[derive(Debug)]
pub struct Node {
    name: String,
    program: &'static str,
    folder: PathBuf,
    host: Host,
    port: Port,
    password: Option<String>,
    process: Mutex<Option<Kept>>,
}

/// The machine that a node runs on.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Its IP address.
    pub(crate) address: String,
    /// Its network, if it is not ours.
    pub(crate) namespace: Option<PathBuf>,
}

impl Host {
    /// This machine.
    pub(crate) fn own() -> Self {
        Self { address: "127.0.0.1".to_owned(), namespace: None }
    }
}

impl Node {
    /// A node of `program` that will read `configuration`, not yet started.
    pub(crate) fn new(
        name: String,
        program: &'static str,
        folder: PathBuf,
        (host, port): (Host, Port),
        password: Option<String>,
        configuration: &str,
    ) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("server.conf"), configuration)?;
        Ok(Self { name, program, folder, host, port, password, process: Mutex::new(None) })
    }

    /// What the laboratory calls it: `data-1`, `sentinel-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host.address, self.port.number())
    }

    /// Its machine's IP address.
    pub fn ip(&self) -> &str {
        &self.host.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The password it asks for, if any.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Its folder: configuration, data and log.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Its process id, while it has a process.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Kept::pid)
    }

    /// Whether its process exists (a stopped one does).
    pub fn running(&self) -> bool {
        self.process().as_mut().is_some_and(Kept::running)
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&self) -> Result<()> {
        let Some(process) = self.process().take() else { bail!("{} is not running", self.name) };
        process.kill();
        Ok(())
    }

    /// SIGSTOP: the node hangs, its connections stay open.
    ///
    /// # Errors
    /// When it is not running.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: a hung node goes on where it was.
    ///
    /// # Errors
    /// When it is not running.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts the process on its own port, folder and (perhaps rewritten)
    /// configuration; answers before the server is ready.
    ///
    /// # Errors
    /// When it is running, or cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut process = self.process();
        if process.as_mut().is_some_and(Kept::running) {
            bail!("{} is running already", self.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let (program, arguments) = self.command();
        let order =
            Order { program, arguments, environment: Vec::new(), folder: self.folder.clone(), log };
        *process = Some(Kept::start(order)?);
        Ok(())
    }

    /// Kills the process if there is one, and starts it again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&self) -> Result<()> {
        drop(self.process().take());
        self.start()
    }

    /// The server's log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(self.log_path()).with_context(|| format!("the log of {}", self.name))
    }

    fn command(&self) -> (OsString, Vec<OsString>) {
        let configuration = OsString::from("server.conf");
        let Some(namespace) = &self.host.namespace else {
            return (OsString::from(self.program), vec![configuration]);
        };
        let mut network = OsString::from("--net=");
        network.push(namespace);
        // It becomes the program: the process stays the same one.
        ("nsenter".into(), vec![network, "--".into(), self.program.into(), configuration])
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process()
            .as_ref()
            .with_context(|| format!("{} is not running", self.name))?
            .signal(signal)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Kept>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
