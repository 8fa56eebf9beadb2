//! A real HAProxy before a real deployment, on loopback, ended with its value.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::keeper::{Kept, Order};
use crate::lab::Lab;
use crate::ports::{self, Port};
use crate::query;
use crate::wait::wait_until;

/// From its start to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Who may give orders on its statistics page.
pub const USER: &str = "baton";
/// His password.
pub const PASSWORD: &str = "hunter2";

/// A running HAProxy.
#[derive(Debug)]
pub struct Haproxy {
    clients: Port,
    page: Port,
    // Before the folder: it must be gone when its files go.
    _process: Kept,
    folder: TempDir,
}

impl Haproxy {
    /// Before all data nodes of `lab`; a replica is never up. Its backend is
    /// `bondx-redis`, its servers `n1`, `n2`, …
    ///
    /// # Errors
    /// When it is not installed or not ready in time; with its log.
    pub fn before(lab: &Lab) -> Result<Self> {
        let mut ports = ports::claim(2)?.into_iter();
        let (clients, page) = ports.next().zip(ports.next()).context("two ports")?;
        let mut text = format!(
            "global\n    log stderr format raw local0\n\
             defaults\n    log global\n    mode tcp\n    timeout connect 1s\n    timeout client 1m\n    timeout server 1m\n\
             frontend clients\n    bind 127.0.0.1:{}\n    default_backend bondx-redis\n\
             backend bondx-redis\n    option tcp-check\n    tcp-check send info\\ replication\\r\\n\n\
             \x20   tcp-check expect string role:master\n",
            clients.number()
        );
        for (node, number) in lab.data().iter().zip(1..) {
            let address = node.address();
            let _infallible =
                writeln!(text, "    server n{number} {address} check inter 100ms rise 1 fall 2");
        }
        let _infallible = write!(
            text,
            "listen stats\n    bind 127.0.0.1:{}\n    mode http\n    stats enable\n\
             \x20   stats uri /haproxy\n    stats show-legends\n    stats auth {USER}:{PASSWORD}\n\
             \x20   stats admin if TRUE\n",
            page.number()
        );
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("haproxy.cfg"), text)?;
        let process = start("haproxy.cfg", folder.path())?;
        let haproxy = Self { clients, page, _process: process, folder };
        // It takes a server for up until its first check.
        let replicas = lab.data().len() - 1;
        wait_until("HAProxy has closed the replicas", READY_WITHIN, || {
            haproxy.closed() == replicas && query::connect(&haproxy.address(), None).is_ok()
        })
        .with_context(|| haproxy.log())?;
        Ok(haproxy)
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.clients.number())
    }

    /// `[http.haproxy]` of a baton.toml; its secret is named `haproxy-password`.
    pub fn toml(&self) -> String {
        format!(
            "[http.haproxy]\nurl = \"http://127.0.0.1:{}\"\nusername = \"{USER}\"\n\
             password = \"haproxy-password\"\nidempotent = [\"/haproxy\"]\n",
            self.page.number()
        )
    }

    /// Servers that its own check has found to be no master.
    fn closed(&self) -> usize {
        let is_so =
            |line: &&str| line.starts_with("Server bondx-redis/n") && line.contains(" is DOWN");
        self.log().lines().filter(is_so).count()
    }

    /// All that it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Starts HAProxy in `folder`, with a file of it.
pub(crate) fn start(configuration: &str, folder: &Path) -> Result<Kept> {
    Kept::start(Order {
        program: "haproxy".into(),
        arguments: ["-db", "-f", configuration].map(Into::into).into(),
        environment: Vec::new(),
        folder: folder.to_owned(),
        log: File::create(folder.join("log"))?,
    })
}
