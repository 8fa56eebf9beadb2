//! Every invariant, broken in each way it can break: found, and named exactly.

use super::{Scene, mismatch, verify};
use std::collections::BTreeMap;

mod orders;

/// An order's key and its fields.
type Found = (String, BTreeMap<String, String>);

/// What a damage does to a market, and what must be said of it.
type Damage = fn(&mut Hurt) -> Vec<String>;

/// A market, and the instrument in it that is hurt.
struct Hurt {
    scene: Scene,
    isin: String,
}

impl Hurt {
    fn line(&mut self, line: impl AsRef<str>) {
        self.scene.data.line(line.as_ref());
    }

    fn key(&self, part: &str) -> String {
        format!("book:{}:{part}", self.isin)
    }

    fn trades(&self) -> String {
        format!("trades:{}", self.isin)
    }

    fn meta(&self, name: &str) -> String {
        self.scene.data.field(&self.key("meta"), name).unwrap()
    }

    /// `invariant instrument key` of the hurt instrument.
    fn at(&self, invariant: &str, key: impl AsRef<str>) -> String {
        format!("{invariant} {} {}", self.isin, key.as_ref())
    }

    /// The same of a field or set of the book.
    fn book(&self, invariant: &str, part: &str) -> String {
        self.at(invariant, self.key(part))
    }

    fn orders(&self, wanted: impl Fn(&BTreeMap<String, String>) -> bool) -> Vec<Found> {
        self.scene.orders(&self.isin, wanted)
    }

    /// An open order of a side that nobody has traded with, not the best one.
    fn untouched(&self, side: &str) -> Found {
        let best = self.scene.data.members(&self.key(&format!("{side}s")));
        let best = if side == "bid" { best.last() } else { best.first() }.unwrap().1.to_bits();
        let all = self.orders(|it| {
            let price: f64 = it["price"].parse().unwrap();
            let is_whole = it["remaining"] == it["qty"] && it["qty"] != "1";
            it["side"] == side && it["status"] == "open" && is_whole && price.to_bits() != best
        });
        all.into_iter().next().unwrap()
    }

    fn one(&self, status: &str) -> Found {
        self.orders(|it| it["status"] == status).into_iter().next().unwrap()
    }

    /// A cancelled order that nobody had traded with.
    fn cancelled(&self) -> Found {
        self.orders(|it| it["status"] == "cancelled" && it["qty"] == it["remaining"]).remove(0)
    }

    /// The last trade: its id in the stream, and its orders' keys.
    fn last_trade(&self) -> (String, String, String) {
        let entry = self.scene.data.entries(&self.trades()).pop().unwrap();
        let key = |name: &str| format!("order:{}", entry.fields[name]);
        (entry.id.clone(), key("bid"), key("ask"))
    }

    fn set(&mut self, key: &str, name: &str, value: &str) {
        self.line(format!("HSET {key} {name} {value}"));
    }
}

fn id(key: &str) -> &str {
    key.strip_prefix("order:").unwrap()
}

/// What follows where an open order counts no more.
fn uncounted(it: &Hurt) -> Vec<String> {
    vec![it.book("sum", "meta"), it.book("checksum", "meta")]
}

const BOOKS: &[(&str, Damage)] = &[
    ("a level is moved", |it| {
        let (key, _) = it.untouched("bid");
        it.line(format!("ZADD {} 7.25 {}", it.key("bids"), id(&key)));
        vec![it.book("price", "bids")]
    }),
    ("a score is off by the last bit", |it| {
        let (key, fields) = it.untouched("ask");
        let score: f64 = fields["price"].parse().unwrap();
        it.line(format!("ZADD {} {} {}", it.key("asks"), score.next_up(), id(&key)));
        vec![it.book("price", "asks")]
    }),
    ("a member is gone", |it| {
        let (key, _) = it.untouched("bid");
        it.line(format!("ZREM {} {}", it.key("bids"), id(&key)));
        vec![it.at("order-member", key)]
    }),
    ("a member has no order", |it| {
        it.line(format!("ZADD {} 1 99999999", it.key("bids")));
        vec![it.book("member-order", "bids")]
    }),
    ("a cancelled order still rests", |it| {
        let (key, fields) = it.cancelled();
        let set = it.key(&format!("{}s", fields["side"]));
        it.line(format!("ZADD {set} {} {}", fields["price"], id(&key)));
        vec![it.at("order-member", set)]
    }),
    ("a level is flipped", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "side", "ask");
        [uncounted(it), vec![it.book("side", "bids"), it.at("order-member", key)]].concat()
    }),
    ("an order rests on the other side", |it| {
        let (key, fields) = it.untouched("bid");
        it.line(format!("ZREM {} {}", it.key("bids"), id(&key)));
        it.line(format!("ZADD {} {} {}", it.key("asks"), fields["price"], id(&key)));
        vec![it.book("side", "asks"), it.at("order-member", key), it.book("crossed", "bids")]
    }),
    ("an order is in both sides", |it| {
        let (key, fields) = it.untouched("ask");
        it.line(format!("ZADD {} {} {}", it.key("bids"), fields["price"], id(&key)));
        vec![it.book("side", "bids"), it.book("crossed", "bids")]
    }),
    ("the book is crossed", |it| {
        let best = it.scene.data.members(&it.key("bids")).last().unwrap().1;
        let (key, _) = it.untouched("ask");
        it.set(&key, "price", &best.to_string());
        it.line(format!("ZADD {} {best} {}", it.key("asks"), id(&key)));
        vec![it.book("crossed", "bids"), it.book("checksum", "meta")]
    }),
    ("the bids hold another type", |it| {
        let key = it.key("bids");
        it.line(format!("DEL {key}"));
        it.line(format!("SET {key} x"));
        let open = it.orders(|it| it["side"] == "bid" && it["status"] == "open");
        let orders = open.into_iter().map(|(key, _)| it.at("order-member", key));
        orders.chain([it.at("schema", key)]).collect()
    }),
];

