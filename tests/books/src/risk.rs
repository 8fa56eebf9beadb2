//! What each account holds, and what of its limit that uses up.

use std::collections::BTreeMap;

use crate::{Command, words};

/// Accounts of a market.
pub const ACCOUNTS: usize = 8;

/// The name of the `number`th account, from 0.
pub fn account(number: usize) -> String {
    format!("A{}", number + 1)
}

/// The number of an account by its name.
pub fn account_number(name: &str) -> Option<usize> {
    name.strip_prefix('A')?.parse::<usize>().ok()?.checked_sub(1).filter(|it| *it < ACCOUNTS)
}

/// The key of an account's risk hash.
pub fn risk_key(account: &str) -> String {
    format!("risk:{account}")
}

/// Positions in one instrument, by account; in pieces, bought less sold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions(BTreeMap<usize, i64>);

impl Positions {
    pub(crate) fn of(all: &[i64]) -> Self {
        Self(all.iter().copied().enumerate().filter(|(_, it)| *it != 0).collect())
    }

    /// One trade. Returns what it changes in the accounts' hashes: the positions, what
    /// is used of the limits (the sum of all positions without their signs), and the
    /// number of the change.
    pub(crate) fn trade(
        &mut self,
        isin: &str,
        buyer: usize,
        seller: usize,
        qty: u64,
    ) -> Vec<Command> {
        let qty = i64::try_from(qty).unwrap_or(i64::MAX);
        let mut commands = Vec::with_capacity(6);
        for (party, change) in [(buyer, qty), (seller, -qty)] {
            let position = self.0.entry(party).or_insert(0);
            let before = position.abs();
            *position += change;
            let used = position.abs() - before;
            let key = risk_key(&account(party));
            let field = format!("position:{isin}");
            commands.push(words(["HINCRBY", &key, &field, &change.to_string()]));
            commands.push(words(["HINCRBY", &key, "used", &used.to_string()]));
            commands.push(words(["HINCRBY", &key, "seq", "1"]));
        }
        commands
    }
}
