//! Which orders there are, and of which instrument: twelve bytes an order.
//!
//! SCAN finds the orders. Most of them rest in a book, which says whose they are for much
//! less than asking each; only the others are asked. Whose an order is said to be is a
//! hint until its hash has been read with its book ([`Listing::add`]).

use baton_books::fingerprint::key_list;
use baton_books::source::{KeyList, is_wrong_type};
use baton_books::{Fields, Id, Ids, Keys, Source, Template, fnv, same};
use baton_plugin::{Fault, Host};
use std::collections::{BTreeMap, BTreeSet};

/// Nobody knows whose it is; or it is gone by now.
const NOBODY: u32 = u32::MAX;
/// Instruments whose books are read at a time.
const BOOKS: usize = 500;
/// Orders that are asked at a time.
const ASKED: usize = 10_000;
/// Instruments without a meta hash whose orders are told one by one.
const STRANGERS_MAX: usize = 1000;
/// Their orders that are told.
const STRAYS_MAX: usize = 100;

/// Where to look.
pub(crate) struct Place<'a> {
    pub(crate) source: &'a Source,
    pub(crate) keys: &'a Keys,
    pub(crate) fields: &'a Fields,
    /// Sorted, each once.
    pub(crate) isins: &'a [String],
    /// Digests of them with their places, sorted.
    digests: Vec<(u64, u32)>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(
        source: &'a Source,
        keys: &'a Keys,
        fields: &'a Fields,
        isins: &'a [String],
    ) -> Self {
        let digest = |(at, isin): (u32, &String)| (fnv(isin.as_bytes()), at);
        let mut digests: Vec<(u64, u32)> = (0..).zip(isins).map(digest).collect();
        digests.sort_unstable();
        Self { source, keys, fields, isins, digests }
    }

    /// The place of an instrument among all.
    pub(crate) fn index(&self, isin: &[u8]) -> Option<usize> {
        let digest = fnv(isin);
        let first = self.digests.partition_point(|(it, _)| *it < digest);
        let alike = self.digests[first..].iter().take_while(|(it, _)| *it == digest);
        let mut places = alike.map(|(_, at)| *at as usize);
        places.find(|at| same(self.isins[*at].as_bytes(), isin))
    }

    fn order_keys(&self, ids: &Ids, of: impl Iterator<Item = Id>) -> KeyList {
        let template = Template::of(&self.keys.order);
        let (mut list, mut id_text) = (KeyList::default(), Vec::new());
        for id in of {
            id_text.clear();
            ids.write(id, &mut id_text);
            list.push(|out| template.write(&id_text, out));
        }
        list
    }
}

/// Orders of an instrument that has no meta hash.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    pub(crate) count: usize,
    /// The first of them.
    pub(crate) ids: Vec<Id>,
}

/// All orders that were found, by instrument.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) ids: Ids,
    /// All that SCAN found at first, by instrument; `starts` says where each begins.
    grouped: Vec<Id>,
    starts: Vec<u32>,
    /// What was found later, by instrument.
    more: BTreeMap<usize, BTreeSet<Id>>,
    /// Orders of none of our instruments: they are not asked again.
    aside: BTreeSet<Id>,
    /// Orders whose instrument has no meta hash; without a name: orders that name none.
    pub(crate) strangers: BTreeMap<String, Strays>,
    /// Strangers' orders beyond what is told.
    pub(crate) strays_untold: usize,
    /// Orders whose key holds something else than a hash.
    pub(crate) no_hashes: Strays,
}

impl Listing {
    /// The orders of an instrument, sorted, each once.
    pub(crate) fn of(&self, index: usize) -> Vec<Id> {
        let start = |at: usize| self.starts.get(at).map_or(self.grouped.len(), |it| *it as usize);
        let mut all = self.grouped[start(index)..start(index + 1)].to_vec();
        if let Some(more) = self.more.get(&index) {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
        }
        all
    }

    /// How many orders it is known to have.
    pub(crate) fn count(&self, index: usize) -> usize {
        let start = |at: usize| self.starts.get(at).map_or(self.grouped.len(), |it| *it as usize);
        start(index + 1) - start(index) + self.more.get(&index).map_or(0, BTreeSet::len)
    }

    /// Whether it is known to be of that instrument.
    pub(crate) fn holds(&self, index: usize, id: Id) -> bool {
        self.of(index).binary_search(&id).is_ok()
    }

    /// An order turned out to be of this instrument.
    pub(crate) fn add(&mut self, index: usize, id: Id) {
        self.more.entry(index).or_default().insert(id);
    }

    /// Lists all orders.
    pub(crate) fn first<H: Host>(place: &Place<'_>, host: &mut H) -> Result<Self, Fault> {
        let mut listing = Self::default();
        let mut found = listing.scan(place, host)?;
        found.sort_unstable();
        found.dedup();
        let mut owners = vec![NOBODY; found.len()];
        listing.mark(place, &found, &mut owners, host)?;
        let unknown = (0..found.len()).filter(|at| owners[*at] == NOBODY).collect::<Vec<_>>();
        for piece in unknown.chunks(ASKED) {
            let ids: Vec<Id> = piece.iter().map(|at| found[*at]).collect();
            let owned = listing.ask(place, &ids, host)?;
            for (at, owner) in piece.iter().zip(owned) {
                owners[*at] = owner;
            }
        }
        drop(unknown);
        let nobodys = found.iter().zip(&owners).filter(|(_, owner)| **owner == NOBODY);
        listing.aside = nobodys.map(|(id, _)| *id).collect();
        listing.group(place.isins.len(), &found, &owners);
        Ok(listing)
    }

