//! What must hold of an instrument's book. Pure; exact.

use std::collections::BTreeMap;

use baton_books::rules::{Findings, Sound, falling, find, reconcile, sound};
use baton_books::{
    Decimal, FNV_BASIS, Found, Id, Ids, Keys, Member, Meta, Order, Side, Trade, fnv_on, number,
    same, shown,
};

/// All of one instrument, at one sequence number.
#[derive(Clone, Debug)]
pub struct Instrument<'a> {
    /// Its name.
    pub isin: &'a str,
    /// Where things are.
    pub keys: &'a Keys,
    /// Texts of the orders' ids.
    pub ids: &'a Ids,
    /// Its meta hash.
    pub meta: Meta<'a>,
    /// Its bids; none where their key holds another type.
    pub bids: Option<Vec<Member>>,
    /// Its asks; none where their key holds another type.
    pub asks: Option<Vec<Member>>,
    /// Every order that is known to be of it, or named by its book or trades; sorted by
    /// id, each once.
    pub orders: Vec<Order<'a>>,
    /// Its trades, in the stream's order; none where their key holds another type.
    pub trades: Option<Vec<Trade<'a>>>,
}

/// An instrument, judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// What does not hold.
    pub found: Found,
    /// Different prices in the book.
    pub levels: usize,
    /// Its orders that exist.
    pub orders: usize,
    /// Its trades.
    pub trades: usize,
    /// Numbers of events nobody carries that came after `scanned_seq`: the orders that
    /// carry them may have been placed after the orders were listed. The first of them.
    pub unlisted: Option<u64>,
    /// Orders that it names and that say they are of another instrument.
    pub foreign: Vec<(Id, String)>,
}

impl Instrument<'_> {
    fn members(&self, side: Side) -> &[Member] {
        let members = match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        };
        members.as_deref().unwrap_or_default()
    }

    fn trades(&self) -> &[Trade<'_>] {
        self.trades.as_deref().unwrap_or_default()
    }

    fn side_key(&self, side: Side) -> String {
        let template = match side {
            Side::Bid => &self.keys.bids,
            Side::Ask => &self.keys.asks,
        };
        Keys::fill(template, self.isin)
    }

    fn is_own(&self, order: &Order<'_>) -> bool {
        order.isin.is_some_and(|it| same(it, self.isin.as_bytes()))
    }
}

/// Checks everything. `scanned_seq` is the instrument's number before its orders were
/// listed: events after it may belong to orders that the list lacks.
pub fn judge(it: &Instrument<'_>, scanned_seq: u64) -> Judged {
    let mut found = Findings::new(it.isin, it.keys, it.ids);
    types(it, &mut found);
    let sounds: Vec<Option<Sound>> =
        it.orders.iter().map(|order| sound(order, &mut found)).collect();
    let mut resting = vec![0_u8; it.orders.len()];
    let bid = book_side(it, Side::Bid, &sounds, &mut resting, &mut found);
    let ask = book_side(it, Side::Ask, &sounds, &mut resting, &mut found);
    for side in [Side::Bid, Side::Ask] {
        open_orders(it, side, &sounds, &resting, &mut found);
    }
    crossed(it, bid.zip(ask), &mut found);
    sums(it, &sounds, &mut found);
    reconcile(it.trades(), &it.orders, &sounds, it.meta.floor(), &mut found);
    let unlisted = sequence(it, scanned_seq, &mut found);
    let levels = checksum(it, &sounds, &mut found);
    let others = it.orders.iter().filter(|order| order.exists() && !it.is_own(order));
    let name = |order: &Order<'_>| {
        (order.id, String::from_utf8_lossy(order.isin.unwrap_or_default()).into_owned())
    };
    Judged {
        levels,
        orders: it.orders.iter().filter(|order| order.exists()).count(),
        trades: it.trades().len(),
        unlisted,
        foreign: others.map(name).collect(),
        found: found.found,
    }
}

/// Keys that hold something else than they should.
fn types(it: &Instrument<'_>, found: &mut Findings<'_>) {
    if it.meta.is_other {
        found.add("schema", &found.meta_key(), "is no hash");
    }
    for (side, members) in [(Side::Bid, &it.bids), (Side::Ask, &it.asks)] {
        if members.is_none() {
            found.add("schema", &it.side_key(side), "is no sorted set");
        }
    }
    if it.trades.is_none() {
        found.add("schema", &found.trades_key(), "is no stream");
    }
}

/// The bit of a side in what is noted of an order.
fn bit(side: Side) -> u8 {
    match side {
        Side::Bid => 1,
        Side::Ask => 2,
    }
}

