//! Handed over at the right moment, and from wherever it was cut off.

use super::*;
use baton_plugin::redis::{RedisError, Value};
use baton_plugin::testing::{CRASH, FakeCluster, Responder};
use baton_topology::testing::{DATA, HISTORY, SENTINELS, Sim};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// When the replica acknowledges, ms past the full second.
const PHASE_MS: u64 = 137;

/// A master that is written to, a replica that acknowledges once a second, and the
/// server's own failover between them.
#[derive(Clone)]
struct Paced(Rc<RefCell<World>>);

struct World {
    sim: Sim,
    now_ms: u64,
    /// Bytes a millisecond.
    rate: i64,
    acknowledged: i64,
    /// Since when a failover waits.
    waiting_ms: Option<u64>,
    /// How long writes stopped, each time.
    pauses_ms: Vec<u64>,
    /// Acknowledgements that do not come, of those that are waited for.
    deaf: u32,
    /// Acknowledgements come at any time.
    wild: bool,
}

impl Paced {
    fn new(rate: i64) -> Self {
        let sim = Sim::bondx();
        let now_ms = sim.host().now_ms;
        Self(Rc::new(RefCell::new(World {
            sim,
            now_ms,
            rate,
            acknowledged: 1000,
            waiting_ms: None,
            pauses_ms: Vec::new(),
            deaf: 0,
            wild: false,
        })))
    }

    fn sim(&self) -> Sim {
        self.0.borrow().sim.clone()
    }

    fn host(&self) -> FakeCluster<Self> {
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, self.clone());
        host.now_ms = self.0.borrow().now_ms;
        host
    }
}

impl World {
    /// Lets time pass, a millisecond at a time.
    fn advance(&mut self, to_ms: u64) {
        while self.now_ms < to_ms {
            self.now_ms += 1;
            let is_master = self.sim.node(0, |it| it.follows.is_none());
            if is_master && self.waiting_ms.is_none() {
                self.sim.node(0, |it| it.offset += self.rate);
                let offset = self.sim.node(0, |it| it.offset);
                (1..3).for_each(|at| self.sim.node(at, |it| it.offset = offset));
            }
            let every = if self.wild { 411 } else { 1000 };
            if self.now_ms % every == PHASE_MS {
                self.acknowledge();
            }
        }
    }

    fn acknowledge(&mut self) {
        if self.waiting_ms.is_some() && self.deaf > 0 {
            self.deaf -= 1;
            return;
        }
        self.acknowledged = self.sim.node(0, |it| it.offset);
        if let Some(since_ms) = self.waiting_ms.take() {
            self.pauses_ms.push(self.now_ms - since_ms);
            self.sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
            self.sim.host().call_as_test(DATA[0], "REPLICAOF 127.0.0.1 7002");
        }
    }
}

impl Responder for Paced {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let mut world = self.0.borrow_mut();
        world.advance(now_ms);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let is_master = address == DATA[0] && world.sim.node(0, |it| it.follows.is_none());
        let ok = Value::Simple("OK".into());
        Ok(match words[..] {
            ["FAILOVER", "TO", ..] if !is_master => {
                Value::Error("ERR FAILOVER is not valid when server is a replica.".into())
            }
            ["FAILOVER", "TO", "127.0.0.1", "7002", "TIMEOUT", _] => {
                world.waiting_ms = Some(now_ms);
                let (offset, idle) = (world.sim.node(0, |it| it.offset), world.acknowledged);
                if offset == idle {
                    world.acknowledge();
                }
                ok
            }
            ["FAILOVER", "ABORT"] => match world.waiting_ms.take() {
                Some(since_ms) => {
                    world.pauses_ms.push(now_ms - since_ms);
                    ok
                }
                None => Value::Error("ERR No failover in progress.".into()),
            },
            ["INFO", "replication"] if is_master => {
                let sim = world.sim.clone();
                let text = sim.clone().respond(address, command, now_ms)?;
                let waiting = world.waiting_ms.is_some();
                let state = if waiting { "waiting-for-sync" } else { "no-failover" };
                let text = format!(
                    "{}slave0:ip=127.0.0.1,port=7002,state=online,offset={},lag=0\r\nmaster_failover_state:{state}\r\n",
                    text.text().unwrap_or_default(),
                    world.acknowledged
                );
                Value::from(text.as_str())
            }
            _ => return world.sim.clone().respond(address, command, now_ms),
        })
    }
}

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        master: DATA[0].into(),
        run_id: format!("run-{}", DATA[0]),
        replid: HISTORY.into(),
        min_replicas: 0,
        target: DATA[1].into(),
        target_run_id: format!("run-{}", DATA[1]),
        handover_ms: None,
    }
}

