//! One Redis deployment as `BondX` runs it: a master, replicas, Sentinels.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::island::{self, Berth, Island};
use crate::node::{Host, Node};
use crate::ports::{self, Port};
use crate::query;
use crate::wait::{wait_for, wait_until};

/// Until all servers run, replicas are in sync and Sentinels know each other.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How the deployment is set up. [`Options::bondx`] is the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    /// What Sentinel calls the master.
    pub master_name: String,
    /// Replicas beside the one master.
    pub replicas: usize,
    /// Sentinels; none leaves the replication to itself.
    pub sentinels: usize,
    /// Sentinels that must agree that the master is down.
    pub quorum: usize,
    /// Sentinel's `down-after-milliseconds`.
    pub down_after_ms: u32,
    /// Sentinel's `failover-timeout`.
    pub failover_timeout_ms: u32,
    /// `requirepass` and `masterauth` of every data node.
    pub password: Option<String>,
    /// `requirepass` of every Sentinel.
    pub sentinel_password: Option<String>,
    /// Lines added to each data node's configuration (`user …`, for one).
    pub data_lines: Vec<String>,
    /// Where all of them are.
    pub network: Network,
}

/// The network of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// This machine's loopback.
    Loopback,
    /// Machines of their own, whose links can be cut. Needs root.
    Island,
}

impl Options {
    /// Production of `BondX`: 1 master, 2 replicas, 3 Sentinels, quorum 2.
    pub fn bondx() -> Self {
        Self {
            master_name: "bondx-master".to_owned(),
            replicas: 2,
            sentinels: 3,
            quorum: 2,
            down_after_ms: 5_000,
            failover_timeout_ms: 10_000,
            password: None,
            sentinel_password: None,
            data_lines: Vec::new(),
            network: Network::Loopback,
        }
    }
}

/// A running deployment in a temporary folder; all of it ends on drop.
#[derive(Debug)]
pub struct Lab {
    // Before the folder: servers must be gone when their files go.
    data: Vec<Node>,
    sentinels: Vec<Node>,
    island: Option<Island>,
    options: Options,
    folder: TempDir,
}

impl Lab {
    /// Starts the deployment and waits until it is whole: replicas in sync,
    /// every Sentinel knowing all the others and all replicas.
    ///
    /// On an [`Island`] the calling thread, and threads that it starts from now on, are the
    /// clients' machine: nobody else reaches the servers.
    ///
    /// # Errors
    /// When a server cannot be started or the whole is not ready in time.
    pub fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("baton-lab-").tempdir()?;
        let island = island(&options, folder.path())?;
        let mut places = places(&options, island.as_ref())?;
        let sentinel_places = places.split_off(1 + options.replicas);
        let master = (places[0].0.address.clone(), places[0].1.number());

