//! Trades in a store, damaged in every way, and added to while they are read.

use super::*;
use baton_books::Fingerprint;
use baton_books::fingerprint::take;
use baton_books::testing::{Entry, Scene, Store, mismatch};
use baton_plugin::testing::FakeCluster;

fn input() -> Input {
    let text = r#"{"cluster": "bondx", "fields": {
        "trade_id": "id", "trade_number": "number", "trade_count": "trades"}}"#;
    serde_json::from_str(text).unwrap()
}

fn verify_with(input: Input, store: Store) -> Output {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], store);
    VerifyTrades::run(input, &mut host).unwrap()
}

fn verify(store: Store) -> Output {
    verify_with(input(), store)
}

fn fingerprint(scene: &Scene) -> Fingerprint {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], scene.store());
    let source = Source { cluster: "bondx".into(), address: "n:1".into() };
    let isins: Vec<String> = (0..scene.books.len()).map(|it| scene.isin(it)).collect();
    let taken = take(&source, &Keys::default(), &Fields::default(), &isins, &mut host).unwrap();
    Fingerprint { instruments: taken.lines.into_values().collect(), ..Fingerprint::default() }
}

#[test]
fn a_thousand_clean_markets_pass() {
    for seed in 0..1000 {
        let mut store = Scene::new(seed, 3, 15).store();
        store.resp3 = seed % 2 == 0;
        let output = verify(store);
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
        assert_eq!((output.instruments, output.safe, output.ids_left_out), (3, 3, 0));
    }
}

