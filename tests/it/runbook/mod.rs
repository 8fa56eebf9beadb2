//! The rest of the operators' runbook as workflows, each against real servers: why an
//! incident came, how clients follow, the way back, what is saved, what fills up, what
//! drifts, and rehearsals.

mod ahead;
mod books;
mod causes;
mod clients;
mod drill;
mod way_back;

use std::path::Path;

use baton_lab::{Lab, Node, query};
use serde_json::Value;

use crate::house::House;

/// The failover and all that it begins, and what routes clients behind it.
const FAILOVER: [&str; 11] = [
    "redis-failover",
    "redis-degraded",
    "detect-redis",
    "redis-rejoin",
    "redis-settle",
    "verify-redis",
    "redis-evidence",
    "redis-rollback-plan",
    "follow-ups",
    "alarm",
    "haproxy-route",
];
/// Their plugins.
const PLUGINS: [&str; 21] = [
    "redis-assess",
    "choose-replica",
    "fence",
    "promote",
    "settle",
    "hold",
    "lost-writes",
    "salvage",
    "rejoin",
    "verify-replication",
    "verify-orderbook",
    "verify-trades",
    "verify-risk",
    "trading-gate",
    "require",
    "redis-evidence",
    "rollback-plan",
    "switchover-plan",
    "haproxy-route",
    "kube-config",
    "notify",
];

/// A house that leads the cluster of `lab`, with these workflows and plugins, and `more`
/// in its baton.toml.
fn leading(lab: &Lab, workflows: &[&str], plugins: &[&str], more: &str) -> House {
    let house = House::new(&[], &format!("{}\n{more}", lab.cluster_toml("bondx", "lead")));
    for name in workflows {
        house.bring_workflow(name);
    }
    for name in plugins {
        house.bring(name);
    }
    house
}

/// Runs a workflow to its end, which must be good, and gives the run.
fn run(house: &House, workflow: &str, params: &[&str]) -> Value {
    let (is_good, run) = try_run(house, workflow, params);
    assert!(is_good, "{run:#}");
    run
}

/// Runs a workflow to its end, whatever that is.
fn try_run(house: &House, workflow: &str, params: &[&str]) -> (bool, Value) {
    let file = house.workflow(workflow).display().to_string();
    let mut arguments = vec!["run", &file, "--output", "json"];
    for param in params {
        arguments.extend(["--param", param]);
    }
    let output = house.baton(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    let run = serde_json::from_slice(&output.stdout);
    (output.status.success(), run.unwrap_or_else(|error| panic!("{error}: {errors}")))
}

fn step<'r>(run: &'r Value, name: &str) -> &'r Value {
    run["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}

/// `code@subject` of each finding.
fn found(output: &Value) -> Vec<String> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let findings = output["findings"].as_array().unwrap();
    findings.iter().map(|it| format!("{}@{}", text(it, "code"), text(it, "subject"))).collect()
}

fn set(node: &Node, name: &str, value: &str) {
    query::ask::<()>(node, &["CONFIG", "SET", name, value]).unwrap();
}

/// `[exec.redis-log]` and `[exec.redis-machine]` of a laboratory: what an operator would
/// reach by ssh stands in folders here.
fn commands(folder: &Path) -> String {
    let of_node = format!(
        "dirname \"$(grep -l \"^port ${{0##*:}}$\" {}/data-*/server.conf)\"",
        folder.display()
    );
    let command = |name: &str, script: &str| {
        format!(
            "[exec.{name}]\ncommand = [\"sh\", \"-c\", '''{script}''']\n\
             args = ['127\\.0\\.0\\.1:[0-9]+']\nclass = \"read\"\n"
        )
    };
    command("redis-log", &format!("tail -n 200 \"$({of_node})/server.log\""))
        + &command("redis-machine", &format!("df -P \"$({of_node})\"; cat /proc/meminfo"))
}
