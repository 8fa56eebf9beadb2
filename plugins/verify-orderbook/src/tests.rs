//! Books in a small store that speaks the six commands, one of them being traded.

use super::*;
use baton_plugin::redis::{ErrorKind, RedisError, Value};
use baton_plugin::testing::{FakeCluster, Responder};

type Hash = BTreeMap<String, String>;

/// Just enough of a Redis.
#[derive(Default)]
struct Store {
    hashes: BTreeMap<String, Hash>,
    sets: BTreeMap<String, Vec<(String, f64)>>,
    streams: BTreeMap<String, Vec<Hash>>,
    /// Called before each command with the number of commands so far.
    trader: Option<fn(&mut Store, usize)>,
    commands: usize,
    resp3: bool,
}

fn hash(fields: &[(&str, &str)]) -> Hash {
    fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

impl Store {
    /// One instrument: one bid, one ask, nothing traded.
    fn small() -> Self {
        let mut store = Self::default();
        store.place("1", "bid", "99.5", "5", 1);
        store.place("2", "ask", "100.25", "7", 2);
        store
    }

    fn place(&mut self, id: &str, side: &str, price: &str, qty: &str, seq: u64) {
        let fields = [
            ("isin", "XS1"),
            ("side", side),
            ("price", price),
            ("qty", qty),
            ("remaining", qty),
            ("status", "open"),
            ("seq", &seq.to_string()),
        ];
        self.hashes.insert(format!("order:{id}"), hash(&fields));
        let set = self.sets.entry(format!("book:XS1:{side}s")).or_default();
        set.push((id.into(), price.parse().unwrap()));
        self.seal(seq);
    }

    /// Writes the meta hash anew; the checksum is the plugin's own.
    fn seal(&mut self, seq: u64) {
        let sum = |side: &str| {
            let open = self.hashes.iter().filter(|(key, it)| {
                key.starts_with("order:") && it["side"] == side && it["status"] == "open"
            });
            open.map(|(_, it)| it["remaining"].parse::<u64>().unwrap()).sum::<u64>().to_string()
        };
        let meta = [("seq", seq.to_string()), ("bid_qty", sum("bid")), ("ask_qty", sum("ask"))];
        let meta: Hash = meta.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        self.hashes.insert("book:XS1:meta".into(), meta);
        let checksum = self.checksum();
        self.hashes.get_mut("book:XS1:meta").unwrap().insert("checksum".into(), checksum);
    }

    fn checksum(&self) -> String {
        let mut lines: Vec<(String, f64, String)> = Vec::new();
        for (key, it) in self.hashes.iter().filter(|(key, _)| key.starts_with("order:")) {
            if it["status"] == "open" {
                let id = key.trim_start_matches("order:");
                let (side, price) = (it["side"].clone(), it["price"].clone());
                let line = format!("XS1|{side}|{price}|{id}|{}\n", it["remaining"]);
                lines.push((side, price.parse().unwrap(), line));
            }
        }
        lines.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let bytes = lines.iter().flat_map(|(_, _, line)| line.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    fn field(&self, key: &str, name: &str) -> Value {
        let found = self.hashes.get(key).and_then(|it| it.get(name));
        found.map_or(Value::Null, |it| Value::from(it.as_str()))
    }
}

impl Responder for Store {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        _now_ms: u64,
    ) -> Result<Value, RedisError> {
        if address == "n:2" {
            return Err(RedisError::new(ErrorKind::Refused, "gone"));
        }
        if let Some(trader) = self.trader {
            self.commands += 1;
            trader(self, self.commands);
        }
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["ROLE"] => Value::List(vec!["master".into(), Value::Int(1), Value::List(vec![])]),
            ["SCAN", "0", "MATCH", pattern, "COUNT", _] => {
                let (before, after) = pattern.split_once('*').unwrap();
                let keys = self.hashes.keys();
                let keys = keys.filter(|it| it.starts_with(before) && it.ends_with(after));
                let keys = keys.map(|it| Value::from(it.as_str())).collect();
                Value::List(vec!["0".into(), Value::List(keys)])
            }
            ["HGET", key, name] => self.field(key, name),
            ["HMGET", key, ref names @ ..] => {
                Value::List(names.iter().map(|name| self.field(key, name)).collect())
            }
            ["ZRANGE", key, "0", "-1", "WITHSCORES"] => {
                let all = self.sets.get(key).cloned().unwrap_or_default();
                let resp3 = self.resp3;
                Value::List(
                    all.into_iter()
                        .flat_map(|(id, score)| {
                            if resp3 {
                                vec![Value::List(vec![id.as_str().into(), Value::Double(score)])]
                            } else {
                                vec![id.as_str().into(), score.to_string().as_str().into()]
                            }
                        })
                        .collect(),
                )
            }
            ["XRANGE", key, "-", "+", "COUNT", _] => {
                let entries = self.streams.get(key).cloned().unwrap_or_default();
                let entry = |(at, fields): (usize, Hash)| {
                    let flat = fields.iter().flat_map(|(name, it)| [name.as_str(), it.as_str()]);
                    let flat = flat.map(Value::from).collect();
                    Value::List(vec![format!("{at}-1").as_str().into(), Value::List(flat)])
                };
                Value::List(entries.into_iter().enumerate().map(entry).collect())
            }
            _ => Value::Error(format!("ERR unknown command {}", command.join(" "))),
        })
    }
}

