use std::path::Path;

use baton_host::capability::redis::Mode;
use expect_test::{Expect, expect};

use super::{Config, ConfigError};

const FULL: &str = r#"
[server]
bind = "127.0.0.1:0"
token = "api"
[paths]
data = "state"
plugins = "/opt/baton/plugins"
[secrets]
api = { env = "BATON_TEST_UNSET_TOKEN" }
redis = { file = "redis.secret" }
[clusters.bondx]
master_name = "bondx-master"
mode = "lead"
nodes = ["127.0.0.1:7001", "redis-2:7002", "[::1]:7003"]
sentinels = ["127.0.0.1:7101"]
username = "baton"
password = "redis"
tls = { ca = "ca.pem", cert = "c.pem", key = "k.pem" }
resp = 2
down_after_ms = 1_500
max_lost_bytes = 0x10
[limits]
attempts = 8
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("etc/baton.toml")), &no_env)
}

fn check(text: &str, expected: &Expect) {
    let error = read(text).map(|_| ()).expect_err("the text has flaws");
    expected.assert_eq(&error.to_string());
}

#[test]
fn a_full_file_is_read_whole() {
    let config = read(FULL).unwrap();
    assert_eq!(config.server.bind.port(), 0);
    assert_eq!(config.paths.data, Path::new("etc/state"));
    assert_eq!(config.paths.plugins, Path::new("/opt/baton/plugins"));
    assert_eq!(config.paths.workflows, Path::new("etc/workflows"));
    assert_eq!(config.limits.attempts_max, 8);
    assert_eq!(config.limits.memory_bytes_max, 64 * 1024 * 1024);
    assert_eq!(config.cluster_names().collect::<Vec<_>>(), ["bondx"]);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = read("").unwrap();
    assert_eq!(config.server.bind.to_string(), "127.0.0.1:7077");
    assert_eq!(config.paths.data, Path::new("etc/data"));
    assert!(config.clusters().unwrap().is_empty());
}

#[test]
fn clusters_come_with_their_secrets_and_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("redis.secret", "pass\nword\n\r\n");
    write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    write("c.pem", "-----BEGIN CERTIFICATE-----\n");
    write("k.pem", "-----BEGIN PRIVATE KEY-----\nhush\n");
    write("baton.toml", FULL);
    let config = Config::load(Some(&folder.path().join("baton.toml"))).unwrap();
    let clusters = config.clusters().unwrap();
    let cluster = &clusters[0];
    assert_eq!((cluster.mode, cluster.resp, cluster.down_after_ms), (Mode::Lead, 2, 1_500));
    assert_eq!((cluster.max_lost_bytes, cluster.restart_grace_ms), (16, 0));
    assert_eq!(cluster.nodes, ["127.0.0.1:7001", "redis-2:7002", "[::1]:7003"]);
    let password = cluster.auth.password.as_ref().unwrap();
    assert_eq!(password.expose(), "pass\nword\n", "only the last newline is trimmed");
    assert!(cluster.tls.as_ref().unwrap().client_pem.is_some());
}

#[test]
fn zones_are_of_nodes_and_have_names() {
    let cluster = |zones: &str| {
        format!(
            "[clusters.bondx]\nmaster_name = \"m\"\nnodes = [\"redis-1:7001\", \"redis-2:7002\"]\nsentinels = [\"s:1\"]\n[clusters.bondx.zones]\n{zones}\n"
        )
    };
    let read = |zones: &str| Config::parse(&cluster(zones), None, &|_| None);
    let config = read("\"redis-1:7001\" = \"rack-1\"").unwrap();
    assert_eq!(config.clusters().unwrap()[0].zones["redis-1:7001"], "rack-1");
    let flaws = read("\"redis-3:7001\" = \"a\"\n\"redis-2:7002\" = \"\"").unwrap_err().to_string();
    assert!(flaws.contains("`redis-3:7001` in `zones` is none of the `nodes`"), "{flaws}");
    assert!(flaws.contains("is no name of a zone"), "{flaws}");
}

