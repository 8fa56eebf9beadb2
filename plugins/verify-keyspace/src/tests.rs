//! The rule on its own: what follows from what comparisons find. Real nodes, every type
//! and every kind of damage: `tests/it/keyspace.rs`.

use super::*;
use baton_plugin::redis::{Compared, Difference, Held, Holding, Holdings, Unread, Value};
use baton_plugin::testing::FakeCluster;
use serde_json::json;

const LEFT: &str = "127.0.0.1:7001";
const RIGHT: &str = "127.0.0.1:7002";
const NOW: u64 = 1_700_000_000_000;

fn cluster() -> FakeCluster {
    let text = |it: &str| Value::from(it);
    let master = Value::List(vec![text("master"), Value::Int(10), Value::List(vec![])]);
    let replica = Value::List(vec![
        text("slave"),
        text("127.0.0.1"),
        Value::Int(7001),
        text("connected"),
        Value::Int(10),
    ]);
    FakeCluster::new("bondx", &[LEFT, RIGHT], &[])
        .on(LEFT, "ROLE", vec![master])
        .on(RIGHT, "ROLE", vec![replica])
        .on(LEFT, "INFO keyspace", vec![text("db0:keys=100,expires=0,avg_ttl=0")])
        .on(RIGHT, "INFO keyspace", vec![text("db0:keys=100,expires=0,avg_ttl=0")])
}

#[allow(clippy::unnecessary_wraps, reason = "what a node holds, or nothing")]
fn held(digest: &str) -> Option<Holding> {
    Some(Holding { kind: "string".into(), digest: digest.into(), size: 1, expires_at_ms: None })
}

fn until(digest: &str, at: u64) -> Option<Holding> {
    held(digest).map(|it| Holding { expires_at_ms: Some(at), ..it })
}

/// A key, and what the left and the right node hold.
type Look<'a> = (&'a str, Option<Holding>, Option<Holding>);

fn found(differences: &[Look<'_>]) -> Compared {
    let difference = |(key, left, right): &Look<'_>| Difference {
        key: key.as_bytes().to_vec(),
        left: left.clone(),
        right: right.clone(),
    };
    Compared {
        keys: 100,
        differences: differences.iter().map(difference).collect(),
        ..Compared::default()
    }
}

/// A full comparison whose looks find these, in turn; the last one stays. The walk over the
/// right node finds nothing.
fn full(looks: &[&[Look<'_>]], more: &serde_json::Value) -> (Output, FakeCluster) {
    let mut host = cluster();
    host.comparisons.push_back(Ok(found(looks[0])));
    host.comparisons.push_back(Ok(Compared::default()));
    let last = looks[looks.len() - 1];
    for at in 1..200 {
        host.comparisons.push_back(Ok(found(looks.get(at).unwrap_or(&last))));
    }
    let mut input = json!({ "cluster": "bondx" });
    for (key, value) in more.as_object().expect("an object") {
        input[key] = value.clone();
    }
    let input = serde_json::from_value(input).expect("an input");
    (VerifyKeyspace::run(input, &mut host).expect("a verdict"), host)
}

fn counts(output: &Output) -> [u64; 7] {
    let Output { missing, extra, different, expiry, unsettled, expiring, converged, .. } = output;
    [*missing, *extra, *different, *expiry, *unsettled, *expiring, *converged]
}

#[test]
fn what_is_the_same_passes_at_once() {
    let (output, host) = full(&[&[]], &json!({}));
    assert_eq!((output.verdict.as_str(), output.keys), ("pass", 100));
    assert_eq!((output.left.as_str(), output.right.as_deref()), (LEFT, Some(RIGHT)));
    assert_eq!(host.count_sent("compare-keys"), 0);
    assert_eq!(host.count_sent("absent 127.0.0.1:7002 127.0.0.1:7001"), 1);
    assert!(output.summary.contains("all the same"), "{}", output.summary);
}

#[test]
fn what_replication_brings_over_is_no_difference() {
    let (output, _) = full(&[&[("a", held("2"), held("1"))], &[]], &json!({}));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("pass", [0, 0, 0, 0, 0, 0, 1]));
}

#[test]
fn what_stays_different_while_nobody_writes_is_named() {
    let look = [
        ("different", held("1"), held("2")),
        ("extra", None, held("2")),
        ("missing", held("1"), None),
        ("expiry", until("1", NOW * 2), held("1")),
    ];
    let (output, _) = full(&[&look], &json!({}));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("fail", [1, 1, 1, 1, 0, 0, 0]));
    let named: Vec<_> =
        output.findings.iter().map(|it| (it.key.as_str(), it.what.word())).collect();
    let expected =
        [("missing", "missing"), ("extra", "extra"), ("different", "value"), ("expiry", "expiry")];
    assert_eq!(named, expected);
    assert_eq!(output.table.expect("a table").rows.len(), 4);
    assert!(output.summary.contains("Do not promote it"), "{}", output.summary);
}

