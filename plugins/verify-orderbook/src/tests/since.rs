//! Against an earlier fingerprint: only what moved is judged, and nothing may be lost.

use super::*;
use baton_books::Fingerprint;
use baton_books::fingerprint::take;

fn fingerprint(scene: &Scene) -> Fingerprint {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], scene.store());
    let source = Source { cluster: "bondx".into(), address: "n:1".into() };
    let isins: Vec<String> = (0..scene.books.len()).map(|it| scene.isin(it)).collect();
    let taken = take(&source, &Keys::default(), &Fields::default(), &isins, &mut host).unwrap();
    assert!(taken.moving.is_empty());
    Fingerprint {
        taken_at_ms: 7,
        master: "n:1".into(),
        instruments: taken.lines.into_values().collect(),
    }
}

fn since(then: Fingerprint) -> Input {
    Input { since: Some(Since::Taken(then)), ..input() }
}

fn sent(input: Input, store: Store) -> (Output, usize) {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], store);
    let output = VerifyOrderbook::run(input, &mut host).unwrap();
    (output, host.count_sent("order:"))
}

#[test]
fn where_nothing_moved_no_order_is_read() {
    let scene = Scene::new(1, 3, 20);
    let (output, orders) = sent(since(fingerprint(&scene)), scene.store());
    assert_eq!((output.verdict.as_str(), orders), ("pass", 0), "{:?}", output.violations);
    let change = output.since.unwrap();
    assert_eq!((change.same, change.moved, change.fallen), (3, 0, 0));
    assert_eq!((output.safe, change.taken_at_ms), (3, 7));
}

#[test]
fn only_what_moved_is_judged() {
    let mut scene = Scene::new(1, 3, 20);
    let then = fingerprint(&scene);
    let moved = scene.go_on(1, 3);
    let (key, _) = scene.orders(&moved, |it| it["status"] == "open").remove(0);
    scene.data.line(&format!("HSET {key} qty 999"));
    let (still, _) = scene.orders(&scene.isin(0), |it| it["status"] == "open").remove(0);
    scene.data.line(&format!("HSET {still} qty 999"));
    let (output, _) = sent(since(then), scene.store());
    let expected = [format!("trades {moved} {key}")];
    assert_eq!(mismatch(&output.violations, &expected), None);
    let change = output.since.unwrap();
    assert_eq!((change.same, change.moved), (2, 1));
    assert_eq!(output.orders, 23, "those of the one that moved");
}

#[test]
fn what_stands_still_must_be_what_it_was() {
    let then = |scene: &Scene| fingerprint(scene);
    let damages: [fn(&str) -> String; 4] = [
        |isin| format!("HSET book:{isin}:meta checksum 00"),
        |isin| format!("HSET book:{isin}:meta bid_qty 0"),
        |isin| format!("ZADD book:{isin}:asks 1 4711"),
        |isin| format!("XADD trades:{isin} * a b"),
    ];
    for damage in damages {
        let mut scene = Scene::new(2, 3, 20);
        let input = since(then(&scene));
        let isin = scene.isin(1);
        scene.data.line(&damage(&isin));
        let output = verify_with(input, scene.store());
        let named = output.violations.iter().any(|it| it.invariant == "fingerprint");
        assert!(named, "{:?}", output.violations);
        assert_eq!((output.halted, output.halt[0].instrument.as_str()), (1, isin.as_str()));
    }
}

#[test]
fn a_book_that_fell_behind_is_a_loss_unless_one_was_declared() {
    let mut scene = Scene::new(3, 3, 20);
    let older = scene.clone();
    let isin = scene.go_on(2, 5);
    let then = fingerprint(&scene);
    let before = older.books[2].seq();
    let missing = scene.books[2].seq() - before;
    let output = verify_with(since(then.clone()), older.store());
    assert_eq!(output.verdict, "fail");
    let expected = [format!("loss {isin} book:{isin}:meta")];
    assert_eq!(mismatch(&output.violations, &expected), None);
    let declared = Input { declared_loss: true, ..since(then) };
    let output = verify_with(declared, older.store());
    assert_eq!(output.verdict, "pass with declared loss", "{:?}", output.violations);
    let change = output.since.unwrap();
    assert_eq!((change.lost_events, change.fallen), (missing, 1));
    assert_eq!(change.lost, [Lost { instrument: isin, events: missing }]);
    assert_eq!(output.safe, 3);
}

#[test]
fn an_instrument_that_is_gone_has_lost_all_it_had() {
    let scene = Scene::new(3, 3, 10);
    let then = fingerprint(&scene);
    let (isin, seq) = (scene.isin(0), scene.books[0].seq());
    let output =
        verify_with(Input { declared_loss: true, ..since(then) }, Scene::new(3, 0, 0).store());
    let lost = output.since.unwrap().lost;
    assert_eq!((lost.len(), &lost[0]), (3, &Lost { instrument: isin, events: seq }));
}

#[test]
fn the_stored_fingerprint_is_read_or_its_absence_said() {
    let mut scene = Scene::new(4, 2, 10);
    let stored = || Input { since: Some(Since::Stored("redis".into())), ..input() };
    let fault = |scene: &Scene, input| {
        let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], scene.store());
        VerifyOrderbook::run(input, &mut host).unwrap_err().code
    };
    assert_eq!(fault(&scene, stored()), "no-fingerprint");
    let text = serde_json::to_string(&fingerprint(&scene)).unwrap();
    let set = ["SET", "baton:orderbook:fingerprint", &text].map(str::to_owned).to_vec();
    scene.data.apply(&[set]);
    let output = verify_with(stored(), scene.store());
    assert_eq!((output.verdict.as_str(), output.since.unwrap().same), ("pass", 2));
    scene.data.line("SET baton:orderbook:fingerprint {}");
    assert_eq!(fault(&scene, stored()), "bad-fingerprint");
    let odd = Input { since: Some(Since::Stored("yesterday".into())), ..input() };
    assert_eq!(fault(&scene, odd), "bad-since");
}

#[test]
fn a_trader_at_work_is_no_difference() {
    for seed in 0..100 {
        let scene = Scene::new(seed, 4, 12);
        let output = verify_with(since(fingerprint(&scene)), scene.traded(2, 60));
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
    }
}
