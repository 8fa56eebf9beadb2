//! `baton plan`: it tells what a run would do, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use baton_lab::{Lab, Node, Options, market, query};
use serde_json::{Value, json};

use crate::house::House;

/// A cluster with order books, and the shipped workflows and plugins for it. Its
/// Sentinels are slow, so that nobody else acts while a plan is made.
pub(crate) fn shipped(mode: &str) -> (Lab, House) {
    let lab = Lab::start(Options { down_after_ms: 60_000, ..Options::bondx() }).unwrap();
    let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
    market::fill(&mut connection, 3, 1).unwrap();
    let configuration = format!(
        "[secrets]\nhook-token = {{ env = \"HOOK_TOKEN\" }}\n\n{}",
        lab.cluster_toml("bondx", mode)
    );
    let house = House::new(&[], &configuration);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in fs::read_dir(root.join("workflows")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, house.path("workflows").join(path.file_name().unwrap())).unwrap();
    }
    for plugin in [
        "choose-replica",
        "fence",
        "hold",
        "lost-writes",
        "notify",
        "promote",
        "redis-assess",
        "redis-evidence",
        "redis-ping",
        "rejoin",
        "require",
        "rollback-plan",
        "salvage",
        "settle",
        "switchover",
        "switchover-plan",
        "trading-gate",
        "verify-orderbook",
        "verify-replication",
        "verify-risk",
        "verify-trades",
    ] {
        house.bring(plugin);
    }
    (lab, house)
}

/// How often a node was sent what changes something. Sentinels publish by themselves,
/// and replicas are pinged by their master.
fn changes(node: &Node) -> BTreeMap<String, String> {
    let quiet = |name: &str| {
        let name = name.trim_start_matches("cmdstat_");
        let changing =
            ["set", "replicaof", "slaveof", "config|rewrite", "config|set", "wait", "incr", "del"];
        changing.contains(&name)
    };
    let calls = |stat: String| stat.split(',').next().unwrap_or_default().to_owned();
    let stats = query::info(node, "commandstats").into_iter();
    stats.filter(|(name, _)| quiet(name)).map(|(name, stat)| (name, calls(stat))).collect()
}

fn plan(house: &House, workflow: &str, more: &[&str]) -> (Option<i32>, Value) {
    let file = house.workflow(workflow).display().to_string();
    let arguments = [&["plan", &file, "--output", "json"], more].concat();
    let output = house.baton(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    let document = serde_json::from_slice(&output.stdout);
    (output.status.code(), document.unwrap_or_else(|error| panic!("{error}: {errors}")))
}

fn step<'v>(plan: &'v Value, name: &str) -> &'v Value {
    plan["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}

fn fates(plan: &Value) -> Vec<&str> {
    plan["steps"].as_array().unwrap().iter().filter_map(|step| step["fate"].as_str()).collect()
}

#[test]
fn of_a_healthy_cluster_it_says_that_nothing_would_be_changed() {
    let (lab, house) = shipped("lead");
    let before: Vec<_> = lab.data().iter().map(changes).collect();
    let (code, told) = plan(&house, "redis-failover", &[]);
    assert_eq!(code, Some(0));
    let fates = fates(&told);
    let [first, rest @ .., last] = fates.as_slice() else { panic!("{fates:?}") };
    assert_eq!((*first, *last), ("ran", "would-run"));
    assert!(rest.iter().all(|fate| *fate == "would-skip"), "{fates:?}");
    let confirm = step(&told, "confirm");
    assert_eq!(confirm["why"], "its condition does not hold");
    assert_eq!(confirm["looks_at"]["steps.assess.verdict"], "healthy");
    assert_eq!(told["key"], "redis:bondx");
    let after: Vec<_> = lab.data().iter().map(changes).collect();
    assert_eq!(before, after);
    assert!(!house.path("data").exists(), "nothing is journaled");
    let text = house.said(&["plan", house.workflow("redis-failover").to_str().unwrap()]);
    assert!(text.starts_with("redis-failover  a run would change nothing\n"), "{text}");
}

#[test]
fn of_a_dead_master_it_says_whom_a_run_would_promote_and_promotes_nobody() {
    let (lab, house) = shipped("lead");
    let old = lab.data()[0].address();
    lab.data()[0].kill().unwrap();
    let before: Vec<_> = lab.data()[1..].iter().map(changes).collect();
    let (code, told) = plan(&house, "redis-failover", &[]);
    assert_eq!(code, Some(0), "{told:#}");
    let promote = step(&told, "promote");
    assert_eq!((&promote["fate"], &promote["changes"]), (&json!("would-run"), &json!(true)));
    assert_eq!(promote["input"]["old_master"], json!(old));
    assert_eq!(promote["input"]["chosen"], step(&told, "choose")["output"]["chosen"]);
    assert_eq!(promote["missed"], Value::Null, "everything it needs is known");
    let data = &promote["reaches"][0];
    assert_eq!(data["commands"], json!(["@read", "REPLICAOF", "CONFIG|SET", "CONFIG|REWRITE"]));
    let addresses: Vec<_> = lab.data().iter().map(Node::address).collect();
    assert_eq!(data["nodes"], json!(addresses));
    assert_eq!((&promote["pivot"], &promote["when_interrupted"]), (&json!(true), &json!("rerun")));
    let verify = step(&told, "verify");
    assert_eq!(verify["input"]["master"], "${steps.promote.master}");
    assert_eq!(verify["missed"], json!(["steps.promote.master"]));
    let fates = fates(&verify["child"]);
    let asked_for = ["would-run", "would-run", "would-skip", "would-skip", "would-skip"];
    assert_eq!(fates, [&asked_for[..], &["not-known"]].concat(), "{verify:#}");
    let master = told["output"]["master"].as_str().unwrap();
    assert!(master.starts_with("${steps.promote.master if"), "{master}");
    assert_eq!(told["output"]["evidence"], "DeadMaster");
    let after: Vec<_> = lab.data()[1..].iter().map(changes).collect();
    assert_eq!(before, after, "nothing was changed");
    assert!(lab.writable_masters().is_empty(), "nobody was promoted");
    let text = house.said(&["plan", house.workflow("redis-failover").to_str().unwrap()]);
    let first = text.lines().next().unwrap();
    let changing = "fence, debt/hold, promote, settle/settle, degraded/open, \
                    degraded/restore, degraded/verify/replication, verify/replication, \
                    alarm/post";
    assert_eq!(first, format!("redis-failover  a run would change something: {changing}"));
    assert!(text.contains("master=${steps.promote.master}"), "{text}");
}

#[test]
fn a_cluster_in_observe_is_said_to_refuse_every_change() {
    let (_lab, house) = shipped("observe");
    let (_, told) = plan(&house, "verify-redis", &[]);
    let note = step(&told, "replication")["reaches"][0]["note"].as_str().unwrap().to_owned();
    assert!(note.contains("mode observe: every change is refused"), "{note}");
}

#[test]
fn a_step_that_only_reads_and_fails_is_shown_and_exits_1() {
    let (_lab, house) = shipped("lead");
    house.write(
        "ask",
        "name = \"ask\"\n[steps.ping]\nplugin = \"redis-ping\"\nwith = { cluster = \"nope\" }\n\
         grants.redis = [{ cluster = \"bondx\", nodes = [\"data\"], commands = [\"PING\"] }]\n\
         [steps.look]\nplugin = \"redis-ping\"\nwith = { cluster = \"bondx\" }\n\
         grants.redis = [{ cluster = \"bondx\", nodes = [\"data\"], commands = [\"PING\"] }]\n\
         [steps.then]\nneeds = [\"ping\"]\nwait = \"1h\"\n",
    );
    let (code, told) = plan(&house, "ask", &[]);
    assert_eq!(code, Some(1));
    assert_eq!(step(&told, "ping")["fate"], "failed");
    assert!(step(&told, "ping")["fault"]["message"].as_str().is_some_and(|it| it.contains("nope")));
    assert_eq!(step(&told, "look")["fate"], "ran", "it goes on where it can");
    assert_eq!(step(&told, "then")["fate"], "would-not-run");
    let why = step(&told, "then")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("`ping` failed"), "{why}");
}

