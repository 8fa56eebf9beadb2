//! What must hold of an instrument's book. Pure; exact.

use crate::book::{Instrument, Member, Order, Side, Trade};
use crate::decimal::Decimal;
use baton_plugin::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Violation {
    /// Which invariant: see the README.
    pub invariant: String,
    /// Of which instrument.
    pub instrument: String,
    /// Where it shows.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

/// An instrument, judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// Different prices in the book.
    pub levels: usize,
    /// Numbers of events nobody carries that came after `scanned_seq`: the orders
    /// that carry them may have been placed after the orders were listed.
    pub unlisted: Vec<u64>,
}

/// An order whose fields could be read.
struct Sound<'a> {
    order: &'a Order,
    side: Side,
    price: Decimal,
    qty: Decimal,
    remaining: Decimal,
    is_open: bool,
}

struct Findings<'a> {
    isin: &'a str,
    all: Vec<Violation>,
}

impl Findings<'_> {
    fn add(&mut self, invariant: &str, key: &str, message: impl Into<String>) {
        self.all.push(Violation {
            invariant: invariant.into(),
            instrument: self.isin.into(),
            key: key.into(),
            message: message.into(),
        });
    }
}

/// Checks everything. `scanned_seq` is the instrument's number before its orders
/// were listed: events after it may belong to orders that the list lacks.
pub fn judge(it: &Instrument, scanned_seq: u64) -> Judged {
    let mut found = Findings { isin: &it.isin, all: Vec::new() };
    let orders: BTreeMap<&str, &Order> = it.orders.iter().map(|it| (it.id.as_str(), it)).collect();
    let sound: BTreeMap<&str, Sound<'_>> = orders
        .values()
        .filter_map(|order| Some((order.id.as_str(), read(order, it, &mut found)?)))
        .collect();
    for (side, key, members) in sides(it) {
        book_side(side, key, members, &orders, &sound, &mut found);
    }
    resting_orders(it, &sound, &mut found);
    crossed(it, &sound, &mut found);
    sums(it, &sound, &mut found);
    trades(it, &orders, &sound, &mut found);
    let unlisted = sequence(it, scanned_seq, &mut found);
    checksum(it, &sound, &mut found);
    let prices: BTreeSet<(Side, Decimal)> =
        sound.values().filter(|it| it.is_open).map(|it| (it.side, it.price)).collect();
    Judged { violations: found.all, levels: prices.len(), unlisted }
}

fn sides(it: &Instrument) -> [(Side, &str, &[Member]); 2] {
    [(Side::Bid, &it.bids_key, &it.bids), (Side::Ask, &it.asks_key, &it.asks)]
}

/// Schema, status and quantity of one order; none where it cannot be judged further.
fn read<'a>(order: &'a Order, it: &Instrument, found: &mut Findings<'_>) -> Option<Sound<'a>> {
    let isin = order.isin.as_deref();
    isin?;
    if isin != Some(it.isin.as_str()) {
        let other = isin.unwrap_or("none");
        found.add("member-order", &order.key, format!("is of {other}, but {} names it", it.isin));
        return None;
    }
    let mut decimal = |name: &str, text: Option<&str>| {
        let value = text.and_then(Decimal::parse);
        if value.is_none() {
            found.add("schema", &order.key, format!("{name} {} is no decimal", shown(text)));
        }
        value
    };
    let price = decimal("price", order.price.as_deref());
    let qty = decimal("qty", order.qty.as_deref());
    let remaining = decimal("remaining", order.remaining.as_deref());
    let side = order.side.as_deref().and_then(Side::parse);
    if side.is_none() {
        let word = shown(order.side.as_deref());
        found.add("schema", &order.key, format!("side {word} is neither bid nor ask"));
    }
    let (side, price, qty, remaining) = (side?, price?, qty?, remaining?);
    let status = order.status.as_deref();
    let wrong = match status {
        Some("open" | "cancelled") => !(Decimal::ZERO < remaining && remaining <= qty),
        Some("filled") => remaining != Decimal::ZERO || qty <= Decimal::ZERO,
        _ => {
            let word = shown(status);
            found.add(
                "schema",
                &order.key,
                format!("status {word} is not open, filled or cancelled"),
            );
            return None;
        }
    };
    if wrong {
        let word = shown(status);
        let message = format!("{word} with remaining {remaining} of qty {qty}");
        found.add("quantity", &order.key, message);
    }
    Some(Sound { order, side, price, qty, remaining, is_open: status == Some("open") })
}

fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "(missing)".into(), |it| format!("`{it}`"))
}

