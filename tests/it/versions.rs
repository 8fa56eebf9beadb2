//! A run ends on what it began with, whatever happens to the files; and a broken file
//! holds up nothing but itself.

use std::fs;
use std::path::Path;

use baton_lab::{Lab, Options, web};
use serde_json::{Value, json};

use crate::house::{House, answer, until_closed, until_state};

/// Pings after a person said so.
const PING: &str = "\
name = \"ping\"
[steps.go]
approval = { prompt = \"Ping?\", timeout = \"1h\" }
[steps.ping]
needs = [\"go\"]
plugin = \"redis-ping\"
with = { cluster = \"bondx\" }
grants.redis = [{ cluster = \"bondx\", nodes = [\"data\"], commands = [\"PING\"] }]
";
/// Another workflow of the same name.
const PAUSE: &str = "name = \"ping\"\n[steps.pause]\nwait = \"1ms\"\n";

fn house() -> (Lab, House) {
    let lab =
        Lab::start(Options { replicas: 0, sentinels: 1, quorum: 1, ..Options::bondx() }).unwrap();
    let house = House::new(&[("ping", PING)], &lab.cluster_toml("bondx", "observe"));
    house.bring("redis-ping");
    (lab, house)
}

/// Another build of the same plugin: a field of its output is called otherwise.
fn rebuild(plugin: &Path) {
    let mut bytes = fs::read(plugin).unwrap();
    let (old, new) = (b"latency_ms", b"latency_xx");
    let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(new);
    fs::write(plugin, bytes).unwrap();
}

fn go() -> Value {
    json!({ "step": "go", "approved": true, "who": "anna", "reason": "a test" })
}

fn names(run: &Value) -> Vec<&str> {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().filter_map(|step| step["name"].as_str()).collect()
}

#[test]
fn g2_a_run_ends_on_the_plan_and_the_plugin_that_it_began_with() {
    let (_lab, house) = house();
    let daemon = house.serve();
    let old = house.begin("ping");
    until_state(&daemon, &old, "asking");
    daemon.kill();
    rebuild(&house.path("plugins/redis-ping.wasm"));
    house.write("ping", &PING.replace("Ping?", "Ping now?"));
    let daemon = house.serve();
    let shown = house.said(&["show", &old]);
    assert!(
        shown.contains("since it began: workflow ping, plugin redis-ping; it ends on what"),
        "{shown}"
    );
    assert!(house.log().contains("files have changed since the run began"), "{}", house.log());
    let new = house.begin("ping");
    for run in [&old, &new] {
        assert_eq!(answer(&daemon, run, &go()).status, 202);
    }
    let (old, new) = (until_closed(&daemon, &old), until_closed(&daemon, &new));
    let field = |run: &Value, name: &str| run["steps"][1]["output"]["members"][0][name].is_u64();
    assert!(field(&old, "latency_ms") && !field(&old, "latency_xx"), "{old:#}");
    assert!(field(&new, "latency_xx") && !field(&new, "latency_ms"), "{new:#}");
    assert_eq!(new["builds"]["changed"], json!([]));
    assert_ne!(old["builds"]["plugins"], new["builds"]["plugins"]);
    assert_ne!(old["digest"], new["digest"]);
}

#[test]
fn g2_a_run_ends_although_its_files_are_gone_or_broken() {
    let (_lab, house) = house();
    let daemon = house.serve();
    let runs = [house.begin("ping"), house.begin("ping")];
    for run in &runs {
        until_state(&daemon, run, "asking");
    }
    daemon.kill();
    // The workflow has other steps, and nothing is left of the plugin but rubbish.
    house.write("ping", PAUSE);
    fs::write(house.path("plugins/redis-ping.wasm"), "rubbish").unwrap();
    let daemon = house.serve();
    let other = house.begin("ping");
    assert_eq!(names(&until_state(&daemon, &other, "succeeded")), ["pause"]);
    assert_eq!(answer(&daemon, &runs[0], &go()).status, 202);
    let closed = until_state(&daemon, &runs[0], "succeeded");
    assert_eq!(names(&closed), ["go", "ping"]);
    assert_eq!(closed["steps"][1]["output"]["members"][0]["ok"], true);
    daemon.kill();
    fs::remove_file(house.workflow("ping")).unwrap();
    fs::remove_file(house.path("plugins/redis-ping.wasm")).unwrap();
    let daemon = house.serve();
    let view = daemon.run(&runs[1]).unwrap();
    let gone = ["workflow ping (not loaded)", "plugin redis-ping (not loaded)"];
    assert_eq!(view["builds"]["changed"], json!(gone));
    assert_eq!(answer(&daemon, &runs[1], &go()).status, 202);
    until_state(&daemon, &runs[1], "succeeded");
}

#[test]
fn what_is_broken_is_named_and_holds_up_nothing_else() {
    let ask = "name = \"ask\"\n[steps.go]\napproval = { prompt = \"Go?\", timeout = \"1h\" }\n";
    let house = House::new(&[("ask", ask), ("hook", "")], "");
    let hook = "name = \"hook\"\n[[triggers]]\nkind = \"webhook\"\npath = \"alerts\"\n\
                format = \"json\"\nauth = \"none\"\n[steps.a]\nwait = \"1ms\"\n";
    house.write("hook", hook);
    let daemon = house.serve();
    let post = |daemon: &baton_lab::daemon::Daemon| {
        web::post(daemon.address(), "/hooks/alerts", &[], b"{}").unwrap().status
    };
    assert_eq!(post(&daemon), 202);
    let run = house.begin("ask");
    until_state(&daemon, &run, "asking");
    daemon.kill();
    house.write("hook", &hook.replace("wait =", "wiat ="));
    fs::write(house.path("plugins/promote.wasm"), "rubbish").unwrap();
    let daemon = house.serve();
    assert_eq!(post(&daemon), 503, "the sender comes again");
    let ready = daemon.get("/readyz").unwrap();
    let degraded = ["plugin `promote` is not served", "workflow `hook` is not served"];
    assert_eq!(ready["degraded"], json!(degraded));
    let log = house.log();
    for part in ["wiat", "not served: plugin promote, workflow hook", "promote.wasm"] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    let refused = web::post(daemon.address(), "/runs", &[], b"{\"workflow\":\"hook\"}").unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("cannot be run: "), "{}", refused.body);
    // What was unfinished goes on, and what is sound is served.
    assert_eq!(answer(&daemon, &run, &go()).status, 202);
    until_state(&daemon, &run, "succeeded");
    house.begin("ask");
    let check = house.baton(&["check", house.workflow("hook").to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(2));
    daemon.kill();
    house.write("hook", hook);
    let daemon = house.serve();
    assert_eq!(post(&daemon), 202);
}

#[test]
fn a_hook_that_nobody_can_be_let_in_by_is_refused_alone() {
    let hook = |name: &str, secret: &str| {
        format!(
            "name = \"{name}\"\n[[triggers]]\nkind = \"webhook\"\npath = \"{name}\"\n\
             format = \"json\"\nauth = {{ bearer = [\"{secret}\"] }}\n[steps.a]\nwait = \"1ms\"\n"
        )
    };
    let more = "[secrets]\nhave = { file = \"have\" }\nlack = { file = \"lack\" }\n";
    let house = House::new(&[("one", &hook("one", "have")), ("two", &hook("two", "lack"))], more);
    fs::write(house.path("have"), "token").unwrap();
    let daemon = house.serve();
    let post = |path: &str| {
        let headers = [("Authorization", "Bearer token")];
        web::post(daemon.address(), path, &headers, b"{}").unwrap()
    };
    assert_eq!(post("/hooks/one").status, 202);
    let refused = post("/hooks/two");
    assert_eq!(refused.status, 503);
    assert!(!refused.body.contains("lack"), "strangers learn no names: {}", refused.body);
    assert!(house.log().contains("lack"), "{}", house.log());
    assert_eq!(post("/hooks/three").status, 404);
    // Both can be run by hand.
    house.begin("two");
}
