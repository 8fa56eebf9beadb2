//! What an old master alone wrote is listed key by key once it is back, and no other key
//! is. Real servers: the master is cut off from its replicas, writes on, and is replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_lab::crash::failover::Begun;
use baton_lab::{Options, query, wait_until};
use serde_json::{Value, json};

use crate::takeover::Scene;

const SOON: Duration = Duration::from_secs(40);

/// How Redis's log calls who asks for its stream without saying where it listens.
const READER: &str = "<unknown-replica-port> asks for synchronization";

/// Sentinels see that it hangs and cannot agree: one of three is away.
fn options(lines: &[&str]) -> Options {
    Options {
        quorum: 3,
        down_after_ms: 1_000,
        failover_timeout_ms: 3_000,
        data_lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..Options::bondx()
    }
}

/// Of a command as it stands in a replication stream.
fn size(words: &[&str]) -> u64 {
    let word = |it: &&str| 5 + it.len().to_string().len() + it.len();
    let head = 3 + words.len().to_string().len();
    (head + words.iter().map(word).sum::<usize>()) as u64
}

/// The replicas hang and their links are cut, so that nothing of what follows is on its
/// way to them: `commands` are then written to the master alone. Gives what they take in
/// its stream, bytes.
fn write_alone(scene: &Scene, commands: &[Vec<&str>]) -> u64 {
    let reached: u64 = query::ask(scene.data(0), &["WAIT", "2", "5000"]).unwrap();
    assert_eq!(reached, 2);
    for replica in [1, 2] {
        scene.data(replica).stop().unwrap();
    }
    let cut: u64 = query::ask(scene.data(0), &["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    assert_eq!(cut, 2);
    for command in commands {
        query::ask::<redis::Value>(scene.data(0), command).unwrap();
    }
    commands.iter().map(|words| size(words)).sum()
}

/// The master hangs, a replica takes over, the master wakes: the end of the run that has
/// waited for it.
fn replaced(scene: &mut Scene) -> Value {
    scene.data(0).stop().unwrap();
    for replica in [1, 2] {
        scene.data(replica).cont().unwrap();
    }
    let failover = scene.latest("redis-failover");
    let failover = scene.end_of(&failover);
    assert_ne!(failover["output"]["verdict"], "no failover", "{failover:#}");
    scene.lab.sentinels()[2].start().unwrap();
    let master = failover["output"]["master"].as_str().unwrap().to_owned();
    wait_until("every Sentinel names the new master", SOON, || {
        scene.lab.agreed_master().as_deref() == Some(&master)
    })
    .unwrap();
    scene.data(0).cont().unwrap();
    let debt = failover["output"]["old_master_run"].as_str().unwrap().to_owned();
    let debt = scene.end_of(&debt);
    assert!(query::in_sync(scene.data(0)));
    debt
}

fn scene(lines: &[&str]) -> Scene {
    // What is lost here is more than a cluster allows by itself.
    let mut scene = Scene::prepared(options(lines), Begun::ByAll, [], |folder| {
        let file = folder.join("baton.toml");
        let text = std::fs::read_to_string(&file).unwrap() + "max_lost_bytes = 1000000\n";
        std::fs::write(&file, text).unwrap();
    });
    scene.lab.sentinels()[2].kill().unwrap();
    look(&mut scene);
    scene
}

/// The engine has seen how far everybody is.
fn look(scene: &mut Scene) {
    let seen = scene.begin("detect-redis", &json!({}));
    scene.end_of(&seen);
}

fn names(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|it| it.as_str().or(it["key"].as_str()).unwrap().to_owned()).collect()
}

fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|it| it["name"] == name).unwrap()
}

