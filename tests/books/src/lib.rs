//! Order books, trades and risk as a trading system keeps them in Redis: one [`Book`]
//! an instrument, every change of it as the commands of one transaction.
//!
//! Prices are whole cents and quantities whole pieces in here; in Redis they are
//! decimal text. The layout and its invariants are those that the plugins
//! `verify-orderbook`, `verify-trades` and `verify-risk` check (see their READMEs): this
//! is the other side, and the tests' one source of such data, here and in `plugins/`.

mod dice;
mod history;
mod risk;

use std::collections::BTreeMap;

pub use dice::{Dice, middle};
pub use history::{History, opened};
use risk::Positions;
pub use risk::{ACCOUNTS, account, account_number, risk_key};

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
    /// Whose it is: number of an account, from 0.
    pub account: usize,
}

/// The book of one instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    isin: String,
    seq: u64,
    trades: u64,
    resting: BTreeMap<u64, Resting>,
    positions: Positions,
}

impl Book {
    /// A book without orders and without a past.
    pub fn empty(isin: impl Into<String>) -> Self {
        Self::found(isin, (0, 0), BTreeMap::new(), &[])
    }

    /// A book as it was found: the numbers of its last event and its last trade, what
    /// rests, and each account's position.
    pub fn found(
        isin: impl Into<String>,
        (seq, trades): (u64, u64),
        resting: BTreeMap<u64, Resting>,
        positions: &[i64],
    ) -> Self {
        Self { isin: isin.into(), seq, trades, resting, positions: Positions::of(positions) }
    }

    /// The instrument.
    pub fn isin(&self) -> &str {
        &self.isin
    }

    /// The number of its last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many trades there were.
    pub fn trades(&self) -> u64 {
        self.trades
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

    /// Places an order, which trades with what it crosses and rests with what is left.
    /// Returns the commands of the transaction.
    pub fn place(&mut self, id: u64, order: Resting) -> Vec<Command> {
        let mut commands = self.enter(id, order);
        commands.push(self.seal());
        commands
    }

    /// Cancels an order that rests. Returns the commands of the transaction; none when
    /// no such order rests.
    pub fn cancel(&mut self, id: u64) -> Vec<Command> {
        let mut commands = self.withdraw(id);
        if !commands.is_empty() {
            commands.push(self.seal());
        }
        commands
    }

    /// As [`Book::place`], of a longer transaction that [`Book::seal`] ends.
    fn enter(&mut self, id: u64, order: Resting) -> Vec<Command> {
        let number = self.next_seq();
        let Resting { side, price, remaining: qty, account: party } = order;
        let mut trades = Vec::new();
        let mut left = qty;
        while left > 0 {
            let Some(met) = self.first_to_meet(side, price) else { break };
            let nth = trades.len();
            let (commands, filled) = self.trade(id, Resting { remaining: left, ..order }, met, nth);
            trades.push(commands);
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
            "account",
            &account(party),
        ])];
        commands.extend(trades.into_iter().flatten());
        if left > 0 {
            self.resting.insert(id, Resting { remaining: left, ..order });
            let key = self.side_key(side);
            commands.push(words(["ZADD", &key, &price_text(price), &id.to_string()]));
        }
        commands
    }

    /// As [`Book::cancel`], of a longer transaction that [`Book::seal`] ends.
    fn withdraw(&mut self, id: u64) -> Vec<Command> {
        let Some(order) = self.resting.remove(&id) else { return Vec::new() };
        let seq = self.next_seq().to_string();
        vec![
            words(["HSET", &order_key(id), "status", "cancelled", "cancel_seq", &seq]),
            words(["ZREM", &self.side_key(order.side), &id.to_string()]),
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

    /// Trades what is left of the incoming order with the resting one: its `nth` trade.
    fn trade(&mut self, id: u64, order: Resting, met: u64, nth: usize) -> (Vec<Command>, u64) {
        let seq = self.next_seq();
        self.trades += 1;
        let mut rest = self.resting[&met];
        let qty = order.remaining.min(rest.remaining);
        rest.remaining -= qty;
        let ((bid, buyer), (ask, seller)) = match order.side {
            Side::Bid => ((id, order.account), (met, rest.account)),
            Side::Ask => ((met, rest.account), (id, order.account)),
        };
        let mut commands = vec![words([
            "XADD",
            &trades_key(&self.isin),
            "*",
            "bid",
            &bid.to_string(),
            "ask",
            &ask.to_string(),
            "price",
            &price_text(rest.price),
            "qty",
            &qty.to_string(),
            "seq",
            &seq.to_string(),
            "number",
            &self.trades.to_string(),
            "id",
            &format!("{id}.{nth}"),
            "buyer",
            &account(buyer),
            "seller",
            &account(seller),
        ])];
        commands.extend(self.positions.trade(&self.isin, buyer, seller, qty));
        let mut change = words(["HSET", &order_key(met), "remaining", &rest.remaining.to_string()]);
        if rest.remaining == 0 {
            change.extend(words(["status", "filled"]));
            commands.push(words(["ZREM", &self.side_key(rest.side), &met.to_string()]));
            self.resting.remove(&met);
        } else {
            self.resting.insert(met, rest);
        }
        commands.push(change);
        (commands, qty)
    }

    /// The meta hash: what ends every transaction.
    pub fn seal(&self) -> Command {
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
            "trades",
            &self.trades.to_string(),
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

/// The key of an instrument's stream of trades.
pub fn trades_key(isin: &str) -> String {
    format!("trades:{isin}")
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

fn words<const N: usize>(list: [&str; N]) -> Command {
    list.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(side: Side, price: u64, qty: u64, account: usize) -> Resting {
        Resting { side, price, remaining: qty, account }
    }

    fn book() -> Book {
        let mut book = Book::empty("XS0000000001");
        book.place(1, order(Side::Ask, 10_100, 5, 0));
        book.place(2, order(Side::Ask, 10_050, 3, 1));
        book.place(3, order(Side::Bid, 9_950, 4, 0));
        book
    }

    #[test]
    fn an_order_that_crosses_trades_best_price_first_and_rests_with_what_is_left() {
        let mut book = book();
        let commands = book.place(4, order(Side::Bid, 10_100, 10, 2));
        let trades: Vec<String> =
            commands.iter().filter(|it| it[0] == "XADD").map(|it| it[3..].join(" ")).collect();
        assert_eq!(
            trades,
            [
                "bid 4 ask 2 price 100.50 qty 3 seq 5 number 1 id 4.0 buyer A3 seller A2",
                "bid 4 ask 1 price 101.00 qty 5 seq 6 number 2 id 4.1 buyer A3 seller A1",
            ]
        );
        assert_eq!(book.resting()[&4], order(Side::Bid, 10_100, 2, 2));
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
            (13, order(Side::Ask, 10_050, 7, 0)),
            (9, order(Side::Bid, 9_950, 2, 0)),
            (10, order(Side::Bid, 9_950, 4, 0)),
        ];
        let book = Book::found("XS0000000001", (3, 0), BTreeMap::from(resting), &[]);
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
