//! Why it came to this: real traces in real servers, also behind a real failover.

use std::fs;

use baton_lab::crash::failover::Begun;
use baton_lab::crash::{Answered, Question};
use baton_lab::{Lab, Options, market, query, wait_until};
use serde_json::json;

use super::{FAILOVER, PLUGINS, commands, found, leading, run, set, step};
use crate::house::SOON;
use crate::takeover::Scene;

/// Sentinels that keep out of it, however slow this machine is.
fn patient() -> Options {
    Options { down_after_ms: 60_000, ..Options::bondx() }
}

#[test]
fn g9_a_slow_script_a_refused_save_and_a_dead_node_leave_their_traces_and_no_data() {
    let lab = Lab::start(patient()).unwrap();
    let house = leading(&lab, &["redis-evidence"], &["redis-evidence"], &commands(lab.folder()));
    let calm = run(&house, "redis-evidence", &[]);
    let young = lab.data().iter().map(|it| format!("restarted@{}", it.address()));
    let copied = format!("full-copies@{}", lab.data()[0].address());
    assert_eq!(found(&calm["output"]), young.chain([copied]).collect::<Vec<_>>(), "{calm:#}");

    let [master, replica, dead] = lab.data() else { panic!("three nodes") };
    set(master, "latency-monitor-threshold", "50");
    let script = "local at = redis.call('TIME') repeat local now = redis.call('TIME') \
        until (now[1] - at[1]) * 1000000 + now[2] - at[2] > 300000 return 'hunter2'";
    let mut connection = query::connect(&master.address(), None).unwrap();
    query::ask::<()>(master, &["CLIENT", "SETNAME", "gone"]).unwrap();
    redis::cmd("CLIENT").arg("SETNAME").arg("risk").exec(&mut connection).unwrap();
    redis::cmd("EVAL")
        .arg(script)
        .arg(1)
        .arg("book:7")
        .arg("hunter2")
        .exec(&mut connection)
        .unwrap();
    // A replica that has no room: every write is refused with OOM.
    set(replica, "replica-read-only", "no");
    set(replica, "replica-ignore-maxmemory", "no");
    set(replica, "maxmemory", "1");
    query::ask::<()>(replica, &["SET", "order:1", "hunter2"]).unwrap_err();
    // A snapshot that cannot be put in its place: writes are refused with MISCONF.
    fs::create_dir(master.folder().join("dump.rdb")).unwrap();
    set(master, "save", "3600 1");
    query::ask::<()>(master, &["BGSAVE"]).unwrap();
    wait_until("the save has failed", SOON, || {
        query::info(master, "persistence")["rdb_last_bgsave_status"] == "err"
    })
    .unwrap();
    query::ask::<()>(master, &["SET", "order:2", "hunter2"]).unwrap_err();
    dead.kill().unwrap();

    let told = run(&house, "redis-evidence", &[]);
    let output = &told["output"];
    let codes = found(output);
    let logged = output["findings"].to_string();
    assert!(logged.contains("its log: ") && logged.contains("Background saving error"), "{logged}");
    for (code, node) in [
        ("slow-script", master),
        ("latency", master),
        ("save-failed", master),
        ("save-refused-writes", master),
        ("out-of-memory", replica),
        ("memory-full", replica),
        ("no-answer", dead),
    ] {
        let wanted = format!("{code}@{}", node.address());
        assert!(codes.contains(&wanted), "{wanted} is not in {codes:?}");
    }
    let nodes = output["nodes"].as_array().unwrap();
    let of = |address: String| nodes.iter().find(|it| it["address"] == address.as_str()).unwrap();
    let slow = &of(master.address())["slow"][0];
    assert_eq!(slow["command"], "EVAL book:7", "{slow:#}");
    assert_eq!((&slow["who"], &slow["left_out"]), (&json!("risk"), &json!(3)));
    let groups = of(master.address())["clients"]["groups"].to_string();
    assert!(groups.contains("risk"), "{groups}");
    // The dead one's log is what is left of it.
    let log = of(dead.address())["log"].to_string();
    assert!(log.contains("MASTER <-> REPLICA sync"), "{log}");
    assert!(!told.to_string().contains("hunter2"), "what commands carried is shown");
    assert_eq!(step(&told, "look")["calls"].as_array().map_or(0, Vec::len), 0, "it only reads");
}

