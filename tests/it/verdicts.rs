//! A verification that fails: it is told, it says what to do, and nothing begins again.

use std::fs;
use std::time::Duration;

use baton_lab::crash::failover::{Begun, alert};
use baton_lab::receiver::Receiver;
use baton_lab::wait::wait_for;
use baton_lab::{Options, query, wait_until};
use serde_json::{Value, json};

use crate::house::SOON;
use crate::takeover::{Scene, nobody};

/// The whole run, until its verification is given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_mins(2);

#[test]
fn a_failed_verification_is_told_and_blocks_and_no_second_failover_begins() {
    let chat = Receiver::start("202 Accepted").unwrap();
    let options = Options { down_after_ms: 60_000, ..Options::bondx() };
    let mut scene = Scene::prepared(options, Begun::ByAll, [], |folder| {
        let more = format!("\n[http.chat]\nurl = \"http://{}\"\n", chat.address());
        let file = folder.join("baton.toml");
        fs::write(&file, fs::read_to_string(&file).unwrap() + &more).unwrap();
    });
    // An order that rests in a book and is gone: no failover makes that whole.
    let orders: Vec<String> = query::ask(scene.data(0), &["KEYS", "order:*"]).unwrap();
    query::ask::<u64>(scene.data(0), &["DEL", &orders[0]]).unwrap();
    let reached: u64 = query::ask(scene.data(0), &["WAIT", "2", "5000"]).unwrap();
    assert_eq!(reached, 2);
    scene.data(0).kill().unwrap();
    let id = scene.latest("redis-failover");
    let run = scene.engine.end_of(&id, GIVEN_UP_WITHIN, nobody).unwrap();
    assert_eq!((&run["state"], &run["output"]["verdict"]), (&json!("failed"), &json!("fail")));

    // It says what was found and what to do, check by check.
    let steps = run["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|it| it["name"] == name).unwrap();
    let report = step("report")["output"]["markdown"].as_str().unwrap();
    for line in [
        "## Verification",
        "| verify | **FAIL** |",
        "| verify / replication / canary | pass |",
        "| verify / orderbook | **FAIL** |",
        "### What to do next",
        "1. Stop trading on what failed",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    // People were told, once.
    let alarm = step("alarm")["output"]["run"].as_str().unwrap().to_owned();
    scene.end_of(&alarm);
    let told = chat.received();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].body.contains("its verification FAILED"), "{}", told[0].body);
    assert!(told[0].body.contains(&id), "{}", told[0].body);
    // It is counted.
    let metrics = scene.engine.page("/metrics").unwrap();
    for line in [
        r#"baton_verdicts_total{workflow="redis-failover",verdict="fail"} 1"#,
        r#"baton_verdicts_total{workflow="verify-redis",verdict="fail"} 1"#,
        r#"baton_last_verdict{workflow="redis-failover",verdict="fail"} 1"#,
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }

    // The new master dies too: its failover is held back, on disk, and nobody is promoted.
    let master = run["output"]["master"].as_str().unwrap();
    let node = scene.lab.node_at(master).unwrap();
    node.kill().unwrap();
    let next = wait_for("the next incident is seen", SOON, || {
        let list: Value = scene.engine.get("/runs?workflow=redis-failover&limit=10").ok()?;
        let next = list["runs"].as_array()?.iter().find(|it| it["id"] != id.as_str())?.clone();
        Some(next)
    })
    .unwrap();
    assert_eq!(next["state"], "queued", "{next:#}");
    // Neither does an alert get past it.
    let answered = alert(&mut scene.engine, master).unwrap();
    assert_eq!(answered, next["id"].as_str().unwrap());
    assert_eq!(scene.lab.writable_masters(), Vec::<String>::new());
    let now = scene.engine.get("/runs?workflow=redis-failover&limit=10").unwrap();
    let states: Vec<&Value> =
        now["runs"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["queued", "failed"], "{now:#}");
    // The person who is on it says so, and that ends the cool-down.
    let ack = json!({ "who": "a test", "reason": "the book is being mended" });
    scene.engine.post(&format!("/runs/{id}/acknowledge"), &ack).unwrap();
    wait_until("the failover begins", SOON, || {
        let next = scene.engine.get(&format!("/runs/{}", next["id"].as_str().unwrap()));
        next.is_ok_and(|it| it["state"] != "queued")
    })
    .unwrap();
}
