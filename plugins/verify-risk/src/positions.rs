//! Positions of all accounts in one instrument, recomputed from its trades. Pure; exact.

use crate::accounts::Accounts;
use baton_books::rules::{Findings, find};
use baton_books::{Decimal, Fields, Id, Order, Side, Trade, shown};
use std::collections::BTreeMap;

/// Whose trades they are.
pub(crate) enum Parties<'a> {
    /// The trades say so themselves.
    Trades,
    /// Their orders do; sorted by id.
    Orders(Vec<Order<'a>>),
}

impl Parties<'_> {
    /// Whether accounts are the orders': where the layout has none for trades.
    pub(crate) fn are_orders(names: &Fields) -> bool {
        names.buyer.is_empty() || names.seller.is_empty()
    }
}

/// What each account bought less what it sold, by the account's place. An account whose
/// sum is not known, since a trade of its could not be read, is not among them: that trade
/// has been told.
pub(crate) fn recompute(
    trades: &[Trade<'_>],
    parties: &Parties<'_>,
    accounts: &mut Accounts,
    found: &mut Findings<'_>,
) -> Option<BTreeMap<usize, Decimal>> {
    let mut sums: BTreeMap<usize, Decimal> = BTreeMap::new();
    let mut known = true;
    for trade in trades {
        let qty = trade.qty.and_then(Decimal::parse).filter(|it| *it > Decimal::ZERO);
        if qty.is_none() {
            let message = format!("trade {} has qty {}", trade.shown(), shown(trade.qty));
            found.add("schema", &found.trades_key(), message);
        }
        for (side, id) in trade.parties() {
            let account = match parties {
                Parties::Trades => own(trade, side, found),
                Parties::Orders(orders) => of_order(trade, side, id, orders, found),
            };
            let sum = account.zip(qty).and_then(|(account, qty)| {
                let place = accounts.place(account);
                let old = sums.get(&place).copied().unwrap_or_default();
                let new = match side {
                    Side::Bid => old.plus(qty)?,
                    Side::Ask => old.minus(qty)?,
                };
                sums.insert(place, new);
                Some(new)
            });
            known &= sum.is_some();
        }
    }
    known.then_some(sums)
}

fn own<'a>(trade: &Trade<'a>, side: Side, found: &mut Findings<'_>) -> Option<&'a [u8]> {
    let (account, word) = match side {
        Side::Bid => (trade.buyer, "buyer"),
        Side::Ask => (trade.seller, "seller"),
    };
    let account = account.filter(|it| !it.is_empty());
    if account.is_none() {
        let message = format!("trade {} has no {word}", trade.shown());
        found.add("schema", &found.trades_key(), message);
    }
    account
}

fn of_order<'a>(
    trade: &Trade<'_>,
    side: Side,
    id: Option<Id>,
    orders: &[Order<'a>],
    found: &mut Findings<'_>,
) -> Option<&'a [u8]> {
    let Some(id) = id else {
        let message = format!("trade {} has no {} order", trade.shown(), side.word());
        found.add("schema", &found.trades_key(), message);
        return None;
    };
    let order = find(orders, id).map(|at| &orders[at]);
    let account = order.and_then(|it| it.account).filter(|it| !it.is_empty());
    if account.is_none() {
        let message = format!("has no account, and trade {} is its", trade.shown());
        found.of_order("schema", id, message);
    }
    account
}
