//! A book that is whole, and each invariant broken in turn.

use super::*;
use crate::book::Meta;

fn order(id: &str, side: &str, price: &str, qty: &str, remaining: &str, seq: u64) -> Order {
    let text = |it: &str| Some(it.to_owned());
    Order {
        id: id.into(),
        key: format!("order:{id}"),
        isin: text("XS0000000001"),
        side: text(side),
        price: text(price),
        qty: text(qty),
        remaining: text(remaining),
        status: text(if remaining == "0" { "filled" } else { "open" }),
        seq: text(&seq.to_string()),
        cancel_seq: None,
    }
}

/// The vector of the README, with a trade (4 of order 13 against a filled one) and
/// a cancelled order.
fn whole() -> Instrument {
    let member = |id: &str, score| Member { id: id.into(), score };
    let mut cancelled = order("20", "bid", "90", "3", "3", 7);
    cancelled.status = Some("cancelled".into());
    cancelled.cancel_seq = Some("8".into());
    Instrument {
        isin: "XS0000000001".into(),
        meta_key: "book:XS0000000001:meta".into(),
        bids_key: "book:XS0000000001:bids".into(),
        asks_key: "book:XS0000000001:asks".into(),
        trades_key: "trades:XS0000000001".into(),
        meta: Meta {
            seq: Some("8".into()),
            bid_qty: Some("6.0".into()),
            ask_qty: Some("8.5".into()),
            checksum: Some("3ac6f36b4607858e".into()),
            seq_floor: None,
        },
        bids: vec![member("9", 99.5), member("10", 99.5)],
        asks: vec![member("13", 100.5), member("2", 101.0)],
        orders: vec![
            order("2", "ask", "101", "1.5", "1.5", 1),
            order("9", "bid", "99.50", "2", "2", 2),
            order("10", "bid", "99.5", "4", "4", 3),
            order("13", "ask", "100.50", "11", "7", 4),
            order("14", "bid", "100.5", "4", "0", 5),
            cancelled,
        ],
        trades: vec![Trade {
            entry: "1-0".into(),
            bid: Some("14".into()),
            ask: Some("13".into()),
            price: Some("100.50".into()),
            qty: Some("4".into()),
            seq: Some("6".into()),
        }],
    }
}

fn names(it: &Instrument) -> Vec<String> {
    let mut all: Vec<String> =
        judge(it, u64::MAX).violations.into_iter().map(|it| it.invariant).collect();
    all.dedup();
    all
}

fn broken(change: impl FnOnce(&mut Instrument), invariants: &[&str]) {
    let mut it = whole();
    change(&mut it);
    assert_eq!(names(&it), invariants, "{:?}", judge(&it, u64::MAX).violations);
}

#[test]
fn a_whole_book_has_no_violation_and_the_checksum_of_the_readme() {
    let judged = judge(&whole(), u64::MAX);
    assert!(judged.violations.is_empty(), "{:?}", judged.violations);
    assert_eq!(judged.levels, 3);
}

#[test]
fn an_empty_book_is_whole() {
    let it = Instrument {
        meta: Meta {
            seq: Some("0".into()),
            bid_qty: Some("0".into()),
            ask_qty: Some("0.00".into()),
            checksum: Some("cbf29ce484222325".into()),
            seq_floor: None,
        },
        ..Instrument::default()
    };
    assert!(judge(&it, u64::MAX).violations.is_empty());
}

#[test]
fn a_flipped_level_is_seen() {
    let flip = |it: &mut Instrument| it.orders[2].side = Some("ask".into());
    broken(flip, &["side", "order-member", "sum", "checksum"]);
}

#[test]
fn a_crossed_book_is_seen() {
    broken(
        |it| {
            it.orders[0].price = Some("99.5".into());
            it.asks[1].score = 99.5;
        },
        &["crossed", "checksum"],
    );
}

#[test]
fn a_score_must_be_the_nearest_double_of_the_price() {
    broken(|it| it.asks[0].score = 100.500_000_000_000_01, &["price"]);
    let mut it = whole();
    it.orders[0].price = Some("101.00000000001".into());
    it.asks[1].score = 101.000_000_000_01;
    assert_eq!(names(&it), ["checksum"]);
}

#[test]
fn members_and_orders_need_each_other() {
    broken(|it| drop(it.bids.remove(0)), &["order-member"]);
    broken(|it| it.bids.push(Member { id: "77".into(), score: 1.0 }), &["member-order"]);
    broken(|it| it.bids.push(Member { id: "20".into(), score: 90.0 }), &["order-member"]);
    let foreign = |it: &mut Instrument| it.orders[5].isin = Some("XS2".into());
    broken(foreign, &["member-order", "sequence"]);
}

#[test]
fn quantities_stay_within_their_order() {
    broken(|it| it.orders[1].qty = Some("1".into()), &["quantity", "trades"]);
    broken(|it| it.orders[4].remaining = Some("1".into()), &["quantity", "trades"]);
    broken(|it| it.orders[5].remaining = Some("0".into()), &["quantity", "trades"]);
}

#[test]
fn sums_and_checksum_are_those_of_the_open_orders() {
    broken(|it| it.meta.bid_qty = Some("6.000000000001".into()), &["sum"]);
    broken(|it| it.meta.checksum = Some("3AC6F36B4607858E".into()), &["checksum"]);
}

#[test]
fn trades_do_not_exceed_orders() {
    broken(|it| it.trades[0].qty = Some("5".into()), &["trades"]);
    broken(|it| it.trades[0].price = Some("100.51".into()), &["trades"]);
    broken(|it| it.trades[0].bid = Some("2".into()), &["trades"]);
    broken(|it| it.trades[0].bid = Some("404".into()), &["trades"]);
    broken(|it| it.trades[0].qty = Some("0".into()), &["schema", "trades"]);
}

#[test]
fn every_event_is_carried_once() {
    broken(|it| it.meta.seq = Some("9".into()), &["sequence"]);
    broken(|it| it.meta.seq = Some("7".into()), &["sequence"]);
    broken(|it| it.orders[1].seq = Some("1".into()), &["sequence"]);
    broken(|it| it.orders[1].seq = Some("x".into()), &["schema", "sequence"]);
}

#[test]
fn events_after_the_listing_are_not_held_against_the_book() {
    let mut it = whole();
    it.meta.seq = Some("12".into());
    let judged = judge(&it, 10);
    assert_eq!(judged.unlisted, [11, 12]);
    assert_eq!(judged.violations.len(), 1);
    assert!(judged.violations[0].message.contains("events 9 to 10"));
}

#[test]
fn below_the_floor_nothing_is_demanded() {
    let mut it = whole();
    it.meta.seq_floor = Some("8".into());
    it.orders.retain(|it| it.status.as_deref() == Some("open"));
    it.trades.clear();
    assert!(names(&it).is_empty(), "{:?}", judge(&it, 8).violations);
}

#[test]
fn missing_and_odd_fields_are_named_by_key() {
    let mut it = whole();
    it.orders[1].price = Some("1e2".into());
    let first = &judge(&it, u64::MAX).violations[0];
    assert_eq!((first.invariant.as_str(), first.key.as_str()), ("schema", "order:9"));
    broken(|it| it.orders[4].status = None, &["schema"]);
    broken(|it| it.meta.ask_qty = None, &["schema"]);
}