#[test]
fn exactly_what_the_old_master_alone_wrote_is_listed_and_counted() {
    let mut scene = scene(&[]);
    query::ask::<String>(scene.data(0), &["SET", "shared", "1"]).unwrap();
    let numbers: Vec<String> = (0..40).map(|number| format!("lost:{number}")).collect();
    let mut commands: Vec<Vec<&str>> =
        numbers.iter().map(|key| vec!["SET", key, "a-value"]).collect();
    commands.push(vec!["RPUSH", "lost:list", "a", "b"]);
    commands.push(vec!["SET", "lost:0", "again"]);
    commands.push(vec!["DEL", "shared"]);
    let bytes = write_alone(&scene, &commands);
    let debt = replaced(&mut scene);

    let lost = &step(&debt, "lost")["output"];
    assert_eq!(lost["evidence"], "complete", "{debt:#}");
    let mut expected: BTreeSet<String> = numbers.iter().cloned().collect();
    expected.extend(["lost:list".to_owned(), "shared".to_owned()]);
    assert_eq!(names(&lost["keys"]), expected);
    assert_eq!(names(&debt["output"]["lost"]["keys"]), expected);
    assert_eq!((&lost["writes"], &lost["write_bytes"]), (&json!(43), &json!(bytes)));
    assert_eq!(lost["keys_total"], 42);
    let all = lost["lost_bytes"].as_u64().unwrap();
    // Heartbeats, SELECT and what Sentinels say to each other through it.
    assert_eq!(lost["idle_bytes"].as_u64().unwrap() + bytes, all, "{lost:#}");
    assert_eq!(debt["output"]["lost"]["bytes"], all);
    assert_eq!(debt["output"]["verdict"], "pass with declared loss");
    let first = lost["keys"].as_array().unwrap().iter().find(|it| it["key"] == "lost:0").unwrap();
    assert_eq!((&first["writes"], &first["last"]), (&json!(2), &json!("SET lost:0 again")));
    assert_eq!(first["database"], 0);
    let report = step(&debt, "report")["output"]["markdown"].as_str().unwrap();
    assert!(report.contains("| 0 | lost:0 | 2 | SET lost:0 again |"), "{report}");
    // Nobody took the reader of the stream for a replica.
    let name = &scene.lab.options().master_name;
    for sentinel in scene.lab.sentinels() {
        let replicas = query::sentinel_replicas(sentinel, name);
        assert!(replicas.iter().all(|it| it["port"] != "0"), "{replicas:?}");
    }
    let log = scene.data(0).log().unwrap();
    assert!(log.contains(READER), "{log}");
}

#[test]
fn a_backlog_that_is_too_short_leaves_the_bytes_and_a_comparison() {
    let mut scene = scene(&["repl-backlog-size 16kb"]);
    let value = "v".repeat(1_000);
    let numbers: Vec<String> = (0..60).map(|number| format!("lost:{number}")).collect();
    let commands: Vec<Vec<&str>> = numbers.iter().map(|key| vec!["SET", key, &value]).collect();
    let bytes = write_alone(&scene, &commands);
    let debt = replaced(&mut scene);

    let lost = &step(&debt, "lost")["output"];
    assert_eq!((&lost["evidence"], &lost["exact"]), (&json!("gone"), &json!(true)), "{debt:#}");
    let all = lost["lost_bytes"].as_u64().unwrap();
    assert!(all >= bytes, "{all} bytes, {bytes} of writes");
    let reason = lost["reason"].as_str().unwrap();
    assert!(reason.contains("is not in it") && reason.contains("may lack keys"), "{reason}");
    let compared = names(&debt["output"]["lost"]["keys"]);
    assert!(numbers.iter().all(|key| compared.contains(key)), "{compared:?}");
    assert_eq!(debt["output"]["verdict"], "pass with declared loss");
    // No copy was made for a reader that came too late.
    let log = scene.data(0).log().unwrap();
    assert!(!log.contains(READER), "{log}");
}

#[test]
fn a_restarted_master_has_lost_the_evidence_and_that_is_said() {
    let mut scene = scene(&[]);
    let bytes = write_alone(&scene, &[vec!["SET", "lost", "1"]]);
    look(&mut scene);
    scene.data(0).stop().unwrap();
    for replica in [1, 2] {
        scene.data(replica).cont().unwrap();
    }
    let failover = scene.latest("redis-failover");
    let failover = scene.end_of(&failover);
    scene.lab.sentinels()[2].start().unwrap();
    scene.data(0).restart().unwrap();
    let debt = scene.end_of(failover["output"]["old_master_run"].as_str().unwrap());
    assert_eq!(debt["output"]["outcome"], "held", "{debt:#}");
    let lost = &step(&debt, "lost")["output"];
    assert_eq!((&lost["evidence"], &lost["exact"]), (&json!("gone"), &json!(false)), "{debt:#}");
    assert!(lost["lost_bytes"].as_u64().unwrap() >= bytes, "{lost:#}");
    let declared = debt["output"]["lost"]["declared"].as_str().unwrap();
    assert!(declared.starts_with("at least "), "{declared}");
    assert!(declared.ends_with("which writes is no longer known"), "{declared}");
    assert_eq!(debt["output"]["verdict"], "pass with declared loss");
}
