//! Orders, trades and meta hashes as they were read: text still, nothing judged, nothing
//! copied.

use crate::Source;
use crate::source::Cursor;
use crate::{Fields, Id, Ids, same};
use baton_plugin::Fault;
use baton_plugin::redis::Head;

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
        [Self::Ask, Self::Bid].into_iter().find(|side| same(side.word().as_bytes(), word))
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

    /// From the next reply.
    ///
    /// # Errors
    /// It is an error, but not one of the key's type.
    pub fn read(id: Id, replies: &mut Cursor<'a>, source: &Source) -> Result<Self, Fault> {
        let Some(fields) = replies.texts::<9>(source, "HMGET")? else {
            return Ok(Self { is_other: true, ..Self::bare(id) });
        };
        let [isin, side, price, qty, remaining, status, seq, cancel_seq, account] = fields;
        let is_other = false;
        Ok(Self {
            id,
            isin,
            side,
            price,
            qty,
            remaining,
            status,
            seq,
            cancel_seq,
            account,
            is_other,
        })
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
    /// From the next value, an entry: its id and its fields; none of anything else.
    pub fn read(entries: &mut Cursor<'a>, names: &Fields, ids: &mut Ids) -> Option<Self> {
        let Some(Head::List(parts)) = entries.head() else { return None };
        let mut it = Self { entry: entries.text().unwrap_or_default(), ..Self::default() };
        let fields = match entries.head() {
            Some(Head::List(count)) => count,
            Some(_) | None => 0,
        };
        for _ in 0..fields / 2 {
            let (name, value) = (entries.text(), entries.text());
            let Some(name) = name else { continue };
            let is = |it: &str| !it.is_empty() && same(name, it.as_bytes());
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
        entries.pass(fields % 2 + parts.saturating_sub(2));
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

    /// From the next reply.
    ///
    /// # Errors
    /// It is an error, but not one of the key's type.
    pub fn read(replies: &mut Cursor<'a>, source: &Source) -> Result<Self, Fault> {
        let Some(fields) = replies.texts::<6>(source, "HMGET")? else {
            return Ok(Self { is_other: true, ..Self::default() });
        };
        let [seq, bid_qty, ask_qty, checksum, seq_floor, trade_count] = fields;
        Ok(Self { seq, bid_qty, ask_qty, checksum, seq_floor, trade_count, is_other: false })
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

/// The members of a sorted set, of the next reply, WITHSCORES: RESP3 sends pairs, RESP2 one
/// flat list. None where the key holds another type.
///
/// # Errors
/// It is another error.
pub fn members(
    replies: &mut Cursor<'_>,
    source: &Source,
    ids: &mut Ids,
) -> Result<Option<Vec<Member>>, Fault> {
    let Some(count) = replies.open(source, "ZRANGE")? else { return Ok(None) };
    let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(100_000));
    let mut read = 0;
    while read < count {
        read += 1;
        let id = match replies.head() {
            Some(Head::List(pair)) => {
                let id = replies.text();
                let score = replies.head().and_then(double);
                replies.pass(pair.saturating_sub(2));
                all.extend(id.zip(score).map(|(id, score)| Member { id: ids.id(id), score }));
                continue;
            }
            Some(Head::Text(id)) => Some(id),
            Some(_) => None,
            None => break,
        };
        read += 1;
        let score = replies.head().and_then(double);
        all.extend(id.zip(score).map(|(id, score)| Member { id: ids.id(id), score }));
    }
    Ok(Some(all))
}

/// A double, spelled either way.
fn double(head: Head<'_>) -> Option<f64> {
    match head {
        Head::Double(number) => Some(number),
        Head::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Head::Null | Head::Bool(_) | Head::Int(_) | Head::Error(_) | Head::List(_) => None,
    }
}
