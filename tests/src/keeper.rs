//! Starts children that cannot outlive this process.
//!
//! `setpriv --pdeathsig KILL` (util-linux, essential on Debian) has the kernel
//! kill a child when the *thread* that started it ends. So one thread, which
//! lives as long as the process, starts them all. Children lead their own
//! process groups: a Ctrl-C on the terminal reaches us alone, and we decide.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// What to start.
#[derive(Debug)]
pub struct Order {
    /// The program, by name or path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables added to ours.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its output and its errors go, both.
    pub log: File,
}

type Request = (Order, Sender<std::io::Result<Child>>);

/// The one thread that starts children.
static STARTER: LazyLock<Mutex<Sender<Request>>> = LazyLock::new(|| {
    let (sender, orders) = channel::<Request>();
    thread::spawn(move || {
        for (order, reply) in orders {
            // Nobody waits for the answer only if its thread died meanwhile.
            let _unheard = reply.send(spawn(order));
        }
    });
    Mutex::new(sender)
});

/// Children that run now, for [`end_all`].
static LIVING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A running child; killed and reaped on drop.
#[derive(Debug)]
pub struct Kept {
    child: Child,
}

impl Kept {
    /// Starts `order`.
    ///
    /// # Errors
    /// When `setpriv` is missing or the log cannot be shared. A missing program
    /// shows as a child that ends at once, with the reason in its log.
    pub fn start(order: Order) -> Result<Self> {
        let name = order.program.to_string_lossy().into_owned();
        let (reply, answer) = channel();
        STARTER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((order, reply))
            .map_err(|_| anyhow!("the thread that starts children is gone"))?;
        let child = answer
            .recv()
            .context("the thread that starts children is gone")?
            .with_context(|| format!("start {name} through setpriv"))?;
        living(|all| all.insert(child.id()));
        Ok(Self { child })
    }

    /// The child's process id (`setpriv` becomes the program: same id).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// When the child has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = pid_of(self.child.id()).context("a child without a process id")?;
        kill_process(pid, signal).with_context(|| format!("signal {signal:?} to {}", self.pid()))
    }

    /// SIGKILL, and waits until it is gone. Reaches stopped processes too.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Both fail only when it has ended and was reaped already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        living(|all| all.remove(&self.child.id()));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills every child that runs: for an end that cannot wait for the drops.
pub fn end_all() {
    living(|all| {
        for pid in all.iter().filter_map(|pid| pid_of(*pid)) {
            // One that has just ended is as good as killed.
            let _gone = kill_process(pid, Signal::KILL);
        }
    });
}

fn living<T>(change: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
    change(&mut LIVING.lock().unwrap_or_else(PoisonError::into_inner))
}

fn pid_of(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}

fn spawn(order: Order) -> std::io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(order.program)
        .args(order.arguments)
        .envs(order.environment)
        .current_dir(order.folder)
        .stdin(Stdio::null())
        .stdout(order.log.try_clone()?)
        .stderr(order.log)
        .process_group(0)
        .spawn()
}
