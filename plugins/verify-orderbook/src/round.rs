//! Instruments read and judged, many at a time, each at one sequence number.

use crate::Counts;
use crate::invariants::{Instrument, Judged, judge};
use crate::listing::{Listing, Place};
use baton_books::fingerprint::key_list;
use baton_books::source::KeyList;
use baton_books::still::{Batch, Still};
use baton_books::{Id, Keys, Member, Meta, Order, Streams, Tally, Template, Violation, members};
use baton_plugin::{Fault, Host};

/// Some 10,000 orders: one call.
pub(crate) const BATCH: Batch = Batch { instruments: 200, weight: 10_000 };
/// From one report of progress to the next, in instruments.
const REPORT_EVERY: usize = 100;

/// One round over the instruments that are left.
pub(crate) struct Round<'a, 'p> {
    pub(crate) place: &'a Place<'p>,
    pub(crate) listing: &'a mut Listing,
    /// Numbers of the last events before the orders were listed, of each instrument.
    pub(crate) scanned: &'a [u64],
    /// What nobody carries now is missing for good.
    pub(crate) is_last: bool,
    pub(crate) tally: &'a mut Tally,
    pub(crate) counts: &'a mut Counts,
    /// Instruments that are done, those of earlier rounds too.
    pub(crate) checked: usize,
    /// Those that must be judged once more.
    pub(crate) again: Vec<usize>,
}

impl Still for Round<'_, '_> {
    type Item = Judged;

    fn weight(&self, index: usize) -> usize {
        self.listing.count(index)
    }

    fn read<H: Host>(
        &mut self,
        batch: &[usize],
        host: &mut H,
    ) -> Result<Vec<Option<Judged>>, Fault> {
        read(self.place, self.listing, self.scanned, batch, host)
    }

    fn done<H: Host>(&mut self, index: usize, mut judged: Judged, host: &mut H) {
        let isins = self.place.isins;
        let isin = &isins[index];
        self.checked += 1;
        if self.checked.is_multiple_of(REPORT_EVERY) {
            let message = format!("checked {isin}");
            host.report(self.checked as u64, Some(isins.len() as u64), &message);
        }
        for (id, other) in &judged.foreign {
            match self.place.index(other.as_bytes()) {
                Some(other) if self.listing.holds(other, *id) => {}
                Some(other) => {
                    self.listing.add(other, *id);
                    self.again.push(other);
                }
                None => self.listing.stray(other.as_bytes(), *id),
            }
        }
        match judged.unlisted {
            Some(_) if !self.is_last => self.again.push(index),
            Some(event) => {
                let key = Keys::fill(&self.place.keys.meta, isin);
                let why = format!("event {event} is carried by nothing that was ever listed");
                judged.found.push(Violation::new("sequence", isin, &key, why));
            }
            None => {}
        }
        self.counts.set(index, [judged.orders, judged.levels, judged.trades]);
        self.tally.set(isin, judged.found);
    }
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
    scanned: &[u64],
    batch: &[usize],
    host: &mut H,
) -> Result<Vec<Option<Judged>>, Fault> {
    let Place { source, keys, fields, .. } = place;
    let isins: Vec<&str> = batch.iter().map(|it| place.isins[*it].as_str()).collect();
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
    let (mut bids, mut asks) = (bids.cursor(), asks.cursor());
    for (index, trades) in batch.iter().zip(&trades) {
        let bids = members(&mut bids, source, &mut listing.ids)?;
        let asks = members(&mut asks, source, &mut listing.ids)?;
        let mut orders = listing.of(*index);
        let resting = bids.iter().chain(&asks).flatten().map(|it| it.id);
        let parties = trades.iter().flatten().flat_map(|it| [it.bid, it.ask]).flatten();
        let listed = orders.len();
        for id in resting.chain(parties) {
            if orders[..listed].binary_search(&id).is_err() {
                orders.push(id);
            }
        }
        if orders.len() > listed {
            orders.sort_unstable();
            orders.dedup();
        }
        for id in &orders {
            text.clear();
            listing.ids.write(*id, &mut text);
            order_keys.push(|out| template.write(&text, out));
        }
        named.push(Named { bids, asks, orders });
    }
    let orders = source.each(&Order::command(fields), &order_keys, host)?;
    let after = source.each(&command, &metas, host)?;
    let (mut before, mut after, mut replies) = (before.cursor(), after.cursor(), orders.cursor());
    let mut readings = Vec::with_capacity(batch.len());
    for (index, (named, trades)) in batch.iter().zip(named.into_iter().zip(trades)) {
        let meta = Meta::read(&mut before, source)?;
        let mut orders = Vec::with_capacity(named.orders.len());
        for id in named.orders {
            orders.push(Order::read(id, &mut replies, source)?);
        }
        if meta != Meta::read(&mut after, source)? {
            readings.push(None);
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
        readings.push(Some(judge(&it, scanned[*index])));
    }
    Ok(readings)
}
