//! What a story is made of, done to real servers.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::books::{self, Side};
use crate::island::{Berth, Island};
use crate::trader::Trader;
use crate::wait::wait_until;
use crate::{Lab, Node, query};

/// For a server to do as it is told, on a busy machine.
const DONE_WITHIN: Duration = Duration::from_secs(20);
/// Keys that a replica gets which goes its own way, and the size of each, bytes.
const OWN_KEYS: usize = 400;
const OWN_BYTES: usize = 500;
/// Save points that never come due: without any, a failed save stops nobody.
const SAVE_POINTS: &str = "3600 1000000";
/// The user that Baton is where a scene has one.
pub(super) const LOGIN: &str = "baton";
pub(super) const PASSWORD: &str = "right";

/// Whom a fault touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A data node; the first one begins as the master.
    Data(usize),
    Sentinel(usize),
    Engine,
    /// An order book.
    Book,
}

/// One thing that is done. Numbers are data nodes or Sentinels, as the laboratory counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Nothing,
    Kill(usize),
    Start(usize),
    /// SIGSTOP.
    Stop(usize),
    /// SIGCONT.
    Continue(usize),
    /// Its files go; its process has gone before.
    Empty(usize),
    /// Nothing gets through between one and the others.
    Cut(Part, Vec<Part>),
    Heal(Part, Vec<Part>),
    /// Its saves fail, so that it refuses writes.
    FailSaves(usize),
    MendSaves(usize),
    /// A script that does not end by itself.
    RunScript(usize),
    EndScript(usize),
    /// No replica may copy from it any more; links that stand go on.
    RefuseCopies(usize),
    LetCopy(usize),
    /// A replica's link to the master ends.
    EndLink(usize, usize),
    /// A replica goes its own way for a while, and names the master again.
    Estrange(usize, usize),
    /// Sentinel's favourite.
    Prefer(usize),
    /// The trader writes so many transactions more.
    WriteOn(usize),
    /// An order book that nobody trades in loses its order.
    DamageBook(usize),
    /// Baton's password is another one.
    BarEngine,
    AdmitEngine,
    KillSentinel(usize),
    /// Those that are not running.
    StartSentinels,
    /// `SENTINEL SIMULATE-FAILURE`, to all that run.
    TellSentinels(&'static str),
}

/// What moves are done to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage<'a> {
    pub(super) lab: &'a Lab,
    pub(super) trader: &'a Trader,
    /// An instrument that the trader does not trade in.
    pub(super) still_book: &'a str,
}

impl Move {
    /// Does it.
    ///
    /// # Errors
    /// When a server does not do as it is told.
    pub(super) fn perform(&self, stage: Stage<'_>) -> Result<()> {
        stage.perform(self).with_context(|| format!("{self:?}"))
    }
}

impl<'a> Stage<'a> {
    fn perform(self, what: &Move) -> Result<()> {
        let node = |number: &usize| &self.lab.data()[*number];
        match what {
            Move::Nothing => Ok(()),
            Move::Kill(it) => node(it).kill(),
            Move::Start(it) => start(node(it)),
            Move::Stop(it) => node(it).stop(),
            Move::Continue(it) => node(it).cont(),
            Move::Empty(it) => empty(node(it)),
            Move::Cut(one, others) => self.island()?.cut(self.berth(*one)?, &self.all(others)?),
            Move::Heal(one, others) => self.island()?.heal(self.berth(*one)?, &self.all(others)?),
            Move::FailSaves(it) => fail_saves(node(it)),
            Move::MendSaves(it) => mend_saves(node(it)),
            Move::RunScript(it) => {
                run_script(node(it));
                Ok(())
            }
            // Sentinels may have ended it: then nothing runs.
            Move::EndScript(it) => {
                let _no_script = query::ask::<String>(node(it), &["SCRIPT", "KILL"]);
                wait_until("it answers again", DONE_WITHIN, || query::role(node(it)).is_some())
            }
            Move::RefuseCopies(it) => tell(node(it), "ACL SETUSER default -psync -sync"),
            Move::LetCopy(it) => tell(node(it), "ACL SETUSER default +psync +sync"),
            Move::EndLink(_, replica) => tell(node(replica), "CLIENT KILL TYPE master"),
            Move::Estrange(replica, master) => estrange(node(replica), node(master)),
            Move::Prefer(it) => tell(node(it), "CONFIG SET replica-priority 1"),
            Move::WriteOn(count) => {
                let before = self.trader.acked();
                wait_until("the trader writes on", DONE_WITHIN, || {
                    self.trader.acked() >= before + count
                })
            }
            Move::DamageBook(it) => damage(node(it), self.still_book),
            Move::BarEngine => self.each_node("resetpass >another"),
            Move::AdmitEngine => self.each_node(&format!("resetpass >{PASSWORD}")),
            Move::KillSentinel(it) => self.lab.sentinels()[*it].kill(),
            Move::StartSentinels => {
                let gone = self.lab.sentinels().iter().filter(|it| !it.running());
                gone.into_iter().try_for_each(Node::restart)
            }
            Move::TellSentinels(how) => {
                let mut there = self.lab.sentinels().iter().filter(|it| it.running());
                there.try_for_each(|it| tell(it, &format!("SENTINEL SIMULATE-FAILURE {how}")))
            }
        }
    }

