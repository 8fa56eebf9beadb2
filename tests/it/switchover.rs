//! A healthy master handed over under load, also by an engine that dies at it.

use std::time::{Duration, Instant};

use baton_lab::crash::Blow;
use baton_lab::crash::failover::Begun;
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::{Options, market, query, wait_until};
use serde_json::json;

use crate::takeover::{INSTRUMENTS, Scene, nobody};

const SOON: Duration = Duration::from_secs(40);

fn trader(scene: &Scene) -> Trader {
    let mut connection = query::connect(&scene.data(0).address(), None).unwrap();
    let market = market::fill(&mut connection, INSTRUMENTS, 2).unwrap();
    let habits = Habits { name: "switchover".to_owned(), rate_per_s: 200, seed: 1 };
    let trader = Trader::start(Route::of(&scene.lab), market, &habits);
    wait_until("something is written", SOON, || trader.acked() > 100).unwrap();
    trader
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures belong in the log of CI")]
fn a_master_is_handed_over_under_load_and_back_and_nothing_is_lost() {
    let mut scene = Scene::new(Options::bondx(), Begun::ByAlert);
    let trader = trader(&scene);
    for wanted in [1, 0] {
        let address = scene.data(wanted).address();
        let begun = Instant::now();
        let id = scene.begin("redis-switchover", &json!({ "target": address }));
        let run = scene.end_of(&id);
        assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
        assert_eq!(run["output"]["master"], address.as_str());
        assert_eq!(scene.assert_master(&run), wanted);
        let seen = trader.acked();
        wait_until("trade goes on", SOON, || trader.acked() > seen + 50).unwrap();
        // The server's own: unaligned it is half a second.
        let gap = trader.history().gap_after(begun).unwrap().length();
        let switched = run["steps"].as_array().unwrap().iter().find(|it| it["name"] == "switch");
        let output = &switched.unwrap()["output"];
        let (took, tries) = (&output["handover_ms"], &output["tries"]);
        println!("handed over in {took} ms, tries {tries}; client's gap {gap:?}");
        assert!(gap < Duration::from_secs(2), "writes stopped for {gap:?}");
    }
    let history = trader.stop();
    let mut connection = query::connect(&scene.data(0).address(), None).unwrap();
    let account = history.account(&mut connection).unwrap();
    assert_eq!((account.lost.len(), account.doubled.len()), (0, 0), "{account:?}");
}

/// The engine dies at its sixth change: five that tell how long one takes, then FAILOVER.
fn killed_at(passing: &str) {
    let blow = Blow::At(passing.parse().unwrap());
    let mut scene = Scene::under(Options::bondx(), Begun::ByAlert, [blow]);
    let trader = trader(&scene);
    let id = scene.begin("redis-switchover", &json!({ "target": "" }));
    let run = scene.end_of(&id);
    assert_eq!(scene.engine.deaths(), 1);
    assert!(run.to_string().contains("FAILOVER TO"), "{run:#}");
    let master = scene.assert_master(&run);
    assert_ne!(master, 0);
    let seen = trader.acked();
    wait_until("trade goes on", SOON, || trader.acked() > seen + 50).unwrap();
    let history = trader.stop();
    let mut connection = query::connect(&scene.data(master).address(), None).unwrap();
    let account = history.account(&mut connection).unwrap();
    assert_eq!((account.lost.len(), account.doubled.len()), (0, 0), "{account:?}");
}

#[test]
fn g2_an_engine_killed_before_the_handover_leaves_hands_over_when_it_is_back() {
    killed_at("change:6:intended");
}

#[test]
fn g2_an_engine_killed_behind_the_handover_finds_it_done_and_tells_the_sentinels() {
    killed_at("change:6:after");
}

#[test]
fn an_unhealthy_cluster_is_not_switched_over_and_every_reason_is_said() {
    let mut scene = Scene::new(Options::bondx(), Begun::ByAlert);
    scene.data(2).kill().unwrap();
    scene.lab.sentinels()[0].kill().unwrap();
    let id = scene.begin("redis-switchover", &json!({}));
    let run = scene.engine.end_of(&id, SOON, nobody).unwrap();
    assert_eq!(run["state"], "failed");
    let why = run["steps"][0]["fault"]["message"].as_str().unwrap();
    let gone = [scene.data(2).address(), scene.lab.sentinels()[0].address()];
    assert!(gone.iter().all(|it| why.contains(it.as_str())), "{why}");
    assert_eq!(scene.lab.writable_masters(), [scene.data(0).address()]);
}
