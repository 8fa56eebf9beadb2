//! A simulated cluster that reacts to commands, for the unit tests of plugins.
//!
//! It knows what the plugins need of Redis: roles, histories that rotate at a
//! promotion, partial and full copies, Sentinels that adopt by hello as
//! `sentinelProcessHelloMessage` does. The state is shared, so that a test can
//! change it under a plugin and it outlives a simulated crash.

use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{FakeCluster, Responder};
use std::cell::RefCell;
use std::rc::Rc;

mod assessed;
mod info;
mod manage;

pub use assessed::assessed;

/// A data node.
#[derive(Clone, Debug)]
pub struct SimNode {
    /// `ip:port`.
    pub address: String,
    /// How it fails to answer.
    pub down: Option<ErrorKind>,
    /// Whom it follows; none: it is a master.
    pub follows: Option<String>,
    /// Changes with every start.
    pub run_id: String,
    /// Since its process began, s; not said if none.
    pub uptime_s: Option<i64>,
    /// Its history.
    pub replid: String,
    /// Its history before its promotion.
    pub replid2: String,
    /// First offset that is not of `replid2`.
    pub second_offset: i64,
    /// Bytes.
    pub offset: i64,
    /// `slave_priority`.
    pub priority: i64,
    /// Keys in database 0.
    pub keys: i64,
    /// `redis_version`.
    pub version: String,
    /// A replica's `master_last_io_seconds_ago` while its link is up.
    pub last_io_s: i64,
    /// Its link is forced down or up; none: up while its master answers.
    pub link: Option<bool>,
    /// Full copy under way.
    pub syncing: bool,
    /// Reading from disk.
    pub loading: bool,
    /// CONFIG REWRITE fails.
    pub read_only_config: bool,
    /// Every command is answered with this error.
    pub complaint: Option<String>,
    /// `min-replicas-to-write`.
    pub min_replicas: i64,
}

/// A Sentinel.
#[derive(Clone, Debug)]
pub struct SimSentinel {
    /// `ip:port`.
    pub address: String,
    /// How it fails to answer.
    pub down: Option<ErrorKind>,
    /// It does not answer before this time, ms (SIGSTOP … SIGCONT).
    pub stopped_until_ms: u64,
    /// Whom it hands out.
    pub master: String,
    /// Its configuration's epoch.
    pub config_epoch: i64,
    /// Flags of its master.
    pub flags: String,
    /// Its id.
    pub run_id: String,
    /// Ids of phantom voters: senders of hello it did not know.
    pub phantoms: Vec<String>,
    /// At this time (ms) its failover ends and it hands out this node.
    pub failover: Option<(u64, String)>,
}

/// The state of the cluster.
#[derive(Clone, Debug)]
pub struct World {
    /// Data nodes.
    pub nodes: Vec<SimNode>,
    /// Sentinels.
    pub sentinels: Vec<SimSentinel>,
    /// Counts promotions, so that each history has its own id.
    pub histories: u32,
}

/// A handle to the state that a [`FakeCluster`] answers from.
#[derive(Clone)]
pub struct Sim(pub Rc<RefCell<World>>);

/// Data nodes of [`Sim::bondx`]: the first is the master.
pub const DATA: [&str; 3] = ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
/// Sentinels of [`Sim::bondx`].
pub const SENTINELS: [&str; 3] = ["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"];
/// The first master's history.
pub const HISTORY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

impl Sim {
    /// One master, two replicas, three Sentinels, all well.
    pub fn bondx() -> Self {
        let node = |(index, address): (usize, &&str)| SimNode {
            address: (*address).into(),
            down: None,
            follows: (index > 0).then(|| DATA[0].into()),
            run_id: format!("run-{address}"),
            uptime_s: None,
            replid: HISTORY.into(),
            replid2: "0".repeat(40),
            second_offset: -1,
            offset: 1000,
            priority: 100,
            keys: 10,
            version: "7.0.15".into(),
            last_io_s: 0,
            link: None,
            syncing: false,
            loading: false,
            read_only_config: false,
            complaint: None,
            min_replicas: 0,
        };
        let sentinel = |address: &&str| SimSentinel {
            address: (*address).into(),
            down: None,
            stopped_until_ms: 0,
            master: DATA[0].into(),
            config_epoch: 0,
            flags: "master".into(),
            run_id: format!("id-{address}"),
            phantoms: Vec::new(),
            failover: None,
        };
        Self(Rc::new(RefCell::new(World {
            nodes: DATA.iter().enumerate().map(node).collect(),
            sentinels: SENTINELS.iter().map(sentinel).collect(),
            histories: 0,
        })))
    }

