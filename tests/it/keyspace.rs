//! `verify-keyspace` on a real master and a real replica of it: what is the same passes
//! while clients write, what was damaged is named, and a crash costs nothing but time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use baton_lab::{Lab, Options, keys, query, wait_until};
use redis::{Commands as _, Connection};
use serde_json::Value;

use crate::house::{House, SOON, until, until_closed};

fn house() -> (Lab, House) {
    // Nobody fails over because a test's machine is slow.
    let lab = Lab::start(Options { down_after_ms: 60_000, ..Options::bondx() }).unwrap();
    let house = House::new(&[], &lab.cluster_toml("bondx", "lead"));
    house.bring("verify-keyspace");
    house.bring("require");
    house.bring_workflow("verify-keyspace");
    (lab, house)
}

fn connect(lab: &Lab, node: usize) -> Connection {
    query::connect(&lab.data()[node].address(), None).unwrap()
}

/// Waits until both replicas have all that the master has now.
fn caught_up(lab: &Lab) {
    let mut master = connect(lab, 0);
    master.set::<_, _, ()>("caught:up", 1).unwrap();
    let reached = || redis::cmd("WAIT").arg(2).arg(1000).query::<u32>(&mut master).unwrap() == 2;
    wait_until("both replicas have caught up", SOON, reached).unwrap();
}

/// Runs the workflow on the first replica and gives its output: the run fails if, and only
/// if, the verdict is a failure.
fn compare(lab: &Lab, house: &House, params: &[&str]) -> Value {
    compare_with(lab, 1, house, params)
}

fn compare_with(lab: &Lab, node: usize, house: &House, params: &[&str]) -> Value {
    let file = house.workflow("verify-keyspace");
    let right = format!("right={}", lab.data()[node].address());
    let mut arguments = vec!["run", file.to_str().unwrap(), "--output", "json", "--param", &right];
    arguments.extend(params.iter().flat_map(|it| ["--param", it]));
    let output = house.baton(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let run: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let verdict = if output.status.success() { "pass" } else { "fail" };
    assert_eq!(run["output"]["verdict"], verdict, "{errors}{run}");
    run["output"].clone()
}

/// `what key` of each finding.
fn named(output: &Value) -> BTreeSet<String> {
    let findings = output["findings"].as_array().unwrap();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    findings.iter().map(|it| format!("{} {}", text(it, "what"), text(it, "key"))).collect()
}

/// Clients that write as fast as they can: busy keys, keys that expire at once, and keys
/// that come and go.
fn busy(lab: &Lab) -> (Arc<AtomicBool>, Vec<thread::JoinHandle<u64>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let write = |client: u64| {
        let (stop, mut connection) = (Arc::clone(&stop), connect(lab, 0));
        thread::spawn(move || {
            let mut writes = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut pipeline = redis::pipe();
                pipeline.incr(format!("busy:{client}"), 1).ignore();
                pipeline.lpush(format!("queue:{client}"), writes).ignore();
                pipeline.ltrim(format!("queue:{client}"), 0, 9).ignore();
                pipeline.hset(format!("hash:{}", 10 + writes % 5), "field0", writes).ignore();
                pipeline.pset_ex(format!("gone:{client}:{}", writes % 50), writes, 20).ignore();
                pipeline.set(format!("new:{client}:{}", writes % 1000), writes).ignore();
                pipeline.del(format!("new:{client}:{}", (writes + 500) % 1000)).ignore();
                pipeline.exec(&mut connection).unwrap();
                writes += 1;
            }
            writes
        })
    };
    let clients = (0..2).map(write).collect();
    (stop, clients)
}

#[test]
fn a_replica_that_is_well_passes_while_clients_write() {
    let (lab, house) = house();
    keys::fill(&mut connect(&lab, 0), 20_000, 1).unwrap();
    caught_up(&lab);
    let (stop, clients) = busy(&lab);
    let full = compare(&lab, &house, &["keys_per_second=0"]);
    let sample = compare(&lab, &house, &["mode=sample", "sample_keys=1000"]);
    stop.store(true, Ordering::Relaxed);
    let writes: u64 = clients.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(writes > 100, "the clients wrote only {writes} times");
    assert_eq!(full["verdict"], "pass", "{full}");
    assert!(full["keys"].as_u64().unwrap() >= 20_000, "{full}");
    assert_eq!(sample["verdict"], "pass", "{sample}");
    assert!(sample["corrupt_percent_max"].as_f64().unwrap() < 1.0, "{sample}");
}

