//! What is seen before it hurts: capacity, drift, and whether a snapshot can be restored.

use baton_lab::{Lab, Options, market, query, wait_until};
use serde_json::{Value, json};

use super::{commands, found, leading, run, set, step, try_run};
use crate::house::{SOON, until_closed};

fn lab() -> Lab {
    let lab = Lab::start(Options { down_after_ms: 60_000, ..Options::bondx() }).unwrap();
    let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
    market::fill(&mut connection, 3, 1).unwrap();
    lab
}

fn check<'r>(output: &'r Value, name: &str, subject: &str) -> &'r Value {
    let checks = output["checks"].as_array().unwrap();
    let found = checks.iter().find(|it| it["name"] == name && it["subject"] == subject);
    found.unwrap_or_else(|| panic!("no {name} of {subject}: {output:#}"))
}

#[test]
fn capacity_is_measured_and_what_runs_out_is_named_with_its_reason() {
    let lab = lab();
    let workflows = ["redis-capacity"];
    let house = leading(&lab, &workflows, &["redis-capacity"], &commands(lab.folder()));
    let [master, replica, _] = lab.data() else { panic!("three nodes") };
    // A disk of this machine may be as full as it likes here.
    let limits = |more: &str| {
        format!("limits={{\"disk_warn_percent\":101,\"disk_critical_percent\":101{more}}}")
    };
    let calm = run(&house, "redis-capacity", &["sample_ms=300", &limits("")]);
    let output = &calm["output"];
    assert_eq!(output["verdict"], "ok", "{output:#}");
    let disk = check(output, "disk", &master.address())["what"].as_str().unwrap();
    assert!(disk.contains(" % of /"), "{disk}");
    assert!(
        check(output, "backlog", &master.address())["what"].as_str().unwrap().starts_with("64 MiB")
    );

    // One node has hardly any room, the other hardly any connections.
    let used: u64 = query::info(replica, "memory")["used_memory"].parse().unwrap();
    set(replica, "maxmemory", &used.to_string());
    set(master, "maxclients", "9");
    let told = run(&house, "redis-capacity", &["sample_ms=300", &limits("")]);
    let output = &told["output"];
    assert_eq!(output["verdict"], "critical", "{output:#}");
    assert_eq!(check(output, "memory", &replica.address())["verdict"], "critical");
    assert_eq!(output["checks"][0]["name"], "memory", "the worst comes first: {output:#}");
    let clients = check(output, "clients", &master.address());
    assert_ne!(clients["verdict"], "ok", "{clients:#}");
    assert!(clients["what"].as_str().unwrap().contains("of 9: "), "{clients:#}");
    let strict = run(&house, "redis-capacity", &["sample_ms=300", &limits(",\"full_warn_h\":0")]);
    assert_eq!(strict["output"]["verdict"], "critical");
}

#[test]
fn settings_that_drift_are_listed_with_the_command_that_mends_them() {
    let lab = lab();
    let house = leading(&lab, &["redis-drift"], &["redis-drift"], "");
    // Sentinels are as slow as a test needs them, and that is not what the runbook declares.
    let slow = run(&house, "redis-drift", &[]);
    let declared = |it: &Value| it["wanted"] == "5000" && it["value"] == "60000";
    let findings = slow["output"]["findings"].as_array().unwrap();
    assert!(findings.len() == 3 && findings.iter().all(declared), "{findings:#?}");
    let calm = run(&house, "redis-drift", &["sentinel_policy={}"]);
    assert_eq!(calm["output"]["verdict"], "alike", "{:#}", calm["output"]);
    assert!(calm["output"]["compared"].as_u64().unwrap() > 150, "{:#}", calm["output"]);

    let other = &lab.data()[2];
    set(other, "maxmemory-samples", "7");
    set(other, "client-output-buffer-limit", "replica 1000000 500000 10");
    let sentinel = &lab.sentinels()[1];
    query::ask::<()>(sentinel, &["SENTINEL", "SET", "bondx-master", "parallel-syncs", "2"])
        .unwrap();
    let policies = ["sentinel_policy={}", "policy={\"timeout\":\"0\",\"hz\":\"20\"}"];
    let told = run(&house, "redis-drift", &policies);
    let findings = told["output"]["findings"].as_array().unwrap();
    let mut undeclared = found(&told["output"]);
    undeclared.retain(|it| it.starts_with("policy@"));
    assert_eq!(undeclared.len(), 3, "hz is 10 on all of them: {told:#}");
    let differing: Vec<&Value> = findings.iter().filter(|it| it["code"] == "differs").collect();
    let settings: Vec<&str> = differing.iter().map(|it| it["setting"].as_str().unwrap()).collect();
    assert_eq!(settings, ["client-output-buffer-limit", "maxmemory-samples", "parallel-syncs"]);

    // What it says to type is typed, word for word.
    for finding in findings {
        let mend = finding["mend"].as_str().unwrap();
        let typed = std::process::Command::new("sh").args(["-c", mend]).output().unwrap();
        let answers = String::from_utf8_lossy(&typed.stdout);
        assert!(typed.status.success() && answers.starts_with("OK"), "{mend}: {answers}");
    }
    let mended = run(&house, "redis-drift", &policies);
    assert_eq!(mended["output"]["verdict"], "alike", "{:#}", mended["output"]);
}