    /// As [`Sim::bondx`], its master killed.
    pub fn killed() -> Self {
        let sim = Self::bondx();
        sim.node(0, |node| node.down = Some(ErrorKind::Refused));
        sim
    }

    /// Changes a data node.
    pub fn node<T>(&self, index: usize, change: impl FnOnce(&mut SimNode) -> T) -> T {
        change(&mut self.0.borrow_mut().nodes[index])
    }

    /// Changes a Sentinel.
    pub fn sentinel<T>(&self, index: usize, change: impl FnOnce(&mut SimSentinel) -> T) -> T {
        change(&mut self.0.borrow_mut().sentinels[index])
    }

    /// A host over this state.
    pub fn host(&self) -> FakeCluster<Self> {
        FakeCluster::with_responder("bondx", &DATA, &SENTINELS, self.clone())
    }
}

impl Responder for Sim {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let mut world = self.0.borrow_mut();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        if let Some(index) = world.nodes.iter().position(|it| it.address == address) {
            return world.data(index, &words);
        }
        let index = world.sentinels.iter().position(|it| it.address == address);
        world.sentinel(index.expect("a member of the cluster"), &words, now_ms)
    }
}

fn no_answer(kind: ErrorKind) -> RedisError {
    RedisError::new(kind, "as the test asked")
}

fn ok() -> Value {
    Value::Simple("OK".into())
}

fn texts(words: &[&str]) -> Value {
    Value::List(words.iter().map(|&word| Value::from(word)).collect())
}

impl World {
    fn is_up(&self, address: &str) -> bool {
        self.nodes.iter().any(|it| it.address == address && it.down.is_none())
    }

    /// A replica that can reach its master takes its history; one that cannot stays.
    fn link_up(&self, node: &SimNode) -> bool {
        let natural = node.follows.as_ref().is_some_and(|master| self.is_up(master));
        node.link.unwrap_or(natural)
    }

    fn data(&mut self, index: usize, words: &[&str]) -> Result<Value, RedisError> {
        if let Some(kind) = self.nodes[index].down {
            return Err(no_answer(kind));
        }
        if let Some(complaint) = &self.nodes[index].complaint {
            return Ok(Value::Error(complaint.clone()));
        }
        Ok(match words {
            ["PING"] if self.nodes[index].loading => {
                Value::Error("LOADING Redis is loading".into())
            }
            ["PING"] => Value::Simple("PONG".into()),
            ["INFO", section] => Value::from(self.info(index, section).as_str()),
            ["ROLE"] => self.role(index),
            ["REPLICAOF", "NO", "ONE"] => self.promote(index),
            ["REPLICAOF", host, port] => self.follow(index, &format!("{host}:{port}")),
            ["CONFIG", "REWRITE"] if self.nodes[index].read_only_config => {
                Value::Error("ERR Rewriting config file: Read-only file system".into())
            }
            ["CONFIG", "REWRITE"] => ok(),
            ["SET", _, _, "PX", _] if self.nodes[index].follows.is_some() => {
                Value::Error("READONLY You can't write against a read only replica.".into())
            }
            ["SET", _, _, "PX", _] => {
                self.nodes[index].offset += 50;
                self.catch_up(index);
                ok()
            }
            ["WAIT", ..] => {
                let address = self.nodes[index].address.clone();
                let attached = self.nodes.iter().filter(|it| {
                    it.down.is_none() && it.follows.as_ref() == Some(&address) && self.link_up(it)
                });
                Value::Int(i64::try_from(attached.count()).expect("few nodes"))
            }
            other => self.manage(index, other),
        })
    }

    fn promote(&mut self, index: usize) -> Value {
        if self.nodes[index].follows.take().is_some() {
            self.histories += 1;
            let history = format!("{:040}", self.histories);
            let node = &mut self.nodes[index];
            node.replid2 = std::mem::replace(&mut node.replid, history);
            node.second_offset = node.offset + 1;
        }
        ok()
    }