        let data = nodes("data", "redis-server", folder.path(), places, |host, port| {
            (options.password.clone(), data_configuration(&options, (host, port), &master))
        })?;
        let sentinels =
            nodes("sentinel", "redis-sentinel", folder.path(), sentinel_places, |host, port| {
                let text = sentinel_configuration(&options, (host, port), &master);
                (options.sentinel_password.clone(), text)
            })?;
        let lab = Self { data, sentinels, island, options, folder };
        lab.start_all().map_err(|error| error.context(lab.last_words()))?;
        Ok(lab)
    }

    /// The data nodes; the first one began as the master.
    pub fn data(&self) -> &[Node] {
        &self.data
    }

    /// The Sentinels.
    pub fn sentinels(&self) -> &[Node] {
        &self.sentinels
    }

    /// The network whose links can be cut, if it has one.
    pub fn island(&self) -> Option<&Island> {
        self.island.as_ref()
    }

    /// The machine of a data node.
    pub fn data_berth(&self, number: usize) -> Berth {
        Berth(1 + number)
    }

    /// The machine of a Sentinel.
    pub fn sentinel_berth(&self, number: usize) -> Berth {
        Berth(1 + self.data.len() + number)
    }

    /// A machine on which nothing runs yet: for an engine.
    pub fn spare_berth(&self) -> Berth {
        Berth(1 + self.data.len() + self.sentinels.len())
    }

    /// How it was set up.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The laboratory's folder, also for files of its user; gone on drop.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data node at `address`.
    pub fn node_at(&self, address: &str) -> Option<&Node> {
        self.data.iter().find(|node| node.address() == address)
    }

    /// The first data node that answers and says it is a master.
    ///
    /// # Errors
    /// When none does.
    pub fn master(&self) -> Result<&Node> {
        let is_master = |node: &&Node| query::role(node).is_some_and(|role| role == "master");
        self.data.iter().find(is_master).context("no data node is a master")
    }

    /// Addresses of all data nodes that say they are masters and take writes.
    /// Asked with the deletion of a key that is not there: a write command that
    /// leaves no trace in the replication stream.
    pub fn writable_masters(&self) -> Vec<String> {
        let writable = |node: &&Node| {
            query::role(node).is_some_and(|role| role == "master")
                && query::ask::<u64>(node, &["DEL", "lab:no-such-key"]).is_ok()
        };
        self.data.iter().filter(writable).map(Node::address).collect()
    }

    /// What each Sentinel says the master's address is, in their order.
    pub fn masters_by_sentinels(&self) -> Vec<Option<String>> {
        let name = &self.options.master_name;
        self.sentinels.iter().map(|sentinel| query::master_by(sentinel, name)).collect()
    }

    /// The address that every Sentinel gives, if all answer alike.
    pub fn agreed_master(&self) -> Option<String> {
        let mut answers = self.masters_by_sentinels().into_iter();
        let first = answers.next()??;
        answers.all(|answer| answer.as_ref() == Some(&first)).then_some(first)
    }

    /// Waits until one data node takes writes, all Sentinels agree on it, and
    /// it is not `old`; returns its address.
    ///
    /// # Errors
    /// When that is not so within `bound`.
    pub fn wait_for_new_master(&self, old: &str, bound: Duration) -> Result<String> {
        wait_for("all Sentinels agree on a new master that takes writes", bound, || {
            let address = self.agreed_master().filter(|address| address != old)?;
            (self.writable_masters() == [address.clone()]).then_some(address)
        })
    }

    /// This deployment as the `[clusters.<cluster>]` table of a baton.toml.
    /// Passwords are taken from secrets named `redis-password` and
    /// `sentinel-password`, which the caller defines.
    pub fn cluster_toml(&self, cluster: &str, mode: &str) -> String {
        let list = |nodes: &[Node]| {
            nodes.iter().map(|node| format!("{:?}", node.address())).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
            "[clusters.{cluster}]\nmaster_name = {:?}\nmode = {mode:?}\nnodes = [{}]\n\
             sentinels = [{}]\ndown_after_ms = {}\n",
            self.options.master_name,
            list(&self.data),
            list(&self.sentinels),
            self.options.down_after_ms,
        );
        if self.options.password.is_some() {
            text.push_str("password = \"redis-password\"\n");
        }
        if self.options.sentinel_password.is_some() {
            text.push_str("sentinel_password = \"sentinel-password\"\n");
        }
        text
    }

    fn start_all(&self) -> Result<()> {
        for node in &self.data {
            node.start()?;
        }
        // Sentinels look for replicas at once and then only every ten seconds:
        // they are started when there is something to find.
        self.wait_ready("the master answers and all replicas are in sync", || {
            let (master, replicas) = (&self.data[0], &self.data[1..]);
            query::role(master).is_some() && replicas.iter().all(query::in_sync)
        })?;
        for sentinel in &self.sentinels {
            sentinel.start()?;
        }
        self.wait_ready("all Sentinels know each other and all replicas", || {
            self.sentinels.iter().all(|sentinel| self.knows_all(sentinel))
        })
    }

    /// Waits for `condition`; a server that ended meanwhile ends the wait.
    fn wait_ready(&self, what: &str, condition: impl Fn() -> bool) -> Result<()> {
        let started = |node: &&Node| node.pid().is_some();
        wait_until(what, READY_WITHIN, || {
            let ended = self.all().filter(started).any(|node| !node.running());
            ended || condition()
        })?;
        let ended = self.all().filter(started).find(|node| !node.running());
        ensure!(ended.is_none(), "{} ended at its start", ended.map_or("", Node::name));
        Ok(())
    }

    fn knows_all(&self, sentinel: &Node) -> bool {
        let name = &self.options.master_name;
        let fields = query::sentinel_master(sentinel, name);
        let count = |name: &str| fields.get(name).and_then(|text| text.parse::<usize>().ok());
        let replicas = query::sentinel_replicas(sentinel, name);
        let well = |replica: &std::collections::BTreeMap<String, String>| {
            replica.get("flags").is_some_and(|flags| flags == "slave")
                && replica.get("master-link-status").is_some_and(|status| status == "ok")
        };
        count("num-other-sentinels") == Some(self.options.sentinels - 1)
            && fields.get("flags").is_some_and(|flags| flags == "master")
            && replicas.len() == self.options.replicas
            && replicas.iter().all(well)
    }

    fn all(&self) -> impl Iterator<Item = &Node> {
        self.data.iter().chain(&self.sentinels)
    }

    /// The last lines of every server's log, for an error.
    fn last_words(&self) -> String {
        let mut text = String::from("the laboratory did not come up");
        for node in self.all() {
            let log = node.log().unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(3).collect();
            for line in last.iter().rev() {
                let _infallible = write!(text, "\n  {}: {line}", node.name());
            }
        }
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // In parallel: reaping six processes one after the other is slower.
        thread::scope(|scope| {
            for node in self.data.iter().chain(&self.sentinels) {
                // One that is not running has nothing left to end.
                scope.spawn(|| node.kill().ok());
            }
        });
    }
}