#[test]
fn without_listed_commands_and_rights_it_says_what_was_not_told() {
    let line = "user default on nopass ~* &* +@all -slowlog".to_owned();
    let lab = Lab::start(Options { data_lines: vec![line], ..patient() }).unwrap();
    let house = leading(&lab, &["redis-evidence"], &["redis-evidence"], "");
    let told = run(&house, "redis-evidence", &[]);
    for node in told["output"]["nodes"].as_array().unwrap() {
        let not_told = node["not_told"].as_array().unwrap();
        assert_eq!(not_told.len(), 1, "{node:#}");
        assert!(not_told[0].as_str().unwrap().starts_with("SLOWLOG GET: NOPERM"), "{node:#}");
        assert!(node["figures"].to_string().contains("used_memory"), "{node:#}");
    }
}

#[test]
fn the_report_of_a_failover_has_the_evidence_the_way_back_and_what_is_left_for_people() {
    let mut scene = Scene::new(patient(), Begun::ByAlert);
    scene.data(0).kill().unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
    let report = step(&run, "report")["output"]["markdown"].as_str().unwrap();
    let old = scene.data(0).address();
    let evidence = &step(&run, "evidence")["output"];
    assert_eq!(evidence["silent"][0]["address"], old.as_str(), "{evidence:#}");
    assert!(report.contains(&format!("| {old} | did not answer: ")), "{report}");
    let plan = &step(&run, "way_back")["output"];
    assert_eq!(plan["verdict"], "blocked", "{plan:#}");
    assert!(report.contains(&format!("--param target={old}")), "{report}");
    for words in ["On-call Engineer", "Post-incident analysis", "Redis Support"] {
        assert!(report.contains(words), "{words} is not in {report}");
    }
    // Evidence comes behind the proof that all is well.
    let at = |name: &str, field: &str| step(&run, name)["attempts"][0][field].as_u64().unwrap();
    assert!(at("evidence", "started_at") >= at("verify", "ended_at"), "{run:#}");
}

#[test]
fn evidence_is_taken_too_where_sentinel_was_first() {
    let options = Options { down_after_ms: 1_000, failover_timeout_ms: 30_000, ..Options::bondx() };
    let mut scene = Scene::new(options, Begun::ByAlert);
    let old = scene.data(0).address();
    scene.data(0).kill().unwrap();
    let new = scene.lab.wait_for_new_master(&old, SOON).unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "no failover", "{run:#}");
    assert_eq!(run["output"]["master"], new.as_str());
    assert_eq!(step(&run, "evidence")["output"]["silent"][0]["address"], old.as_str(), "{run:#}");
    let report = step(&run, "report")["output"]["markdown"].as_str().unwrap();
    assert!(report.contains(&format!("| {old} | did not answer: ")), "{report}");
    assert!(report.contains("CTO"), "{report}");
}

#[test]
fn evidence_is_taken_too_where_nobody_could_be_promoted() {
    let mut scene = Scene::new(patient(), Begun::ByAlert);
    for replica in [1, 2] {
        set(scene.data(replica), "replica-priority", "0");
    }
    scene.data(0).kill().unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    let no = |_: &Question| Ok(Answered { approved: false, reason: "a test".to_owned() });
    let run = scene.engine.end_of(&id, SOON, no).unwrap();
    assert_eq!(run["state"], "failed", "{run:#}");
    let states = ["promote", "evidence", "way_back", "follow_ups", "report"];
    let states = states.map(|name| step(&run, name)["state"].as_str().unwrap());
    assert_eq!(states[1..], ["succeeded", "cancelled", "succeeded", "succeeded"], "{run:#}");
}

#[test]
fn a_failover_whose_evidence_and_plan_fail_is_a_failover_all_the_same() {
    let lab = Lab::start(patient()).unwrap();
    let mut house =
        leading(&lab, &FAILOVER, &PLUGINS, "[secrets]\nhook-token = { env = \"HOOK\" }");
    house.set("HOOK", "laboratory");
    let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
    market::fill(&mut connection, 3, 1).unwrap();
    let spoil = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(house.workflow(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        house.write(name, &text.replace(from, to));
    };
    spoil("redis-evidence", "timeout = \"15s\"", "timeout = \"1ms\"");
    spoil(
        "redis-rollback-plan",
        "old_master = \"${params.old_master}\"",
        "old_master = \"10.9.9.9:1\"",
    );
    spoil("follow-ups", "reason = \"For", "reason = \"${run.id | float} For");
    lab.data()[0].kill().unwrap();
    let run = run(&house, "redis-failover", &[]);
    let states =
        ["verify", "evidence", "way_back", "follow_ups"].map(|it| &step(&run, it)["state"]);
    assert_eq!(states, ["succeeded", "failed", "failed", "failed"], "{run:#}");
    assert_eq!((&run["state"], &run["output"]["verdict"]), (&json!("succeeded"), &json!("pass")));
    let report = step(&run, "report")["output"]["markdown"].as_str().unwrap();
    assert!(report.contains("### evidence: failed"), "{report}");
}
