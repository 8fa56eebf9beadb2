//! Reading runs as the API shows them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use baton_lab::daemon::{Daemon, closed};
use baton_lab::wait::wait_for;
use baton_lab::web;
use serde_json::{Value, json};

/// A step's own state, by its name.
pub(crate) fn step<'run>(run: &'run Value, name: &str) -> Option<&'run Value> {
    steps(run).find(|step| step["name"] == name)
}

/// All steps of a run.
pub(crate) fn steps(run: &Value) -> impl Iterator<Item = &Value> {
    run["steps"].as_array().into_iter().flatten()
}

/// Text of a field; empty when it is not there.
pub(crate) fn text<'run>(value: &'run Value, field: &str) -> &'run str {
    value[field].as_str().unwrap_or_default()
}

/// Waits until run `id` is closed.
///
/// # Errors
/// When it is still open after `bound`; with what it was at.
pub(crate) fn wait_closed(daemon: &Daemon, id: &str, bound: Duration) -> Result<Value> {
    let mut last = Value::Null;
    let waited = wait_for(&format!("run {id} is closed"), bound, || {
        last = daemon.run(id).ok()?;
        closed(text(&last, "state")).then(|| last.clone())
    });
    waited.with_context(|| format!("the run is {}, at {}", text(&last, "state"), at(&last)))
}

/// Starts `workflow` on the cluster and waits for its end.
///
/// # Errors
/// When it is not taken, or does not end in time.
pub(crate) fn run_now(daemon: &Daemon, workflow: &str, bound: Duration) -> Result<Value> {
    let order = json!({"workflow": workflow, "params": {"cluster": "bondx"}, "who": "xtask demo"});
    let answer = web::post(daemon.address(), "/runs", &[], &serde_json::to_vec(&order)?)?;
    ensure!(answer.status == 202, "POST /runs answered {}: {}", answer.status, answer.body);
    let body = answer.json()?;
    let Some(id) = body["run"].as_str() else { bail!("POST /runs gave no run: {}", answer.body) };
    wait_closed(daemon, id, bound)
}

/// A run and the child runs of its steps, each after its parent.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn family(daemon: &Daemon, id: &str) -> Result<Vec<Value>> {
    let mut family = vec![daemon.run(id)?];
    let mut next = 0;
    while let Some(run) = family.get(next) {
        let children: Vec<String> =
            steps(run).filter_map(|step| step["child"].as_str().map(str::to_owned)).collect();
        for child in children {
            family.push(daemon.run(&child)?);
        }
        next += 1;
    }
    Ok(family)
}

/// The output of the last step of `plugin` in these runs.
pub(crate) fn output_of<'run>(runs: &'run [Value], plugin: &str) -> Option<&'run Value> {
    let outputs = runs.iter().flat_map(steps).filter(|step| step["plugin"] == plugin);
    outputs.map(|step| &step["output"]).filter(|output| !output.is_null()).last()
}

fn at(run: &Value) -> String {
    let busy = steps(run).filter(|step| {
        matches!(text(step, "state"), "running" | "backing-off" | "asking" | "undoing")
    });
    let named: Vec<_> =
        busy.map(|step| format!("{} ({})", text(step, "name"), text(step, "state"))).collect();
    if named.is_empty() { "no step".to_owned() } else { named.join(", ") }
}
