//! Orders, trades and meta hashes as they were read: text still, nothing judged, nothing
//! copied.

use crate::{Fields, Id, Ids};
use baton_plugin::redis::{Items, View};

/// Bid or ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Sells. First: checksum lines are sorted by the word.
    Ask,
    /// Buys.
    Bid,
}

impl Side {
    /// As an order's hash spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Bid => "bid",
        }
    }

    /// Reads an order's word.
    pub fn parse(word: &[u8]) -> Option<Self> {
        [Self::Ask, Self::Bid].into_iter().find(|side| side.word().as_bytes() == word)
    }
}

/// A member of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Order id.
    pub id: Id,
    /// As Redis keeps it.
    pub score: f64,
}

/// An order's hash; a field that is missing is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// Its id.
    pub id: Id,
    /// Its instrument.
    pub isin: Option<&'a [u8]>,
    /// `bid` or `ask`.
    pub side: Option<&'a [u8]>,
    /// Decimal text.
    pub price: Option<&'a [u8]>,
    /// Decimal text.
    pub qty: Option<&'a [u8]>,
    /// Decimal text.
    pub remaining: Option<&'a [u8]>,
    /// `open`, `filled` or `cancelled`.
    pub status: Option<&'a [u8]>,
    /// Number of its placing.
    pub seq: Option<&'a [u8]>,
    /// Number of its cancellation.
    pub cancel_seq: Option<&'a [u8]>,
    /// Its account, where the layout says that it has one.
    pub account: Option<&'a [u8]>,
    /// Its key holds something else than a hash.
    pub is_other: bool,
}

impl<'a> Order<'a> {
    /// The command that reads one, without its key.
    pub fn command(names: &Fields) -> Vec<&str> {
        let mut words = vec![
            "HMGET",
            &names.isin,
            &names.side,
            &names.price,
            &names.qty,
            &names.remaining,
            &names.status,
            &names.seq,
            &names.cancel_seq,
        ];
        if !names.account.is_empty() {
            words.push(&names.account);
        }
        words
    }

    /// An order of which nothing is known.
    pub fn bare(id: Id) -> Self {
        Self {
            id,
            isin: None,
            side: None,
            price: None,
            qty: None,
            remaining: None,
            status: None,
            seq: None,
            cancel_seq: None,
            account: None,
            is_other: false,
        }
    }

    /// From the reply; none where the key holds another type.
    pub fn read(id: Id, reply: Option<Items<'a>>) -> Self {
        let Some(mut fields) = reply else { return Self { is_other: true, ..Self::bare(id) } };
        let mut field = || fields.next().and_then(View::bytes);
        Self {
            id,
            isin: field(),
            side: field(),
            price: field(),
            qty: field(),
            remaining: field(),
            status: field(),
            seq: field(),
            cancel_seq: field(),
            account: field(),
            is_other: false,
        }
    }

    /// Whether there is such an order.
    pub fn exists(&self) -> bool {
        self.isin.is_some()
    }
}

/// An entry of the stream of trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trade<'a> {
    /// The stream's own id of it.
    pub entry: &'a [u8],
    /// Id of the buying order.
    pub bid: Option<Id>,
    /// Id of the selling order.
    pub ask: Option<Id>,
    /// Decimal text.
    pub price: Option<&'a [u8]>,
    /// Decimal text.
    pub qty: Option<&'a [u8]>,
    /// Number of the event.
    pub seq: Option<&'a [u8]>,
    /// Its own id.
    pub id: Option<&'a [u8]>,
    /// Its number among the trades of its instrument.
    pub number: Option<&'a [u8]>,
    /// The account that bought.
    pub buyer: Option<&'a [u8]>,
    /// The account that sold.
    pub seller: Option<&'a [u8]>,
}

impl<'a> Trade<'a> {
    /// From an entry: its id and its fields; none of anything else.
    pub fn read(entry: View<'a>, names: &Fields, ids: &mut Ids) -> Option<Self> {
        let mut parts = entry.items();
        let mut it = Self { entry: parts.next()?.bytes()?, ..Self::default() };
        let mut fields = parts.next()?.items();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let (Some(name), value) = (name.bytes(), value.bytes()) else { continue };
            let is = |it: &str| !it.is_empty() && name == it.as_bytes();
            if is(&names.bid) {
                it.bid = value.map(|value| ids.id(value));
            } else if is(&names.ask) {
                it.ask = value.map(|value| ids.id(value));
            } else if is(&names.price) {
                it.price = value;
            } else if is(&names.qty) {
                it.qty = value;
            } else if is(&names.seq) {
                it.seq = value;
            } else if is(&names.trade_id) {
                it.id = value;
            } else if is(&names.trade_number) {
                it.number = value;
            } else if is(&names.buyer) {
                it.buyer = value;
            } else if is(&names.seller) {
                it.seller = value;
            }
        }
        Some(it)
    }

    /// Its two orders, each with the side that the trade says it is on.
    pub fn parties(&self) -> [(Side, Option<Id>); 2] {
        [(Side::Bid, self.bid), (Side::Ask, self.ask)]
    }

    /// The entry's id as people are shown it.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(self.entry).into_owned()
    }
}

/// The meta hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// Number of the last event.
    pub seq: Option<&'a [u8]>,
    /// Decimal text.
    pub bid_qty: Option<&'a [u8]>,
    /// Decimal text.
    pub ask_qty: Option<&'a [u8]>,
    /// Hexadecimal text.
    pub checksum: Option<&'a [u8]>,
    /// Events up to here may be gone.
    pub seq_floor: Option<&'a [u8]>,
    /// How many trades there were, where the layout says that it tells.
    pub trade_count: Option<&'a [u8]>,
    /// Its key holds something else than a hash.
    pub is_other: bool,
}

impl<'a> Meta<'a> {
    /// The command that reads one, without its key.
    pub fn command(names: &Fields) -> Vec<&str> {
        let mut words = vec![
            "HMGET",
            &names.seq,
            &names.bid_qty,
            &names.ask_qty,
            &names.checksum,
            &names.seq_floor,
        ];
        if !names.trade_count.is_empty() {
            words.push(&names.trade_count);
        }
        words
    }

    /// From the reply; none where the key holds another type.
    pub fn read(reply: Option<Items<'a>>) -> Self {
        let Some(mut fields) = reply else { return Self { is_other: true, ..Self::default() } };
        let mut field = || fields.next().and_then(View::bytes);
        Self {
            seq: field(),
            bid_qty: field(),
            ask_qty: field(),
            checksum: field(),
            seq_floor: field(),
            trade_count: field(),
            is_other: false,
        }
    }

    /// Whether there is a meta hash with anything of ours in it.
    pub fn exists(&self) -> bool {
        *self != Self::default()
    }

    /// Events up to here may be gone; 0 if it does not say.
    pub fn floor(&self) -> u64 {
        crate::number(self.seq_floor).unwrap_or(0)
    }
}

/// The members of a sorted set, of a reply WITHSCORES: RESP3 sends pairs, RESP2 one flat
/// list.
pub fn members(mut reply: Items<'_>, ids: &mut Ids, out: &mut Vec<Member>) {
    while let Some(first) = reply.next() {
        let (id, score) = if let View::List(mut pair) = first {
            (pair.next(), pair.next())
        } else {
            (Some(first), reply.next())
        };
        if let (Some(id), Some(score)) = (id.and_then(View::bytes), score.and_then(View::double)) {
            out.push(Member { id: ids.id(id), score });
        }
    }
}
