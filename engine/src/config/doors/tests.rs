use std::path::Path;

use baton_host::capability::exec::{Class, Secret};
use baton_host::capability::probe::Look;
use expect_test::{Expect, expect};

use crate::config::{Config, ConfigError};

const FULL: &str = r#"
[secrets]
token = { file = "token.secret" }
[http.prometheus]
url = "https://prom.bondx.example:9090/base/"
bearer = "token"
headers = { X-Api-Key = "token" }
tls = { ca = "ca.pem" }
reads = ["/api/v1/query*"]
idempotent = ["/api/v2/silences"]
idempotency_header = "X-Request-Key"
timeout_ms = 5_000
answer_bytes_max = 2_000_000
[http.chat]
url = "http://10.0.0.9"
username = "baton"
password = "token"
[exec.restart-api]
command = ["systemctl", "restart", "bondx-api"]
args = ["api-[12]"]
class = "idempotent"
cwd = "/srv"
env = ["LANG"]
secrets = { TOKEN = "token" }
timeout_ms = 60_000
output_bytes_max = 1_000
[exec.disk]
command = ["/bin/df", "-h"]
[probe.api]
http = "http://10.0.0.5:8080/healthz"
status = [200, 204]
contains = "ok"
[probe.redis]
tcp = "[::1]:6379"
timeout_ms = 500
[probe.feed]
websocket = "wss://feed.bondx.example/v1"
subscribe = '{"op":"subscribe"}'
fields = { "/channel" = "trades", "/seq" = 1, "/live" = true, "/px" = 0.5 }
tls = { ca = "ca.pem" }
"#;

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("etc/baton.toml")), &|_| None)
}

fn check(text: &str, expected: &Expect) {
    let error = read(text).map(|_| ()).expect_err("the text has flaws");
    expected.assert_eq(&error.to_string());
}

#[test]
fn doors_come_with_their_secrets_and_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("token.secret", "hunter2\n");
    write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    write("baton.toml", FULL);
    let config = Config::load(Some(&folder.path().join("baton.toml"))).unwrap();
    let outside = config.outside().unwrap();
    let find = |name: &str| outside.http.iter().find(|it| it.name == name).unwrap();
    let prometheus = find("prometheus");
    assert_eq!(prometheus.url.address.to_string(), "prom.bondx.example:9090");
    assert!(prometheus.url.secure && prometheus.url.prefix == "/base");
    let headers: Vec<_> =
        prometheus.headers.iter().map(|(name, it)| (name.as_str(), it.expose())).collect();
    assert_eq!(headers, [("Authorization", "Bearer hunter2"), ("X-Api-Key", "hunter2")]);
    assert!(prometheus.tls.ca_pem.is_some() && !prometheus.tls.insecure);
    assert_eq!((prometheus.timeout_ms, prometheus.answer_bytes_max), (5_000, 2_000_000));
    assert_eq!(prometheus.idempotency_header, "X-Request-Key");
    let chat = find("chat");
    assert_eq!(chat.headers[0].1.expose(), "Basic YmF0b246aHVudGVyMg==");
    let secrets: Vec<&str> = chat.secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, ["YmF0b246aHVudGVyMg==", "hunter2"], "in either spelling");
    assert_eq!((chat.timeout_ms, chat.answer_bytes_max), (10_000, 1_048_576));

    let find = |name: &str| outside.exec.iter().find(|it| it.name == name).unwrap();
    let restart = find("restart-api");
    assert_eq!((restart.program.as_str(), restart.class), ("systemctl", Class::Idempotent));
    assert_eq!((restart.fixed.len(), restart.args.len(), restart.timeout_ms), (2, 1, 60_000));
    assert_eq!(restart.secrets[0].1.expose(), "hunter2");
    assert_eq!((find("disk").class, find("disk").cwd.as_path()), (Class::Once, Path::new("/")));

    let look = |name: &str| &outside.probe.iter().find(|it| it.name == name).unwrap().look;
    assert!(
        matches!(look("api"), Look::Http { statuses, expected, .. } if statuses.len() == 2 && expected.contains.is_some())
    );
    assert!(matches!(look("redis"), Look::Tcp(address) if address.to_string() == "[::1]:6379"));
    assert!(
        matches!(look("feed"), Look::WebSocket { url, tls, subscribe: Some(_), expected } if url.secure && tls.ca_pem.is_some() && expected.fields.len() == 4)
    );
}