/// Entered by this thread, if it is to be.
fn island(options: &Options, folder: &Path) -> Result<Option<Island>> {
    if options.network == Network::Loopback {
        return Ok(None);
    }
    // One a server, and one for an engine.
    let island = Island::new(2 + options.replicas + options.sentinels, folder)?;
    island.enter()?;
    Ok(Some(island))
}

/// Where each server listens, data nodes first.
fn places(options: &Options, island: Option<&Island>) -> Result<Vec<(Host, Port)>> {
    let (data, all) = (1 + options.replicas, 1 + options.replicas + options.sentinels);
    let Some(island) = island else {
        let ports = ports::claim(all)?.into_iter();
        return Ok(ports.map(|port| (Host::own(), port)).collect());
    };
    let place = |number: usize| {
        let berth = Berth(1 + number);
        let host =
            Host { address: island::address(berth), namespace: Some(island.namespace(berth)) };
        (host, Port::alone(if number < data { 6379 } else { 26379 }))
    };
    Ok((0..all).map(place).collect())
}

fn nodes(
    kind: &str,
    program: &'static str,
    folder: &Path,
    places: Vec<(Host, Port)>,
    setup: impl Fn(&str, u16) -> (Option<String>, String),
) -> Result<Vec<Node>> {
    let numbered = places.into_iter().zip(1..);
    numbered
        .map(|((host, port), number)| {
            let name = format!("{kind}-{number}");
            let place = folder.join(&name);
            let (password, text) = setup(&host.address, port.number());
            Node::new(name, program, place, (host, port), password, &text)
        })
        .collect()
}

fn data_configuration(
    options: &Options,
    (host, port): (&str, u16),
    (master_host, master_port): &(String, u16),
) -> String {
    let mut text = format!(
        "bind {host}\nport {port}\nprotected-mode no\ndir .\nsave \"\"\n\
         appendonly yes\nappendfsync everysec\nrepl-diskless-sync yes\n\
         repl-diskless-sync-delay 0\nrepl-backlog-size 64mb\nrepl-ping-replica-period 1\n",
    );
    if let Some(password) = &options.password {
        let _infallible = write!(text, "requirepass {password}\nmasterauth {password}\n");
    }
    for line in &options.data_lines {
        text.push_str(line);
        text.push('\n');
    }
    if (host, port) != (master_host, *master_port) {
        let _infallible = writeln!(text, "replicaof {master_host} {master_port}");
    }
    text
}

fn sentinel_configuration(
    options: &Options,
    (host, port): (&str, u16),
    (master_host, master_port): &(String, u16),
) -> String {
    let Options { master_name, quorum, down_after_ms, failover_timeout_ms, .. } = options;
    let mut text = format!(
        "bind {host}\nport {port}\nprotected-mode no\ndir .\n\
         sentinel monitor {master_name} {master_host} {master_port} {quorum}\n\
         sentinel down-after-milliseconds {master_name} {down_after_ms}\n\
         sentinel failover-timeout {master_name} {failover_timeout_ms}\n\
         sentinel parallel-syncs {master_name} 1\nsentinel deny-scripts-reconfig yes\n",
    );
    if let Some(password) = &options.password {
        let _infallible = writeln!(text, "sentinel auth-pass {master_name} {password}");
    }
    if let Some(password) = &options.sentinel_password {
        let _infallible =
            write!(text, "requirepass {password}\nsentinel sentinel-pass {password}\n");
    }
    text
}