/// Who is told that it carries an event twice: the later one in the order of reading,
/// orders by id before trades.
fn carrier(it: &Hurt, isin: &str, seq: &str, moved: &str) -> String {
    let is_it = |order: &BTreeMap<String, String>| {
        ["seq", "cancel_seq"].iter().any(|name| order.get(*name).is_some_and(|it| it == seq))
    };
    let order = it.scene.orders(isin, is_it).into_iter().find(|(key, _)| key != moved);
    let trade = format!("trades:{isin}");
    order.map_or(trade, |(key, _)| {
        let number = |key: &str| id(key).parse::<u64>().unwrap();
        if number(&key) > number(moved) { key } else { moved.to_owned() }
    })
}

const META: &[(&str, Damage)] = &[
    ("a sum is wrong", |it| {
        let wrong = it.meta("bid_qty") + ".000000000001";
        it.set(&it.key("meta"), "bid_qty", &wrong);
        vec![it.book("sum", "meta")]
    }),
    ("the other sum is wrong", |it| {
        it.set(&it.key("meta"), "ask_qty", "0");
        vec![it.book("sum", "meta")]
    }),
    ("a sum is missing", |it| {
        it.line(format!("HDEL {} ask_qty", it.key("meta")));
        vec![it.book("schema", "meta")]
    }),
    ("the checksum is wrong", |it| {
        let wrong = it.meta("checksum").to_uppercase() + "0";
        it.set(&it.key("meta"), "checksum", &wrong);
        vec![it.book("checksum", "meta")]
    }),
    ("the checksum is missing", |it| {
        it.line(format!("HDEL {} checksum", it.key("meta")));
        vec![it.book("checksum", "meta")]
    }),
    ("an event is announced that nobody carries", |it| {
        let next = it.meta("seq").parse::<u64>().unwrap() + 1;
        it.set(&it.key("meta"), "seq", &next.to_string());
        vec![it.book("sequence", "meta")]
    }),
    ("the last event is not announced", |it| {
        let last = it.meta("seq");
        let before = last.parse::<u64>().unwrap() - 1;
        it.set(&it.key("meta"), "seq", &before.to_string());
        let carrier = carrier(it, &it.isin.clone(), &last, "order:0");
        vec![it.at("sequence", carrier)]
    }),
    ("seq is no number", |it| {
        it.set(&it.key("meta"), "seq", "x");
        vec![it.book("schema", "meta")]
    }),
    ("the meta hash holds another type", |it| {
        let key = it.key("meta");
        it.line(format!("DEL {key}"));
        it.line(format!("SET {key} x"));
        vec![it.at("schema", &key), it.at("checksum", key)]
    }),
    ("the meta hash is gone", |it| {
        it.line(format!("DEL {}", it.key("meta")));
        it.orders(|_| true).into_iter().map(|(key, _)| it.at("order-member", key)).collect()
    }),
    ("an event is carried twice, another by nobody", |it| {
        let (key, _) = it.untouched("bid");
        let (other, fields) = it.untouched("ask");
        it.set(&key, "seq", &fields["seq"]);
        let number = |key: &str| id(key).parse::<u64>().unwrap();
        let later = if number(&key) > number(&other) { key } else { other };
        vec![it.at("sequence", later), it.book("sequence", "meta")]
    }),
    ("an order carries no number", |it| {
        let (key, _) = it.untouched("bid");
        it.line(format!("HDEL {key} seq"));
        vec![it.at("schema", key), it.book("sequence", "meta")]
    }),
    ("a cancellation carries no number", |it| {
        let (key, _) = it.one("cancelled");
        it.line(format!("HDEL {key} cancel_seq"));
        vec![it.book("sequence", "meta")]
    }),
];

