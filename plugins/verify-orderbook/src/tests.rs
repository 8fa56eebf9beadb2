//! Books in a store, damaged in every way, and traded while they are read.

use super::*;
use baton_books::Violation;
use baton_books::testing::{Scene, Store, mismatch};
use baton_plugin::testing::FakeCluster;

mod damage;
mod since;

fn input() -> Input {
    serde_json::from_str(r#"{"cluster": "bondx"}"#).unwrap()
}

fn verify_with(input: Input, store: Store) -> Output {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], store);
    VerifyOrderbook::run(input, &mut host).unwrap()
}

fn verify(store: Store) -> Output {
    verify_with(input(), store)
}

#[test]
fn a_whole_market_passes_in_both_protocols_whatever_scan_gives() {
    let scene = Scene::new(1, 3, 40);
    for (resp3, scan_count) in [(false, 0), (true, 0), (false, 7), (true, 50)] {
        let mut store = scene.store();
        (store.resp3, store.scan_count) = (resp3, scan_count);
        let output = verify(store);
        assert_eq!(output.verdict, "pass", "{:?}", output.violations);
        assert_eq!((output.instruments, output.orders), (3, 120));
        let trades: u64 = scene.books.iter().map(baton_books::testing::trades).sum();
        assert_eq!(output.trades as u64, trades);
        assert_eq!((output.safe, output.halted, output.master.as_str()), (3, 0, "n:1"));
        assert_eq!(output.safe_instruments, [scene.isin(0), scene.isin(1), scene.isin(2)]);
    }
}

#[test]
fn a_thousand_clean_markets_pass() {
    for seed in 0..1000 {
        let output = verify(Scene::new(seed, 3, 15).store());
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
        assert_eq!(output.orders, 45);
    }
}

#[test]
fn a_trader_at_work_does_not_look_like_damage() {
    for seed in 0..300 {
        // Before every third command, or before nearly every one, until it rests.
        let (every, most) = if seed % 2 == 0 { (3, 200) } else { (1, 60) };
        let output = verify(Scene::new(seed, 4, 12).traded(every, most));
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
    }
}

#[test]
fn damage_is_found_while_a_trader_works_elsewhere() {
    for seed in 0..50 {
        let mut scene = Scene::new(seed, 3, 20);
        let isin = scene.isin(0);
        let (key, _) = scene.orders(&isin, |it| it["status"] == "open")[0].clone();
        scene.data.line(&format!("HSET {key} qty 999"));
        let output = verify(scene.traded(4, 40));
        let expected = [format!("trades {isin} {key}")];
        let own: Vec<Violation> = output.violations;
        // The trader may have filled the order by then: it stays the one that is named.
        assert_eq!(mismatch(&own, &expected), None, "seed {seed}");
        assert_eq!((output.halted, output.safe), (1, 2));
    }
}

#[test]
fn a_trader_that_never_rests_ends_in_a_bounded_time() {
    let scene = Scene::new(3, 1, 5);
    let meta = format!("book:{}:meta", scene.isin(0));
    let output = verify(scene.store().beside(move |data, commands| {
        data.line(&format!("HSET {meta} seq {}", 100 + commands));
    }));
    assert_eq!(output.verdict, "fail");
    assert_eq!(output.violations.len(), 1);
    assert!(output.violations[0].message.contains("too fast"), "{:?}", output.violations);
}

#[test]
fn an_order_that_nobody_could_list_is_looked_for_again() {
    // Placed and cancelled between the listing and the reading.
    let mut scene = Scene::new(5, 1, 5);
    let mut book = scene.books.remove(0);
    let mut placed = false;
    let output = verify(scene.store().beside(move |data, commands| {
        if commands == 9 && !placed {
            placed = true;
            let id = 900;
            let order = baton_books::testing::passive(&book, 3);
            data.apply(&book.place(id, order));
            data.apply(&book.cancel(id));
        }
    }));
    assert_eq!(output.verdict, "pass", "{:?}", output.violations);
    assert_eq!(output.orders, 6);
}

#[test]
fn many_violations_are_cut_counted_and_said_to_be() {
    let mut scene = Scene::new(1, 1, 5);
    for id in 0..1200 {
        scene.data.line(&format!("HSET order:x{id} isin XS9 side bid"));
    }
    let output = verify(scene.store());
    assert!(output.truncated && output.violations.len() < 1200);
    assert_eq!((output.violation_count, output.halted), (1200, 1));
    assert_eq!((output.halt[0].instrument.as_str(), output.halt[0].violations), ("XS9", 1200));
}

#[test]
fn ids_need_not_be_numbers() {
    let mut scene = Scene::new(1, 1, 1);
    let isin = scene.isin(0);
    let (key, fields) = scene.orders(&isin, |_| true)[0].clone();
    let words = fields.iter().flat_map(|(name, it)| [name.clone(), it.clone()]);
    let copy: Vec<String> =
        ["HSET".to_owned(), "order:ab-7é".to_owned()].into_iter().chain(words).collect();
    scene.data.apply(&[copy]);
    let output = verify(scene.store());
    // The twin carries the same event, and rests nowhere.
    assert!(
        output.violations.iter().any(|it| it.key == "order:ab-7é"),
        "{key}: {:?}",
        output.violations
    );
}

#[test]
fn an_empty_store_passes_with_nothing_counted() {
    let output = verify(Store::default());
    assert_eq!((output.verdict.as_str(), output.instruments, output.safe), ("pass", 0, 0));
}

#[test]
fn only_the_wanted_instruments_are_judged() {
    let mut scene = Scene::new(2, 3, 10);
    let (one, other) = (scene.isin(0), scene.isin(1));
    scene.data.line(&format!("HSET book:{other}:meta checksum x"));
    let mut wanted = input();
    wanted.instruments = Some(vec![one.clone(), one]);
    let output = verify_with(wanted, scene.store());
    assert_eq!((output.verdict.as_str(), output.instruments), ("pass", 1));
}

#[test]
fn a_node_that_is_gone_is_a_fault_to_retry() {
    let mut wanted = input();
    wanted.master = Some("n:1".into());
    let mut host = FakeCluster::new("bondx", &["n:1"], &[])
        .down("n:1", baton_plugin::redis::ErrorKind::Refused);
    let fault = VerifyOrderbook::run(wanted, &mut host).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("refused", baton_plugin::FaultKind::Retryable));
}
