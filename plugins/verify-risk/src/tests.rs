//! Accounts in a store, damaged in every way, and traded while they are read.

use super::*;
use baton_books::testing::{Entry, Scene, Store, mismatch};
use baton_plugin::testing::FakeCluster;

fn input(fields: &str) -> Input {
    serde_json::from_str(&format!(r#"{{"cluster": "bondx", "fields": {{{fields}}}}}"#)).unwrap()
}

/// Accounts are the trades', or their orders'.
const LAYOUTS: [&str; 2] = ["", r#""buyer": "", "account": "account""#];

fn verify_with(input: Input, store: Store) -> Output {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], store);
    VerifyRisk::run(input, &mut host).unwrap()
}

fn verify(store: Store) -> Output {
    verify_with(input(""), store)
}

#[test]
fn a_thousand_clean_markets_pass() {
    for seed in 0..1000 {
        let mut store = Scene::new(seed, 3, 15).store();
        store.resp3 = seed % 2 == 0;
        let layout = LAYOUTS[usize::from(seed % 3 == 0)];
        let output = verify_with(input(layout), store);
        assert_eq!(output.verdict, "pass", "seed {seed}: {:?}", output.violations);
        assert_eq!((output.instruments, output.accounts, output.unjudged), (3, 8, 0));
        assert_eq!((output.halted, output.halted_accounts), (0, 0));
    }
}

#[test]
fn what_was_checked_is_counted() {
    let scene = Scene::new(1, 3, 60);
    let trades: u64 = scene.books.iter().map(baton_books::testing::trades).sum();
    let accounts = scene.data.keys("risk:");
    let fields = accounts.iter().flat_map(|key| scene.data.fields(key));
    let positions = fields.filter(|(name, it)| name.starts_with("position:") && it != "0").count();
    let output = verify(scene.store());
    assert_eq!((output.trades as u64, output.positions), (trades, positions));
    assert!(trades > 20 && positions > 10);
}

#[test]
fn a_trader_at_work_does_not_look_like_damage() {
    for seed in 0..300 {
        let (every, most) = if seed % 2 == 0 { (3, 200) } else { (1, 60) };
        let layout = LAYOUTS[usize::from(seed % 3 == 0)];
        let output = verify_with(input(layout), Scene::new(seed, 4, 12).traded(every, most));
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
fn an_instrument_whose_trades_may_be_gone_is_said_to_be_unjudged() {
    let mut scene = Scene::new(2, 2, 40);
    let isin = scene.isin(0);
    scene.data.line(&format!("XTRIM trades:{isin} MAXLEN 1"));
    scene.data.line(&format!("HSET book:{isin}:meta seq_floor 5"));
    let output = verify(scene.store());
    assert_eq!(output.verdict, "pass", "{:?}", output.violations);
    assert_eq!((output.unjudged_instruments, output.instruments), (vec![isin], 1));
}

#[test]
fn only_the_wanted_instruments_are_recomputed() {
    let mut scene = Scene::new(2, 2, 40);
    let other = scene.isin(1);
    scene.data.line(&format!("DEL trades:{other}"));
    let wanted = Input { instruments: Some(vec![scene.isin(0)]), ..input("") };
    let output = verify_with(wanted, scene.store());
    assert_eq!((output.verdict.as_str(), output.instruments), ("pass", 1));
}

#[test]
fn a_layout_that_says_nobodys_accounts_is_refused() {
    let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], Store::default());
    let fault = VerifyRisk::run(input(r#""seller": """#), &mut host).unwrap_err();
    assert_eq!(fault.code, "no-accounts");
}

#[test]
fn an_empty_store_passes_with_nothing_counted() {
    let output = verify(Store::default());
    assert_eq!((output.verdict.as_str(), output.accounts, output.instruments), ("pass", 0, 0));
}

/// A market, the instrument in it that is hurt, and an account.
struct Hurt {
    scene: Scene,
    isin: String,
    key: String,
}

/// What a damage does to a market, and what must be said of it.
type Damage = fn(&mut Hurt) -> Vec<String>;

impl Hurt {
    /// The account is the one with the largest position in the instrument.
    fn new(seed: u64) -> Self {
        let scene = Scene::new(seed, 3, 40);
        let isin = scene.isin(1);
        let position = |key: &String| {
            let text = scene.data.field(key, &format!("position:{isin}"));
            text.map_or(0, |it| it.parse::<i64>().unwrap())
        };
        let key = scene.data.keys("risk:").into_iter().max_by_key(position).unwrap();
        assert!(position(&key) > 1, "seed {seed}");
        Self { scene, isin, key }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.scene.data.line(line.as_ref());
    }

    fn field(&self, name: &str) -> i64 {
        self.scene.data.field(&self.key, name).unwrap().parse().unwrap()
    }

    /// `invariant instrument key` of the account's position in the instrument.
    fn position(&self) -> String {
        format!("position {} {}", self.isin, self.key)
    }

    fn account(&self, invariant: &str) -> String {
        format!("{invariant}  {}", self.key)
    }

    fn stream(&self) -> String {
        format!("trades:{}", self.isin)
    }

    /// The last trade that two accounts made.
    fn last(&self) -> Entry {
        let mut all = self.scene.data.entries(&self.stream());
        all.retain(|it| it.fields["buyer"] != it.fields["seller"]);
        all.pop().unwrap()
    }

    fn parties(&self, trade: &Entry) -> Vec<String> {
        let account = |name: &str| format!("position {} risk:{}", self.isin, trade.fields[name]);
        vec![account("buyer"), account("seller")]
    }

    /// All that it has a position in.
    fn everywhere(&self) -> Vec<String> {
        let fields = self.scene.data.fields(&self.key).into_iter();
        fields
            .filter(|(_, it)| it != "0")
            .filter_map(|(name, _)| {
                Some(format!("position {} {}", name.strip_prefix("position:")?, self.key))
            })
            .collect()
    }
}

const DAMAGES: &[(&str, Damage)] = &[
    ("a position is off by one piece", |it| {
        it.line(format!("HINCRBY {} position:{} 1", it.key, it.isin));
        vec![it.position(), it.account("used")]
    }),
    ("a position is off by the smallest part of a piece", |it| {
        let position = it.field(&format!("position:{}", it.isin));
        it.line(format!("HSET {} position:{} {position}.000000000001", it.key, it.isin));
        vec![it.position(), it.account("used")]
    }),
    ("a position and what is used are off", |it| {
        it.line(format!("HINCRBY {} position:{} 1", it.key, it.isin));
        it.line(format!("HINCRBY {} used 1", it.key));
        vec![it.position()]
    }),
    ("a position has the wrong sign", |it| {
        let position = it.field(&format!("position:{}", it.isin));
        it.line(format!("HSET {} position:{} -{position}", it.key, it.isin));
        vec![it.position()]
    }),
    ("a position is gone", |it| {
        it.line(format!("HDEL {} position:{}", it.key, it.isin));
        vec![it.position(), it.account("used")]
    }),
    ("a position is no number", |it| {
        it.line(format!("HSET {} position:{} 1e2", it.key, it.isin));
        vec![it.account("schema")]
    }),
    ("an account that never traded has a position", |it| {
        it.key = "risk:B9".into();
        it.line(format!("HSET risk:B9 position:{} 5 used 5 limit 5", it.isin));
        vec![it.position()]
    }),
    ("a position is in an instrument that nobody knows", |it| {
        it.line(format!("HSET {} position:XS9 3", it.key));
        vec![format!("position XS9 {}", it.key), it.account("used")]
    }),
    ("what is used is off", |it| {
        it.line(format!("HINCRBY {} used -1", it.key));
        vec![it.account("used")]
    }),
    ("what is used is missing", |it| {
        it.line(format!("HDEL {} used", it.key));
        vec![it.account("schema")]
    }),
    ("a limit is exceeded by one piece", |it| {
        let used = it.field("used");
        it.line(format!("HSET {} limit {}", it.key, used - 1));
        vec![it.account("limit")]
    }),
    ("a limit is missing", |it| {
        it.line(format!("HDEL {} limit", it.key));
        vec![it.account("schema")]
    }),
    ("an account is gone", |it| {
        let positions = it.everywhere();
        it.line(format!("DEL {}", it.key));
        [positions, vec![it.account("account")]].concat()
    }),
    ("an account holds another type", |it| {
        let positions = it.everywhere();
        it.line(format!("DEL {}", it.key));
        it.line(format!("SET {} x", it.key));
        [positions, vec![it.account("schema")]].concat()
    }),
    ("a trade is gone", |it| {
        let trade = it.last();
        it.line(format!("XDEL {} {}", it.stream(), trade.id));
        it.parties(&trade)
    }),
    ("a trade is there twice", |it| {
        let trade = it.last();
        let fields: Vec<String> =
            trade.fields.iter().map(|(name, it)| format!("{name} {it}")).collect();
        it.line(format!("XADD {} * {}", it.stream(), fields.join(" ")));
        it.parties(&trade)
    }),
    ("a trade is of one piece more", |it| {
        let trade = it.last();
        let qty = trade.fields["qty"].parse::<u64>().unwrap() + 1;
        it.scene.data.rewrite(&it.stream(), &trade.id, "qty", &qty.to_string());
        it.parties(&trade)
    }),
    ("a trade is of nothing", |it| {
        let trade = it.last();
        it.scene.data.rewrite(&it.stream(), &trade.id, "qty", "0");
        vec![format!("schema {} {}", it.isin, it.stream())]
    }),
    ("a trade was another account's", |it| {
        let trade = it.last();
        let other = (1..=8)
            .map(|number| format!("A{number}"))
            .find(|name| ![&trade.fields["buyer"], &trade.fields["seller"]].contains(&name))
            .unwrap();
        it.scene.data.rewrite(&it.stream(), &trade.id, "buyer", &other);
        [&trade.fields["buyer"], &other]
            .map(|it_| format!("position {} risk:{it_}", it.isin))
            .into()
    }),
    ("a trade was nobody's", |it| {
        let trade = it.last();
        it.scene.data.rewrite(&it.stream(), &trade.id, "seller", "");
        vec![format!("schema {} {}", it.isin, it.stream())]
    }),
    ("a trade was somebody's who is not there", |it| {
        let trade = it.last();
        it.scene.data.rewrite(&it.stream(), &trade.id, "seller", "B7");
        vec![
            "account  risk:B7".into(),
            format!("position {} risk:B7", it.isin),
            format!("position {} risk:{}", it.isin, trade.fields["seller"]),
        ]
    }),
    ("the trades hold another type", |it| {
        it.line(format!("DEL {}", it.stream()));
        it.line(format!("SET {} x", it.stream()));
        vec![format!("schema {} {}", it.isin, it.stream())]
    }),
];

#[test]
fn every_damage_is_found_and_named_exactly() {
    for (name, damage) in DAMAGES {
        for seed in 0..20 {
            let mut hurt = Hurt::new(seed);
            let expected = damage(&mut hurt);
            let output = verify(hurt.scene.store());
            if let Some(how) = mismatch(&output.violations, &expected) {
                panic!("{name}, seed {seed}: {how}");
            }
            let named = |key: &str| expected.iter().any(|it| it.ends_with(&format!(" risk:{key}")));
            assert!(output.halt_accounts.iter().all(|it| named(it)), "{name}");
            assert!(
                output
                    .halt
                    .iter()
                    .all(|it| expected.iter().any(|line| line.contains(&it.instrument)))
            );
            assert_eq!(output.verdict, "fail", "{name}");
        }
    }
}

#[test]
fn a_limit_that_is_used_up_is_not_exceeded() {
    let mut hurt = Hurt::new(1);
    let used = hurt.field("used");
    hurt.line(format!("HSET {} limit {used}", hurt.key));
    assert_eq!(verify(hurt.scene.store()).verdict, "pass");
}

#[test]
fn where_orders_say_whose_they_are_damage_of_them_is_named() {
    for seed in 0..20 {
        let mut hurt = Hurt::new(seed);
        let trade = hurt.last();
        let (key, isin) = (format!("order:{}", trade.fields["bid"]), hurt.isin.clone());
        hurt.line(format!("HDEL {key} account"));
        let output = verify_with(input(LAYOUTS[1]), hurt.scene.store());
        assert_eq!(mismatch(&output.violations, &[format!("schema {isin} {key}")]), None);
        hurt.line(format!("HSET {key} account B7"));
        let output = verify_with(input(LAYOUTS[1]), hurt.scene.store());
        let named =
            output.violations.iter().any(|it| it.invariant == "account" && it.key == "risk:B7");
        assert!(
            named && output.halt_accounts.contains(&"B7".to_owned()),
            "{:?}",
            output.violations
        );
    }
}

#[test]
fn damage_is_found_while_a_trader_works() {
    for seed in 0..50 {
        let mut hurt = Hurt::new(seed);
        hurt.line(format!("HINCRBY {} position:{} 1", hurt.key, hurt.isin));
        hurt.line(format!("HINCRBY {} used 1", hurt.key));
        let position = hurt.position();
        let output = verify(hurt.scene.traded(4, 40));
        let is_it = |it: &Violation| it.invariant == "used" || position.ends_with(&it.key);
        assert!(
            output.violation_count > 0 && output.violations.iter().all(is_it),
            "seed {seed}: {:?}",
            output.violations
        );
    }
}
