//! Order books as the trader keeps them in Redis: one [`Book`] an instrument,
//! every change of it as the commands of one transaction.
//!
//! Prices are whole cents and quantities whole pieces in here; in Redis they
//! are decimal text. The layout and its invariants are the ones that the
//! plugin `verify-orderbook` checks (see its README): this is the other side.

use std::collections::BTreeMap;

/// Prices of one instrument stay within this of its first price, in cents.
const SPREAD_CENTS: u64 = 200;
/// FNV-1a, 64 bits: the first value and the prime.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// One command, word by word.
pub type Command = Vec<String>;

/// Bid or ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Buys.
    Bid,
    /// Sells.
    Ask,
}

impl Side {
    /// As an order's hash spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Ask => "ask",
        }
    }

    /// The side it trades with.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }
}

/// An order that rests in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Which side it is on.
    pub side: Side,
    /// Its price, in cents.
    pub price: u64,
    /// What is left of it, in pieces; never zero.
    pub remaining: u64,
}

/// The book of one instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    isin: String,
    seq: u64,
    resting: BTreeMap<u64, Resting>,
}

impl Book {
    /// A book without orders and without a past.
    pub fn empty(isin: impl Into<String>) -> Self {
        Self { isin: isin.into(), seq: 0, resting: BTreeMap::new() }
    }

    /// A book as it was found.
    pub fn found(isin: impl Into<String>, seq: u64, resting: BTreeMap<u64, Resting>) -> Self {
        Self { isin: isin.into(), seq, resting }
    }

    /// The instrument.
    pub fn isin(&self) -> &str {
        &self.isin
    }

    /// The number of its last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Orders that rest, by id.
    pub fn resting(&self) -> &BTreeMap<u64, Resting> {
        &self.resting
    }

    /// The best price of a side: the highest bid, the lowest ask.
    pub fn best(&self, side: Side) -> Option<u64> {
        let prices = self.resting.values().filter(|order| order.side == side).map(|it| it.price);
        match side {
            Side::Bid => prices.max(),
            Side::Ask => prices.min(),
        }
    }

    /// Places an order, which trades with what it crosses and rests with what
    /// is left. Returns the commands of the transaction.
    pub fn place(&mut self, id: u64, side: Side, price: u64, qty: u64) -> Vec<Command> {
        let number = self.next_seq();
        let mut trades = Vec::new();
        let mut left = qty;
        while left > 0 {
            let Some(met) = self.first_to_meet(side, price) else { break };
            let (commands, filled) = self.trade(id, side, met, left);
            trades.extend(commands);
            left -= filled;
        }
        let status = if left == 0 { "filled" } else { "open" };
        let mut commands = vec![words([
            "HSET",
            &order_key(id),
            "isin",
            &self.isin,
            "side",
            side.word(),
            "price",
            &price_text(price),
            "qty",
            &qty.to_string(),
            "remaining",
            &left.to_string(),
            "status",
            status,
            "seq",
            &number.to_string(),
        ])];
        commands.extend(trades);
        if left > 0 {
            self.resting.insert(id, Resting { side, price, remaining: left });
            commands.push(words([
                "ZADD",
                &self.side_key(side),
                &price_text(price),
                &id.to_string(),
            ]));
        }
        commands.push(self.meta());
        commands
    }

    /// Cancels an order that rests. Returns the commands of the transaction;
    /// none when no such order rests.
    pub fn cancel(&mut self, id: u64) -> Vec<Command> {
        let Some(order) = self.resting.remove(&id) else { return Vec::new() };
        let seq = self.next_seq().to_string();
        vec![
            words(["HSET", &order_key(id), "status", "cancelled", "cancel_seq", &seq]),
            words(["ZREM", &self.side_key(order.side), &id.to_string()]),
            self.meta(),
        ]
    }

