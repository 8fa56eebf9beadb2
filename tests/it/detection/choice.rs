//! Which replica is chosen, when each trap is real.

use baton_lab::{Lab, Options, query, wait_until};

use super::scene::{SOON, Scene, tell};

/// Cuts a replica off from its master without its noticing who that was: it keeps its
/// history and stays behind.
fn cut_off(scene: &Scene, number: usize) {
    // Nobody listens there.
    tell(scene.replica(number), "REPLICAOF 127.0.0.1 1");
}

/// It names its dead master again.
fn name_again(scene: &Scene, number: usize) {
    let port = scene.master().port();
    tell(scene.replica(number), &format!("REPLICAOF 127.0.0.1 {port}"));
}

#[test]
fn freshness_goes_before_priority_and_the_table_says_why() {
    let scene = Scene::quiet().with("max_lost_bytes = 1000000\n");
    tell(scene.replica(1), "CONFIG SET replica-priority 1");
    cut_off(&scene, 1);
    scene.write(20);
    scene.wait_synced(scene.replica(2));
    scene.look();
    scene.master().kill().unwrap();
    name_again(&scene, 1);
    let seen = scene.expect("DeadMaster", "dead");
    let choice = seen.choice();
    assert_eq!(choice["chosen"], scene.replica(2).address(), "{choice:#}");
    assert_eq!(seen.candidate(scene.replica(1))["rank"], 2);
    let behind = seen.candidate(scene.replica(1))["behind"].as_i64().unwrap();
    assert!(behind > 20 * 50, "{behind}");
    assert_eq!(choice["lost_bytes_bound"], 0);
    assert!(choice["last_seen_ms"].as_u64().unwrap() < 20_000, "{choice:#}");

    let shown = scene.baton(&["show", seen.id()]);
    let text = String::from_utf8_lossy(&shown.stdout);
    let table = text.split("table ").nth(1).unwrap_or_else(|| panic!("no table in\n{text}"));
    assert!(table.contains("reason") && table.contains("same history, offset"), "{text}");
    assert!(table.contains(&scene.replica(1).address()), "{text}");
}

#[test]
fn a_bigger_offset_of_another_history_is_no_offset() {
    let scene = Scene::quiet();
    let rogue = Lab::start(Options { replicas: 0, sentinels: 0, ..Options::bondx() }).unwrap();
    let rogue = &rogue.data()[0];
    // Whose history is the master's can be proven by nothing else later: of the two
    // replicas each carries one.
    scene.look();
    let replica = scene.replica(1);
    tell(replica, &format!("REPLICAOF 127.0.0.1 {}", rogue.port()));
    wait_until("the replica follows the rogue", SOON, || query::in_sync(replica)).unwrap();
    for key in 0..100 {
        tell(rogue, &format!("SET rogue:{key} {}", "y".repeat(500)));
    }
    let carries = || query::ask::<u64>(replica, &["EXISTS", "rogue:99"]).ok() == Some(1);
    wait_until("the replica carries the rogue's data", SOON, carries).unwrap();
    scene.master().kill().unwrap();
    name_again(&scene, 1);
    let seen = scene.expect("DeadMaster", "dead");
    assert_eq!(seen.choice()["chosen"], scene.replica(2).address());
    let foreign = seen.candidate(replica);
    assert_eq!(foreign["eligible"], false);
    assert!(foreign["reason"].as_str().unwrap().contains("another history"), "{foreign}");
    assert!(foreign["offset"].as_i64() > seen.candidate(scene.replica(2))["offset"].as_i64());
}

#[test]
fn a_replica_that_was_ahead_and_cannot_be_asked_blocks() {
    let scene = Scene::quiet().with("max_lost_bytes = 1000000\n");
    cut_off(&scene, 1);
    scene.write(20);
    scene.wait_synced(scene.replica(2));
    // Both are sampled here; nothing later can say how far the second replica was.
    scene.look();
    scene.replica(2).kill().unwrap();
    scene.master().kill().unwrap();
    name_again(&scene, 1);
    let seen = scene.expect("DeadMaster", "dead");
    let choice = seen.choice();
    assert_eq!(choice["chosen"], serde_json::Value::Null, "{choice:#}");
    let why = choice["blocked"].as_str().unwrap();
    assert!(why.contains(&scene.replica(2).address()) && why.contains("bytes ahead"), "{why}");
}

#[test]
fn only_a_stale_replica_alive_is_a_question_and_not_a_promotion() {
    let scene =
        Scene::of(Options { replicas: 1, quorum: 4, down_after_ms: 1_000, ..Options::bondx() });
    cut_off(&scene, 1);
    scene.write(20);
    scene.look();
    scene.master().kill().unwrap();
    name_again(&scene, 1);
    let seen = scene.expect("DeadMaster", "dead");
    let why = seen.choice()["blocked"].as_str().unwrap_or_else(|| panic!("{:#}", seen.choice()));
    assert!(why.contains("max_lost_bytes allows (0)"), "{why}");
}

#[test]
fn between_equals_the_one_in_another_zone_is_chosen() {
    let scene = Scene::quiet();
    let [master, first, second] = scene.lab.data() else { unreachable!("three data nodes") };
    let zones = |one: &str, other: &str| {
        format!(
            "[clusters.bondx.zones]\n\"{}\" = \"rack-1\"\n\"{}\" = \"{one}\"\n\"{}\" = \"{other}\"\n",
            master.address(),
            first.address(),
            second.address()
        )
    };
    let (first, second) = (first.address(), second.address());
    let (away, beside) = (zones("rack-2", "rack-1"), zones("rack-1", "rack-2"));
    scene.wait_synced(scene.replica(1));
    scene.wait_synced(scene.replica(2));
    scene.master().kill().unwrap();
    let scene = scene.with(&away);
    assert_eq!(scene.look().choice()["chosen"], first);
    let scene = scene.instead(&beside);
    assert_eq!(scene.look().choice()["chosen"], second);
}
