//! A market at work, in a store.

use super::{Data, Store};
use crate::Violation;
use baton_market::{Book, Dice, History, Resting, Side, isin, middle, opened};
use std::collections::BTreeMap;

/// A market drawn from a seed.
#[derive(Clone)]
pub struct Scene {
    /// What is in Redis.
    pub data: Data,
    /// What the trader knows of it.
    pub books: Vec<Book>,
    history: History,
    dice: Dice,
}

impl Scene {
    /// With so many instruments, in each of which so many orders were placed.
    pub fn new(seed: u64, instruments: usize, orders: usize) -> Self {
        let mut scene = Self {
            data: Data::default(),
            books: (1..=instruments).map(|it| Book::empty(isin(it))).collect(),
            history: History::new(seed),
            dice: Dice::new(seed ^ 0x5eed),
        };
        scene.data.apply(&opened());
        for book in &mut scene.books {
            scene.data.apply(&scene.history.live(book, orders));
        }
        scene
    }

    /// An instrument's name.
    pub fn isin(&self, index: usize) -> String {
        self.books[index].isin().to_owned()
    }

    /// So many more orders in an instrument, which is named.
    pub fn go_on(&mut self, index: usize, orders: usize) -> String {
        self.data.apply(&self.history.live(&mut self.books[index], orders));
        self.isin(index)
    }

    /// A node that holds it.
    pub fn store(&self) -> Store {
        let store = Store::default();
        *store.data.borrow_mut() = self.data.clone();
        store
    }

    /// A node that holds it, and whose trader goes on: one transaction before every
    /// `every`th command on average, at most `most` of them.
    pub fn traded(mut self, every: u64, mut most: usize) -> Store {
        self.store().beside(move |data, _| {
            if most == 0 || self.dice.below(every) > 0 {
                return;
            }
            most -= 1;
            let at = usize::try_from(self.dice.below(self.books.len() as u64)).unwrap_or(0);
            data.apply(&self.history.live(&mut self.books[at], 1));
        })
    }

    /// Orders of an instrument that are as wanted, by id: their keys and fields.
    pub fn orders(
        &self,
        isin: &str,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Vec<(String, BTreeMap<String, String>)> {
        let keys = self.data.keys("order:").into_iter();
        let mut all: Vec<_> = keys
            .map(|key| (key.clone(), self.data.fields(&key)))
            .filter(|(_, it)| it.get("isin").is_some_and(|it| it == isin) && wanted(it))
            .collect();
        all.sort_by_key(|(key, _)| id_of(key).parse::<u64>().unwrap_or(0));
        all
    }
}

/// How many trades a book has seen.
pub fn trades(book: &Book) -> u64 {
    book.trades()
}

/// An order that rests whatever is in the book.
pub fn passive(book: &Book, qty: u64) -> Resting {
    Resting { side: Side::Bid, price: middle(book.isin()) - 200, remaining: qty, account: 0 }
}

fn id_of(key: &str) -> &str {
    key.trim_start_matches("order:")
}

/// Violations as `invariant instrument key`, each once, sorted.
pub fn keys_of(violations: &[Violation]) -> Vec<String> {
    let line = |it: &Violation| format!("{} {} {}", it.invariant, it.instrument, it.key);
    let mut all: Vec<String> = violations.iter().map(line).collect();
    all.sort();
    all.dedup();
    all
}

/// What is found and was not expected, and the other way round; none where all agree.
pub fn mismatch(violations: &[Violation], expected: &[String]) -> Option<String> {
    let found = keys_of(violations);
    let mut expected = expected.to_vec();
    expected.sort();
    expected.dedup();
    if found == expected {
        return None;
    }
    let lacking: Vec<&String> = expected.iter().filter(|it| !found.contains(it)).collect();
    let beyond: Vec<&Violation> = violations
        .iter()
        .filter(|it| !expected.contains(&keys_of(std::slice::from_ref(it))[0]))
        .collect();
    Some(format!("not found: {lacking:#?}; not expected: {beyond:#?}"))
}
