//! Networks of their own, in which links are cut.
//!
//! Each server has a network namespace, as if it were a machine, and all of them hang on
//! one bridge. A link is cut by giving the sender a wrong hardware address of the other:
//! what it sends is lost without a word, in one direction or both, and connections hang
//! as they do behind a dead switch. Tried instead and left: a proxy before each server (it
//! accepts where nobody listens, and a refused connection is what tells a killed process
//! from a silent one), packet filters (one more package and kernel modules, and on
//! loopback nothing tells who sends).
//!
//! A namespace lives as long as a process in it, so nothing is left behind by any death.
//! The thread that enters, and the threads that it starts then, are the clients' machine.
//! All of it needs root (`CAP_SYS_ADMIN`, `CAP_NET_ADMIN`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use crate::keeper::{Kept, Order};
use crate::wait::wait_until;

/// For a process to be in its namespace.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// A hardware address that nobody has.
const NOBODY: u8 = 0xff;

/// Machines on one bridge; all of it ends on drop.
#[derive(Debug)]
pub struct Island {
    /// The first one is the clients'.
    machines: Vec<Machine>,
    _bridge: Machine,
}

#[derive(Debug)]
struct Machine {
    holder: Kept,
}

/// Where a machine stands on the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Berth(pub(crate) usize);

/// Where the clients are.
pub const CLIENTS: Berth = Berth(0);

impl Island {
    /// `count` machines beside the clients'.
    ///
    /// # Errors
    /// When this process may not make namespaces, or `ip` (iproute2) is missing.
    pub(crate) fn new(count: usize, folder: &Path) -> Result<Self> {
        let bridge = Machine::new(folder)?;
        let machines = (0..=count).map(|_| Machine::new(folder)).collect::<Result<Vec<_>>>()?;
        let mut script = String::from("link add bridge type bridge\nlink set bridge up\n");
        for (number, machine) in machines.iter().enumerate() {
            let (pid, hardware) = (machine.holder.pid(), hardware(octet(Berth(number))));
            let _infallible = write!(
                script,
                "link add port{number} type veth peer name eth0 netns {pid} address {hardware}\n\
                 link set port{number} master bridge up\n"
            );
        }
        bridge.ip(&script)?;
        for (number, machine) in machines.iter().enumerate() {
            let address = address(Berth(number));
            machine.ip(&format!(
                "addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n"
            ))?;
        }
        Ok(Self { machines, _bridge: bridge })
    }

    /// Moves the calling thread to the clients' machine, for good.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn enter(&self) -> Result<()> {
        let namespace = File::open(self.namespace(CLIENTS))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).context("enter a network namespace")
    }

    /// The file that stands for a machine's network.
    pub fn namespace(&self, berth: Berth) -> PathBuf {
        self.machines[berth.0].namespace()
    }

    /// Nothing gets through between `one` and each of `others` any more.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn cut(&self, one: Berth, others: &[Berth]) -> Result<()> {
        self.link(one, others, |_| NOBODY)
    }

    /// All gets through again.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn heal(&self, one: Berth, others: &[Berth]) -> Result<()> {
        self.link(one, others, octet)
    }

    fn link(&self, one: Berth, others: &[Berth], to: impl Fn(Berth) -> u8) -> Result<()> {
        let line = |berth: Berth| {
            let (address, hardware) = (address(berth), hardware(to(berth)));
            format!("neigh replace {address} lladdr {hardware} dev eth0 nud permanent\n")
        };
        let far: String = others.iter().map(|it| line(*it)).collect();
        self.machines[one.0].ip(&far)?;
        others.iter().try_for_each(|it| self.machines[it.0].ip(&line(one)))
    }
}

/// A machine's address.
pub(crate) fn address(berth: Berth) -> String {
    format!("10.77.0.{}", octet(berth))
}

fn octet(berth: Berth) -> u8 {
    // A laboratory has ten machines; no more than a bridge of this kind takes.
    u8::try_from(berth.0 + 1).unwrap_or(NOBODY - 1).min(NOBODY - 1)
}

fn hardware(last: u8) -> String {
    format!("02:00:00:00:00:{last:02x}")
}

impl Machine {
    fn new(folder: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("island.log"))?;
        let mut holder = Kept::start(Order {
            program: OsString::from("unshare"),
            arguments: ["--net", "sleep", "infinity"].map(OsString::from).to_vec(),
            environment: Vec::new(),
            folder: folder.to_owned(),
            log,
        })?;
        let own = fs::read_link("/proc/self/ns/net")?;
        let theirs = PathBuf::from(format!("/proc/{}/ns/net", holder.pid()));
        let named = format!("/proc/{}/comm", holder.pid());
        wait_until("a network namespace is made", MADE_WITHIN, || {
            let arrived = fs::read_link(&theirs).is_ok_and(|it| it != own);
            let asleep = fs::read_to_string(&named).is_ok_and(|it| it.trim() == "sleep");
            (arrived && asleep) || !holder.running()
        })?;
        ensure!(holder.running(), "partitions need network namespaces: run this as root");
        Ok(Self { holder })
    }

    fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.pid()))
    }

    /// Runs lines of `ip` in this machine.
    fn ip(&self, script: &str) -> Result<()> {
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", self.namespace().display()))
            .args(["ip", "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run ip (iproute2) through nsenter")?;
        // Closed at the end of this statement: that is the end of its script.
        child.stdin.take().context("a pipe to ip")?.write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip ({}): {said}\n{script}", output.status);
        Ok(())
    }
}
