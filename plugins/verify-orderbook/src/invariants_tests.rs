//! The rules by themselves: the book of the README, and what no store can tell.

use super::*;
use baton_books::Violation;

/// The README's book, whole: ids, keys and the orders 2, 9, 10, 13, 14 and 20.
struct Readme {
    keys: Keys,
    ids: Ids,
}

impl Readme {
    fn new() -> Self {
        Self { keys: Keys::default(), ids: Ids::default() }
    }

    fn id(&mut self, text: &str) -> Id {
        self.ids.id(text.as_bytes())
    }

    fn order(&mut self, line: &'static str) -> Order<'static> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let id = self.ids.id(words[0]);
        Order {
            isin: Some(b"XS0000000001"),
            side: Some(words[1]),
            price: Some(words[2]),
            qty: Some(words[3]),
            remaining: Some(words[4]),
            status: Some(words[5]),
            seq: Some(words[6]),
            cancel_seq: words.get(7).copied(),
            ..Order::bare(id)
        }
    }

    fn judge(mut self, change: impl FnOnce(&mut Instrument<'_>), scanned_seq: u64) -> Judged {
        let orders = [
            "2 ask 101 1.5 1.5 open 1",
            "9 bid 99.50 2 2 open 2",
            "10 bid 99.5 4 4 open 3",
            "13 ask 100.50 11 7 open 4",
            "14 bid 100.5 4 0 filled 5",
            "20 bid 90 1 1 cancelled 7 8",
        ]
        .map(|line| self.order(line));
        let mut member = |id: &str, score| Member { id: self.id(id), score };
        let bids = vec![member("9", 99.5), member("10", 99.5)];
        let asks = vec![member("13", 100.5), member("2", 101.0)];
        let trade = Trade {
            entry: b"1-0",
            bid: Some(self.id("14")),
            ask: Some(self.id("13")),
            price: Some(b"100.50"),
            qty: Some(b"4"),
            seq: Some(b"6"),
            ..Trade::default()
        };
        let mut it = Instrument {
            isin: "XS0000000001",
            keys: &self.keys,
            ids: &self.ids,
            meta: Meta {
                seq: Some(b"8"),
                bid_qty: Some(b"6.0"),
                ask_qty: Some(b"8.5"),
                checksum: Some(b"3ac6f36b4607858e"),
                ..Meta::default()
            },
            bids: Some(bids),
            asks: Some(asks),
            orders: orders.to_vec(),
            trades: Some(vec![trade]),
        };
        change(&mut it);
        judge(&it, scanned_seq)
    }
}

fn names(violations: &[Violation]) -> Vec<&str> {
    let mut all: Vec<&str> = violations.iter().map(|it| it.invariant.as_str()).collect();
    all.dedup();
    all
}

fn broken(change: impl FnOnce(&mut Instrument<'_>), invariants: &[&str]) {
    let judged = Readme::new().judge(change, u64::MAX);
    assert_eq!(names(&judged.found.kept), invariants, "{:?}", judged.found.kept);
}

#[test]
fn a_whole_book_has_no_violation_and_the_checksum_of_the_readme() {
    let judged = Readme::new().judge(|_| {}, u64::MAX);
    assert!(judged.found.is_empty(), "{:?}", judged.found);
    assert_eq!((judged.levels, judged.orders, judged.trades), (3, 6, 1));
}

#[test]
fn an_empty_book_is_whole() {
    let judged = Readme::new().judge(
        |it| {
            it.meta = Meta {
                seq: Some(b"0"),
                bid_qty: Some(b"0"),
                ask_qty: Some(b"0.00"),
                checksum: Some(b"cbf29ce484222325"),
                ..Meta::default()
            };
            it.orders.clear();
            (it.bids, it.asks, it.trades) = (Some(vec![]), Some(vec![]), Some(vec![]));
        },
        u64::MAX,
    );
    assert!(judged.found.is_empty(), "{:?}", judged.found);
}

#[test]
fn a_score_must_be_the_nearest_double_of_the_price() {
    broken(|it| it.asks.as_mut().unwrap()[0].score = 100.500_000_000_000_01, &["price"]);
    let exact = |it: &mut Instrument<'_>| {
        it.orders[0].price = Some(b"101.00000000001");
        it.asks.as_mut().unwrap()[1].score = 101.000_000_000_01;
    };
    broken(exact, &["checksum"]);
}

#[test]
fn events_after_the_listing_are_not_held_against_the_book() {
    let judged = Readme::new().judge(|it| it.meta.seq = Some(b"12"), 10);
    assert_eq!(judged.unlisted, Some(11));
    assert_eq!(judged.found.count, 1);
    assert!(judged.found.kept[0].message.contains("events 9 to 10"));
}

#[test]
fn below_the_floor_nothing_is_demanded() {
    broken(
        |it| {
            it.meta.seq_floor = Some(b"8");
            it.orders.retain(|it| it.status == Some(b"open"));
            it.trades = Some(Vec::new());
        },
        &[],
    );
}

#[test]
fn above_the_floor_everything_is() {
    let floor = |it: &mut Instrument<'_>| {
        it.meta.seq_floor = Some(b"4");
        // Its trade is gone: fewer are allowed, since events may be.
        it.trades = Some(Vec::new());
    };
    broken(floor, &["sequence"]);
    let more = |it: &mut Instrument<'_>| {
        it.meta.seq_floor = Some(b"4");
        it.trades.as_mut().unwrap()[0].qty = Some(b"4.5");
    };
    broken(more, &["trades"]);
}

#[test]
fn rubbish_is_told_and_does_not_stop_the_rest() {
    broken(
        |it| {
            it.meta.seq = Some(b"18446744073709551615");
            it.meta.bid_qty = Some(b"\xff\xfe");
        },
        &["schema"],
    );
    broken(|it| it.orders[0].seq = Some(b"999999999999999999"), &["sequence"]);
}