    /// Lists them again: what is new is added.
    pub(crate) fn again<H: Host>(&mut self, place: &Place<'_>, host: &mut H) -> Result<(), Fault> {
        let found = self.scan(place, host)?;
        let mut known: Vec<Id> = self.grouped.clone();
        known.sort_unstable();
        let mut new: Vec<Id> =
            found.into_iter().filter(|id| known.binary_search(id).is_err()).collect();
        drop(known);
        new.sort_unstable();
        new.dedup();
        new.retain(|id| !self.aside.contains(id) && !self.more.values().any(|it| it.contains(id)));
        for piece in new.chunks(ASKED) {
            let owners = self.ask(place, piece, host)?;
            for (id, owner) in piece.iter().zip(owners) {
                if owner == NOBODY {
                    self.aside.insert(*id);
                } else {
                    self.add(owner as usize, *id);
                }
            }
        }
        Ok(())
    }

    fn scan<H: Host>(&mut self, place: &Place<'_>, host: &mut H) -> Result<Vec<Id>, Fault> {
        let template = Template::of(&place.keys.order);
        let mut found = Vec::new();
        place.source.scan(&Keys::pattern(&place.keys.order), host, |key| {
            if let Some(id) = template.value(key) {
                found.push(self.ids.id(id));
            }
        })?;
        Ok(found)
    }

    /// What rests in a book is taken for that instrument's.
    fn mark<H: Host>(
        &mut self,
        place: &Place<'_>,
        found: &[Id],
        owners: &mut [u32],
        host: &mut H,
    ) -> Result<(), Fault> {
        for (number, batch) in place.isins.chunks(BOOKS).enumerate() {
            for template in [&place.keys.bids, &place.keys.asks] {
                let keys = key_list(template, batch);
                let books = place.source.each(&["ZRANGE", "0", "-1"], &keys, host)?;
                let mut replies = books.cursor();
                for at in 0..batch.len() {
                    let owner = u32::try_from(number * BOOKS + at).unwrap_or(NOBODY);
                    for _ in 0..replies.open(place.source, "ZRANGE")?.unwrap_or(0) {
                        let Some(id) = replies.text() else { continue };
                        let at = found.binary_search(&self.ids.id(id)).ok();
                        if let Some(at) = at.filter(|at| owners[*at] == NOBODY) {
                            owners[at] = owner;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whose these orders say they are.
    fn ask<H: Host>(
        &mut self,
        place: &Place<'_>,
        ids: &[Id],
        host: &mut H,
    ) -> Result<Vec<u32>, Fault> {
        let keys = place.order_keys(&self.ids, ids.iter().copied());
        let answers = place.source.each(&["HGET", &place.fields.isin], &keys, host)?;
        let mut owners = Vec::with_capacity(ids.len());
        for (id, reply) in ids.iter().zip(answers.iter()) {
            if is_wrong_type(reply) {
                self.no_hashes.note(*id);
                owners.push(NOBODY);
                continue;
            }
            place.source.list(reply, "HGET")?;
            let isin = reply.bytes().unwrap_or_default();
            let owner = place.index(isin).and_then(|it| u32::try_from(it).ok());
            if owner.is_none() {
                self.stray(isin, *id);
            }
            owners.push(owner.unwrap_or(NOBODY));
        }
        Ok(owners)
    }

    /// An order of an instrument that is none of ours.
    pub(crate) fn stray(&mut self, isin: &[u8], id: Id) {
        let isin = String::from_utf8_lossy(isin).into_owned();
        if self.strangers.len() >= STRANGERS_MAX && !self.strangers.contains_key(&isin) {
            self.strays_untold += 1;
            return;
        }
        self.strangers.entry(isin).or_default().note(id);
    }

    /// Sorts by instrument, each group by id: as a counting sort does.
    fn group(&mut self, instruments: usize, found: &[Id], owners: &[u32]) {
        let mut ends = vec![0_u32; instruments + 1];
        for owner in owners.iter().filter(|it| **it != NOBODY) {
            ends[*owner as usize + 1] += 1;
        }
        for at in 1..ends.len() {
            ends[at] += ends[at - 1];
        }
        let total = ends.last().copied().unwrap_or(0) as usize;
        self.starts.clone_from(&ends);
        let Some(filler) = found.first() else { return };
        self.grouped = vec![*filler; total];
        for (id, owner) in found.iter().zip(owners).filter(|(_, owner)| **owner != NOBODY) {
            let next = &mut ends[*owner as usize];
            self.grouped[*next as usize] = *id;
            *next += 1;
        }
    }
}

impl Strays {
    fn note(&mut self, id: Id) {
        self.count += 1;
        if self.ids.len() < STRAYS_MAX {
            self.ids.push(id);
        }
    }
}
