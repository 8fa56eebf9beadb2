//! What must hold of an instrument's stream of trades. Pure; exact.

use baton_books::rules::{Findings, Sound, falling, reconcile, sound};
use baton_books::{Fields, Found, Ids, Keys, Meta, Order, Trade, number, shown};
use baton_plugin::redis::Value;
use std::collections::BTreeSet;

/// The stream's own word on what it was given, as XINFO STREAM tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Entries ever added; none: the node does not say (Redis before 7.0).
    pub added: Option<u64>,
    /// The newest entry that there ever was.
    pub last: Option<(u64, u64)>,
    /// The newest entry that was removed one by one.
    pub deleted: Option<(u64, u64)>,
}

impl Told {
    /// From the reply; of an error: nothing was ever added.
    pub fn of(reply: &Value) -> Self {
        if reply.error().is_some() {
            return Self { added: Some(0), ..Self::default() };
        }
        let entry = |name| entry(reply.field(name)?.text()?.as_bytes());
        Self {
            added: reply
                .field("entries-added")
                .and_then(Value::int)
                .and_then(|it| it.try_into().ok()),
            last: entry("last-generated-id"),
            deleted: entry("max-deleted-entry-id").filter(|it| *it > (0, 0)),
        }
    }
}

/// An entry's id in two numbers.
pub fn entry(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (time, nth) = text.split_once('-')?;
    Some((time.parse().ok()?, nth.parse().ok()?))
}

/// All of one instrument's trades, at one sequence number.
#[derive(Clone, Debug)]
pub struct Tape<'a> {
    /// The instrument.
    pub isin: &'a str,
    /// Where things are.
    pub keys: &'a Keys,
    /// What fields are called, and which there are.
    pub fields: &'a Fields,
    /// Texts of the orders' ids.
    pub ids: &'a Ids,
    /// Its meta hash.
    pub meta: Meta<'a>,
    /// What the stream was ever given.
    pub told: Told,
    /// Its trades, in the stream's order; none where their key holds another type.
    pub trades: Option<Vec<Trade<'a>>>,
    /// The orders that they name; sorted by id, each once.
    pub orders: Vec<Order<'a>>,
    /// Trades that were ever added when a fingerprint was taken.
    pub before: Option<u64>,
    /// Fewer than then is no violation.
    pub declared_loss: bool,
}

/// An instrument's trades, judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// What does not hold.
    pub found: Found,
    /// Trades that are there.
    pub trades: usize,
    /// Orders that they name.
    pub orders: usize,
    /// Trades that the fingerprint had and the stream has not.
    pub lost: u64,
}

/// Checks everything of one instrument.
pub fn judge(it: &Tape<'_>) -> Judged {
    let mut found = Findings::new(it.isin, it.keys, it.ids);
    if it.meta.is_other {
        found.add("schema", &found.meta_key(), "is no hash");
    }
    let Some(trades) = &it.trades else {
        found.add("schema", &found.trades_key(), "is no stream");
        return Judged { found: found.found, ..Judged::default() };
    };
    continuity(it, trades, &mut found);
    sequence(it, trades, &mut found);
    numbers(it, trades, &mut found);
    ids(it, trades, &mut found);
    let sounds: Vec<Option<Sound>> =
        it.orders.iter().map(|order| sound(order, &mut found)).collect();
    reconcile(trades, &it.orders, &sounds, it.meta.floor(), &mut found);
    let lost = lost(it, &mut found);
    Judged { trades: trades.len(), orders: it.orders.len(), lost, found: found.found }
}