#[test]
fn g9_what_is_missing_is_named_and_no_secret_is_shown() {
    let config = read(FULL).unwrap();
    let error = config.outside().unwrap_err().to_string();
    for told in
        ["[http.prometheus] secret `token`", "[exec.restart-api] secret", "[probe.feed.tls]"]
    {
        assert!(error.contains(told), "{error}");
    }
    let careless = "[http.a]\nurl = 'http://u:hunter2@h'\nbearer = 'hunter2'\n\
                    headers = { X = 'hunter2' }\n[exec.b]\ncommand = ['x']\nsecrets = { Y = 'hunter2' }";
    assert!(!read(careless).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn all_flaws_of_doors_come_at_once_with_their_lines() {
    check(
        r#"
[http.Prom]
url = "prom:9090"
[http.two]
url = "http://10.0.0.1/a?x=1"
username = "u"
bearer = "nobody"
headers = { "Bad Header" = "nobody", authorization = "nobody" }
tls = { ca = "ca.pem", insecure = true }
reads = ["query", "/x?y"]
timeout_ms = 0
answer_bytes_max = 100_000_000
follow = true
[http.three]
[exec.sh]
command = "systemctl restart x"
[exec.relative]
command = ["bin/x"]
args = ["(", "ok"]
class = "guarded"
cwd = "srv"
env = ["PATH", "A B"]
[exec.empty]
command = []
[probe.both]
tcp = "10.0.0.1:1"
http = "http://10.0.0.1"
[probe.none]
[probe.page]
http = "ftp://10.0.0.1"
status = [99, "200"]
contains = ""
[probe.port]
tcp = "10.0.0.1"
[probe.deaf]
websocket = "ws://10.0.0.1"
subscribe = "trades"
[probe.pointer]
http = "http://10.0.0.1"
fields = { status = "ok", "/a" = [1] }
"#,
        &expect![[r#"
            etc/baton.toml:2:7: `Prom` is not a name that a grant can spell: use a letter of a-z, then a-z, 0-9 and `-`, at most 64 in all
            etc/baton.toml:3:7: `url`: `prom:9090` must begin with `http://` or `https://`; write `url = "http://10.0.0.7:9090"`
            etc/baton.toml:4:1: [http.two] needs `username` and `password` together
            etc/baton.toml:5:7: `url`: `http://10.0.0.1/a?x=1` has a query or fragment; leave it out; write `url = "http://10.0.0.7:9090"`
            etc/baton.toml:7:10: `bearer` must be the name of a secret in [secrets]; write `bearer = "api-token"` here and `api-token = { env = "API_TOKEN" }` there
            etc/baton.toml:8:13: `Bad Header` is no header's name
            etc/baton.toml:8:28: `Bad Header` must be the name of a secret in [secrets]; write `Bad Header = "api-token"` here and `api-token = { env = "API_TOKEN" }` there
            etc/baton.toml:8:38: [http.two] has another log-in already
            etc/baton.toml:8:54: `authorization` must be the name of a secret in [secrets]; write `authorization = "api-token"` here and `api-token = { env = "API_TOKEN" }` there
            etc/baton.toml:9:24: unknown key `insecure` in [http.two.tls]; known are ca, cert, key
            etc/baton.toml:10:10: `query` in `reads` is no pattern of paths; write `reads = ["/api/v1/query*"]`, without query and without `%`
            etc/baton.toml:10:19: `/x?y` in `reads` is no pattern of paths; write `reads = ["/api/v1/query*"]`, without query and without `%`
            etc/baton.toml:11:14: `timeout_ms` must be from 1 to 600000
            etc/baton.toml:12:20: `answer_bytes_max` must be from 1 to 8388608
            etc/baton.toml:13:1: unknown key `follow` in [http.two]; known are url, bearer, username, password, headers, idempotency_header, reads, idempotent, timeout_ms, answer_bytes_max, tls
            etc/baton.toml:14:1: [http.three] has no `url`; write `url = "http://10.0.0.7:9090"`
            etc/baton.toml:16:11: `command` of [exec.sh] must be a list of strings, not of type string
            etc/baton.toml:18:11: `command` begins with no program; write `command = ["systemctl", "restart", "bondx-api"]`, with a bare name or an absolute path
            etc/baton.toml:19:9: `(` in `args` is no regular expression (error: unclosed group); write one pattern for each argument, as `args = ["api-[12]"]`
            etc/baton.toml:20:9: `guarded` is no class; write read, idempotent or once
            etc/baton.toml:21:7: `cwd` must be an absolute path
            etc/baton.toml:22:8: `PATH` is no variable that can be let through; PATH is always the same
            etc/baton.toml:22:16: `A B` is no variable that can be let through; PATH is always the same
            etc/baton.toml:24:11: `command` begins with no program; write `command = ["systemctl", "restart", "bondx-api"]`, with a bare name or an absolute path
            etc/baton.toml:25:1: [probe.both] needs exactly one of `tcp`, `http`, `websocket`; write `tcp = "10.0.0.1:6379"`
            etc/baton.toml:28:1: [probe.none] needs exactly one of `tcp`, `http`, `websocket`; write `tcp = "10.0.0.1:6379"`
            etc/baton.toml:30:8: `http`: `ftp://10.0.0.1` must begin with `http://` or `https://`; write `http = "http://10.0.0.7:9090"`
            etc/baton.toml:31:11: `status` must be from 100 to 599
            etc/baton.toml:31:15: `status` of [probe.page] must be a whole number, not of type string
            etc/baton.toml:32:12: `contains` must be 1 to 1000 bytes
            etc/baton.toml:34:7: `tcp`: `10.0.0.1` has no port; write `host:port`
            etc/baton.toml:37:13: [probe.deaf] has `subscribe`, but nothing says what must come of it; write `contains = "…"` or `fields = { "/channel" = "trades" }`
            etc/baton.toml:40:12: `status` in `fields` is no JSON pointer; write "/status"
            etc/baton.toml:40:34: `fields` of [probe.pointer] must be a table of texts, numbers and booleans, not of type array"#]],
    );
}
