//! Instruments read and judged, many at a time, each at one sequence number.

use crate::invariants::{Instrument, Judged, judge};
use crate::listing::{Listing, Place};
use baton_books::fingerprint::key_list;
use baton_books::source::KeyList;
use baton_books::{Id, Member, Meta, Order, Streams, Template, members};
use baton_plugin::{Fault, Host};

/// Orders read between two looks at the meta hashes of their instruments. More is faster
/// where nobody trades, and in vain where somebody does.
const ORDERS_MAX: usize = 10_000;
/// Instruments in one batch, at most.
const INSTRUMENTS_MAX: usize = 200;
/// How often an instrument is read by itself because it was traded meanwhile.
const READS_MAX: u32 = 50;

/// What came of one instrument.
pub(crate) enum Reading {
    /// It was traded meanwhile.
    Moved,
    /// It was read at one sequence number.
    Still(Judged),
}

/// Reads all of `wanted`, those that move by themselves until they do not. `scanned` are
/// the numbers of their last events before the orders were listed. Gives those that never
/// stood still.
pub(crate) fn read_all<H: Host>(
    place: &Place<'_>,
    listing: &mut Listing,
    wanted: &[(usize, u64)],
    host: &mut H,
    mut done: impl FnMut(usize, Judged, &mut Listing, &mut H),
) -> Result<Vec<usize>, Fault> {
    let mut pending: Vec<(usize, u64)> = Vec::new();
    let mut rest = wanted;
    let mut most = ORDERS_MAX;
    while !rest.is_empty() {
        let count = fitting(listing, rest, most);
        let (batch, behind) = rest.split_at(count);
        rest = behind;
        let mut moved = 0;
        for ((index, scanned), reading) in batch.iter().zip(read(place, listing, batch, host)?) {
            match reading {
                Reading::Still(judged) => done(*index, judged, listing, host),
                Reading::Moved => {
                    moved += 1;
                    pending.push((*index, *scanned));
                }
            }
        }
        // Half of them in vain: a smaller batch is read in less time.
        most = if moved * 2 > count { (most / 2).max(1) } else { (most * 2).min(ORDERS_MAX) };
    }
    let mut never = Vec::new();
    'instruments: for one in pending {
        for _ in 0..READS_MAX {
            if let Some(Reading::Still(judged)) = read(place, listing, &[one], host)?.pop() {
                done(one.0, judged, listing, host);
                continue 'instruments;
            }
        }
        never.push(one.0);
    }
    Ok(never)
}

/// How many of the next fit a batch; at least one.
fn fitting(listing: &Listing, rest: &[(usize, u64)], most: usize) -> usize {
    let mut orders = 0;
    let fits = |(index, _): &&(usize, u64)| {
        orders += listing.count(*index);
        orders <= most
    };
    rest.iter().take(INSTRUMENTS_MAX).take_while(fits).count().max(1)
}

/// What a batch's books and trades name, before the orders are read.
struct Named {
    bids: Option<Vec<Member>>,
    asks: Option<Vec<Member>>,
    /// Sorted, each once.
    orders: Vec<Id>,
}

/// Reads a batch once: meta, books, trades, orders, meta again.
fn read<H: Host>(
    place: &Place<'_>,
    listing: &mut Listing,
    batch: &[(usize, u64)],
    host: &mut H,
) -> Result<Vec<Reading>, Fault> {
    let Place { source, keys, fields, .. } = place;
    let isins: Vec<&str> = batch.iter().map(|(index, _)| place.isins[*index].as_str()).collect();
    let metas = key_list(&keys.meta, &isins);
    let command = Meta::command(fields);
    let before = source.each(&command, &metas, host)?;
    let range = ["ZRANGE", "0", "-1", "WITHSCORES"];
    let bids = source.each(&range, &key_list(&keys.bids, &isins), host)?;
    let asks = source.each(&range, &key_list(&keys.asks, &isins), host)?;
    let streams = Streams::read(source, &key_list(&keys.trades, &isins), host)?;
    let trades = streams.trades(source, fields, &mut listing.ids)?;
    let mut named = Vec::with_capacity(batch.len());
    let mut order_keys = KeyList::default();
    let template = Template::of(&keys.order);
    let mut text = Vec::new();
    for (((index, _), trades), (bids, asks)) in
        batch.iter().zip(&trades).zip(bids.iter().zip(asks.iter()))
    {
        let mut side = |reply| -> Result<Option<Vec<Member>>, Fault> {
            let Some(reply) = source.typed(reply, "ZRANGE")? else { return Ok(None) };
            let mut all = Vec::new();
            members(reply, &mut listing.ids, &mut all);
            Ok(Some(all))
        };
        let (bids, asks) = (side(bids)?, side(asks)?);
        let mut orders = listing.of(*index);
        let resting = bids.iter().chain(&asks).flatten().map(|it| it.id);
        let parties = trades.iter().flatten().flat_map(|it| [it.bid, it.ask]).flatten();
        orders.extend(resting.chain(parties));
        orders.sort_unstable();
        orders.dedup();
        for id in &orders {
            text.clear();
            listing.ids.write(*id, &mut text);
            order_keys.push(|out| template.write(&text, out));
        }
        named.push(Named { bids, asks, orders });
    }
    let orders = source.each(&Order::command(fields), &order_keys, host)?;
    let after = source.each(&command, &metas, host)?;
    let mut replies = orders.iter();
    let mut readings = Vec::with_capacity(batch.len());
    let metas = before.iter().zip(after.iter());
    for (((index, scanned), (before, after)), (named, trades)) in
        batch.iter().zip(metas).zip(named.into_iter().zip(trades))
    {
        let meta = Meta::read(source.typed(before, "HMGET")?);
        let mut orders = Vec::with_capacity(named.orders.len());
        for id in named.orders {
            let Some(reply) = replies.next() else { break };
            orders.push(Order::read(id, source.typed(reply, "HMGET")?));
        }
        if meta != Meta::read(source.typed(after, "HMGET")?) {
            readings.push(Reading::Moved);
            continue;
        }
        let it = Instrument {
            isin: &place.isins[*index],
            keys,
            ids: &listing.ids,
            meta,
            bids: named.bids,
            asks: named.asks,
            orders,
            trades,
        };
        readings.push(Reading::Still(judge(&it, *scanned)));
    }
    Ok(readings)
}