#[test]
fn g9_neither_debug_nor_errors_show_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("redis.secret"), "hunter2").unwrap();
    std::fs::write(folder.path().join("k.pem"), "hunter2").unwrap();
    std::fs::write(folder.path().join("baton.toml"), FULL).unwrap();
    let config = Config::load(Some(&folder.path().join("baton.toml"))).unwrap();
    let error = config.clusters().unwrap_err().to_string();
    let secret = config.secrets.get("redis").unwrap();
    for shown in [format!("{config:?}"), error, format!("{secret:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let careless = r#"
        [secrets]
        redis = "hunter2"
        [clusters.b]
        nodes = ["redis://u:hunter2@h:6379", "u:hunter2@h"]
        password = "hunter2"
        [server]
        token = "hunter2"
        broken = "hunter2
    "#;
    assert!(!read(careless).unwrap_err().to_string().contains("hunter2"));
    let careless = careless.replace("broken = \"hunter2", "");
    assert!(!read(&careless).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn a_missing_secret_says_which_and_what_to_do() {
    let config = read(FULL).unwrap();
    expect!["secret `api`: the environment variable BATON_TEST_UNSET_TOKEN is not set; set it where `baton` is started"]
        .assert_eq(&config.secrets.get("api").unwrap_err().to_string());
    expect!["secret `redis`: cannot read the file etc/redis.secret: No such file or directory (os error 2); create it, readable by the user that runs `baton`"]
        .assert_eq(&config.secrets.get("redis").unwrap_err().to_string());
    expect![[r#"no secret named `ap`: add `ap = { env = "…" }` to [secrets] of baton.toml; did you mean `api`?"#]]
        .assert_eq(&config.secrets.get("ap").unwrap_err().to_string());
}

#[test]
fn all_flaws_come_at_once_with_their_lines() {
    check(
        r#"
colour = true
[server]
bind = "localhost:7077"
tokem = "x"
[secrets]
plain = "s3cret"
both = { env = "A", file = "b" }
neither = {}
[clusters.one]
master_nam = "m"
mode = "leed"
nodes = ["10.0.0.1", "10.0.0.2:0", "10.0.0.3:6379", "10.0.0.3:6379", "a b:1", 7]
sentinels = []
username = "u"
sentinel_password = "nowhere"
resp = 4
down_after_ms = "5s"
tls = { cert = "c.pem", insecure = "no" }
[clusters.two]
master_name = ""
nodes = ["10.0.0.3:6379"]
sentinels = ["10.0.0.3:6379"]
[limits]
fuel = 0
memory_mib = 1.5
"#,
        &expect![[r#"
            etc/baton.toml:2:1: unknown key `colour`; known are secrets, server, paths, limits, retention, clusters, http, exec, probe
            etc/baton.toml:4:8: `localhost:7077` is not an address to listen on; write IP and port, as "127.0.0.1:7077" or "[::1]:7077"
            etc/baton.toml:5:1: unknown key `tokem` in [server]; did you mean `token`?
            etc/baton.toml:7:1: secret `plain` must say where its text is, not hold it; write `plain = { env = "VARIABLE" }` or `plain = { file = "/run/secrets/plain" }`
            etc/baton.toml:8:1: secret `both` needs exactly one of `env` and `file`
            etc/baton.toml:9:1: secret `neither` needs exactly one of `env` and `file`
            etc/baton.toml:10:1: [clusters.one] has no `master_name`; write the name after `sentinel monitor`
            etc/baton.toml:11:1: unknown key `master_nam` in [clusters.one]; did you mean `master_name`?
            etc/baton.toml:12:8: `leed` is no mode; write observe, assist or lead; did you mean `lead`?
            etc/baton.toml:13:10: `10.0.0.1` in `nodes` has no port; write `10.0.0.1:6379`
            etc/baton.toml:13:22: `10.0.0.2:0` in `nodes` has no port from 1 to 65535 after the last `:`
            etc/baton.toml:13:53: `10.0.0.3:6379` stands twice in `nodes`
            etc/baton.toml:13:70: `a b:1` in `nodes` is not `host:port`; write `10.0.0.1:6379`, `redis-1:6379` or `[fd00::1]:6379`
            etc/baton.toml:13:79: `nodes` of [clusters.one] must be a list of strings, not of type integer
            etc/baton.toml:14:13: `sentinels` holds 0 addresses; write 1 to 64
            etc/baton.toml:15:12: `username` needs a `password` beside it
            etc/baton.toml:16:21: `sentinel_password` must be the name of a secret in [secrets]; write `sentinel_password = "redis-password"` here and `redis-password = { env = "REDIS_PASSWORD" }` there
            etc/baton.toml:17:8: `resp` must be from 2 to 3
            etc/baton.toml:18:17: `down_after_ms` of [clusters.one] must be a whole number, not of type string
            etc/baton.toml:19:7: [clusters.one.tls] needs `cert` and `key` together, or neither
            etc/baton.toml:19:36: `insecure` of [clusters.one.tls] must be true or false, not of type string
            etc/baton.toml:20:1: node `10.0.0.3:6379` is in cluster `one` already; a node has one master
            etc/baton.toml:21:15: `master_name` is empty; write the name after `sentinel monitor`
            etc/baton.toml:23:14: `10.0.0.3:6379` is in `nodes` and in `sentinels`; a server is one or the other
            etc/baton.toml:25:8: `fuel` must be from 1 to 1000000000000000
            etc/baton.toml:26:14: `memory_mib` of [limits] must be a whole number, not of type float"#]],
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    check(
        "[server\nbind = 1\n[paths]\ndata = \"x\n",
        &expect![[r#"
        etc/baton.toml:1:8: unclosed table, expected `]`
        etc/baton.toml:4:10: invalid basic string, expected `"`"#]],
    );
}

#[test]
fn a_bind_that_others_reach_needs_a_token() {
    check(
        "[server]\nbind = \"0.0.0.0:80\"",
        &expect![[
            r#"etc/baton.toml: [server] bind = "0.0.0.0:80" lets other machines start and cancel runs; add `token = "api-token"` to [server] and `api-token = { env = "BATON_API_TOKEN" }` to [secrets], or bind to 127.0.0.1"#
        ]],
    );
    check(
        "[server]\ntoken = \"nobody\"",
        &expect![[
            r#"etc/baton.toml:2:9: `token` must be the name of a secret in [secrets]; write `token = "api-token"` and there `api-token = { env = "BATON_API_TOKEN" }`"#
        ]],
    );
    let with_token =
        "[server]\nbind = \"0.0.0.0:80\"\ntoken = \"t\"\n[secrets]\nt = { env = \"T\" }";
    assert!(read(with_token).is_ok());
}

#[test]
fn closed_runs_are_kept_as_long_as_it_says() {
    let kept = |text: &str| {
        let retention = read(text).unwrap().retention;
        (retention.closed_ms_max, retention.closed_runs_max)
    };
    let day = 24 * 3600 * 1000;
    assert_eq!(kept(""), (90 * day, 10_000));
    assert_eq!(kept("[retention]\nclosed_for = \"36h\"\nclosed_runs = 7"), (36 * 3_600_000, 7));
    check(
        "[retention]\nclosed_for = \"1s\"\nclosed_runs = 0\nruns = 1",
        &expect![[r#"
            etc/baton.toml:2:14: `closed_for` must be a duration from 1m to 36500d, as "90d", not `1s`
            etc/baton.toml:3:15: `closed_runs` must be from 1 to 100000000
            etc/baton.toml:4:1: unknown key `runs` in [retention]; known are closed_for, closed_runs"#]],
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let env = |name: &str| {
        let value = match name {
            "BATON_SERVER_BIND" => "127.0.0.2:9",
            "BATON_PATHS_DATA" => "here",
            "BATON_LIMITS_OPEN_RUNS" => "5",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = Config::parse(FULL, Some(Path::new("etc/baton.toml")), &env).unwrap();
    assert_eq!(config.server.bind.to_string(), "127.0.0.2:9");
    assert_eq!(config.paths.data, Path::new("here"), "relative to where it was set");
    assert_eq!(config.limits.open_runs_max, 5);
    let bad = |name: &str| name.starts_with("BATON_").then(|| "rub\nbish".to_owned());
    let error = Config::parse("", None, &bad).unwrap_err();
    expect![[r#"
        configuration: BATON_SERVER_BIND: `rub�bish` is not an address to listen on; write IP and port, as "127.0.0.1:7077" or "[::1]:7077"
        configuration: BATON_SERVER_TOKEN: `token` must be the name of a secret in [secrets]; write `token = "api-token"` and there `api-token = { env = "BATON_API_TOKEN" }`
        configuration: BATON_LIMITS_MEMORY_MIB: `rub�bish` is not a whole number from 1 to 4096
        configuration: BATON_LIMITS_FUEL: `rub�bish` is not a whole number from 1 to 1000000000000000
        configuration: BATON_LIMITS_ATTEMPTS: `rub�bish` is not a whole number from 1 to 10000
        configuration: BATON_LIMITS_OPEN_RUNS: `rub�bish` is not a whole number from 1 to 1000000
        configuration: BATON_RETENTION_CLOSED_FOR: `closed_for` must be a duration from 1m to 36500d, as "90d", not `rub�bish`
        configuration: BATON_RETENTION_CLOSED_RUNS: `rub�bish` is not a whole number from 1 to 100000000"#]].assert_eq(&error.to_string());
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baton.toml");
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("No such file") && error.contains("--config"), "{error}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|[\\[\\]=\"'{}.,\n#]){0,200}") {
        let _ = read(&text);
    }
}