#[test]
fn a_key_that_is_written_all_the_time_is_not_held_against_a_node() {
    let looks: Vec<Vec<_>> = (0..200)
        .map(|at| vec![("hot", held(&format!("{at}")), held(&format!("{}", at - 1)))])
        .collect();
    let looks: Vec<&[_]> = looks.iter().map(Vec::as_slice).collect();
    let (output, _) = full(&looks, &json!({ "rounds": 3 }));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("pass", [0, 0, 0, 0, 1, 0, 0]));
    assert!(output.summary.contains("1 are written too often"), "{}", output.summary);
}

#[test]
fn a_node_at_which_nothing_arrives_is_found_though_the_key_is_busy() {
    let looks: Vec<Vec<_>> =
        (0..200).map(|at| vec![("hot", held(&format!("{at}")), held("old"))]).collect();
    let looks: Vec<&[_]> = looks.iter().map(Vec::as_slice).collect();
    let (output, _) = full(&looks, &json!({}));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("fail", [0, 0, 1, 0, 0, 0, 0]));
}

#[test]
fn what_expires_now_is_not_missing_and_what_expires_later_is() {
    let look = [("now", until("1", NOW + 3_000), None), ("later", until("1", NOW + 60_000), None)];
    let (output, _) = full(&[&look], &json!({}));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("fail", [1, 0, 0, 0, 0, 1, 0]));
}

#[test]
fn expiries_within_the_tolerance_are_the_same() {
    let look = [("a", until("1", NOW * 2), until("1", NOW * 2 + 100))];
    let (output, _) = full(&[&look], &json!({ "expiry_tolerance_ms": 100 }));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("pass", [0, 0, 0, 0, 0, 0, 1]));
    let (output, _) = full(&[&look], &json!({ "expiry_tolerance_ms": 99 }));
    assert_eq!((output.verdict.as_str(), counts(&output)), ("fail", [0, 0, 0, 1, 0, 0, 0]));
}

#[test]
fn what_cannot_be_read_is_no_pass() {
    let mut host = cluster();
    let unread = || Compared {
        unread: vec![Unread {
            key: b"m\n\xff".to_vec(),
            reason: "nothing is known of type json".into(),
        }],
        ..Compared::default()
    };
    host.comparisons.push_back(Ok(unread()));
    host.comparisons.push_back(Ok(Compared::default()));
    host.comparisons.extend((0..50).map(|_| Ok(unread())));
    let input = serde_json::from_value(json!({ "cluster": "bondx" })).expect("an input");
    let output = VerifyKeyspace::run(input, &mut host).expect("a verdict");
    assert_eq!((output.verdict.as_str(), output.unread), ("fail", 1));
    assert_eq!(output.findings[0].key, "m\\n\\xff");
    assert!(output.findings[0].left.contains("type json"));
}

#[test]
fn more_findings_than_are_listed_are_counted() {
    let names: Vec<String> = (0..250).map(|number| format!("k{number:03}")).collect();
    let look: Vec<_> = names.iter().map(|name| (name.as_str(), held("1"), None)).collect();
    let (output, _) = full(&[&look], &json!({}));
    assert_eq!((output.missing, output.findings.len(), output.truncated), (250, 100, true));
}

