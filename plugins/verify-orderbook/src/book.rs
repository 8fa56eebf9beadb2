//! One instrument as it was read: text still, nothing judged.

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
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Ask, Self::Bid].into_iter().find(|side| side.word() == word)
    }
}

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Order id.
    pub id: String,
    /// As Redis keeps it.
    pub score: f64,
}

/// An order's hash; a field that is missing is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// Its instrument.
    pub isin: Option<String>,
    /// `bid` or `ask`.
    pub side: Option<String>,
    /// Decimal text.
    pub price: Option<String>,
    /// Decimal text.
    pub qty: Option<String>,
    /// Decimal text.
    pub remaining: Option<String>,
    /// `open`, `filled` or `cancelled`.
    pub status: Option<String>,
    /// Number of its placing.
    pub seq: Option<String>,
    /// Number of its cancellation.
    pub cancel_seq: Option<String>,
}

/// An entry of the stream of trades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trade {
    /// The stream's own id of it.
    pub entry: String,
    /// Id of the buying order.
    pub bid: Option<String>,
    /// Id of the selling order.
    pub ask: Option<String>,
    /// Decimal text.
    pub price: Option<String>,
    /// Decimal text.
    pub qty: Option<String>,
    /// Number of the event.
    pub seq: Option<String>,
}

/// The meta hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Number of the last event.
    pub seq: Option<String>,
    /// Decimal text.
    pub bid_qty: Option<String>,
    /// Decimal text.
    pub ask_qty: Option<String>,
    /// Hexadecimal text.
    pub checksum: Option<String>,
    /// Events up to here may be gone.
    pub seq_floor: Option<String>,
}

/// All of one instrument, at one sequence number.
#[derive(Clone, Debug, Default)]
pub struct Instrument {
    /// Its name.
    pub isin: String,
    /// Where its meta hash is.
    pub meta_key: String,
    /// Where its bids are.
    pub bids_key: String,
    /// Where its asks are.
    pub asks_key: String,
    /// Where its trades are.
    pub trades_key: String,
    /// Its meta hash.
    pub meta: Meta,
    /// Its bids.
    pub bids: Vec<Member>,
    /// Its asks.
    pub asks: Vec<Member>,
    /// Every order that is known to be of it, or named by its book or trades.
    pub orders: Vec<Order>,
    /// Its trades, in the stream's order.
    pub trades: Vec<Trade>,
}
