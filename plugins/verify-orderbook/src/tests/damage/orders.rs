//! Orders, damaged.

use super::{Damage, carrier, id, uncounted};

pub(super) const ORDERS: &[(&str, Damage)] = &[
    ("an order is gone", |it| {
        let (key, _) = it.untouched("bid");
        it.line(format!("DEL {key}"));
        [uncounted(it), vec![it.book("member-order", "bids"), it.book("sequence", "meta")]].concat()
    }),
    ("a filled order is gone", |it| {
        let (key, _) = it.one("filled");
        it.line(format!("DEL {key}"));
        vec![it.at("trades", it.trades()), it.book("sequence", "meta")]
    }),
    ("a cancelled order is gone", |it| {
        let (key, _) =
            it.orders(|it| it["status"] == "cancelled" && it["qty"] == it["remaining"]).remove(0);
        it.line(format!("DEL {key}"));
        vec![it.book("sequence", "meta")]
    }),
    ("an order holds another type", |it| {
        let (key, _) = it.untouched("ask");
        it.line(format!("DEL {key}"));
        it.line(format!("SET {key} x"));
        [uncounted(it), vec![it.at("schema", key), it.book("sequence", "meta")]].concat()
    }),
    ("a price is changed", |it| {
        let (key, fields) = it.untouched("bid");
        it.set(&key, "price", &format!("{}1", fields["price"]));
        vec![it.book("price", "bids"), it.book("checksum", "meta")]
    }),
    ("a price and its score are changed", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "price", "7.25");
        it.line(format!("ZADD {} 7.25 {}", it.key("bids"), id(&key)));
        vec![it.book("checksum", "meta")]
    }),
    ("one piece of an order is missing", |it| {
        let (key, fields) = it.untouched("bid");
        let qty: u64 = fields["qty"].parse().unwrap();
        it.set(&key, "remaining", &(qty - 1).to_string());
        [uncounted(it), vec![it.at("trades", key)]].concat()
    }),
    ("more is left than there was", |it| {
        let (key, fields) = it.untouched("ask");
        let qty: u64 = fields["qty"].parse().unwrap();
        it.set(&key, "remaining", &(qty + 1).to_string());
        [uncounted(it), vec![it.at("quantity", &key), it.at("trades", key)]].concat()
    }),
    ("an open order has nothing left", |it| {
        let (key, _) = it.untouched("ask");
        it.set(&key, "remaining", "0");
        [uncounted(it), vec![it.at("quantity", &key), it.at("trades", key)]].concat()
    }),
    ("a filled order has something left", |it| {
        let (key, _) = it.one("filled");
        it.set(&key, "remaining", "0.000000000001");
        vec![it.at("quantity", &key), it.at("trades", key)]
    }),
    ("a cancelled order has nothing left", |it| {
        let (key, _) = it.one("cancelled");
        it.set(&key, "remaining", "0");
        vec![it.at("quantity", &key), it.at("trades", key)]
    }),
    ("what was ordered is changed", |it| {
        let (key, fields) = it.untouched("bid");
        let qty: u64 = fields["qty"].parse().unwrap();
        it.set(&key, "qty", &(qty + 1).to_string());
        vec![it.at("trades", key)]
    }),
    ("an open order is called filled", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "status", "filled");
        let more = vec![it.at("quantity", key), it.book("order-member", "bids")];
        [uncounted(it), more].concat()
    }),
    ("a status is no status", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "status", "Open");
        [uncounted(it), vec![it.at("schema", key)]].concat()
    }),
    ("a side is no side", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "side", "buy");
        [uncounted(it), vec![it.at("schema", key)]].concat()
    }),
    ("a field is missing", |it| {
        let (key, _) = it.untouched("ask");
        it.line(format!("HDEL {key} price"));
        [uncounted(it), vec![it.at("schema", &key), it.book("price", "asks")]]
            .concat()
            .into_iter()
            .filter(|line| !line.starts_with("price"))
            .collect()
    }),
    ("a number is no plain decimal", |it| {
        let (key, _) = it.untouched("ask");
        it.set(&key, "qty", "1e2");
        [uncounted(it), vec![it.at("schema", key)]].concat()
    }),
    ("an order says it is of another instrument", |it| {
        let (key, fields) = it.untouched("bid");
        let other = it.scene.isin(2);
        it.set(&key, "isin", &other);
        // Its event is somebody else's there, and it rests in no book of that one.
        let meta = format!("book:{other}:meta");
        let carrier = carrier(it, &other, &fields["seq"], &key);
        let there = [
            format!("order-member {other} {key}"),
            format!("sum {other} {meta}"),
            format!("checksum {other} {meta}"),
            format!("sequence {other} {carrier}"),
        ];
        let here = vec![it.at("member-order", key), it.book("sequence", "meta")];
        [uncounted(it), here, there.to_vec()].concat()
    }),
    ("an order is of an instrument that nobody knows", |it| {
        let (key, _) = it.untouched("bid");
        it.set(&key, "isin", "XS9");
        let there = format!("order-member XS9 {key}");
        let here = vec![it.at("member-order", key), it.book("sequence", "meta"), there];
        [uncounted(it), here].concat()
    }),
    ("an order is of no instrument", |it| {
        let (key, _) = it.untouched("bid");
        it.line(format!("HDEL {key} isin"));
        [uncounted(it), vec![it.book("member-order", "bids"), it.book("sequence", "meta")]].concat()
    }),
    ("a closed order is of no instrument", |it| {
        let (key, _) =
            it.orders(|it| it["status"] == "cancelled" && it["qty"] == it["remaining"]).remove(0);
        it.line(format!("HDEL {key} isin"));
        vec![it.book("sequence", "meta"), format!("order-member  {key}")]
    }),
    ("a closed order holds another type", |it| {
        let (key, _) =
            it.orders(|it| it["status"] == "cancelled" && it["qty"] == it["remaining"]).remove(0);
        it.line(format!("DEL {key}"));
        it.line(format!("SET {key} x"));
        vec![it.book("sequence", "meta"), format!("schema  {key}")]
    }),
    ("an order rests in a later instrument's book as well", |it| {
        let (key, fields) = it.untouched("bid");
        let other = it.scene.isin(2);
        it.line(format!("ZADD book:{other}:bids {} {}", fields["price"], id(&key)));
        vec![format!("member-order {other} {key}")]
    }),
    ("an order rests in an earlier instrument's book as well", |it| {
        let (key, fields) = it.untouched("bid");
        let other = it.scene.isin(0);
        it.line(format!("ZADD book:{other}:bids {} {}", fields["price"], id(&key)));
        vec![format!("member-order {other} {key}")]
    }),
    ("an order rests in another instrument's book instead", |it| {
        let (key, fields) = it.untouched("bid");
        let other = it.scene.isin(0);
        it.line(format!("ZREM {} {}", it.key("bids"), id(&key)));
        it.line(format!("ZADD book:{other}:bids {} {}", fields["price"], id(&key)));
        vec![format!("member-order {other} {key}"), it.at("order-member", key)]
    }),
];