const TRADES: &[(&str, Damage)] = &[
    ("a trade is gone", |it| {
        let (entry, bid, ask) = it.last_trade();
        it.line(format!("XDEL {} {entry}", it.trades()));
        vec![it.at("trades", bid), it.at("trades", ask), it.book("sequence", "meta")]
    }),
    ("a trade is there twice", |it| {
        let entry = it.scene.data.entries(&it.trades()).pop().unwrap();
        let (_, bid, ask) = it.last_trade();
        let fields: Vec<String> =
            entry.fields.iter().map(|(name, it)| format!("{name} {it}")).collect();
        it.line(format!("XADD {} * {}", it.trades(), fields.join(" ")));
        vec![it.at("trades", bid), it.at("trades", ask), it.at("sequence", it.trades())]
    }),
    ("a trade is of one piece more", |it| {
        let (entry, bid, ask) = it.last_trade();
        let trade = it.scene.data.entries(&it.trades()).pop().unwrap();
        let qty = trade.fields["qty"].parse::<u64>().unwrap() + 1;
        it.scene.data.rewrite(&it.trades(), &entry, "qty", &qty.to_string());
        vec![it.at("trades", bid), it.at("trades", ask)]
    }),
    ("a trade is of nothing", |it| {
        let (entry, bid, ask) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "qty", "0");
        vec![it.at("trades", bid), it.at("trades", ask), it.at("schema", it.trades())]
    }),
    ("a trade is beyond a limit", |it| {
        let (entry, ..) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "price", "0.01");
        vec![it.at("trades", it.trades())]
    }),
    ("a trade has its sides the wrong way round", |it| {
        let (entry, bid, ask) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "bid", id(&ask));
        it.scene.data.rewrite(&it.trades(), &entry, "ask", id(&bid));
        vec![it.at("trades", it.trades())]
    }),
    ("a trade names an order that nobody placed", |it| {
        let (entry, bid, _) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "bid", "404404");
        vec![it.at("trades", bid), it.at("trades", it.trades())]
    }),
    ("a trade's number is another's", |it| {
        let (entry, ..) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "seq", "1");
        vec![it.at("sequence", it.trades()), it.book("sequence", "meta")]
    }),
    ("a trade's number is none", |it| {
        let (entry, ..) = it.last_trade();
        it.scene.data.rewrite(&it.trades(), &entry, "seq", "-1");
        vec![
            it.at("schema", it.trades()),
            it.at("sequence", it.trades()),
            it.book("sequence", "meta"),
        ]
    }),
    ("all trades are gone", |it| {
        it.line(format!("DEL {}", it.trades()));
        no_trades(it)
    }),
    ("the trades hold another type", |it| {
        it.line(format!("DEL {}", it.trades()));
        it.line(format!("SET {} x", it.trades()));
        [no_trades(it), vec![it.at("schema", it.trades())]].concat()
    }),
];

fn no_trades(it: &Hurt) -> Vec<String> {
    let traded = it.orders(|it| it["qty"] != it["remaining"]);
    let orders = traded.into_iter().map(|(key, _)| it.at("trades", key));
    orders.chain([it.book("sequence", "meta")]).collect()
}

fn found_and_named(damages: &[(&str, Damage)]) {
    for (name, damage) in damages {
        for seed in 0..20 {
            let scene = Scene::new(seed, 3, 40);
            let mut hurt = Hurt { isin: scene.isin(1), scene };
            let expected = damage(&mut hurt);
            let output = verify(hurt.scene.store());
            assert_eq!(output.verdict, "fail", "{name}, seed {seed}");
            if let Some(how) = mismatch(&output.violations, &expected) {
                panic!("{name}, seed {seed}: {how}");
            }
            let mut named: Vec<&str> =
                expected.iter().filter_map(|it| it.split(' ').nth(1)).collect();
            named.retain(|it| !it.is_empty());
            named.sort_unstable();
            named.dedup();
            let halted: Vec<&str> = output.halt.iter().map(|it| it.instrument.as_str()).collect();
            assert_eq!(halted, named, "{name}");
            let whole = output.safe_instruments.iter().filter(|it| named.contains(&it.as_str()));
            assert_eq!((whole.count(), output.halted), (0, named.len()), "{name}");
        }
    }
}

#[test]
fn books_are_found_damaged_and_named() {
    found_and_named(BOOKS);
}

#[test]
fn orders_are_found_damaged_and_named() {
    found_and_named(orders::ORDERS);
}

#[test]
fn sums_and_numbers_are_found_damaged_and_named() {
    found_and_named(META);
}

#[test]
fn trades_are_found_damaged_and_named() {
    found_and_named(TRADES);
}
