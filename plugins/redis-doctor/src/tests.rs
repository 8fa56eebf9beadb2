//! A well cluster has no finding; each thing that is wrong has its own.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};
use std::collections::BTreeMap;

/// A cluster that is well, but for what the test says of one member.
#[derive(Clone)]
struct Clinic {
    sim: Sim,
    /// By address (`*`: all) and name: settings, fields of INFO, fields of SENTINEL MASTER.
    said: BTreeMap<(&'static str, &'static str), &'static str>,
    quorum: Option<&'static str>,
    hello_ms: &'static str,
    known_replicas: Vec<&'static str>,
    skew_ms: i64,
    /// Bytes that the master writes between two looks.
    rate: i64,
}

const SETTINGS: [(&str, &str); 16] = [
    ("appendonly", "yes"),
    ("appendfsync", "everysec"),
    ("save", "3600 1"),
    ("min-replicas-to-write", "1"),
    ("min-replicas-max-lag", "3"),
    ("repl-backlog-size", "67108864"),
    ("repl-timeout", "10"),
    ("repl-ping-replica-period", "1"),
    ("replica-priority", "100"),
    ("replica-read-only", "yes"),
    ("replica-serve-stale-data", "yes"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("latency-monitor-threshold", "100"),
    ("masterauth", "(redacted)"),
    ("requirepass", "(redacted)"),
];

fn clinic() -> Clinic {
    Clinic {
        sim: Sim::bondx(),
        said: BTreeMap::new(),
        quorum: None,
        hello_ms: "900",
        known_replicas: vec![DATA[1], DATA[2]],
        skew_ms: 3,
        rate: 0,
    }
}

impl Clinic {
    fn say(mut self, address: &'static str, name: &'static str, value: &'static str) -> Self {
        self.said.insert((address, name), value);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn told(&self, address: &str, name: &str) -> Option<&'static str> {
        let found =
            self.said.iter().find(|((of, it), _)| (*of == "*" || *of == address) && *it == name);
        found.map(|(_, value)| *value)
    }

    fn examine(&self) -> Output {
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, self.clone());
        RedisDoctor::run(Input { cluster: "bondx".into() }, &mut host).expect("examined")
    }

    /// What is found, `code@subject`.
    fn found(&self) -> Vec<String> {
        let findings = self.examine().findings;
        findings.iter().map(|it| format!("{}@{}", it.code, it.subject)).collect()
    }
}

fn texts(words: &[&str]) -> Value {
    Value::List(words.iter().map(|word| Value::from(*word)).collect())
}

impl Responder for Clinic {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = self.sim.respond(address, &["PING".to_owned()], now_ms);
        if let (Err(error), true) = (answer, DATA.contains(&address)) {
            return Err(error);
        }
        Ok(match words[..] {
            ["CONFIG", "GET", ..] => {
                let value = |(name, usual)| [name, self.told(address, name).unwrap_or(usual)];
                texts(&SETTINGS.map(value).concat())
            }
            ["TIME"] => {
                let at = i64::try_from(now_ms).expect("a time") + self.skew_ms;
                texts(&[&(at / 1000).to_string(), &(at % 1000 * 1000).to_string()])
            }
            ["INFO", "memory"] => Value::from("used_memory:900\r\n"),
            ["INFO", "stats"] => Value::from(""),
            ["SENTINEL", "CKQUORUM", _] => match self.quorum {
                Some(error) => Value::Error(error.into()),
                None => Value::Simple("OK 3 usable Sentinels".into()),
            },
            ["SENTINEL", "REPLICAS", _] => {
                let replica = |it: &&str| {
                    let (ip, port) = it.split_once(':').expect("host:port");
                    texts(&["ip", ip, "port", port])
                };
                Value::List(self.known_replicas.iter().map(replica).collect())
            }
            ["SENTINEL", "MASTER", _] => {
                let reply = self.sim.respond(address, command, now_ms)?;
                let own = [
                    "num-other-sentinels",
                    "down-after-milliseconds",
                    "failover-timeout",
                    "quorum",
                ];
                let mut items: Vec<Value> = reply.items().to_vec();
                for (name, usual) in own.into_iter().zip(["2", "5000", "10000", "2"]) {
                    items.push(name.into());
                    items.push(self.told(address, name).unwrap_or(usual).into());
                }
                Value::List(items)
            }
            ["SENTINEL", "SENTINELS", _] => {
                let reply = self.sim.respond(address, command, now_ms)?;
                let with_hello = |peer: &Value| {
                    let hello = ["last-hello-message".into(), self.hello_ms.into()];
                    Value::List(peer.items().iter().cloned().chain(hello).collect())
                };
                Value::List(reply.items().iter().map(with_hello).collect())
            }
            ["INFO", section] => {
                let reply = self.sim.respond(address, command, now_ms)?;
                let text = reply.text().unwrap_or_default().into_owned();
                if section == "replication" && address == DATA[0] {
                    self.sim.node(0, |it| it.offset += self.rate);
                }
                let name = match section {
                    "server" => "config_file",
                    "persistence" => "rdb_last_bgsave_status",
                    _ => "slave0",
                };
                let told = self
                    .told(address, name)
                    .filter(|_| ["server", "persistence", "replication"].contains(&section));
                let more = told.map_or(String::new(), |value| format!("{name}:{value}\r\n"));
                Value::from(format!("{text}{more}").as_str())
            }
            _ => self.sim.respond(address, command, now_ms)?,
        })
    }
}