fn switched(paced: &Paced) {
    let sim = paced.sim();
    let follows: Vec<Option<String>> =
        (0..3).map(|at| sim.node(at, |it| it.follows.clone())).collect();
    assert_eq!(follows, [Some(DATA[1].into()), None, Some(DATA[1].into())]);
    for at in 0..3 {
        assert_eq!(sim.sentinel(at, |it| it.master.clone()), DATA[1]);
    }
}

#[test]
fn it_is_begun_just_before_the_acknowledgement_and_sentinels_are_told_at_once() {
    let paced = Paced::new(40);
    let mut host = paced.host();
    let output = Switchover::run(input(), &mut host).unwrap();
    switched(&paced);
    assert_eq!((output.master.as_str(), output.tries), (DATA[1], 1));
    let pauses = paced.0.borrow().pauses_ms.clone();
    assert!(pauses.len() == 1 && pauses[0] <= 12, "{pauses:?}");
    assert!(output.handover_ms.unwrap() <= 14, "{output:?}");
    assert_eq!(host.count_sent("CLIENT KILL TYPE normal"), 1);
    assert!(output.sentinels.iter().all(|it| it.adopted));
}

#[test]
fn where_nothing_is_written_any_moment_will_do() {
    let paced = Paced::new(0);
    let output = Switchover::run(input(), &mut paced.host()).unwrap();
    switched(&paced);
    assert_eq!((output.tries, output.handover_ms), (1, Some(0)));
}

#[test]
fn a_missed_acknowledgement_is_given_up_at_once_and_the_next_one_taken() {
    let paced = Paced::new(40);
    paced.0.borrow_mut().deaf = 2;
    let output = Switchover::run(input(), &mut paced.host()).unwrap();
    switched(&paced);
    let pauses = paced.0.borrow().pauses_ms.clone();
    assert_eq!((output.tries, pauses.len()), (3, 3));
    assert!(pauses.iter().all(|it| *it <= 34), "{pauses:?}");
}

#[test]
fn without_a_rhythm_it_is_let_run_as_long_as_it_takes() {
    let paced = Paced::new(40);
    paced.0.borrow_mut().wild = true;
    let output = Switchover::run(input(), &mut paced.host()).unwrap();
    switched(&paced);
    assert_eq!(output.tries, 1);
}

#[test]
fn it_converges_when_cut_off_after_every_command() {
    let clean = Paced::new(40);
    let mut whole = clean.host();
    Switchover::run(input(), &mut whole).unwrap();
    let last = whole.sent.len();
    let first = whole.sent.iter().position(|it| it.contains("CONFIG SET")).unwrap();
    let fired = whole.sent.iter().position(|it| it.contains("FAILOVER TO")).unwrap();
    // Before it is fired there are hundreds of looks, each like the other.
    for commands in (0..first + 8).step_by(7).chain(fired - 2..last) {
        let paced = Paced::new(40);
        let mut host = paced.host();
        host.crash_after = Some(commands);
        let crash = catch_unwind(AssertUnwindSafe(|| Switchover::run(input(), &mut host)));
        assert!(crash.unwrap_err().downcast::<String>().unwrap().contains(CRASH));
        let output = Switchover::run(input(), &mut paced.host())
            .unwrap_or_else(|fault| panic!("cut off after {commands}: {fault:?}"));
        switched(&paced);
        assert_eq!(output.epoch, 100, "the epoch is not raised twice");
    }
}

#[test]
fn what_changed_since_it_was_planned_stops_it() {
    type Change = fn(&Sim);
    let changes: [(Change, &str); 5] = [
        (|sim| sim.node(0, |it| it.run_id = "another".into()), "changed"),
        (|sim| sim.node(1, |it| it.run_id = "another".into()), "changed"),
        (|sim| sim.node(1, |it| it.link = Some(false)), "target-lost"),
        (|sim| sim.sentinel(0, |it| it.flags = "master,failover_in_progress".into()), "changed"),
        (
            |sim| {
                sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
            },
            "split-brain",
        ),
    ];
    for (change, code) in changes {
        let paced = Paced::new(0);
        change(&paced.sim());
        let mut host = paced.host();
        assert_eq!(Switchover::run(input(), &mut host).unwrap_err().code, code);
        assert_eq!(host.count_sent("FAILOVER TO"), 0);
    }
}

#[test]
fn writes_never_stop_for_as_long_as_sentinel_waits() {
    let long = Input { handover_ms: Some(5000), ..input() };
    let mut host = Paced::new(0).host();
    assert_eq!(Switchover::run(long, &mut host).unwrap_err().code, "too-long");
    host.cluster.mode = Mode::Observe;
    assert_eq!(Switchover::run(input(), &mut host).unwrap_err().code, "observe-mode");
    assert!(host.sent.is_empty());
}
