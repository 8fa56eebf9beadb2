//! Every workflow that is shown to users: checked, and run on real Redis.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use baton_lab::{Lab, Options, market, query};
use serde_json::Value;

use crate::cli::binary;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A cluster with order books, and a baton.toml for it.
fn cluster(mode: &str) -> Lab {
    let lab = Lab::start(Options::bondx()).unwrap();
    let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
    market::fill(&mut connection, 3, 1).unwrap();
    let plugins = root().join("target/plugins");
    assert!(
        plugins.is_dir(),
        "no plugins: run `cargo xtask plugins`, or the tests by `cargo xtask test`"
    );
    let configuration = format!(
        "[paths]\ndata = \"data\"\nplugins = {:?}\nworkflows = {:?}\n\n\
         [secrets]\nhook-token = {{ env = \"HOOK_TOKEN\" }}\n\n{}",
        plugins.display().to_string(),
        root().join("workflows").display().to_string(),
        lab.cluster_toml("bondx", mode),
    );
    fs::write(lab.folder().join("baton.toml"), configuration).unwrap();
    lab
}

fn baton(lab: &Lab, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .args(["--config", "baton.toml"])
        .current_dir(lab.folder())
        .env("HOOK_TOKEN", "token")
        .output()
        .unwrap()
}

/// Runs a shipped workflow and gives the run, which must have succeeded.
fn run(lab: &Lab, workflow: &str) -> Value {
    let file = root().join("workflows").join(workflow);
    let output = baton(lab, &["run", file.to_str().unwrap(), "--output", "json"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{workflow}: {errors}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_workflow_in_the_folder_is_sound() {
    let lab = cluster("observe");
    let mut files: Vec<_> = fs::read_dir(root().join("workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    let mut arguments = vec!["check"];
    arguments.extend(files.iter().map(String::as_str));
    let output = baton(&lab, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_healthy_cluster_is_pinged_found_healthy_and_verified() {
    let lab = cluster("observe");
    assert_eq!(run(&lab, "hello.toml")["output"]["answered"], "6 of 6");
    let seen = run(&lab, "detect-redis.toml");
    assert_eq!(seen["output"]["verdict"], "healthy", "{seen:#}");
    let verified = run(&lab, "verify-redis.toml");
    assert_eq!(verified["output"]["verdict"], "pass", "{verified:#}");
    assert_eq!(verified["output"]["orderbook"]["instruments"], 3);
}

#[test]
fn a_dead_master_is_replaced_and_the_order_book_verified() {
    let lab = cluster("lead");
    // Plugins are compiled before the clock runs: Sentinel would be first otherwise.
    run(&lab, "hello.toml");
    let old = lab.data()[0].address();
    lab.data()[0].kill().unwrap();
    let run = run(&lab, "redis-failover.toml");
    assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
    let new = lab.wait_for_new_master(&old, Duration::from_secs(1)).unwrap();
    assert_eq!(run["output"]["master"], Value::String(new));
}