#[test]
fn approvals_waits_children_and_items_are_told_without_waiting_for_any() {
    let inner = "name = \"inner\"\noutput = { n = \"${params.n}\" }\n[params]\n\
                 n = { type = \"integer\", summary = \"A number\" }\n[steps.nap]\nwait = \"1h\"\n";
    let outer = "\
name = \"outer\"
[params]
list = { type = \"list\", default = [3, 4], summary = \"Numbers\" }
[steps.nap]
wait = \"2h\"
[steps.go]
needs = [\"nap\"]
approval = { prompt = \"Go on with ${params.list}?\", timeout = \"20m\" }
[steps.each]
needs = [\"go\"]
workflow = \"inner\"
for_each = \"${params.list}\"
with = { n = \"${item}\" }
[steps.told]
needs = [\"go\"]
when = \"steps.go.approved\"
wait = \"1ms\"
[steps.who]
needs = [\"go\"]
when = \"steps.go.who == 'anna'\"
wait = \"1ms\"
[steps.after]
needs = [\"who\"]
wait = \"1ms\"
";
    let house = House::new(&[("inner", inner), ("outer", outer)], "");
    let (code, told) = plan(&house, "outer", &["--param", "list=[7]"]);
    assert_eq!(code, Some(0), "{told:#}");
    assert_eq!(step(&told, "nap")["waits_ms"], 7_200_000);
    let go = step(&told, "go");
    assert_eq!(go["asks"]["prompt"], "Go on with [7]?");
    assert_eq!(go["asks"]["on_timeout"], "reject");
    let items = step(&told, "each")["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["input"]["n"], 7);
    assert_eq!(step(&told, "told")["fate"], "would-wait");
    assert_eq!(step(&told, "who")["fate"], "not-known");
    assert_eq!(step(&told, "who")["why"], "only a real run knows steps.go.who");
    assert_eq!(step(&told, "after")["fate"], "not-known");
    let bad = house.baton(&["plan", "workflows/outer.toml", "--param", "lst=[7]"]);
    assert_eq!(bad.status.code(), Some(2));
    assert_eq!(house.baton(&["plan", "workflows/gone.toml"]).status.code(), Some(2));
}
