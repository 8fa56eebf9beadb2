//! Refused for every reason there is, and all of them at once.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError};
use baton_plugin::testing::{FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};

/// A well cluster, with what a master says of its replicas; and one lie.
#[derive(Clone)]
struct Well {
    sim: Sim,
    line: &'static str,
    backlog: &'static str,
    persistence: &'static str,
    quorum: Option<&'static str>,
    rate: i64,
}

impl Well {
    fn new() -> Self {
        Self {
            sim: Sim::bondx(),
            line: "state=online,offset=1000,lag=0",
            backlog: "1048576",
            persistence: "",
            quorum: None,
            rate: 0,
        }
    }

    fn ask(&self, target: Option<&str>) -> Result<Output, Fault> {
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, self.clone());
        let input = Input { cluster: "bondx".into(), target: target.map(str::to_owned) };
        SwitchoverPlan::run(input, &mut host)
    }

    fn refused(&self) -> String {
        let fault = self.ask(None).unwrap_err();
        assert_eq!(fault.code, "not-ready", "{}", fault.message);
        fault.message
    }
}

impl Responder for Well {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let words = command.join(" ");
        if words == "SENTINEL CKQUORUM bondx-master"
            && self.sim.respond(address, command, now_ms).is_ok()
        {
            return Ok(match self.quorum {
                Some(error) => Value::Error(error.into()),
                None => Value::Simple("OK 3 usable Sentinels".into()),
            });
        }
        if words == "INFO persistence" && !self.persistence.is_empty() && address == DATA[0] {
            return Ok(Value::from(self.persistence));
        }
        let reply = self.sim.respond(address, command, now_ms)?;
        if words != "INFO replication" || address != DATA[0] {
            return Ok(reply);
        }
        self.sim.node(0, |it| it.offset += self.rate);
        let text = reply.text().unwrap_or_default().into_owned();
        let lines: Vec<String> = [7002, 7003]
            .iter()
            .zip(0..)
            .map(|(port, at)| format!("slave{at}:ip=127.0.0.1,port={port},{}\r\n", self.line))
            .collect();
        let all = format!("{text}{}repl_backlog_size:{}\r\n", lines.concat(), self.backlog);
        Ok(Value::from(all.as_str()))
    }
}

#[test]
fn a_well_cluster_is_ready_and_the_best_replica_chosen() {
    let plan = Well::new().ask(None).unwrap();
    assert_eq!((plan.master.as_str(), plan.target.as_str()), (DATA[0], DATA[1]));
    assert_eq!(plan.target_run_id, format!("run-{}", DATA[1]));
    assert!(plan.checks.iter().all(|it| it.ok));
    let well = Well::new();
    well.sim.node(2, |it| it.priority = 10);
    assert_eq!(well.ask(None).unwrap().target, DATA[2]);
    assert_eq!(Well::new().ask(Some(DATA[2])).unwrap().target, DATA[2]);
}

#[test]
fn a_target_that_cannot_be_is_refused() {
    assert_eq!(Well::new().ask(Some(DATA[0])).unwrap_err().code, "already-master");
    assert_eq!(Well::new().ask(Some("127.0.0.1:9")).unwrap_err().code, "no-such-node");
    let well = Well::new();
    well.sim.node(1, |it| it.priority = 0);
    assert!(well.ask(Some(DATA[1])).unwrap_err().message.contains("priority 0"));
    let well = Well::new();
    well.sim.node(1, |it| it.version = "7.0.9".into());
    assert!(well.ask(Some(DATA[1])).unwrap_err().message.contains("older Redis"));
    for (gate, why) in [(100, "is fenced"), (3, "wants 3 replicas")] {
        let well = Well::new();
        well.sim.node(1, |it| it.min_replicas = gate);
        let message = well.ask(Some(DATA[1])).unwrap_err().message;
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn nodes_that_are_not_well_refuse_it() {
    let well = Well::new();
    well.sim.node(2, |it| it.down = Some(ErrorKind::Refused));
    assert!(well.refused().contains("7003 does not answer"));
    let well = Well::new();
    well.sim.node(2, |it| it.syncing = true);
    assert!(well.refused().contains("full copy"));
    let well = Well::new();
    well.sim.node(2, |it| it.replid = "b".repeat(40));
    assert!(well.refused().contains("another history"));
    let well = Well::new();
    well.sim.host().call_as_test(DATA[2], "REPLICAOF NO ONE");
    assert!(well.refused().contains("all say that they are master"));
}

#[test]
fn sentinels_that_do_not_agree_refuse_it() {
    type Change = fn(&mut baton_topology::testing::SimSentinel);
    let changes: [(Change, &str); 4] = [
        (|it| it.master = DATA[1].into(), "names 127.0.0.1:7002"),
        (|it| it.config_epoch = 4, "different epochs: [0, 4]"),
        (|it| it.flags = "master,failover_in_progress".into(), "failover in progress"),
        (|it| it.down = Some(ErrorKind::Refused), "7101: refused"),
    ];
    for (change, why) in changes {
        let well = Well::new();
        well.sim.sentinel(0, change);
        let message = well.refused();
        assert!(message.contains(why), "{message}");
    }
    let well = Well { quorum: Some("NOQUORUM 1 usable Sentinels"), ..Well::new() };
    assert!(well.refused().contains("NOQUORUM"));
}

#[test]
fn replicas_that_are_late_a_fork_and_a_small_backlog_refuse_it() {
    let lines = [
        ("state=wait_bgsave,offset=1000,lag=0", "wait_bgsave"),
        ("state=online,offset=1000,lag=7", "7 s ago"),
        ("state=online,offset=-2000000,lag=0", "bytes behind"),
        ("nonsense", "does not list"),
    ];
    for (line, why) in lines {
        let message = Well { line, ..Well::new() }.refused();
        assert!(message.contains(why), "{message}");
    }
    let saving = "loading:0\r\nrdb_bgsave_in_progress:1\r\n";
    assert!(Well { persistence: saving, ..Well::new() }.refused().contains("BGSAVE under way"));
    let busy = Well { rate: 20_000, ..Well::new() };
    assert!(busy.refused().contains("CONFIG SET repl-backlog-size"));
}