/// Every member has its order; price, side and status agree.
fn book_side(
    side: Side,
    key: &str,
    members: &[Member],
    orders: &BTreeMap<&str, &Order>,
    sound: &BTreeMap<&str, Sound<'_>>,
    found: &mut Findings<'_>,
) {
    for member in members {
        let id = member.id.as_str();
        if orders.get(id).is_none_or(|it| it.isin.is_none()) {
            found.add("member-order", key, format!("member {id} has no order"));
            continue;
        }
        let Some(order) = sound.get(id) else { continue };
        if order.side != side {
            found.add("side", key, format!("member {id} is a {} order", order.side.word()));
        }
        if !order.is_open {
            let status = shown(order.order.status.as_deref());
            found.add("order-member", key, format!("member {id} is an order that is {status}"));
        }
        let text = order.order.price.as_deref().unwrap_or_default();
        // Redis's strtod and Rust's parse both round to the nearest double.
        if text.parse::<f64>().ok().is_none_or(|it| it.to_bits() != unsigned(member.score)) {
            found.add(
                "price",
                key,
                format!("member {id} has score {}, its order says {text}", member.score),
            );
        }
    }
}

/// The bits of a score, with one zero: -0 and 0 are one price.
fn unsigned(score: f64) -> u64 {
    if score == 0.0 { 0.0_f64.to_bits() } else { score.to_bits() }
}

/// Every open order is in its side of the book.
fn resting_orders(it: &Instrument, sound: &BTreeMap<&str, Sound<'_>>, found: &mut Findings<'_>) {
    for (side, key, members) in sides(it) {
        let listed: BTreeSet<&str> = members.iter().map(|it| it.id.as_str()).collect();
        let open = sound.iter().filter(|(_, it)| it.is_open && it.side == side);
        for (id, order) in open.filter(|(id, _)| !listed.contains(*id)) {
            found.add("order-member", &order.order.key, format!("open order {id} is not in {key}"));
        }
    }
}

fn crossed(it: &Instrument, sound: &BTreeMap<&str, Sound<'_>>, found: &mut Findings<'_>) {
    let prices = |members: &[Member]| -> Vec<Decimal> {
        members.iter().filter_map(|it| sound.get(it.id.as_str())).map(|it| it.price).collect()
    };
    let (bid, ask) = (prices(&it.bids).into_iter().max(), prices(&it.asks).into_iter().min());
    if let Some((bid, ask)) = bid.zip(ask).filter(|(bid, ask)| bid >= ask) {
        let message = format!("crossed: best bid {bid} is not below best ask {ask}");
        found.add("crossed", &it.bids_key, message);
    }
}

fn sums(it: &Instrument, sound: &BTreeMap<&str, Sound<'_>>, found: &mut Findings<'_>) {
    let declared =
        [(Side::Bid, "bid_qty", &it.meta.bid_qty), (Side::Ask, "ask_qty", &it.meta.ask_qty)];
    for (side, name, text) in declared {
        let Some(said) = text.as_deref().and_then(Decimal::parse) else {
            let text = shown(text.as_deref());
            found.add("schema", &it.meta_key, format!("{name} {text} is no decimal"));
            continue;
        };
        let open = sound.values().filter(|it| it.is_open && it.side == side);
        let sum = open.map(|it| it.remaining).try_fold(Decimal::ZERO, Decimal::plus);
        if sum != Some(said) {
            let sum = sum.map_or_else(|| "too large".into(), |it| it.to_string());
            found.add(
                "sum",
                &it.meta_key,
                format!("{name} is {said}, the open orders sum to {sum}"),
            );
        }
    }
}

/// Trades name orders of the right side, within their prices, and use up exactly
/// what the orders say is traded.
fn trades(
    it: &Instrument,
    orders: &BTreeMap<&str, &Order>,
    sound: &BTreeMap<&str, Sound<'_>>,
    found: &mut Findings<'_>,
) {
    let floor = number(it.meta.seq_floor.as_deref()).unwrap_or(0);
    let mut traded: BTreeMap<&str, Option<Decimal>> = BTreeMap::new();
    for trade in &it.trades {
        let Some((price, qty)) = trade_numbers(trade, it, found) else { continue };
        let parties = [(Side::Bid, &trade.bid), (Side::Ask, &trade.ask)];
        for (side, id) in parties {
            let Some(id) = id.as_deref() else {
                let message = format!("trade {} has no {} order", trade.entry, side.word());
                found.add("schema", &it.trades_key, message);
                continue;
            };
            let sum = traded.entry(id).or_insert(Some(Decimal::ZERO));
            *sum = sum.and_then(|sum| sum.plus(qty));
            if orders.get(id).is_none_or(|it| it.isin.is_none()) {
                if floor == 0 {
                    let message = format!("trade {} names order {id}, which is gone", trade.entry);
                    found.add("trades", &it.trades_key, message);
                }
                continue;
            }
            let Some(order) = sound.get(id) else { continue };
            let beyond = match side {
                Side::Bid => price > order.price,
                Side::Ask => price < order.price,
            };
            if order.side != side || beyond {
                let (is, limit) = (order.side.word(), order.price);
                let message = format!(
                    "trade {} at {price} names {id} as {}, which is a {is} order at {limit}",
                    trade.entry,
                    side.word()
                );
                found.add("trades", &it.trades_key, message);
            }
        }
    }
    for (id, order) in sound {
        let sum = traded.get(id).copied().unwrap_or(Some(Decimal::ZERO));
        let used = order.qty.minus(order.remaining);
        let agrees = if floor == 0 { sum == used } else { sum.is_some() && sum <= used };
        if !agrees {
            let text = |it: Option<Decimal>| it.map_or_else(|| "?".into(), |it| it.to_string());
            let message =
                format!("{} of it is traded, its trades sum to {}", text(used), text(sum));
            found.add("trades", &order.order.key, message);
        }
    }
}