#[test]
fn a_rate_is_kept_and_a_slow_node_gets_pauses() {
    let run = |rate: u32, slowest_us: u32| {
        let mut host = cluster();
        for cursor in [1, 2, 0] {
            host.comparisons.push_back(Ok(Compared {
                cursor,
                keys: 1000,
                slowest_us,
                ..found(&[])
            }));
        }
        let input = json!({ "cluster": "bondx", "keys_per_second": rate, "latency_max_ms": 5 });
        let input = serde_json::from_value(input).expect("an input");
        VerifyKeyspace::run(input, &mut host).expect("a verdict");
        (host.now_ms - NOW, host.logged.len())
    };
    assert_eq!(run(0, 100), (0, 0));
    assert_eq!(run(1000, 100), (3000, 0));
    // Three pages at which it was slow: told once.
    assert_eq!(run(0, 6000), (750, 1));
}

#[test]
fn a_sample_says_how_much_it_proves() {
    let mut host = cluster();
    let keys: Vec<Value> =
        (0..400).map(|number| Value::from(format!("k{number}").as_str())).collect();
    for node in [LEFT, RIGHT] {
        host = host.on(node, "RANDOMKEY", keys.clone());
    }
    let input = json!({ "cluster": "bondx", "mode": "sample", "sample_keys": 300 });
    let output = VerifyKeyspace::run(serde_json::from_value(input).expect("an input"), &mut host);
    let output = output.expect("a verdict");
    // Both nodes drew the same 150.
    assert_eq!((output.verdict.as_str(), output.keys), ("pass", 150));
    assert!((sample::corrupt_percent_max(300) - 0.9936).abs() < 0.001);
    assert!((output.corrupt_percent_max - 1.977).abs() < 0.01, "{}", output.corrupt_percent_max);
}

fn inventory(keys: &[(&str, &str)]) -> Holdings {
    let one = |(key, digest): &(&str, &str)| Held {
        key: key.as_bytes().to_vec(),
        holding: held(digest).expect("it is there"),
    };
    Holdings { keys: keys.iter().map(one).collect(), ..Holdings::default() }
}

fn fingerprint(before: &[(&str, &str)], now: &[(&str, &str)]) -> Output {
    let mut host = cluster();
    host.inventories.push_back(Ok(inventory(before)));
    let input = json!({ "cluster": "bondx", "mode": "fingerprint" });
    let taken = VerifyKeyspace::run(serde_json::from_value(input).expect("an input"), &mut host);
    let taken = taken.expect("a fingerprint").fingerprint.expect("a fingerprint");
    assert_eq!((taken.keys, taken.at_ms), (before.len() as u64, NOW));
    let text = serde_json::to_string(&taken).expect("JSON");
    assert!(text.len() < 32 * 1024, "{}", text.len());
    let against: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for _ in 0..2 {
        host.inventories.push_back(Ok(inventory(now)));
    }
    let input = json!({ "cluster": "bondx", "against": against });
    let output = VerifyKeyspace::run(serde_json::from_value(input).expect("an input"), &mut host);
    output.expect("a verdict")
}

#[test]
fn a_fingerprint_shows_what_changed_since() {
    let before: Vec<(String, String)> =
        (0..500).map(|number| (format!("k{number}"), format!("v{number}"))).collect();
    let before: Vec<(&str, &str)> =
        before.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    // In any order, and given twice by SCAN.
    let mut same = before.clone();
    same.reverse();
    same.push(before[7]);
    assert_eq!(fingerprint(&before, &same).verdict, "pass");

    let mut changed = before.clone();
    changed[40].1 = "another";
    let output = fingerprint(&before, &changed);
    assert_eq!((output.verdict.as_str(), output.missing, output.extra), ("fail", 0, 0));
    assert!(output.findings.iter().any(|it| it.key == "k40"));
    assert!(output.findings.len() < 5, "{}", output.findings.len());

    let output = fingerprint(&before, &before[1..]);
    assert_eq!((output.verdict.as_str(), output.missing, output.extra), ("fail", 1, 0));
    let output = fingerprint(&before[1..], &before);
    assert_eq!((output.verdict.as_str(), output.missing, output.extra), ("fail", 0, 1));
    assert!(output.findings.iter().any(|it| it.key == "k0"));
}

