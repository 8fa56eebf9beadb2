//! Each figure at, below and above its limits.

use super::*;
use baton_plugin::exec::Output as Left;
use baton_plugin::redis::ErrorKind;
use baton_plugin::testing::FakeCluster;

const GIB: i64 = 1024 * 1024 * 1024;

fn info(more: &str) -> Info {
    let calm = format!(
        "role:master\r\nused_memory:{}\r\nused_memory_rss:{}\r\nused_memory_peak:{}\r\nmaxmemory:{}\r\nconnected_clients:10\r\nmaxclients:1000\r\nrepl_backlog_size:67108864\r\nmaster_repl_offset:1000\r\nevicted_keys:0\r\ndb0:keys=5,expires=0\r\n",
        GIB,
        GIB,
        GIB,
        4 * GIB
    );
    Info::parse(&format!("{calm}{more}"))
}

/// The verdict of `name` where the second look says `after` too.
fn of(name: &str, before: &str, after: &str) -> (Verdict, String) {
    let node = Node {
        address: "n:1".into(),
        before: info(before),
        after: info(after),
        took_ms: 10_000,
        machine: Some("Filesystem Capacity\n/dev/a 10% /\n/dev/b 80% /data\n".into()),
    };
    let checks = judge::checks(&node, &Limits::default());
    let found = checks.iter().find(|it| it.name == name);
    found.map(|it| (it.verdict, it.what.clone())).expect("the check")
}

#[test]
fn each_figure_has_its_limits() {
    use Verdict::{Critical, Ok, Warn};
    for (name, after, verdict) in [
        ("memory", String::new(), Ok),
        ("memory", format!("used_memory:{}\r\n", 3 * GIB), Warn),
        ("memory", format!("used_memory:{}\r\n", 4 * GIB), Critical),
        ("memory", format!("maxmemory:0\r\ntotal_system_memory:{GIB}\r\n"), Critical),
        ("peak", format!("used_memory_peak:{}\r\n", 4 * GIB), Warn),
        ("fragmentation", format!("used_memory_rss:{}\r\n", 2 * GIB), Warn),
        ("evictions", "evicted_keys:3\r\n".into(), Critical),
        ("clients", "connected_clients:700\r\n".into(), Warn),
        ("clients", "connected_clients:900\r\n".into(), Critical),
        ("backlog", "master_repl_offset:1000\r\n".into(), Ok),
        // 64 MiB at 6.7 MB a second: ten seconds of it.
        ("backlog", "master_repl_offset:67109864\r\n".into(), Critical),
        ("backlog", "master_repl_offset:6711886\r\n".into(), Warn),
        ("disk", String::new(), Warn),
        ("growth", String::new(), Ok),
    ] {
        let (given, what) = of(name, "", &after);
        assert_eq!(given, verdict, "{name}: {what}");
    }
}

#[test]
fn time_to_full_is_told_from_the_rate_and_noise_is_none() {
    // 3 GiB left; 10 MiB in 10 s is 1 MiB a second: 51 minutes.
    let (verdict, what) = of("growth", "", &format!("used_memory:{}\r\n", GIB + 10 * 1024 * 1024));
    assert_eq!(verdict, Verdict::Critical, "{what}");
    assert!(what.ends_with("full in 51 min") || what.ends_with("full in 50 min"), "{what}");
    let (verdict, what) = of("growth", "", &format!("used_memory:{}\r\n", GIB + 200 * 1024));
    assert_eq!(verdict, Verdict::Ok, "{what}");
    let (verdict, what) = of("growth", "", &format!("used_memory:{}\r\n", GIB / 2));
    assert_eq!(verdict, Verdict::Ok, "{what}");
    assert!(what.contains("no growth"), "{what}");
}

#[test]
fn a_small_node_is_not_fragmented_and_a_replica_has_no_backlog_to_judge() {
    let small = "used_memory:1000000\r\nused_memory_rss:9000000\r\n";
    assert_eq!(of("fragmentation", "", small).0, Verdict::Ok);
    let node = Node {
        address: "n:1".into(),
        before: info(""),
        after: info("role:slave\r\n"),
        took_ms: 1,
        machine: None,
    };
    let names: Vec<String> =
        judge::checks(&node, &Limits::default()).into_iter().map(|it| it.name).collect();
    assert!(!names.iter().any(|it| it == "backlog" || it == "disk"), "{names:?}");
}

#[test]
fn the_worst_comes_first_and_a_silent_node_is_a_warning() {
    let text = |more: &str| {
        let all: Vec<String> =
            info(more).iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        Value::from(all.concat().as_str())
    };
    let df = Left { exit: Some(0), stdout: b"/dev/a 95% /\n".to_vec(), ..Left::default() };
    let mut fake = FakeCluster::new("bondx", &["n:1", "n:2", "n:3"], &[])
        .on("n:1", "INFO", vec![text("")])
        .on("n:2", "INFO", vec![text("role:slave\r\n")])
        .down("n:3", ErrorKind::Refused)
        .on_exec("redis-machine", "n:2", vec![Ok(df)]);
    let input: Input = serde_json::from_str(r#"{"cluster":"bondx","sample_ms":100}"#).unwrap();
    let output = RedisCapacity::run(input, &mut fake).unwrap();
    assert_eq!(output.verdict, Verdict::Critical);
    assert_eq!(output.reason, "critical: disk of n:2: 95 % of /");
    assert_eq!(output.silent, ["n:3"]);
    assert_eq!(
        (output.checks[1].name.as_str(), output.checks[1].verdict),
        ("answers", Verdict::Warn)
    );
    assert_eq!(output.table.rows.len(), output.checks.len());
}