    /// The checksum over all resting orders, 16 hexadecimal digits.
    pub fn checksum(&self) -> String {
        let mut lines: Vec<_> = self
            .resting
            .iter()
            .map(|(id, it)| (it.side.word(), it.price, id.to_string(), it.remaining))
            .collect();
        lines.sort();
        let mut hash = FNV_BASIS;
        for (side, price, id, remaining) in lines {
            let line = format!("{}|{side}|{}|{id}|{remaining}\n", self.isin, price_text(price));
            for byte in line.bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
        }
        format!("{hash:016x}")
    }

    /// The oldest order at the best price that `side` at `price` crosses.
    fn first_to_meet(&self, side: Side, price: u64) -> Option<u64> {
        let other = side.other();
        let best = self.best(other).filter(|best| match side {
            Side::Bid => *best <= price,
            Side::Ask => *best >= price,
        })?;
        let at_best = |order: &Resting| order.side == other && order.price == best;
        self.resting.iter().find(|(_, order)| at_best(order)).map(|(id, _)| *id)
    }

    /// Trades up to `left` pieces of the incoming order with the resting one.
    fn trade(&mut self, id: u64, side: Side, met: u64, left: u64) -> (Vec<Command>, u64) {
        let seq = self.next_seq();
        let mut order = self.resting[&met];
        let qty = left.min(order.remaining);
        order.remaining -= qty;
        let (bid, ask) = match side {
            Side::Bid => (id, met),
            Side::Ask => (met, id),
        };
        let mut commands = vec![words([
            "XADD",
            &format!("trades:{}", self.isin),
            "*",
            "bid",
            &bid.to_string(),
            "ask",
            &ask.to_string(),
            "price",
            &price_text(order.price),
            "qty",
            &qty.to_string(),
            "seq",
            &seq.to_string(),
        ])];
        let mut rest = words(["HSET", &order_key(met), "remaining", &order.remaining.to_string()]);
        if order.remaining == 0 {
            rest.extend(words(["status", "filled"]));
            commands.push(words(["ZREM", &self.side_key(order.side), &met.to_string()]));
            self.resting.remove(&met);
        } else {
            self.resting.insert(met, order);
        }
        commands.push(rest);
        (commands, qty)
    }

    fn meta(&self) -> Command {
        let sum = |side| {
            let orders = self.resting.values().filter(|order| order.side == side);
            orders.map(|order| order.remaining).sum::<u64>().to_string()
        };
        words([
            "HSET",
            &meta_key(&self.isin),
            "seq",
            &self.seq.to_string(),
            "bid_qty",
            &sum(Side::Bid),
            "ask_qty",
            &sum(Side::Ask),
            "checksum",
            &self.checksum(),
        ])
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn side_key(&self, side: Side) -> String {
        side_key(&self.isin, side)
    }
}

/// The key of a side's sorted set.
pub fn side_key(isin: &str, side: Side) -> String {
    format!("book:{isin}:{}s", side.word())
}

/// The key of an instrument's meta hash.
pub fn meta_key(isin: &str) -> String {
    format!("book:{isin}:meta")
}

/// The key of an order's hash.
pub fn order_key(id: u64) -> String {
    format!("order:{id}")
}

/// Cents as decimal text.
pub fn price_text(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Decimal text as cents, if this trader wrote it.
pub fn price_cents(text: &str) -> Option<u64> {
    let (whole, cents) = text.split_once('.')?;
    let cents = cents.parse::<u64>().ok().filter(|_| cents.len() == 2)?;
    Some(whole.parse::<u64>().ok()? * 100 + cents)
}

/// The ISIN of the `number`th instrument.
pub fn isin(number: usize) -> String {
    let body = format!("XS{number:09}");
    let digit = check_digit(&body);
    format!("{body}{digit}")
}

/// ISO 6166: letters as two digits, then every second one doubled from the right.
fn check_digit(body: &str) -> u32 {
    let mut digits = Vec::new();
    for value in body.chars().filter_map(|it| it.to_digit(36)) {
        if value > 9 {
            digits.push(value / 10);
        }
        digits.push(value % 10);
    }
    let weighed = |(place, digit): (usize, &u32)| {
        let product = if place % 2 == 0 { digit * 2 } else { *digit };
        product / 10 + product % 10
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weighed).sum();
    (10 - sum % 10) % 10
}

/// Repeatable randomness (`SplitMix64`): a laboratory's run can be told by its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Bid or ask, evenly.
    pub fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Bid } else { Side::Ask }
    }

    /// A price on the passive side of `middle`, in cents.
    pub fn passive_price(&mut self, side: Side, middle: u64) -> u64 {
        let away = 1 + self.below(SPREAD_CENTS);
        match side {
            Side::Bid => middle - away,
            Side::Ask => middle + away,
        }
    }
}