#[test]
fn what_was_damaged_is_named_and_nothing_else() {
    let (lab, house) = house();
    let mut master = connect(&lab, 0);
    keys::fill(&mut master, 5_000, 2).unwrap();
    redis::cmd("SETRANGE").arg("large").arg(5_000_000).arg("end").query::<()>(&mut master).unwrap();
    caught_up(&lab);
    let mut replica = connect(&lab, 1);
    let say = |connection: &mut Connection, line: &str| {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query::<redis::Value>(connection).unwrap();
    };
    say(&mut replica, "CONFIG SET replica-read-only no");
    for line in [
        "DEL string:1",
        "SET string:2 x",
        "SETRANGE large 2500000 y",
        "HSET hash:11 field3 x",
        "LSET list:15 3 x",
        "SADD set:16 x",
        "ZADD zset:17 99 x",
        "XADD stream:18 9-9 a b",
        "PERSIST expiring:19",
        "DEL string:3",
        "SADD string:3 x",
        "SET extra x",
    ] {
        say(&mut replica, line);
    }
    let output = compare(&lab, &house, &[]);
    let expected = [
        "missing string:1",
        "value string:2",
        "value large",
        "value hash:11",
        "value list:15",
        "value set:16",
        "value zset:17",
        "value stream:18",
        "expiry expiring:19",
        "type string:3",
        "extra extra",
    ];
    assert_eq!(named(&output), expected.map(str::to_owned).into());
    let counts = ["missing", "extra", "different", "expiry"].map(|name| output[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(8), Some(1)], "{output}");
    let keys = output["keys"].as_u64().unwrap();
    assert!((5_002..5_100).contains(&keys), "16 slices of 5002 keys are {keys}");
    // The other replica has all of it.
    assert_eq!(compare_with(&lab, 2, &house, &[])["verdict"], "pass");
}

#[test]
fn a_fingerprint_tells_later_what_is_no_longer_so() {
    let (lab, house) = house();
    let mut master = connect(&lab, 0);
    keys::fill(&mut master, 3_000, 3).unwrap();
    let taken = compare(&lab, &house, &["mode=fingerprint"]);
    assert_eq!(taken["fingerprint"]["keys"], 2_850, "150 of 3000 expire");
    let against = format!("against={}", taken["fingerprint"]);
    let same = compare(&lab, &house, &[&against]);
    assert_eq!(same["verdict"], "pass", "{}", same["summary"]);
    master.hset::<_, _, _, ()>("hash:10", "field0", "x").unwrap();
    let changed = compare(&lab, &house, &[&against]);
    assert_eq!(changed["verdict"], "fail");
    assert!(named(&changed).contains("suspect hash:10"), "{changed}");
    assert!(named(&changed).len() < 20, "{changed}");
}

/// Items of the step `compare` that have succeeded, and the tries of each.
fn slices(run: &Value) -> Vec<usize> {
    let items = run["steps"][0]["items"].as_array().cloned().unwrap_or_default();
    let done = items.iter().filter(|it| it["state"] == "succeeded");
    done.map(|it| it["attempts"].as_array().map_or(0, Vec::len)).collect()
}

#[test]
fn g2_a_comparison_that_was_cut_off_goes_on_where_it_was() {
    let (lab, house) = house();
    keys::fill(&mut connect(&lab, 0), 20_000, 4).unwrap();
    caught_up(&lab);
    let daemon = house.serve();
    let file = house.workflow("verify-keyspace").display().to_string();
    // Slow enough to be met in the middle.
    let begun = house.said(&["run", &file, "--detach", "--param", "keys_per_second=10000"]);
    let id = begun.trim().to_owned();
    until(&daemon, &id, "some slices are done", |run| slices(run).len() >= 3);
    daemon.kill();
    let daemon = house.serve();
    let run = until_closed(&daemon, &id);
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["output"]["verdict"], "pass");
    assert!(run["output"]["keys"].as_u64().unwrap() >= 20_000);
    // Only the slice that was under way was begun again.
    let tries = slices(&run);
    assert_eq!(tries.len(), 16);
    assert!(tries.iter().filter(|it| **it > 1).count() <= 1, "{tries:?}");
}