    fn follow(&mut self, index: usize, master: &str) -> Value {
        self.nodes[index].follows = Some(master.to_owned());
        if let Some(at) = self.nodes.iter().position(|it| it.address == master) {
            self.catch_up(at);
        }
        ok()
    }

    /// Replicas that reach this master take its history and offset.
    fn catch_up(&mut self, master: usize) {
        let source = self.nodes[master].clone();
        if source.down.is_some() {
            return;
        }
        for node in &mut self.nodes {
            if node.follows.as_ref() == Some(&source.address) && node.link != Some(false) {
                node.replid.clone_from(&source.replid);
                node.replid2.clone_from(&source.replid2);
                node.second_offset = source.second_offset;
                node.offset = source.offset;
            }
        }
    }

    fn role(&self, index: usize) -> Value {
        let node = &self.nodes[index];
        match &node.follows {
            None => Value::List(vec!["master".into(), Value::Int(node.offset), texts(&[])]),
            Some(master) => {
                let (host, port) = master.split_once(':').expect("host:port");
                // As Redis does: no offset while the link is down.
                let (link, offset) =
                    if self.link_up(node) { ("connected", node.offset) } else { ("connect", -1) };
                Value::List(vec![
                    "slave".into(),
                    host.into(),
                    Value::Int(port.parse().expect("a port")),
                    link.into(),
                    Value::Int(offset),
                ])
            }
        }
    }

    fn sentinel(&mut self, index: usize, words: &[&str], now_ms: u64) -> Result<Value, RedisError> {
        let peers: Vec<(String, String)> = self
            .sentinels
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index)
            .map(|(_, it)| (it.address.clone(), it.run_id.clone()))
            .collect();
        let me = &mut self.sentinels[index];
        if let Some(kind) = me.down {
            return Err(no_answer(kind));
        }
        if now_ms < me.stopped_until_ms {
            return Err(no_answer(ErrorKind::TimedOut));
        }
        if let Some((until_ms, target)) = me.failover.clone() {
            me.flags = "master,s_down,o_down,failover_in_progress".into();
            if now_ms >= until_ms {
                me.failover = None;
                me.flags = "master".into();
                me.config_epoch += 1;
                me.master.clone_from(&target);
                let at = self.nodes.iter().position(|it| it.address == target);
                self.promote(at.expect("a node of the cluster"));
            }
        }
        let me = &mut self.sentinels[index];
        Ok(match words {
            ["SENTINEL", "MASTER", _] => texts(&[
                "flags",
                &me.flags,
                "config-epoch",
                &me.config_epoch.to_string(),
                "num-other-sentinels",
                &peers.len().to_string(),
                "quorum",
                "2",
            ]),
            ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", _] => {
                let (host, port) = me.master.split_once(':').expect("host:port");
                texts(&[host, port])
            }
            ["SENTINEL", "SENTINELS", _] => Value::List(
                peers
                    .iter()
                    .map(|(address, id)| {
                        let (ip, port) = address.split_once(':').expect("host:port");
                        texts(&["ip", ip, "port", port, "runid", id, "voted-leader-epoch", "0"])
                    })
                    .collect(),
            ),
            ["SENTINEL", "MYID"] => Value::from(me.run_id.as_str()),
            ["INFO", "sentinel"] => Value::from("sentinel_tilt:0\r\n"),
            ["PUBLISH", "__sentinel__:hello", hello] => me.hear(hello, &peers),
            other => me.manage(other),
        })
    }
}

impl SimSentinel {
    /// Redis 7.0 sentinel.c, sentinelProcessHelloMessage.
    fn hear(&mut self, hello: &str, peers: &[(String, String)]) -> Value {
        let words: Vec<&str> = hello.split(',').collect();
        let [ip, port, id, _, _, master_ip, master_port, epoch] = words[..] else {
            return Value::Error("ERR hello has eight words".into());
        };
        if !peers.contains(&(format!("{ip}:{port}"), id.to_owned())) {
            self.phantoms.push(id.to_owned());
            return Value::Int(1);
        }
        let epoch: i64 = epoch.parse().expect("an epoch");
        if self.config_epoch < epoch {
            self.config_epoch = epoch;
            self.master = format!("{master_ip}:{master_port}");
            self.flags = "master".into();
            self.failover = None;
        }
        Value::Int(1)
    }
}