/// The price around which an instrument trades, in cents: 80.00 to 120.00.
pub fn middle(isin: &str) -> u64 {
    let sum: u64 = isin.bytes().map(u64::from).fold(7, |sum, byte| sum * 31 + byte);
    8_000 + sum % 4_000
}

fn words<const N: usize>(list: [&str; N]) -> Command {
    list.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let mut book = Book::empty("XS0000000001");
        book.place(1, Side::Ask, 10_100, 5);
        book.place(2, Side::Ask, 10_050, 3);
        book.place(3, Side::Bid, 9_950, 4);
        book
    }

    #[test]
    fn an_order_that_crosses_trades_best_price_first_and_rests_with_what_is_left() {
        let mut book = book();
        let commands = book.place(4, Side::Bid, 10_100, 10);
        let trades: Vec<_> = commands.iter().filter(|it| it[0] == "XADD").collect();
        assert_eq!(trades.len(), 2);
        assert_eq!(
            trades[0][5..],
            ["ask", "2", "price", "100.50", "qty", "3", "seq", "5"].map(String::from)
        );
        assert_eq!(
            trades[1][5..],
            ["ask", "1", "price", "101.00", "qty", "5", "seq", "6"].map(String::from)
        );
        assert_eq!(book.resting()[&4], Resting { side: Side::Bid, price: 10_100, remaining: 2 });
        assert_eq!(
            (book.best(Side::Bid), book.best(Side::Ask), book.seq()),
            (Some(10_100), None, 6)
        );
    }

    #[test]
    fn a_cancelled_order_leaves_the_book_and_takes_a_number() {
        let mut book = book();
        assert_eq!(book.cancel(1).len(), 3);
        assert_eq!((book.best(Side::Ask), book.seq()), (Some(10_050), 4));
        assert!(book.cancel(1).is_empty(), "nothing is left to cancel");
        assert_eq!(book.seq(), 4);
    }

    #[test]
    fn an_empty_book_has_the_checksum_of_nothing() {
        assert_eq!(Book::empty("XS0000000001").checksum(), "cbf29ce484222325");
    }

    #[test]
    fn the_checksum_is_the_one_of_the_layout() {
        let resting = [
            (13, Resting { side: Side::Ask, price: 10_050, remaining: 7 }),
            (9, Resting { side: Side::Bid, price: 9_950, remaining: 2 }),
            (10, Resting { side: Side::Bid, price: 9_950, remaining: 4 }),
        ];
        let book = Book::found("XS0000000001", 3, BTreeMap::from(resting));
        // Folded by hand over the lines of asks, then bids; id 10 before id 9.
        assert_eq!(book.checksum(), "6c3dde8306aeee95");
    }

    #[test]
    fn isins_carry_their_check_digit() {
        assert_eq!(check_digit("US037833100"), 5, "Apple's");
        assert_eq!(check_digit("DE000BASF11"), 1, "BASF's");
        assert_eq!(isin(7).len(), 12);
    }

    #[test]
    fn prices_survive_their_text() {
        for cents in [0, 1, 99, 100, 12_345] {
            assert_eq!(price_cents(&price_text(cents)), Some(cents));
        }
        assert_eq!(price_cents("99.5"), None);
    }
}