/// Nothing that was ever added is gone, unless a floor says that old ones may be.
fn continuity(it: &Tape<'_>, trades: &[Trade<'_>], found: &mut Findings<'_>) {
    let key = found.trades_key();
    let first = trades.first().and_then(|it| entry(it.entry));
    let last = trades.last().and_then(|it| entry(it.entry));
    let there = trades.len() as u64;
    let may_be_gone = it.meta.floor() > 0;
    let differs = |added: &u64| *added != there && (there > *added || !may_be_gone);
    if let Some(added) = it.told.added.filter(differs) {
        let message = format!("{there} trades are there, {added} were ever added");
        found.add("continuity", &key, message);
        return;
    }
    if let Some(deleted) = it.told.deleted
        && first.is_some_and(|first| first < deleted)
    {
        let message = format!("trade {}-{} was removed from between others", deleted.0, deleted.1);
        found.add("continuity", &key, message);
    }
    if let (Some(last), Some(newest)) = (last, it.told.last)
        && last < newest
    {
        let message = format!(
            "the last trade is {}-{}, the newest that there ever was {}-{}",
            last.0, last.1, newest.0, newest.1
        );
        found.add("continuity", &key, message);
    }
}

/// Event numbers rise, above the floor and up to the last event.
fn sequence(it: &Tape<'_>, trades: &[Trade<'_>], found: &mut Findings<'_>) {
    let key = found.trades_key();
    let Some(last) = number(it.meta.seq) else {
        let message = format!("seq {} is no number", shown(it.meta.seq));
        found.add("schema", &found.meta_key(), message);
        return;
    };
    for trade in trades {
        match number(trade.seq).filter(|it| *it > 0) {
            None => {
                let (entry, seq) = (trade.shown(), shown(trade.seq));
                found.add("schema", &key, format!("trade {entry} has seq {seq}"));
            }
            Some(seq) if seq > last => {
                let entry = trade.shown();
                let message = format!("trade {entry} is event {seq}, after the last one, {last}");
                found.add("sequence", &key, message);
            }
            Some(_) => {}
        }
    }
    if let Some(late) = falling(trades) {
        found.add("sequence", &key, format!("trade {} does not rise", late.shown()));
    }
}

/// Trades are numbered without gaps, and as many as the meta hash says.
fn numbers(it: &Tape<'_>, trades: &[Trade<'_>], found: &mut Findings<'_>) {
    let key = found.trades_key();
    if it.fields.trade_number.is_empty() {
        return;
    }
    let may_be_gone = it.meta.floor() > 0;
    let mut expected = if may_be_gone { None } else { Some(1) };
    for trade in trades {
        let Some(own) = number(trade.number).filter(|it| *it > 0) else {
            let (entry, number) = (trade.shown(), shown(trade.number));
            found.add("schema", &key, format!("trade {entry} has number {number}"));
            continue;
        };
        if let Some(expected) = expected.filter(|it| *it != own) {
            let message = format!("trade {} is number {own}, not {expected}", trade.shown());
            found.add("number", &key, message);
        }
        expected = Some(own + 1);
    }
    if it.fields.trade_count.is_empty() {
        return;
    }
    let Some(count) = number(it.meta.trade_count) else {
        let name = &it.fields.trade_count;
        let message = format!("{name} {} is no number", shown(it.meta.trade_count));
        found.add("schema", &found.meta_key(), message);
        return;
    };
    if let Some(last) = expected.map(|it| it - 1).filter(|last| *last != count) {
        let message = format!("the last trade is number {last}, {count} are announced");
        found.add("number", &found.meta_key(), message);
    }
}

/// Each trade has an id, and no other of the instrument has the same.
fn ids(it: &Tape<'_>, trades: &[Trade<'_>], found: &mut Findings<'_>) {
    let key = found.trades_key();
    if it.fields.trade_id.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for trade in trades {
        match trade.id {
            None => found.add("schema", &key, format!("trade {} has no id", trade.shown())),
            Some(id) if !seen.insert(id) => {
                let (entry, id) = (trade.shown(), shown(Some(id)));
                found.add("trade-id", &key, format!("trade {entry} is {id}, as one before it"));
            }
            Some(_) => {}
        }
    }
}

/// There are not fewer than there were.
fn lost(it: &Tape<'_>, found: &mut Findings<'_>) -> u64 {
    let (Some(before), Some(now)) = (it.before, it.told.added) else { return 0 };
    let lost = before.saturating_sub(now);
    if lost > 0 && !it.declared_loss {
        let message = format!("{lost} trades that there were are missing");
        found.add("loss", &found.trades_key(), message);
    }
    lost
}
