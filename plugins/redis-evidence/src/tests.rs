//! Each cause leaves its trace; what nobody asked for is not shown.

use super::*;
use baton_plugin::exec::Output as Left;
use baton_plugin::redis::{ErrorKind, Value};
use baton_plugin::testing::FakeCluster;

const CALM: &str = "role:master\r\nuptime_in_seconds:90000\r\nconnected_clients:2\r\n\
    used_memory:1000000\r\nused_memory_rss:2000000\r\nmaxmemory:0\r\nlatest_fork_usec:300\r\n\
    rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\ncmdstat_get:calls=4,usec=8000,usec_per_call=2000.00\r\n";

/// A node that says `info` to every section, and nothing is slow.
fn with(fake: FakeCluster, address: &str, info: &str) -> FakeCluster {
    fake.on(address, "INFO", vec![Value::from(info)])
        .on(address, "LATENCY", vec![Value::List(vec![])])
        .on(address, "SLOWLOG", vec![Value::List(vec![])])
        .on(address, "MEMORY DOCTOR", vec![Value::from("Sam, I can't find any memory issue")])
        .on(address, "MEMORY STATS", vec![Value::List(vec![])])
        .on(address, "CLIENT LIST", vec![Value::from("addr=10.0.0.9:1 name=api flags=N omem=0\n")])
}

