//! Where books, trades and risk lie in Redis, and what their fields are called. One
//! layout for all plugins that verify them: each reads its part.

use baton_plugin::JsonSchema;
use serde::Deserialize;

/// Templates of keys; `{isin}`, `{id}` and `{account}` are replaced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Sorted set: member = order id, score = price.
    pub bids: String,
    /// Sorted set: member = order id, score = price.
    pub asks: String,
    /// Hash: sequence, sums, checksum.
    pub meta: String,
    /// Hash of one order.
    pub order: String,
    /// Stream of trades.
    pub trades: String,
    /// Hash of one account's positions and limit.
    pub risk: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            bids: "book:{isin}:bids".into(),
            asks: "book:{isin}:asks".into(),
            meta: "book:{isin}:meta".into(),
            order: "order:{id}".into(),
            trades: "trades:{isin}".into(),
            risk: "risk:{account}".into(),
        }
    }
}

/// What stands for something in a template.
const HOLES: [&str; 3] = ["{isin}", "{id}", "{account}"];

impl Keys {
    /// A template with its one placeholder filled in.
    pub fn fill(template: &str, value: &str) -> String {
        HOLES.iter().fold(template.to_owned(), |text, hole| text.replace(hole, value))
    }

    /// The SCAN pattern for all keys of a template.
    pub fn pattern(template: &str) -> String {
        let escaped = template.chars().fold(String::new(), |mut text, it| {
            if matches!(it, '*' | '?' | '[' | ']' | '\\') {
                text.push('\\');
            }
            text.push(it);
            text
        });
        Self::fill(&escaped, "*")
    }
}

/// A template, taken apart once for many keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// Of a text with one placeholder; without any it is the key's beginning.
    pub fn of(text: &str) -> Self {
        let hole = HOLES.iter().find_map(|hole| text.split_once(hole));
        let (before, after) = hole.unwrap_or((text, ""));
        Self { before: before.into(), after: after.into() }
    }

    /// Appends the key of a value.
    pub fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(value);
        out.extend_from_slice(&self.after);
    }

    /// What stands for the placeholder in a key.
    pub fn value<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        key.strip_prefix(&self.before[..])?
            .strip_suffix(&self.after[..])
            .filter(|it| !it.is_empty())
    }
}

/// Names of fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// Of an order: its instrument.
    pub isin: String,
    /// Of an order: `bid` or `ask`.
    pub side: String,
    /// Of an order and a trade.
    pub price: String,
    /// Of an order and a trade.
    pub qty: String,
    /// Of an order: what is not traded yet.
    pub remaining: String,
    /// Of an order: `open`, `filled` or `cancelled`.
    pub status: String,
    /// Of an order, a trade and the meta hash: number of an event.
    pub seq: String,
    /// Of a cancelled order: number of the cancellation.
    pub cancel_seq: String,
    /// Of the meta hash: sum of the bids.
    pub bid_qty: String,
    /// Of the meta hash: sum of the asks.
    pub ask_qty: String,
    /// Of the meta hash.
    pub checksum: String,
    /// Of the meta hash: events up to here may be gone; 0 if absent.
    pub seq_floor: String,
    /// Of a trade: id of the buying order.
    pub bid: String,
    /// Of a trade: id of the selling order.
    pub ask: String,
    /// Of a trade: its own id, unique over all instruments; empty: it has none.
    pub trade_id: String,
    /// Of a trade: its number among those of its instrument, from 1, without gaps; empty:
    /// it has none.
    pub trade_number: String,
    /// Of the meta hash: how many trades there were; empty: it does not say.
    pub trade_count: String,
    /// Of a trade: the account that bought. Empty: the accounts are the orders'.
    pub buyer: String,
    /// Of a trade: the account that sold. Empty: the accounts are the orders'.
    pub seller: String,
    /// Of an order: its account; needed where trades name none.
    pub account: String,
    /// Of an account: its position in an instrument, a template.
    pub position: String,
    /// Of an account: the sum of its positions without their signs.
    pub used: String,
    /// Of an account: the most that `used` may be.
    pub limit: String,
}

impl Default for Fields {
    fn default() -> Self {
        let name = str::to_owned;
        Self {
            isin: name("isin"),
            side: name("side"),
            price: name("price"),
            qty: name("qty"),
            remaining: name("remaining"),
            status: name("status"),
            seq: name("seq"),
            cancel_seq: name("cancel_seq"),
            bid_qty: name("bid_qty"),
            ask_qty: name("ask_qty"),
            checksum: name("checksum"),
            seq_floor: name("seq_floor"),
            bid: name("bid"),
            ask: name("ask"),
            trade_id: name(""),
            trade_number: name(""),
            trade_count: name(""),
            buyer: name("buyer"),
            seller: name("seller"),
            account: name(""),
            position: name("position:{isin}"),
            used: name("used"),
            limit: name("limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_and_read_by_one_template() {
        let keys = Keys::default();
        let meta = Template::of(&keys.meta);
        let mut key = Vec::new();
        meta.write(b"XS1", &mut key);
        assert_eq!(key, b"book:XS1:meta");
        assert_eq!(Keys::fill(&keys.meta, "XS1"), "book:XS1:meta");
        assert_eq!(meta.value(&key), Some(&b"XS1"[..]));
        assert_eq!(meta.value(b"book::meta"), None);
        assert_eq!(Template::of(&keys.order).value(b"order:7"), Some(&b"7"[..]));
        assert_eq!(Template::of(&keys.order).value(b"other:7"), None);
    }

    #[test]
    fn a_pattern_finds_the_keys_of_its_template_and_no_others() {
        assert_eq!(Keys::pattern("order:{id}"), "order:*");
        assert_eq!(Keys::pattern("a[b]*:{isin}"), "a\\[b\\]\\*:*");
    }
}