#[test]
fn a_layout_without_ids_and_numbers_passes_too() {
    let plain = serde_json::from_str(r#"{"cluster": "bondx"}"#).unwrap();
    let scene = Scene::new(1, 3, 40);
    let trades: u64 = scene.books.iter().map(baton_books::testing::trades).sum();
    let output = verify_with(plain, scene.store());
    assert_eq!((output.verdict.as_str(), output.trades as u64), ("pass", trades));
}

#[test]
fn a_trader_at_work_does_not_look_like_damage() {
    for seed in 0..300 {
        let (every, most) = if seed % 2 == 0 { (3, 200) } else { (1, 60) };
        let output = verify(Scene::new(seed, 4, 12).traded(every, most));
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
    }
}

#[test]
fn a_trader_that_never_rests_ends_in_a_bounded_time() {
    let scene = Scene::new(3, 1, 5);
    let meta = format!("book:{}:meta", scene.isin(0));
    let output = verify(scene.store().beside(move |data, commands| {
        data.line(&format!("HSET {meta} seq {}", 100 + commands));
    }));
    assert!(output.violations[0].message.contains("too fast"), "{:?}", output.violations);
    assert_eq!(output.violation_count, 1);
}

#[test]
fn streams_longer_than_one_read_are_read_to_their_end() {
    let scene = Scene::new(1, 1, 9000);
    let count = scene.books[0].trades();
    assert!(count > 2000, "{count}");
    let output = verify(scene.store());
    assert_eq!((output.verdict.as_str(), output.trades as u64), ("pass", count));
}

#[test]
fn a_declared_floor_lets_old_trades_go_and_no_others() {
    let mut scene = Scene::new(2, 1, 60);
    let isin = scene.isin(0);
    let key = format!("trades:{isin}");
    let entries = scene.data.entries(&key);
    let kept = entries.len() - 3;
    scene.data.line(&format!("XTRIM {key} MAXLEN {kept}"));
    let floor = &entries[2].fields["seq"];
    scene.data.line(&format!("HSET book:{isin}:meta seq_floor {floor}"));
    let output = verify(scene.store());
    assert_eq!(output.verdict, "pass", "{:?}", output.violations);
    scene.data.line(&format!("XDEL {key} {}", entries[5].id));
    let output = verify(scene.store());
    let expected = [format!("continuity {isin} {key}"), format!("number {isin} {key}")];
    assert_eq!(mismatch(&output.violations, &expected), None);
}

#[test]
fn fewer_trades_than_the_fingerprint_has_are_a_loss_unless_one_was_declared() {
    let mut scene = Scene::new(3, 3, 30);
    let older = scene.clone();
    let isin = scene.go_on(1, 40);
    let missing = scene.books[1].trades() - older.books[1].trades();
    let with = |declared_loss| Input {
        since: Some(Since::Taken(fingerprint(&scene))),
        declared_loss,
        ..input()
    };
    let output = verify_with(with(false), older.store());
    let expected = [format!("loss {isin} trades:{isin}")];
    assert_eq!(mismatch(&output.violations, &expected), None);
    let output = verify_with(with(true), older.store());
    assert_eq!(output.verdict, "pass with declared loss", "{:?}", output.violations);
    assert_eq!(output.lost, [Lost { instrument: isin, trades: missing }]);
    let output = verify_with(with(true), Store::default());
    assert_eq!((output.lost.len(), output.verdict.as_str()), (3, "pass with declared loss"));
    assert_eq!(verify_with(with(false), scene.store()).verdict, "pass");
}

/// A market, and the instrument in it that is hurt.
struct Hurt {
    scene: Scene,
    isin: String,
    other: String,
}

/// What a damage does to a market, and what must be said of it.
type Damage = fn(&mut Hurt) -> Vec<String>;

impl Hurt {
    fn line(&mut self, line: impl AsRef<str>) {
        self.scene.data.line(line.as_ref());
    }

    fn key(&self) -> String {
        format!("trades:{}", self.isin)
    }

    fn meta(&self) -> String {
        format!("book:{}:meta", self.isin)
    }

    fn all(&self) -> Vec<Entry> {
        self.scene.data.entries(&self.key())
    }

    fn last(&self) -> Entry {
        self.all().pop().unwrap()
    }

    fn rewrite(&mut self, entry: &Entry, name: &str, value: &str) {
        self.scene.data.rewrite(&self.key(), &entry.id, name, value);
    }

    fn add(&mut self, entry: &Entry) {
        let fields: Vec<String> =
            entry.fields.iter().map(|(name, it)| format!("{name} {it}")).collect();
        self.line(format!("XADD {} * {}", self.key(), fields.join(" ")));
    }

    fn of(&self, invariant: &str, key: impl AsRef<str>) -> String {
        format!("{invariant} {} {}", self.isin, key.as_ref())
    }

    fn stream(&self, invariant: &str) -> String {
        self.of(invariant, self.key())
    }

    /// What is said of the orders of a trade that is gone, where others name them still.
    fn parties(&self, gone: &Entry) -> Vec<String> {
        let left = self.all();
        ["bid", "ask"]
            .into_iter()
            .map(|side| &gone.fields[side])
            .filter(|id| left.iter().any(|it| [&it.fields["bid"], &it.fields["ask"]].contains(id)))
            .map(|id| self.of("trades", format!("order:{id}")))
            .collect()
    }
}

const DAMAGES: &[(&str, Damage)] = &[
    ("the last trade is gone", |it| {
        let gone = it.last();
        it.line(format!("XDEL {} {}", it.key(), gone.id));
        [it.parties(&gone), vec![it.stream("continuity"), it.of("number", it.meta())]].concat()
    }),
    ("a trade in between is gone", |it| {
        let gone = it.all().remove(1);
        it.line(format!("XDEL {} {}", it.key(), gone.id));
        [it.parties(&gone), vec![it.stream("continuity"), it.stream("number")]].concat()
    }),
    ("the first trades were cut off", |it| {
        let all = it.all();
        it.line(format!("XTRIM {} MAXLEN {}", it.key(), all.len() - 1));
        [it.parties(&all[0]), vec![it.stream("continuity"), it.stream("number")]].concat()
    }),
    ("the stream was written anew without its last trade", |it| {
        let mut all = it.all();
        let gone = all.pop().unwrap();
        it.line(format!("DEL {}", it.key()));
        for entry in &all {
            it.add(entry);
        }
        [it.parties(&gone), vec![it.of("number", it.meta())]].concat()
    }),
    ("all trades are gone", |it| {
        it.line(format!("DEL {}", it.key()));
        vec![it.of("number", it.meta())]
    }),
    ("a trade is there twice", |it| {
        let twice = it.last();
        it.add(&twice);
        let stream = ["sequence", "number", "trade-id"].map(|name| it.stream(name));
        [it.parties(&twice), stream.to_vec()].concat()
    }),
    ("an id is there twice", |it| {
        let first = it.all()[0].fields["id"].clone();
        it.rewrite(&it.last(), "id", &first);
        vec![it.stream("trade-id")]
    }),
    ("an id is also another instrument's", |it| {
        let key = format!("trades:{}", it.other);
        let own = it.last().fields["id"].clone();
        let theirs = it.scene.data.entries(&key).remove(0);
        it.scene.data.rewrite(&key, &theirs.id, "id", &own);
        let later = if it.other > it.isin { it.other.clone() } else { it.isin.clone() };
        vec![format!("trade-id {later} trades:{later}")]
    }),
    ("a number is skipped", |it| {
        let last = it.last();
        let next = last.fields["number"].parse::<u64>().unwrap() + 1;
        it.rewrite(&last, "number", &next.to_string());
        vec![it.stream("number"), it.of("number", it.meta())]
    }),
    ("a number is none", |it| {
        it.rewrite(&it.last(), "number", "x");
        vec![it.stream("schema"), it.of("number", it.meta())]
    }),
    ("one trade too many is announced", |it| {
        let next = it.last().fields["number"].parse::<u64>().unwrap() + 1;
        it.line(format!("HSET {} trades {next}", it.meta()));
        vec![it.of("number", it.meta())]
    }),
    ("how many there are is not said", |it| {
        it.line(format!("HDEL {} trades", it.meta()));
        vec![it.of("schema", it.meta())]
    }),
    ("an event is after the last", |it| {
        it.rewrite(&it.last(), "seq", "999999");
        vec![it.stream("sequence")]
    }),
    ("events do not rise", |it| {
        it.rewrite(&it.last(), "seq", "1");
        vec![it.stream("sequence")]
    }),
    ("an event has no number", |it| {
        it.rewrite(&it.last(), "seq", "1.5");
        vec![it.stream("schema"), it.stream("sequence")]
    }),
    ("a trade is of one piece more", |it| {
        let last = it.last();
        let qty = last.fields["qty"].parse::<u64>().unwrap() + 1;
        it.rewrite(&last, "qty", &qty.to_string());
        ["bid", "ask"].map(|it_| it.of("trades", format!("order:{}", last.fields[it_]))).to_vec()
    }),
    ("a trade is beyond a limit", |it| {
        it.rewrite(&it.last(), "price", "0.01");
        vec![it.stream("trades")]
    }),
    ("a trade has its sides the wrong way round", |it| {
        let last = it.last();
        it.rewrite(&last, "bid", &last.fields["ask"]);
        it.rewrite(&last, "ask", &last.fields["bid"]);
        vec![it.stream("trades")]
    }),
    ("an order that traded is gone", |it| {
        let bid = it.last().fields["bid"].clone();
        it.line(format!("DEL order:{bid}"));
        vec![it.stream("trades")]
    }),
    ("an order that traded is another instrument's", |it| {
        let key = format!("order:{}", it.last().fields["ask"]);
        it.line(format!("HSET {key} isin XS9"));
        vec![it.of("member-order", key)]
    }),
    ("an order has traded one piece more than its trades", |it| {
        let key = format!("order:{}", it.last().fields["ask"]);
        let qty = it.scene.data.field(&key, "qty").unwrap().parse::<u64>().unwrap() + 1;
        it.line(format!("HSET {key} qty {qty}"));
        vec![it.of("trades", key)]
    }),
    ("the trades hold another type", |it| {
        it.line(format!("DEL {}", it.key()));
        it.line(format!("SET {} x", it.key()));
        vec![it.stream("schema")]
    }),
    ("the meta hash holds another type", |it| {
        it.line(format!("DEL {}", it.meta()));
        it.line(format!("SET {} x", it.meta()));
        vec![it.of("schema", it.meta())]
    }),
];

#[test]
fn every_damage_is_found_and_named_exactly() {
    for (name, damage) in DAMAGES {
        for seed in 0..20 {
            let scene = Scene::new(seed, 3, 40);
            let (isin, other) = (scene.isin(1), scene.isin(usize::from(seed % 2 == 0) * 2));
            let mut hurt = Hurt { scene, isin, other };
            let expected = damage(&mut hurt);
            let output = verify(hurt.scene.store());
            if let Some(how) = mismatch(&output.violations, &expected) {
                panic!("{name}, seed {seed}: {how}");
            }
            assert_eq!((output.verdict.as_str(), output.halted, output.safe), ("fail", 1, 2));
        }
    }
}

#[test]
fn damage_is_found_while_a_trader_works() {
    for seed in 0..50 {
        let mut scene = Scene::new(seed, 3, 30);
        let isin = scene.isin(0);
        let key = format!("trades:{isin}");
        let gone = scene.data.entries(&key).remove(0);
        scene.data.line(&format!("XDEL {key} {}", gone.id));
        let output = verify(scene.traded(4, 40));
        let named = output.violations.iter().any(|it| it.invariant == "continuity");
        assert!(named && output.halted == 1, "seed {seed}: {:?}", output.violations);
    }
}