fn look(mut fake: FakeCluster) -> Output {
    let input: Input = serde_json::from_str(r#"{"cluster":"bondx"}"#).unwrap();
    RedisEvidence::run(input, &mut fake).unwrap()
}

fn codes(output: &Output) -> Vec<&str> {
    output.findings.iter().map(|it| it.code.as_str()).collect()
}

/// What is found of one node that says `more` beside what a calm one says.
fn of(more: &str) -> Vec<String> {
    let fake = with(FakeCluster::new("bondx", &["n:1"], &[]), "n:1", &format!("{CALM}{more}"));
    codes(&look(fake)).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_calm_node_explains_nothing_and_is_shown_in_figures() {
    let output = look(with(FakeCluster::new("bondx", &["n:1"], &[]), "n:1", CALM));
    assert_eq!(codes(&output), [""; 0]);
    assert_eq!(output.reason, "all nodes answered; nothing that they say explains it");
    assert_eq!(output.table.rows.len(), 1);
    let said = &output.nodes[0];
    assert_eq!(said.commands, ["get: 8 ms in 4, 2000.00 us each"]);
    assert_eq!(said.clients.as_ref().unwrap().groups[0].who, "api");
    assert_eq!(said.not_told, [""; 0]);
}

#[test]
fn each_trace_in_the_figures_is_found() {
    for (more, code) in [
        ("rdb_last_bgsave_status:err\r\n", "save-failed"),
        ("aof_last_write_status:err\r\n", "save-failed"),
        ("aof_delayed_fsync:3\r\n", "slow-disk"),
        ("latest_fork_usec:900000\r\n", "slow-fork"),
        ("errorstat_OOM:count=7\r\n", "out-of-memory"),
        ("errorstat_MISCONF:count=7\r\n", "save-refused-writes"),
        ("errorstat_BUSY:count=7\r\n", "script-held-it"),
        ("maxmemory:1000000\r\n", "memory-full"),
        ("evicted_keys:9\r\n", "evicted"),
        ("total_system_memory:2100000\r\n", "machine-full"),
        ("used_memory:200000000\r\nused_memory_rss:100000000\r\n", "swapped-out"),
        ("rejected_connections:4\r\n", "too-many-clients"),
        ("uptime_in_seconds:4\r\n", "restarted"),
        ("sync_full:2\r\n", "full-copies"),
    ] {
        assert_eq!(of(more), [code], "{more}");
    }
    assert_eq!(of("errorstat_ERR:count=7\r\n"), [""; 0]);
}

#[test]
fn the_dead_node_did_not_answer_and_the_others_are_asked_all_the_same() {
    let fake = with(FakeCluster::new("bondx", &["n:1", "n:2"], &[]), "n:2", CALM)
        .down("n:1", ErrorKind::Refused);
    let output = look(fake);
    assert_eq!(codes(&output), ["no-answer"]);
    assert_eq!(output.silent[0].address, "n:1");
    assert!(output.reason.starts_with("1 nodes answered, n:1 did not"), "{}", output.reason);
    assert_eq!(output.nodes[0].address, "n:2");
}

#[test]
fn what_held_the_server_up_is_named_without_its_arguments() {
    let entry = Value::List(vec![
        Value::Int(1),
        Value::Int(1_700_000_000),
        Value::Int(2_000_000),
        Value::List(vec!["EVAL".into(), "return 'hunter2'".into(), "0".into()]),
        "10.0.0.9:4001".into(),
        "risk".into(),
    ]);
    let event = |name: &str| {
        Value::List(vec![name.into(), Value::Int(1_700_000_000), Value::Int(300), Value::Int(900)])
    };
    let fake = with(FakeCluster::new("bondx", &["n:1"], &[]), "n:1", CALM)
        .on("n:1", "SLOWLOG", vec![Value::List(vec![entry])])
        .on(
            "n:1",
            "LATENCY LATEST",
            vec![Value::List(vec![event("fork"), event("aof-fsync-always")])],
        )
        .on("n:1", "LATENCY HISTORY", vec![Value::List(vec![Value::Null; 3])])
        .on(
            "n:1",
            "CLIENT LIST",
            vec![Value::from("addr=10.0.0.9:1 name=slow flags=N omem=99999999\n")],
        );
    let output = look(fake);
    assert_eq!(codes(&output), ["latency", "latency", "slow-script", "large-buffer"]);
    assert!(output.findings[0].why.contains("a fork stops"), "{:?}", output.findings[0]);
    assert_eq!(output.findings[2].what, "EVAL by risk took 2000 ms at 2023-11-14 22:13:20 UTC");
    assert!(output.nodes[0].latency[0].ends_with("at most 900 ms, 3 times"));
    assert!(!serde_json::to_string(&output).unwrap().contains("hunter2"));
}

#[test]
fn what_may_not_be_asked_is_said_and_is_no_fault() {
    let no = || vec![Value::Error("NOPERM no".into())];
    let fake = with(FakeCluster::new("bondx", &["n:1"], &[]), "n:1", CALM)
        .on("n:1", "SLOWLOG", no())
        .on("n:1", "CLIENT LIST", no());
    let said = look(fake).nodes.remove(0);
    assert_eq!(said.not_told, ["SLOWLOG GET: NOPERM no", "CLIENT LIST: an error, or no text"]);
    let mut busy = FakeCluster::new("bondx", &["n:1"], &[]);
    for command in ["INFO", "LATENCY", "MEMORY", "SLOWLOG"] {
        busy = busy.on("n:1", command, vec![Value::Error("BUSY Redis is busy".into())]);
    }
    assert_eq!(codes(&look(busy)), ["script-holds-it"]);
}

#[test]
fn logs_and_machines_are_asked_where_the_operator_listed_how() {
    let left =
        |text: &str| vec![Ok(Left { exit: Some(0), stdout: text.into(), ..Left::default() })];
    let failed =
        vec![Ok(Left { exit: Some(255), stderr: b"no route\n".to_vec(), ..Left::default() })];
    let log = "1:M Can't save in background: fork: Cannot allocate memory\n1:M Ready\n";
    let state = "Filesystem 1024-blocks Used Available Capacity Mounted\n/dev/sda1 100 99 1 99% /data\nMemTotal: 1000000 kB\nMemAvailable: 10000 kB\n";
    let fake = with(FakeCluster::new("bondx", &["n:1", "n:2"], &[]), "n:2", CALM)
        .down("n:1", ErrorKind::TimedOut)
        .on_exec("redis-log", "n:1", left(log))
        .on_exec("redis-log", "n:2", failed)
        .on_exec("redis-machine", "n:1", left(state))
        .on_exec("redis-machine", "n:2", left("Filesystem\n/dev/sda1 100 50 50 50% /data\n"));
    let output = look(fake);
    assert_eq!(codes(&output), ["fork-failed", "disk-full", "machine-full", "no-answer"]);
    let of = |address: &str| output.nodes.iter().find(|it| it.address == address).unwrap();
    assert_eq!(of("n:1").log.len(), 2, "the dead node's log is what is left of it");
    assert!(output.table.rows.iter().any(|it| it[1] == "the last line of its log: 1:M Ready"));
    assert!(of("n:2").not_told[0].contains("no route"), "{:?}", of("n:2").not_told);
}

#[test]
fn one_slow_machine_does_not_take_all_the_time() {
    let addresses: Vec<String> = (0..9).map(|at| format!("n:{at}")).collect();
    let names: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut fake = FakeCluster::new("bondx", &names, &[]);
    let input: Input = serde_json::from_str(r#"{"cluster":"bondx"}"#).unwrap();
    assert_eq!(machine::ask(&input, &addresses, &mut fake), []);
    // Nothing is listed: each command is tried once, not once a node.
    assert_eq!(fake.sent.len(), 2);
}

#[test]
fn times_are_told_as_people_write_them() {
    for (unix_s, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (1_709_251_199, "2024-02-29 23:59:59 UTC"),
        (1_798_761_600, "2027-01-01 00:00:00 UTC"),
    ] {
        assert_eq!(utc(unix_s), text);
    }
}

#[test]
fn a_stop_by_signal_is_one_finding_and_the_last_line_of_it_is_shown() {
    let log = "1:M 1 Received SIGTERM scheduling\n1:M 1 User requested shutdown...\n1:M 2 Received SIGTERM scheduling\n";
    let machine = Machine { address: "n:1".into(), text: log.into(), ..Machine::default() };
    let found = findings::of_machine(&machine);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1.what, "its log: 1:M 2 Received SIGTERM scheduling");
}
