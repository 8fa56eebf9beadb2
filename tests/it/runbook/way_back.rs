//! What going back would take: told of a cluster where the old master is in the way of
//! it, and of one where it is ready; nothing is ever done.

use baton_lab::crash::failover::Begun;
use baton_lab::{Options, wait_until};
use serde_json::{Value, json};

use crate::house::SOON;
use crate::takeover::Scene;

fn plan(scene: &mut Scene) -> Value {
    let old_master = scene.data(0).address();
    let id = scene.begin("redis-rollback-plan", &json!({ "old_master": old_master }));
    let run = scene.end_of(&id);
    for step in run["steps"].as_array().unwrap() {
        assert_eq!(step["calls"].as_array().map_or(0, Vec::len), 0, "it only reads: {step:#}");
    }
    run["output"].clone()
}

#[test]
fn the_way_back_is_told_while_it_is_blocked_and_when_it_is_free() {
    let options = Options { down_after_ms: 60_000, ..Options::bondx() };
    let mut scene = Scene::new(options, Begun::ByAlert);
    let old = scene.data(0).address();
    assert_eq!(plan(&mut scene)["verdict"], "not needed");

    scene.data(0).kill().unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    let run = scene.end_of(&id);
    let new = scene.assert_master(&run);
    let told = plan(&mut scene);
    assert_eq!(told["verdict"], "blocked", "{told:#}");
    assert!(told["commands"][0].as_str().unwrap().starts_with("start "), "{told:#}");

    // It is started again: the debt takes it back, and then the way is free.
    scene.data(0).start().unwrap();
    let mut told = Value::Null;
    wait_until("the way back is free", SOON, || {
        told = plan(&mut scene);
        told["verdict"] == "ready"
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(told["master"], scene.data(new).address().as_str());
    assert_eq!((&told["attached"], &told["same_history"]), (&json!(true), &json!(true)));
    let commands = told["commands"].as_array().unwrap();
    let last = commands.last().unwrap().as_str().unwrap();
    let expected = format!(
        "baton run workflows/redis-switchover.toml --param cluster=bondx --param target={old}"
    );
    assert_eq!(last, expected);
    assert_eq!(scene.lab.writable_masters(), [scene.data(new).address()], "nothing was done");

    // What was told works as it is written.
    let id = scene.begin("redis-switchover", &json!({ "cluster": "bondx", "target": old }));
    let run = scene.end_of(&id);
    assert_eq!(scene.assert_master(&run), 0);
    assert_eq!(plan(&mut scene)["verdict"], "not needed");
}
