//! What must hold of orders by themselves and of trades against them. Pure; exact.

use crate::{Decimal, Found, Id, Ids, Keys, Order, Side, Trade, Violation, same, shown};

/// What is found of one instrument.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Its name.
    pub isin: &'a str,
    /// Where things are.
    pub keys: &'a Keys,
    /// Texts of the orders' ids.
    pub ids: &'a Ids,
    /// All that was found.
    pub found: Found,
}

impl<'a> Findings<'a> {
    /// Nothing yet.
    pub fn new(isin: &'a str, keys: &'a Keys, ids: &'a Ids) -> Self {
        Self { isin, keys, ids, found: Found::default() }
    }

    /// Something does not hold, at a key.
    pub fn add(&mut self, invariant: &str, key: &str, message: impl Into<String>) {
        self.found.push(Violation::new(invariant, self.isin, key, message));
    }

    /// Something does not hold of an order.
    pub fn of_order(&mut self, invariant: &str, id: Id, message: impl Into<String>) {
        self.add(invariant, &self.order_key(id), message);
    }

    /// An order's key.
    pub fn order_key(&self, id: Id) -> String {
        Keys::fill(&self.keys.order, &self.ids.shown(id))
    }

    /// The key of the instrument's trades.
    pub fn trades_key(&self) -> String {
        Keys::fill(&self.keys.trades, self.isin)
    }

    /// The key of its meta hash.
    pub fn meta_key(&self) -> String {
        Keys::fill(&self.keys.meta, self.isin)
    }
}

/// An order whose fields could be read.
#[derive(Clone, Copy, Debug)]
pub struct Sound {
    /// Which side it is on.
    pub side: Side,
    /// Its limit.
    pub price: Decimal,
    /// What it was placed with.
    pub qty: Decimal,
    /// What is not traded yet.
    pub remaining: Decimal,
    /// It rests.
    pub is_open: bool,
}

/// The order with this id, among orders sorted by id.
pub fn find(orders: &[Order<'_>], id: Id) -> Option<usize> {
    orders.binary_search_by_key(&id, |it| it.id).ok()
}

/// Schema, status and quantity of one order; none where it cannot be judged further.
pub fn sound(order: &Order<'_>, found: &mut Findings<'_>) -> Option<Sound> {
    if order.is_other {
        found.of_order("schema", order.id, "is no hash");
        return None;
    }
    let isin = order.isin?;
    if !same(isin, found.isin.as_bytes()) {
        let message = format!("is of {}, but {} names it", plain(isin), found.isin);
        found.of_order("member-order", order.id, message);
        return None;
    }
    let mut decimal = |name: &str, text: Option<&[u8]>| {
        let value = text.and_then(Decimal::parse);
        if value.is_none() {
            found.of_order("schema", order.id, format!("{name} {} is no decimal", shown(text)));
        }
        value
    };
    let price = decimal("price", order.price);
    let qty = decimal("qty", order.qty);
    let remaining = match (order.qty, order.remaining) {
        (Some(whole), Some(rest)) if qty.is_some() && same(whole, rest) => qty,
        (_, rest) => decimal("remaining", rest),
    };
    let side = order.side.and_then(Side::parse);
    if side.is_none() {
        let message = format!("side {} is neither bid nor ask", shown(order.side));
        found.of_order("schema", order.id, message);
    }
    let (side, price, qty, remaining) = (side?, price?, qty?, remaining?);
    let is = |word: &str| order.status.is_some_and(|it| same(it, word.as_bytes()));
    let is_open = is("open");
    let wrong = if is_open || is("cancelled") {
        !(Decimal::ZERO < remaining && remaining <= qty)
    } else if is("filled") {
        remaining != Decimal::ZERO || qty <= Decimal::ZERO
    } else {
        let message = format!("status {} is not open, filled or cancelled", shown(order.status));
        found.of_order("schema", order.id, message);
        return None;
    };
    if wrong {
        let word = shown(order.status);
        let message = format!("{word} with remaining {remaining} of qty {qty}");
        found.of_order("quantity", order.id, message);
    }
    Some(Sound { side, price, qty, remaining, is_open })
}

fn plain(text: &[u8]) -> String {
    shown(Some(text)).trim_matches('`').to_owned()
}

/// Price and quantity of a trade, where they are such.
pub fn amounts(trade: &Trade<'_>, found: &mut Findings<'_>) -> Option<(Decimal, Decimal)> {
    let price = trade.price.and_then(Decimal::parse);
    let qty = trade.qty.and_then(Decimal::parse).filter(|it| *it > Decimal::ZERO);
    let both = price.zip(qty);
    if both.is_none() {
        let message = format!(
            "trade {} has price {} and qty {}",
            trade.shown(),
            shown(trade.price),
            shown(trade.qty)
        );
        found.add("schema", &found.trades_key(), message);
    }
    both
}

/// Trades name orders of the right side, within their prices, and use up exactly what the
/// orders say is traded; with a `floor`, no more than that. `orders` are sorted by id, and
/// `sound` is what came of each.
pub fn reconcile(
    trades: &[Trade<'_>],
    orders: &[Order<'_>],
    sound: &[Option<Sound>],
    floor: u64,
    found: &mut Findings<'_>,
) {
    let mut sums: Vec<Option<Decimal>> = vec![Some(Decimal::ZERO); orders.len()];
    for trade in trades {
        let Some((price, qty)) = amounts(trade, found) else { continue };
        for (side, id) in trade.parties() {
            let Some(id) = id else {
                let message = format!("trade {} has no {} order", trade.shown(), side.word());
                found.add("schema", &found.trades_key(), message);
                continue;
            };
            let index = find(orders, id);
            let Some(index) = index.filter(|it| orders[*it].exists() || orders[*it].is_other)
            else {
                if floor == 0 {
                    let id = found.ids.shown(id);
                    let message =
                        format!("trade {} names order {id}, which is gone", trade.shown());
                    found.add("trades", &found.trades_key(), message);
                }
                continue;
            };
            sums[index] = sums[index].and_then(|sum| sum.plus(qty));
            if let Some(order) = &sound[index] {
                fits(trade, (side, id), price, order, found);
            }
        }
    }
    for ((order, sound), sum) in orders.iter().zip(sound).zip(sums) {
        let Some(sound) = sound else { continue };
        let used = sound.qty.minus(sound.remaining);
        let agrees = if floor == 0 { sum == used } else { sum.is_some() && sum <= used };
        if !agrees {
            let text = |it: Option<Decimal>| it.map_or_else(|| "?".into(), |it| it.to_string());
            let message =
                format!("{} of it is traded, its trades sum to {}", text(used), text(sum));
            found.of_order("trades", order.id, message);
        }
    }
}

fn fits(
    trade: &Trade<'_>,
    (side, id): (Side, Id),
    price: Decimal,
    order: &Sound,
    found: &mut Findings<'_>,
) {
    let beyond = match side {
        Side::Bid => price > order.price,
        Side::Ask => price < order.price,
    };
    if order.side == side && !beyond {
        return;
    }
    let (is, limit) = (order.side.word(), order.price);
    let message = format!(
        "trade {} at {price} names {} as {}, which is a {is} order at {limit}",
        trade.shown(),
        found.ids.shown(id),
        side.word()
    );
    found.add("trades", &found.trades_key(), message);
}

/// The first trade whose event number does not rise.
pub fn falling<'t, 'a>(trades: &'t [Trade<'a>]) -> Option<&'t Trade<'a>> {
    let pair =
        trades.windows(2).find(|pair| crate::number(pair[0].seq) >= crate::number(pair[1].seq))?;
    pair.get(1)
}