    fn island(self) -> Result<&'a Island> {
        self.lab.island().context("this scene has no links to cut")
    }

    fn berth(self, part: Part) -> Result<Berth> {
        match part {
            Part::Data(it) => Ok(self.lab.data_berth(it)),
            Part::Sentinel(it) => Ok(self.lab.sentinel_berth(it)),
            Part::Engine => Ok(self.lab.spare_berth()),
            Part::Book => anyhow::bail!("an order book is on no machine"),
        }
    }

    fn all(self, parts: &[Part]) -> Result<Vec<Berth>> {
        parts.iter().map(|it| self.berth(*it)).collect()
    }

    /// Changes Baton's user on every data node that answers, and ends its connections.
    fn each_node(self, change: &str) -> Result<()> {
        for node in self.lab.data().iter().filter(|it| query::role(it).is_some()) {
            tell(node, &format!("ACL SETUSER {LOGIN} {change}"))?;
            tell(node, &format!("CLIENT KILL USER {LOGIN}"))?;
        }
        Ok(())
    }
}

/// Sends a command that must be answered well, sooner or later.
fn tell(node: &Node, command: &str) -> Result<()> {
    let words: Vec<&str> = command.split(' ').collect();
    let mut last = None;
    let done =
        wait_until("it is done", DONE_WITHIN, || match query::ask::<redis::Value>(node, &words) {
            Ok(_) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        });
    done.with_context(|| format!("{last:#?}"))
}

fn start(node: &Node) -> Result<()> {
    // One that never went is as good.
    if node.running() { Ok(()) } else { node.restart() }
}

fn empty(node: &Node) -> Result<()> {
    for name in ["appendonlydir", "dump.rdb"] {
        let path = node.folder().join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if path.exists() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A folder stands where the file of a save has to go: the save fails as on a full disk.
fn fail_saves(node: &Node) -> Result<()> {
    fs::create_dir_all(node.folder().join("dump.rdb/in-the-way"))?;
    query::ask::<String>(node, &["CONFIG", "SET", "save", SAVE_POINTS])?;
    query::ask::<String>(node, &["BGSAVE"])?;
    wait_until("a save has failed", DONE_WITHIN, || saves(node) == "err")
}

fn mend_saves(node: &Node) -> Result<()> {
    fs::remove_dir_all(node.folder().join("dump.rdb"))?;
    wait_until("a save succeeds", DONE_WITHIN, || {
        // Refused while one is under way.
        let _begun = query::ask::<String>(node, &["BGSAVE"]);
        saves(node) == "ok"
    })?;
    query::ask::<String>(node, &["CONFIG", "SET", "save", ""]).map(drop)
}

fn saves(node: &Node) -> String {
    query::info(node, "persistence").remove("rdb_last_bgsave_status").unwrap_or_default()
}

fn run_script(node: &Node) {
    let address = node.address();
    thread::spawn(move || {
        // It is never answered; that is the point.
        let _unanswered = query::connect(&address, None).map(|mut connection| {
            let script = redis::cmd("EVAL").arg("while true do end").arg(0).to_owned();
            script.query::<redis::Value>(&mut connection)
        });
    });
}

fn estrange(replica: &Node, master: &Node) -> Result<()> {
    tell(replica, "REPLICAOF NO ONE")?;
    let mut connection = query::connect(&replica.address(), None)?;
    let value = "y".repeat(OWN_BYTES);
    for key in 0..OWN_KEYS {
        redis::cmd("SET").arg(format!("own:{key}")).arg(&value).exec(&mut connection)?;
    }
    tell(replica, &format!("REPLICAOF {} {}", master.ip(), master.port()))?;
    ensure!(!query::in_sync(replica), "{} has copied its master", replica.name());
    Ok(())
}

/// Moves one order to another price without its book knowing.
fn damage(node: &Node, isin: &str) -> Result<()> {
    let side = books::side_key(isin, Side::Bid);
    let orders: Vec<String> = query::ask(node, &["ZRANGE", &side, "0", "0"])?;
    let order = orders.first().context("a book without orders")?;
    query::ask::<String>(node, &["ZINCRBY", &side, "0.5", order]).map(drop)
}