/// Every member has its order; price, side and status agree. Gives the best price.
fn book_side(
    it: &Instrument<'_>,
    side: Side,
    sounds: &[Option<Sound>],
    resting: &mut [u8],
    found: &mut Findings<'_>,
) -> Option<Decimal> {
    let shown_id = |id| it.ids.shown(id);
    let mut best = None;
    for member in it.members(side) {
        let index = find(&it.orders, member.id);
        let Some(index) = index.filter(|at| it.orders[*at].exists() || it.orders[*at].is_other)
        else {
            let message = format!("member {} has no order", shown_id(member.id));
            found.add("member-order", &it.side_key(side), message);
            continue;
        };
        resting[index] |= bit(side);
        let Some(order) = &sounds[index] else { continue };
        best = Some(match (best, side) {
            (None, _) => order.price,
            (Some(best), Side::Bid) => order.price.max(best),
            (Some(best), Side::Ask) => order.price.min(best),
        });
        if order.side != side {
            let message =
                format!("member {} is a {} order", shown_id(member.id), order.side.word());
            found.add("side", &it.side_key(side), message);
        }
        if !order.is_open {
            let status = shown(it.orders[index].status);
            let message = format!("member {} is an order that is {status}", shown_id(member.id));
            found.add("order-member", &it.side_key(side), message);
        }
        let text = it.orders[index].price.unwrap_or_default();
        // Redis's strtod and Rust's parse both round to the nearest double.
        let read = || std::str::from_utf8(text).ok()?.parse::<f64>().ok();
        let price = order.price.nearest_double().or_else(read);
        if price.is_none_or(|it| unsigned(it) != unsigned(member.score)) {
            let (id, score) = (shown_id(member.id), member.score);
            let text = String::from_utf8_lossy(text);
            let message = format!("member {id} has score {score}, its order says {text}");
            found.add("price", &it.side_key(side), message);
        }
    }
    best
}

/// The bits of a score, with one zero: -0 and 0 are one price.
fn unsigned(score: f64) -> u64 {
    if score == 0.0 { 0.0_f64.to_bits() } else { score.to_bits() }
}

/// Every open order is in its side of the book.
fn open_orders(
    it: &Instrument<'_>,
    side: Side,
    sounds: &[Option<Sound>],
    resting: &[u8],
    found: &mut Findings<'_>,
) {
    for ((order, sound), rests) in it.orders.iter().zip(sounds).zip(resting) {
        let open = sound.as_ref().is_some_and(|it| it.is_open && it.side == side);
        if open && rests & bit(side) == 0 {
            let message =
                format!("open order {} is not in {}", it.ids.shown(order.id), it.side_key(side));
            found.of_order("order-member", order.id, message);
        }
    }
}

fn crossed(it: &Instrument<'_>, best: Option<(Decimal, Decimal)>, found: &mut Findings<'_>) {
    if let Some((bid, ask)) = best
        && bid >= ask
    {
        let message = format!("crossed: best bid {bid} is not below best ask {ask}");
        found.add("crossed", &it.side_key(Side::Bid), message);
    }
}

fn sums(it: &Instrument<'_>, sounds: &[Option<Sound>], found: &mut Findings<'_>) {
    let declared =
        [(Side::Bid, "bid_qty", it.meta.bid_qty), (Side::Ask, "ask_qty", it.meta.ask_qty)];
    for (side, name, text) in declared {
        let Some(said) = text.and_then(Decimal::parse) else {
            let message = format!("{name} {} is no decimal", shown(text));
            found.add("schema", &found.meta_key(), message);
            continue;
        };
        let open = sounds.iter().flatten().filter(|it| it.is_open && it.side == side);
        let sum = open.map(|it| it.remaining).try_fold(Decimal::ZERO, Decimal::plus);
        if sum != Some(said) {
            let sum = sum.map_or_else(|| "too large".into(), |it| it.to_string());
            let message = format!("{name} is {said}, the open orders sum to {sum}");
            found.add("sum", &found.meta_key(), message);
        }
    }
}

/// Who carries the number of an event.
#[derive(Clone, Copy)]
enum Carrier {
    Order(Id),
    Trades,
}

impl Carrier {
    fn key(self, found: &Findings<'_>) -> String {
        match self {
            Self::Order(id) => found.order_key(id),
            Self::Trades => found.trades_key(),
        }
    }
}

