//! What a client was promised, and what of it is still there.
//!
//! Every transaction of the trader also appends its number to a list in Redis.
//! The list is part of the transaction, so a number in it proves the rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redis::Connection;

/// The acknowledgements of one client, in order.
#[derive(Clone, Debug)]
pub struct History {
    /// The list in Redis where its transactions left their numbers.
    key: String,
    acked: Vec<Acked>,
    in_doubt: Vec<u64>,
}

/// One acknowledged transaction.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Its number, from 1.
    pub number: u64,
    /// When the acknowledgement was read.
    pub at: Instant,
}

/// A silence between two acknowledgements.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The last acknowledgement before it.
    pub from: Instant,
    /// The first one after it.
    pub to: Instant,
}

impl Gap {
    /// How long nothing was acknowledged.
    pub fn length(&self) -> Duration {
        self.to.duration_since(self.from)
    }
}

/// What a server holds of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions that were acknowledged.
    pub acked: usize,
    /// Acknowledged, and not there: lost.
    pub lost: Vec<u64>,
    /// There more than once: something repeated them.
    pub doubled: Vec<u64>,
    /// Sent, never acknowledged, and there. Nobody was promised anything.
    pub unpromised: usize,
    /// Sent, never acknowledged, and not there.
    pub vanished: usize,
}

impl History {
    /// An empty history whose transactions write to the list `key`.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), acked: Vec::new(), in_doubt: Vec::new() }
    }

    /// The list in Redis.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Records that `number` was acknowledged now.
    pub fn record(&mut self, number: u64) {
        self.acked.push(Acked { number, at: Instant::now() });
    }

    /// Records that `number` was sent and got no clear answer.
    pub fn doubt(&mut self, number: u64) {
        self.in_doubt.push(number);
    }

    /// The acknowledgements, oldest first.
    pub fn acked(&self) -> &[Acked] {
        &self.acked
    }

    /// The longest silence that ended after `fault`; none while it lasts, or
    /// when nothing was acknowledged.
    pub fn gap_after(&self, fault: Instant) -> Option<Gap> {
        self.acked
            .windows(2)
            .filter(|pair| pair[1].at > fault)
            .map(|pair| Gap { from: pair[0].at, to: pair[1].at })
            .max_by_key(Gap::length)
    }

    /// Compares with what the server behind `connection` holds.
    ///
    /// # Errors
    /// When it does not answer, or its list holds something else than numbers.
    pub fn account(&self, connection: &mut Connection) -> Result<Account> {
        let found: Vec<u64> = redis::cmd("LRANGE")
            .arg(&self.key)
            .arg(0)
            .arg(-1)
            .query(connection)
            .with_context(|| format!("read {}", self.key))?;
        Ok(self.compare(&found))
    }

    fn compare(&self, found: &[u64]) -> Account {
        let mut there = BTreeSet::new();
        let doubled = found.iter().copied().filter(|number| !there.insert(*number)).collect();
        let acked = self.acked.iter().map(|acked| acked.number);
        let landed = self.in_doubt.iter().filter(|number| there.contains(number)).count();
        Account {
            acked: self.acked.len(),
            lost: acked.filter(|number| !there.contains(number)).collect(),
            doubled,
            unpromised: landed,
            vanished: self.in_doubt.len() - landed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_unpromised_are_told_apart() {
        let mut history = History::new("list");
        for number in [1, 2, 3, 6] {
            history.record(number);
        }
        history.doubt(4);
        history.doubt(5);
        let account = history.compare(&[1, 3, 3, 4]);
        assert_eq!((account.lost, account.doubled), (vec![2, 6], vec![3]));
        assert_eq!((account.acked, account.unpromised, account.vanished), (4, 1, 1));
    }

    #[test]
    fn the_gap_is_the_longest_one_that_ended_after_the_fault() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let acked = |(number, ms)| Acked { number, at: at(ms) };
        let times = [(1, 0), (2, 900), (3, 1_000), (4, 1_001), (5, 1_300), (6, 1_301)];
        let history =
            History { key: String::new(), acked: times.map(acked).to_vec(), in_doubt: vec![] };
        let gap = history.gap_after(at(1_000)).unwrap();
        assert_eq!(gap.length(), Duration::from_millis(299), "the one of 900 ms ended before");
        assert!(history.gap_after(at(2_000)).is_none(), "it has not ended");
    }
}