#[test]
fn a_well_cluster_has_no_finding() {
    let output = clinic().examine();
    assert_eq!((output.verdict.as_str(), &output.findings[..]), ("well", &[][..]));
    assert!(output.looked_at > 60, "{} things were looked at", output.looked_at);
}

#[test]
fn each_thing_that_is_wrong_is_found_and_nothing_else() {
    let [a, b, _] = DATA;
    let one = SENTINELS[0];
    let cases: Vec<(Clinic, &[&str])> = vec![
        (clinic().say("*", "appendonly", "no"), &["snapshots-only"; 3]),
        (clinic().say("*", "appendonly", "no").say("*", "save", ""), &["no-persistence"; 3]),
        (clinic().say(a, "appendfsync", "no"), &["fsync-left-to-the-system"]),
        (clinic().say(a, "rdb_last_bgsave_status", "err"), &["last-save-failed"]),
        (clinic().say("*", "min-replicas-to-write", "0"), &["no-fence"; 3]),
        (clinic().say("*", "min-replicas-to-write", "2"), &["gate-too-high"; 3]),
        (clinic().say(a, "min-replicas-to-write", "100"), &["fenced-master"]),
        (clinic().say(b, "min-replicas-to-write", "100"), &["still-fenced"]),
        (clinic().say(b, "min-replicas-to-write", "0"), &["no-fence", "not-alike"]),
        (clinic().say(a, "min-replicas-max-lag", "60"), &["fence-too-slow"]),
        (clinic().say(a, "repl-backlog-size", "1048576"), &["backlog-default"]),
        (clinic().with(|it| it.rate = 2_000_000), &["backlog-too-small"; 3]),
        (clinic().say(a, "repl-timeout", "1"), &["timeout-below-ping"]),
        (clinic().say(a, "repl-timeout", "90"), &["links-kept-too-long"]),
        (clinic().say(b, "replica-read-only", "no"), &["writable-replica"]),
        (clinic().say(b, "replica-priority", "0"), &["never-promoted"]),
        (clinic().say("*", "maxmemory", "1000"), &["memory-short"; 3]),
        (
            clinic().say("*", "maxmemory", "10000").say("*", "maxmemory-policy", "allkeys-lru"),
            &["evicts"; 3],
        ),
        (clinic().say(a, "masterauth", ""), &["no-masterauth"]),
        (clinic().say(b, "config_file", ""), &["no-config-file"]),
        (
            clinic().say(a, "slave0", "ip=10.9.9.9,port=7,state=online,offset=1,lag=0"),
            &["unlisted-replica"],
        ),
        (clinic().with(|it| it.skew_ms = -5_000), &["clock"; 3]),
        (clinic().say(a, "latency-monitor-threshold", "0"), &["no-latency-monitor"]),
        (clinic().with(|it| it.quorum = Some("NOQUORUM 1 usable")), &["no-quorum"; 3]),
        (clinic().with(|it| it.hello_ms = "60000"), &["hello-silent"; 3]),
        (clinic().with(|it| it.known_replicas.push("10.9.9.9:1")), &["unknown-replicas"; 3]),
        (clinic().say(one, "num-other-sentinels", "3"), &["other-voters"]),
        (clinic().say(one, "down-after-milliseconds", "30000"), &["down-after-differs"]),
        (clinic().say(one, "quorum", "1"), &["sentinels-differ"]),
    ];
    for (clinic, expected) in cases {
        let found = clinic.found();
        let codes: Vec<&str> =
            found.iter().filter_map(|it| it.split_once('@')).map(|it| it.0).collect();
        assert_eq!(codes, expected, "{found:?}");
    }
}

#[test]
fn what_the_members_are_is_found() {
    type Case = (fn(&Sim), &'static str);
    let cases: [Case; 8] = [
        (|sim| sim.node(1, |it| it.down = Some(ErrorKind::Refused)), "no-answer@127.0.0.1:7002"),
        (|sim| sim.node(1, |it| it.follows = None), "two-masters@bondx"),
        (|sim| sim.node(0, |it| it.follows = Some(DATA[1].into())), "no-master@bondx"),
        (
            |sim| sim.node(2, |it| it.follows = Some(DATA[1].into())),
            "follows-another@127.0.0.1:7003",
        ),
        (|sim| sim.node(2, |it| it.link = Some(false)), "link-down@127.0.0.1:7003"),
        (|sim| sim.node(2, |it| it.version = "7.0.9".into()), "versions-differ@bondx"),
        (|sim| sim.sentinel(1, |it| it.master = DATA[2].into()), "names-another@127.0.0.1:7102"),
        (|sim| sim.sentinel(1, |it| it.config_epoch = 9), "epochs-differ@bondx"),
    ];
    for (change, expected) in cases {
        let clinic = clinic();
        change(&clinic.sim);
        let found = clinic.found();
        assert!(found.iter().any(|it| it == expected), "{expected}: {found:?}");
    }
}

#[test]
fn every_finding_says_why_and_what_to_do_and_the_worst_comes_first() {
    let ill = clinic()
        .say("*", "appendonly", "no")
        .say("*", "save", "")
        .say("*", "min-replicas-to-write", "0")
        .say("*", "latency-monitor-threshold", "0");
    let output = ill.examine();
    assert_eq!(output.verdict, "errors");
    assert!(output.findings.iter().all(|it| !it.why.is_empty() && !it.mend.is_empty()));
    assert!(output.findings.is_sorted_by_key(|it| it.severity));
    assert_eq!(output.table.rows.len(), output.findings.len());
}
