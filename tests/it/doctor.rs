//! `baton doctor` on a cluster that is well but for its laboratory, and on one that is not.

use std::collections::BTreeSet;

use baton_lab::{Node, query};
use serde_json::Value;

use crate::house::House;
use crate::plan::shipped;

/// The exit code and what was found: `code@subject`.
fn examine(house: &House) -> (Option<i32>, BTreeSet<String>) {
    let output = house.baton(&["doctor", "bondx", "--output", "json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let findings = document["findings"].as_array().expect("a list");
    let of = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
    for finding in findings {
        assert!(!of(finding, "why").is_empty() && !of(finding, "mend").is_empty(), "{finding}");
    }
    let found = findings.iter().map(|it| format!("{}@{}", of(it, "code"), of(it, "subject")));
    (output.status.code(), found.collect())
}

fn set(node: &Node, settings: &[(&str, &str)]) {
    let mut connection = query::connect(&node.address(), None).unwrap();
    for (name, value) in settings {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(*name)
            .arg(*value)
            .query::<()>(&mut connection)
            .unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_real_cluster_is_found_and_what_was_mended_is_not() {
    let (lab, house) = shipped("lead");
    house.bring("redis-doctor");
    let addresses: Vec<String> = lab.data().iter().map(Node::address).collect();
    for node in lab.data() {
        set(
            node,
            &[
                ("appendonly", "yes"),
                ("min-replicas-to-write", "1"),
                ("min-replicas-max-lag", "3"),
                ("repl-backlog-size", "67108864"),
                ("latency-monitor-threshold", "100"),
            ],
        );
    }
    let (code, well) = examine(&house);
    assert_eq!((code, &well), (Some(0), &BTreeSet::new()));
    set(
        &lab.data()[0],
        &[
            ("appendonly", "no"),
            ("save", ""),
            ("repl-timeout", "1"),
            ("repl-ping-replica-period", "3"),
        ],
    );
    set(&lab.data()[1], &[("min-replicas-to-write", "100"), ("replica-read-only", "no")]);
    let (code, ill) = examine(&house);
    assert_eq!(code, Some(1));
    let expected = [
        format!("no-persistence@{}", addresses[0]),
        format!("timeout-below-ping@{}", addresses[0]),
        format!("still-fenced@{}", addresses[1]),
        format!("writable-replica@{}", addresses[1]),
        "not-alike@bondx".to_owned(),
    ];
    assert_eq!(ill, BTreeSet::from(expected));
}
