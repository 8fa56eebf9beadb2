//! Pauses and maintenance windows, with a master that dies in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baton_lab::crash::failover::Begun;
use baton_lab::{Options, wait_until};
use serde_json::{Value, json};

use crate::takeover::Scene;

/// For what takes a second or two, on a machine that does other things.
const SOON: Duration = Duration::from_secs(40);

fn patient() -> Options {
    // Sentinel keeps out of it, however slow this machine is.
    Options { down_after_ms: 60_000, ..Options::bondx() }
}

fn said(more: &Value) -> Value {
    let mut body = json!({ "who": "ann", "reason": "new racks" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The state of a step that changes something for the first time.
fn fence(scene: &mut Scene, id: &str) -> Value {
    let run = scene.engine.get(&format!("/runs/{id}")).unwrap();
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == "fence").unwrap().clone()
}

fn is_held(scene: &mut Scene, id: &str) {
    wait_until("the fence is held back", SOON, || fence(scene, id)["state"] == "held").unwrap();
}

#[test]
fn g7_a_master_that_dies_in_a_maintenance_window_is_replaced_when_that_ends() {
    let mut scene = Scene::new(patient(), Begun::ByAll);
    let hour = json!({ "cluster": "bondx", "until": 4_102_444_800_000_u64 });
    let far = scene.engine.post("/maintenance", &said(&hour)).unwrap_err().to_string();
    assert!(far.contains("7 days"), "{far}");
    let run = scene.engine.get("/switches").unwrap();
    assert_eq!(run["brakes"], json!([]));
    let until = unix_ms() + 3_600_000;
    scene
        .engine
        .post("/maintenance", &said(&json!({ "cluster": "bondx", "until": until })))
        .unwrap();
    scene.data(0).kill().unwrap();
    let id = scene.latest("redis-failover");
    is_held(&mut scene, &id);
    let held = fence(&mut scene, &id)["held"].clone();
    assert_eq!(held["why"], "maintenance of bondx by ann: new racks", "{held}");
    // Nobody is promoted, and a crash does not end the window.
    scene.engine.kill();
    is_held(&mut scene, &id);
    assert_eq!(scene.lab.writable_masters(), Vec::<String>::new());
    scene.engine.post("/maintenance/end", &said(&json!({ "cluster": "bondx" }))).unwrap();
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
    scene.assert_master(&run);
}

#[test]
fn g7_a_master_that_comes_back_while_everything_is_paused_keeps_its_place() {
    let mut scene = Scene::new(patient(), Begun::ByAll);
    scene.engine.post("/pause", &said(&json!({}))).unwrap();
    scene.data(0).kill().unwrap();
    let id = scene.latest("redis-failover");
    is_held(&mut scene, &id);
    scene.data(0).start().unwrap();
    wait_until("it leads again", SOON, || {
        scene.lab.writable_masters() == [scene.data(0).address()]
            && scene.lab.data()[1..].iter().all(baton_lab::query::in_sync)
    })
    .unwrap();
    // What it saw is good for 15 s; who acts upon it after that looks again.
    let run = scene.engine.get(&format!("/runs/{id}")).unwrap();
    let seen_at = run["steps"].as_array().unwrap().iter().filter_map(|it| it["ended_at"].as_u64());
    let seen_at = seen_at.max().unwrap();
    wait_until("what it saw is too old", SOON, || unix_ms() > seen_at + 15_000).unwrap();
    scene.engine.post("/resume", &said(&json!({}))).unwrap();
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "no failover", "{run:#}");
    assert_eq!(scene.lab.writable_masters(), [scene.data(0).address()]);
}
