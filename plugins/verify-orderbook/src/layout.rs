//! Where a book lies in Redis, and what its fields are called.

use baton_plugin::JsonSchema;
use serde::Deserialize;

/// Templates of keys; `{isin}` and `{id}` are replaced.
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
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            bids: "book:{isin}:bids".into(),
            asks: "book:{isin}:asks".into(),
            meta: "book:{isin}:meta".into(),
            order: "order:{id}".into(),
            trades: "trades:{isin}".into(),
        }
    }
}

impl Keys {
    /// A template with its one placeholder filled in.
    pub fn fill(template: &str, value: &str) -> String {
        template.replace("{isin}", value).replace("{id}", value)
    }

    /// The SCAN pattern for all keys of a template.
    pub fn pattern(template: &str) -> String {
        template.replace("{isin}", "*").replace("{id}", "*")
    }

    /// What stands for the placeholder in a key.
    pub fn value<'a>(template: &str, key: &'a str) -> Option<&'a str> {
        let hole = if template.contains("{isin}") { "{isin}" } else { "{id}" };
        let (before, after) = template.split_once(hole)?;
        key.strip_prefix(before)?.strip_suffix(after).filter(|it| !it.is_empty())
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_and_read_by_one_template() {
        let keys = Keys::default();
        assert_eq!(Keys::fill(&keys.meta, "XS1"), "book:XS1:meta");
        assert_eq!(Keys::value(&keys.meta, "book:XS1:meta"), Some("XS1"));
        assert_eq!(Keys::value(&keys.order, "order:7"), Some("7"));
        assert_eq!(Keys::value(&keys.meta, "book::meta"), None);
        assert_eq!(Keys::pattern(&keys.order), "order:*");
    }
}