fn input() -> Input {
    serde_json::from_str(r#"{"cluster": "bondx"}"#).unwrap()
}

fn verify(store: Store) -> Output {
    let mut host = FakeCluster::with_responder("bondx", &["n:1", "n:2"], &[], store);
    VerifyOrderbook::run(input(), &mut host).unwrap()
}

#[test]
fn a_whole_store_passes_in_both_protocols() {
    for resp3 in [false, true] {
        let output = verify(Store { resp3, ..Store::small() });
        assert_eq!(output.verdict, "pass", "{:?}", output.violations);
        let counted = (output.instruments, output.orders, output.levels, output.trades);
        assert_eq!(counted, (1, 2, 2, 0));
        assert_eq!(output.master, "n:1");
    }
}

#[test]
fn a_changed_price_fails_by_key() {
    let mut store = Store::small();
    store.sets.get_mut("book:XS1:bids").unwrap()[0].1 = 99.6;
    let output = verify(store);
    assert_eq!(output.verdict, "fail");
    assert_eq!(output.violations[0].invariant, "price");
    assert_eq!(output.violations[0].key, "book:XS1:bids");
}

#[test]
fn a_trader_at_work_does_not_look_like_damage() {
    // Places orders while the plugin reads: in the list, after it, between two reads
    // of one instrument; one is cancelled before anyone could see it rest.
    let mut store = Store::small();
    store.trader = Some(|store, commands| match commands {
        4 => store.place("3", "bid", "98", "1", 3),
        9 => store.place("4", "ask", "103", "1", 4),
        11 => {
            store.place("5", "ask", "104", "1", 5);
            let order = store.hashes.get_mut("order:5").unwrap();
            order.insert("status".into(), "cancelled".into());
            order.insert("cancel_seq".into(), "6".into());
            store.sets.get_mut("book:XS1:asks").unwrap().pop();
            store.seal(6);
        }
        _ => {}
    });
    let output = verify(store);
    assert_eq!(output.verdict, "pass", "{:?}", output.violations);
    assert_eq!(output.orders, 5);
}

#[test]
fn a_trader_that_never_rests_ends_in_a_bounded_time() {
    let mut store = Store::small();
    store.trader = Some(|store, commands| {
        let meta = store.hashes.get_mut("book:XS1:meta").unwrap();
        meta.insert("seq".into(), (commands + 2).to_string());
    });
    let output = verify(store);
    assert_eq!(output.verdict, "fail");
    assert!(output.violations[0].message.contains("too fast"));
}

#[test]
fn an_order_of_no_instrument_is_found() {
    let mut store = Store::small();
    store.hashes.insert("order:9".into(), hash(&[("isin", "XS9"), ("side", "bid")]));
    let output = verify(store);
    assert_eq!(output.violations.len(), 1);
    assert_eq!(output.violations[0].key, "order:9");
}

#[test]
fn many_violations_are_cut_and_said_to_be() {
    let mut store = Store::small();
    for id in 0..1200 {
        let order = hash(&[("isin", "XS9"), ("side", "bid")]);
        store.hashes.insert(format!("order:x{id}"), order);
    }
    let output = verify(store);
    assert_eq!((output.violations.len(), output.truncated), (VIOLATIONS_MAX, true));
}

#[test]
fn an_empty_store_passes_with_nothing_counted() {
    let output = verify(Store::default());
    assert_eq!((output.verdict.as_str(), output.instruments), ("pass", 0));
}

#[test]
fn a_node_that_is_gone_is_a_fault_to_retry() {
    let mut wanted = input();
    wanted.master = Some("n:2".into());
    let mut host = FakeCluster::with_responder("bondx", &["n:1", "n:2"], &[], Store::small());
    let fault = VerifyOrderbook::run(wanted, &mut host).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("refused", baton_plugin::FaultKind::Retryable));
}