/// Each event from the floor to `meta.seq` is carried once; entries rise. Gives the first
/// that the listing may lack.
fn sequence(it: &Instrument<'_>, scanned_seq: u64, found: &mut Findings<'_>) -> Option<u64> {
    let Some(last) = number(it.meta.seq) else {
        let message = format!("seq {} is no number", shown(it.meta.seq));
        found.add("schema", &found.meta_key(), message);
        return None;
    };
    let floor = it.meta.floor();
    let mut carried = Carried::new(floor, last, it.orders.len() * 2 + it.trades().len());
    let of_orders = it.orders.iter().filter(|order| it.is_own(order)).flat_map(|order| {
        let placed = (Carrier::Order(order.id), order.seq);
        let cancelled = order.cancel_seq.map(|text| (Carrier::Order(order.id), Some(text)));
        [Some(placed), cancelled].into_iter().flatten()
    });
    let of_trades = it.trades().iter().map(|trade| (Carrier::Trades, trade.seq));
    for (carrier, text) in of_orders.chain(of_trades) {
        let Some(seq) = number(text).filter(|it| *it > 0) else {
            let message = format!("seq {} is no number from 1", shown(text));
            found.add("schema", &carrier.key(found), message);
            continue;
        };
        if seq > last {
            let message = format!("event {seq} is after the last one, {last}");
            found.add("sequence", &carrier.key(found), message);
        }
        if let Some(first) = carried.note(seq, carrier) {
            let message = format!("event {seq} is also carried by {}", first.key(found));
            found.add("sequence", &carrier.key(found), message);
        }
    }
    if let Some(late) = falling(it.trades()) {
        let message = format!("trade {} does not rise", late.shown());
        found.add("sequence", &found.trades_key(), message);
    }
    holes(floor, last, scanned_seq, carried.within(), found)
}

/// Who carries each event. Numbers lie close together, so most need no search.
struct Carried {
    floor: u64,
    last: u64,
    /// Of the numbers right above the floor.
    close: Vec<Option<Carrier>>,
    /// Of all others.
    far: BTreeMap<u64, Carrier>,
}

impl Carried {
    /// For numbers of which about so many are carried.
    fn new(floor: u64, last: u64, about: usize) -> Self {
        let close = usize::try_from(last.saturating_sub(floor)).unwrap_or(about).min(about);
        Self { floor, last, close: vec![None; close], far: BTreeMap::new() }
    }

    /// Notes a carrier; gives the one that was noted before.
    fn note(&mut self, seq: u64, carrier: Carrier) -> Option<Carrier> {
        let place = seq.checked_sub(self.floor + 1).and_then(|it| usize::try_from(it).ok());
        match place.and_then(|it| self.close.get_mut(it)) {
            Some(close) => close.replace(carrier),
            None => self.far.insert(seq, carrier),
        }
    }

    /// The numbers above the floor and up to the last that are carried, rising.
    fn within(&self) -> impl Iterator<Item = u64> {
        let close = (self.floor + 1..).zip(&self.close).filter(|(_, it)| it.is_some());
        let far = self.far.range(self.floor + 1..).map(|(seq, _)| *seq);
        close.map(|(seq, _)| seq).chain(far.take_while(|it| *it <= self.last))
    }
}

/// Runs of missing numbers, each reported once; those the listing may lack are left to
/// another.
fn holes(
    floor: u64,
    last: u64,
    scanned_seq: u64,
    carried: impl Iterator<Item = u64>,
    found: &mut Findings<'_>,
) -> Option<u64> {
    let mut unlisted = None;
    let mut expected = floor + 1;
    for next in carried.chain([last + 1]) {
        let old_end = next.min(scanned_seq.saturating_add(1));
        if expected < old_end {
            let message = match old_end - expected {
                1 => format!("event {expected} is missing (last is {last})"),
                _ => format!("events {expected} to {} are missing (last is {last})", old_end - 1),
            };
            found.add("sequence", &found.meta_key(), message);
        }
        let new = expected.max(old_end);
        if new < next {
            unlisted = unlisted.or(Some(new));
        }
        expected = next + 1;
    }
    unlisted
}

/// Compares the checksum, and counts the levels on the way.
fn checksum(it: &Instrument<'_>, sounds: &[Option<Sound>], found: &mut Findings<'_>) -> usize {
    let mut open: Vec<(Side, Decimal, &Order<'_>)> = it
        .orders
        .iter()
        .zip(sounds)
        .filter_map(|(order, sound)| {
            let sound = sound.as_ref().filter(|it| it.is_open)?;
            Some((sound.side, sound.price, order))
        })
        .collect();
    let text = |id| {
        let mut text = Vec::with_capacity(20);
        it.ids.write(id, &mut text);
        text
    };
    open.sort_unstable_by(|(side, price, order), (other_side, other_price, other)| {
        (side, price)
            .cmp(&(other_side, other_price))
            .then_with(|| text(order.id).cmp(&text(other.id)))
    });
    let levels = open.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)).count();
    let mut hash = FNV_BASIS;
    let mut line = Vec::with_capacity(64);
    for (side, _, order) in open {
        line.clear();
        for part in [it.isin.as_bytes(), side.word().as_bytes(), order.price.unwrap_or_default()] {
            line.extend_from_slice(part);
            line.push(b'|');
        }
        it.ids.write(order.id, &mut line);
        line.push(b'|');
        line.extend_from_slice(order.remaining.unwrap_or_default());
        line.push(b'\n');
        hash = fnv_on(hash, &line);
    }
    let computed = format!("{hash:016x}");
    if it.meta.checksum != Some(computed.as_bytes()) {
        let said = shown(it.meta.checksum);
        let message = format!("checksum is {said}, the open orders give {computed}");
        found.add("checksum", &found.meta_key(), message);
    }
    levels
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