/// `[exec.check-snapshot]` as the documentation has it, with the script that is shipped.
fn check_snapshot(before: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../commands/check-snapshot");
    format!(
        "[exec.check-snapshot]\ncommand = [\"sh\", \"-c\", '{before}exec \"$0\" \"$@\"', {script:?}]\n\
         args = ['[0-9.]+:[0-9]+', '/[A-Za-z0-9._/-]+']\nclass = \"read\"\ntimeout_ms = 60000\n"
    )
}

#[test]
fn a_replica_saves_and_what_it_saved_is_restored_and_compared() {
    let lab = lab();
    let plugins = ["redis-snapshot", "restore-check"];
    let house = leading(&lab, &["redis-snapshot"], &plugins, &check_snapshot(""));
    let [master, ..] = lab.data() else { panic!("three nodes") };
    query::ask::<()>(master, &["SET", "risk:limit", "7"]).unwrap();
    query::ask::<()>(master, &["LPUSH", "risk:queue", "1", "2"]).unwrap();
    query::ask::<i64>(master, &["WAIT", "2", "1000"]).unwrap();
    let keys: i64 = query::ask(master, &["DBSIZE"]).unwrap();

    let saved = run(&house, "redis-snapshot", &[]);
    let output = &saved["output"];
    assert_eq!((&output["verdict"], &output["loaded"]["keys"]), (&json!("pass"), &json!(keys)));
    assert_ne!(output["node"], master.address().as_str(), "a replica saves, not the master");
    let types = &output["loaded"]["types"];
    assert_eq!(types["list"], 1, "{types:#}");
    let all: i64 = types.as_object().unwrap().values().map(|it| it.as_i64().unwrap()).sum();
    assert_eq!(all, keys, "each key has a type: {types:#}");
    let replid = &query::info(master, "replication")["master_replid"];
    assert_eq!(output["loaded"]["replid"], replid.as_str());

    let of_master = format!("node={}", master.address());
    let (_, refused) = try_run(&house, "redis-snapshot", &[&of_master]);
    assert_eq!(step(&refused, "save")["fault"]["code"], "is-master", "{refused:#}");
    let allowed = run(&house, "redis-snapshot", &[&of_master, "allow_master=true"]);
    assert_eq!(allowed["output"]["node"], master.address().as_str());
}

#[test]
fn g2_an_engine_killed_at_a_save_saves_once_more_and_goes_on() {
    let lab = lab();
    let plugins = ["redis-snapshot", "restore-check"];
    let house = leading(&lab, &["redis-snapshot"], &plugins, &check_snapshot(""));
    let mut daemon = house.serve_until("change:1:after");
    let id = house.begin("redis-snapshot");
    wait_until("the engine is dead", SOON, || !daemon.running()).unwrap();
    drop(daemon);
    let daemon = house.serve();
    let saved = until_closed(&daemon, &id);
    assert_eq!(
        (&saved["state"], &saved["output"]["verdict"]),
        (&json!("succeeded"), &json!("pass"))
    );
    assert_eq!(saved["interruptions"], 1, "{saved:#}");
}

#[test]
fn a_snapshot_that_is_broken_or_another_one_fails_the_run() {
    let lab = lab();
    let plugins = ["redis-snapshot", "restore-check"];
    // A byte in the middle of the file is another one; and a file of an hour ago.
    let broken = "f=/tmp/$$.rdb; cp \"$2\" \"$f\"; printf X | dd of=\"$f\" bs=1 seek=300 conv=notrunc 2>/dev/null; set -- \"$1\" \"$f\"; trap \"rm -f $f\" EXIT; \"$0\" \"$@\"; exit; ";
    for (before, code) in
        [(broken, "not-loaded"), ("set -- \"$1\" \"${2%/*}/old.rdb\"; ", "not-whole")]
    {
        let house = leading(&lab, &["redis-snapshot"], &plugins, &check_snapshot(before));
        for node in lab.data() {
            query::ask::<()>(node, &["SAVE"]).unwrap();
            std::fs::copy(node.folder().join("dump.rdb"), node.folder().join("old.rdb")).unwrap();
        }
        let master = &lab.data()[0];
        query::ask::<()>(master, &["SET", &format!("late:{code}"), "1"]).unwrap();
        query::ask::<i64>(master, &["WAIT", "2", "1000"]).unwrap();
        let (is_good, told) = try_run(&house, "redis-snapshot", &[]);
        assert!(!is_good, "{told:#}");
        let fault = &step(&told, "check")["fault"];
        assert_eq!(fault["code"], code, "{fault:#}");
    }
}