fn trade_numbers(
    trade: &Trade,
    it: &Instrument,
    found: &mut Findings<'_>,
) -> Option<(Decimal, Decimal)> {
    let price = trade.price.as_deref().and_then(Decimal::parse);
    let qty = trade.qty.as_deref().and_then(Decimal::parse).filter(|it| *it > Decimal::ZERO);
    let both = price.zip(qty);
    if both.is_none() {
        let message = format!(
            "trade {} has price {} and qty {}",
            trade.entry,
            shown(trade.price.as_deref()),
            shown(trade.qty.as_deref())
        );
        found.add("schema", &it.trades_key, message);
    }
    both
}

/// Whole numbers from 0 on, plainly spelled.
pub fn number(text: Option<&str>) -> Option<u64> {
    text.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Each event from the floor to `meta.seq` is carried once; entries rise.
fn sequence(it: &Instrument, scanned_seq: u64, found: &mut Findings<'_>) -> Vec<u64> {
    let Some(last) = number(it.meta.seq.as_deref()) else {
        let text = shown(it.meta.seq.as_deref());
        found.add("schema", &it.meta_key, format!("seq {text} is no number"));
        return Vec::new();
    };
    let floor = number(it.meta.seq_floor.as_deref()).unwrap_or(0);
    let mut carried: BTreeMap<u64, &str> = BTreeMap::new();
    let of_orders =
        it.orders.iter().filter(|order| order.isin.as_deref() == Some(it.isin.as_str())).flat_map(
            |order| {
                let cancelled = order.cancel_seq.as_deref().map(Some);
                let placed = [order.seq.as_deref()].into_iter();
                placed.chain(cancelled).map(|text| (order.key.as_str(), text))
            },
        );
    let of_trades = it.trades.iter().map(|trade| (it.trades_key.as_str(), trade.seq.as_deref()));
    for (key, text) in of_orders.chain(of_trades) {
        let Some(seq) = number(text).filter(|it| *it > 0) else {
            found.add("schema", key, format!("seq {} is no number from 1", shown(text)));
            continue;
        };
        if seq > last {
            found.add("sequence", key, format!("event {seq} is after the last one, {last}"));
        }
        if let Some(other) = carried.insert(seq, key) {
            found.add("sequence", key, format!("event {seq} is also carried by {other}"));
        }
    }
    let rising = it
        .trades
        .windows(2)
        .find(|pair| number(pair[0].seq.as_deref()) >= number(pair[1].seq.as_deref()));
    if let Some([_, late]) = rising {
        found.add("sequence", &it.trades_key, format!("trade {} does not rise", late.entry));
    }
    holes(it, floor, last, scanned_seq, &carried, found)
}

/// Runs of missing numbers, each reported once; those the listing may lack go back.
fn holes(
    it: &Instrument,
    floor: u64,
    last: u64,
    scanned_seq: u64,
    carried: &BTreeMap<u64, &str>,
    found: &mut Findings<'_>,
) -> Vec<u64> {
    let mut unlisted = Vec::new();
    let mut expected = floor + 1;
    let ends = carried.keys().copied().filter(|it| *it > floor && *it <= last).chain([last + 1]);
    for next in ends {
        let old_end = next.min(scanned_seq.saturating_add(1));
        if expected < old_end {
            let message = match old_end - expected {
                1 => format!("event {expected} is missing (last is {last})"),
                _ => format!("events {expected} to {} are missing (last is {last})", old_end - 1),
            };
            found.add("sequence", &it.meta_key, message);
        }
        // Bounded by what was traded while we read.
        unlisted.extend(expected.max(old_end)..next);
        expected = next + 1;
    }
    unlisted
}

/// FNV-1a, 64 bits: the first value and the prime.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn checksum(it: &Instrument, sound: &BTreeMap<&str, Sound<'_>>, found: &mut Findings<'_>) {
    let mut lines: Vec<(Side, Decimal, &str, &Order)> = sound
        .values()
        .filter(|it| it.is_open)
        .map(|it| (it.side, it.price, it.order.id.as_str(), it.order))
        .collect();
    lines.sort_by_key(|(side, price, id, _)| (*side, *price, *id));
    let mut hash = FNV_BASIS;
    for (side, _, id, order) in lines {
        let price = order.price.as_deref().unwrap_or_default();
        let remaining = order.remaining.as_deref().unwrap_or_default();
        let line = format!("{}|{}|{price}|{id}|{remaining}\n", it.isin, side.word());
        for byte in line.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    let computed = format!("{hash:016x}");
    if it.meta.checksum.as_deref() != Some(computed.as_str()) {
        let said = shown(it.meta.checksum.as_deref());
        found.add(
            "checksum",
            &it.meta_key,
            format!("checksum is {said}, the open orders give {computed}"),
        );
    }
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
