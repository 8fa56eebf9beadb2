//! `baton tape export` and `baton replay`: a real failover, taken out and played again.

use std::fs;

use serde_json::{Value, json};

use crate::house::{House, until_closed};
use crate::plan::shipped;

/// A finished failover, and the id of its run.
fn failed_over() -> (baton_lab::Lab, House, String) {
    let (lab, house) = shipped("lead");
    // Plugins are compiled before the clock runs: Sentinel would be first otherwise.
    house.said(&["plan", house.workflow("redis-failover").to_str().unwrap()]);
    lab.data()[0].kill().unwrap();
    let file = house.workflow("redis-failover").display().to_string();
    let run: Value =
        serde_json::from_str(&house.said(&["run", &file, "--output", "json"])).unwrap();
    assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
    let id = run["id"].as_str().unwrap().to_owned();
    (lab, house, id)
}

fn code(house: &House, arguments: &[&str]) -> (Option<i32>, String) {
    let output = house.baton(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &errors)
}

#[test]
fn a_real_failover_is_taken_out_and_played_again_without_a_world() {
    let (lab, house, id) = failed_over();
    drop(lab);
    let file = house.path("promote.json");
    let file = file.to_str().unwrap();
    house.said(&["tape", "export", &id, "promote", "-o", file]);
    let tape: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((&tape["format"], &tape["version"]), (&json!("baton-tape"), &json!(1)));
    assert_eq!(tape["context"]["run_id"], json!(id));
    let asked: Vec<&str> = tape["calls"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|call| call["request"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    assert!(asked.iter().any(|line| line.ends_with("> REPLICAOF NO ONE")), "{asked:#?}");
    assert!(tape["end"]["output"]["master"].is_string(), "{}", tape["end"]);

    // From the journal, on the build that it holds; from the file, on the folder's.
    let (exit, text) = code(&house, &["replay", &id, "promote"]);
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.contains("the build that was recorded") && text.contains("end   same"), "{text}");
    let (exit, text) = code(&house, &["replay", "--tape", file, "--output", "json"]);
    assert_eq!(exit, Some(0), "{text}");
    let replayed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(replayed["same"], json!(tape["calls"].as_array().unwrap().len()));

    // Another input makes another guest of it: it diverges, and says where.
    let mut other = tape.clone();
    other["input"]["chosen"] = tape["input"]["old_master"].clone();
    let altered = house.path("other.json");
    fs::write(&altered, other.to_string()).unwrap();
    let (exit, text) = code(&house, &["replay", "--tape", altered.to_str().unwrap()]);
    assert_eq!(exit, Some(1), "{text}");
    assert!(text.contains("differs"), "{text}");

    // Another plugin altogether.
    let plugin = house.path("plugins").join("redis-ping.wasm");
    let ping = ["replay", "--tape", file, "--plugin", plugin.to_str().unwrap()];
    let (exit, text) = code(&house, &ping);
    assert_eq!(exit, Some(1), "{text}");
    assert!(text.contains("another build"), "{text}");

    for (arguments, said) in [
        (vec!["replay", &id, "report"], "keeps no tape of step `report`"),
        (vec!["replay", &id, "nothing"], "no step `nothing`"),
        (vec!["replay", &id, "assess"], "`record = true`"),
        (vec!["replay", &id, "promote", "--attempt", "7"], "keeps no tape"),
        (vec!["replay", "--tape", "baton.toml"], "it is no JSON"),
        (vec!["replay"], "Usage"),
    ] {
        let (exit, text) = code(&house, &arguments);
        assert_eq!(exit, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }

    // While somebody serves, the server is asked.
    let daemon = house.serve();
    until_closed(&daemon, &id);
    let served: Value =
        serde_json::from_str(&house.said(&["tape", "export", &id, "promote"])).unwrap();
    assert_eq!(served, tape);
    let (exit, text) = code(&house, &["replay", &id, "promote"]);
    assert_eq!(exit, Some(0), "{text}");
    let (exit, text) = code(&house, &["tape", "export", &id, "nothing"]);
    assert_eq!(exit, Some(2), "{text}");
}