#[test]
fn who_is_to_be_compared_is_found_or_missed_in_words() {
    let run = |input: serde_json::Value, host: &mut FakeCluster| {
        let fault = VerifyKeyspace::run(serde_json::from_value(input).expect("an input"), host);
        fault.expect_err("nothing to compare").code
    };
    let replica = || {
        Value::List(vec![
            Value::from("slave"),
            Value::from("127.0.0.1"),
            Value::Int(7001),
            Value::from("connect"),
            Value::Int(10),
        ])
    };
    let mut host = cluster().on(RIGHT, "ROLE", vec![replica()]);
    assert_eq!(run(json!({ "cluster": "bondx" }), &mut host), "no-replica");
    let mut host = cluster().on(LEFT, "ROLE", vec![replica()]);
    assert_eq!(run(json!({ "cluster": "bondx" }), &mut host), "no-master");
    let same = json!({ "cluster": "bondx", "left": LEFT, "right": LEFT });
    assert_eq!(run(same, &mut cluster()), "same-node");
    let gone = json!({ "cluster": "bondx", "right": "127.0.0.1:9" });
    assert_eq!(run(gone, &mut cluster()), "no-node");
    let pattern = json!({ "cluster": "bondx", "mode": "sample", "pattern": "a*" });
    assert_eq!(run(pattern, &mut cluster()), "bad-input");
}

#[test]
fn the_slices_become_one_verdict() {
    let (clean, _) = full(&[&[]], &json!({}));
    let (broken, _) = full(&[&[("a", held("1"), None), ("b", held("1"), held("2"))]], &json!({}));
    let merged = |parts: Vec<Output>| {
        let input = json!({ "cluster": "bondx", "mode": "merge", "parts": parts });
        VerifyKeyspace::run(serde_json::from_value(input).expect("an input"), &mut cluster())
    };
    let all = merged(vec![clean.clone(), clean.clone()]).expect("a verdict");
    assert_eq!((all.verdict.as_str(), all.keys), ("pass", 200));
    let all = merged(vec![clean.clone(), broken.clone(), clean.clone()]).expect("a verdict");
    assert_eq!((all.verdict.as_str(), all.keys, all.missing, all.different), ("fail", 300, 1, 1));
    assert_eq!(all.table.expect("a table").rows.len(), 2);
    // A key at the border of two slices is one key.
    let all = merged(vec![broken.clone(), broken.clone()]).expect("a verdict");
    assert_eq!((all.missing, all.different, all.findings.len()), (1, 1, 2));
    assert_eq!(merged(vec![broken]).expect("a verdict").missing, 1);
    assert!(merged(vec![]).is_err());
    let other = Output { left: "127.0.0.1:7009".into(), ..clean.clone() };
    assert_eq!(merged(vec![clean, other]).expect_err("two masters").code, "other-nodes");
}

#[test]
fn a_replica_that_is_behind_is_waited_for_and_only_then_judged() {
    let replica = |offset: i64| {
        Value::List(vec![
            Value::from("slave"),
            Value::from("127.0.0.1"),
            Value::Int(7001),
            Value::from("connected"),
            Value::Int(offset),
        ])
    };
    // It stands still at many looks, since nothing has arrived yet.
    let behind = [("a", held("2"), held("1"))];
    let mut host = cluster().on(RIGHT, "ROLE", vec![replica(5)]);
    host.comparisons.push_back(Ok(found(&behind)));
    host.comparisons.push_back(Ok(Compared::default()));
    host.comparisons.extend((0..400).map(|_| Ok(found(&behind))));
    let input = serde_json::from_value(json!({ "cluster": "bondx" })).expect("an input");
    let output = VerifyKeyspace::run(input, &mut host).expect("a verdict");
    assert_eq!((output.different, output.unsettled, output.behind_bytes), (0, 1, 5));
    assert_eq!(output.verdict, "fail");
    assert!(output.summary.contains("5 bytes behind"), "{}", output.summary);
}
