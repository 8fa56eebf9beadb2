//! Trade ids over all instruments: eight bytes a trade.

use std::collections::BTreeMap;

/// Trades whose ids are compared over all instruments: 32 MiB of a guest's memory.
const TRADES_MAX: usize = 4_000_000;
/// Ids that were seen twice, as far as they are looked at more closely.
const SUSPECTS_MAX: usize = 10_000;
/// Digests in one piece, so that growing never copies them all.
const PIECE: usize = 64 * 1024;

/// Digests of ids. Equal digests are a suspicion, not yet a finding.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    pieces: Vec<Vec<u64>>,
    /// Trades beyond what can be compared.
    pub(crate) left_out: usize,
}

impl Digests {
    /// Adds the ids of an instrument.
    pub(crate) fn extend(&mut self, digests: &[u64]) {
        for digest in digests {
            if self.len() >= TRADES_MAX {
                self.left_out += 1;
                continue;
            }
            if self.pieces.last().is_none_or(|it| it.len() == PIECE) {
                self.pieces.push(Vec::with_capacity(PIECE));
            }
            if let Some(piece) = self.pieces.last_mut() {
                piece.push(*digest);
            }
        }
    }

    fn len(&self) -> usize {
        match self.pieces.split_last() {
            Some((last, full)) => full.len() * PIECE + last.len(),
            None => 0,
        }
    }

    /// Those that are there more than once, sorted.
    pub(crate) fn twice(mut self) -> Vec<u64> {
        self.pieces.iter_mut().for_each(|it| it.sort_unstable());
        let mut heads: BTreeMap<(u64, usize), usize> = BTreeMap::new();
        for (piece, all) in self.pieces.iter().enumerate() {
            if let Some(first) = all.first() {
                heads.insert((*first, piece), 0);
            }
        }
        let (mut last, mut twice) = (None, Vec::new());
        while let Some(((digest, piece), at)) = heads.pop_first() {
            if last == Some(digest) && twice.last() != Some(&digest) && twice.len() < SUSPECTS_MAX {
                twice.push(digest);
            }
            last = Some(digest);
            if let Some(next) = self.pieces[piece].get(at + 1) {
                heads.insert((*next, piece), at + 1);
            }
        }
        twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_books::fnv as digest;

    #[test]
    fn what_is_there_twice_is_found_however_far_apart() {
        let mut digests = Digests::default();
        let all: Vec<u64> = (0..200_000).map(|it: u64| digest(&it.to_le_bytes())).collect();
        digests.extend(&all);
        digests.extend(&[all[5], all[5], all[199_999]]);
        let mut expected = vec![all[5], all[199_999]];
        expected.sort_unstable();
        assert_eq!(digests.twice(), expected);
        assert!(Digests::default().twice().is_empty());
    }
}
