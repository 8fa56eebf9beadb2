//! Repeatable randomness, and what a trader draws from it.

use crate::{ACCOUNTS, Side};

/// Prices of one instrument stay within this of its first price, in cents.
const SPREAD_CENTS: u64 = 200;

/// Repeatable randomness (`SplitMix64`): a laboratory's run can be told by its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Bid or ask, evenly.
    pub fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Bid } else { Side::Ask }
    }

    /// One of the accounts.
    pub fn account(&mut self) -> usize {
        usize::try_from(self.below(ACCOUNTS as u64)).unwrap_or(0)
    }

    /// A price on the passive side of `middle`, in cents.
    pub fn passive_price(&mut self, side: Side, middle: u64) -> u64 {
        let away = 1 + self.below(SPREAD_CENTS);
        match side {
            Side::Bid => middle - away,
            Side::Ask => middle + away,
        }
    }
}

/// The price around which an instrument trades, in cents: 80.00 to 120.00.
pub fn middle(isin: &str) -> u64 {
    let sum: u64 = isin.bytes().map(u64::from).fold(7, |sum, byte| sum * 31 + byte);
    8_000 + sum % 4_000
}
