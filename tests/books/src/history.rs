//! Whole markets, drawn from a seed: what each instrument went through until now.

use crate::{ACCOUNTS, Book, Command, Dice, Resting, Side, account, middle, risk_key, words};

/// The largest order, in pieces.
const QTY_MAX: u64 = 50;
/// Of a hundred orders so many take what rests, and so many times one is cancelled.
const TAKERS_PERCENT: u64 = 25;
const CANCELLED_PERCENT: u64 = 15;
/// No account comes near it, in pieces.
const LIMIT: u64 = 1_000_000_000;

/// The accounts, before anything was traded.
pub fn opened() -> Vec<Command> {
    let limit = LIMIT.to_string();
    let open = |number| {
        let key = risk_key(&account(number));
        words(["HSET", &key, "limit", &limit, "used", "0", "seq", "0"])
    };
    (0..ACCOUNTS).map(open).collect()
}

/// Draws the pasts of instruments, one after the other.
#[derive(Clone, Debug)]
pub struct History {
    dice: Dice,
    /// The id of the next order; ids are never used twice.
    pub next_order: u64,
}

impl History {
    /// The same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), next_order: 1 }
    }

    /// The past of `book` in which `orders` more orders were placed: most rest, some
    /// trade, some are cancelled. Returns the commands of one transaction, the meta hash
    /// last.
    pub fn live(&mut self, book: &mut Book, orders: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        for _ in 0..orders {
            let side = self.dice.side();
            let taken = book.best(side.other());
            let price = match taken {
                Some(price) if self.dice.below(100) < TAKERS_PERCENT => price,
                _ => self.dice.passive_price(side, middle(book.isin())),
            };
            let remaining = 1 + self.dice.below(QTY_MAX);
            let order = Resting { side, price, remaining, account: self.dice.account() };
            commands.extend(book.enter(self.next_order, order));
            self.next_order += 1;
            if self.dice.below(100) < CANCELLED_PERCENT {
                let nth = self.dice.below(book.resting().len().max(1) as u64);
                let nth = usize::try_from(nth).unwrap_or(0);
                if let Some(id) = book.resting().keys().nth(nth).copied() {
                    commands.extend(book.withdraw(id));
                }
            }
        }
        commands.push(book.seal());
        commands
    }

    /// As [`History::live`], of orders that only rest.
    pub fn rest(&mut self, book: &mut Book, sides: &[Side]) -> Vec<Command> {
        let mut commands = Vec::new();
        for side in sides.iter().copied() {
            let price = self.dice.passive_price(side, middle(book.isin()));
            let remaining = 1 + self.dice.below(QTY_MAX);
            let order = Resting { side, price, remaining, account: self.dice.account() };
            commands.extend(book.enter(self.next_order, order));
            self.next_order += 1;
        }
        commands.push(book.seal());
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_is_the_same_for_the_same_seed_and_has_all_there_is() {
        let past = |seed| {
            let mut book = Book::empty("XS0000000001");
            let commands = History::new(seed).live(&mut book, 200);
            (book, commands)
        };
        let ((book, commands), again) = (past(7), past(7));
        assert_eq!((&book, &commands), (&again.0, &again.1));
        assert_ne!(commands, past(8).1);
        let count = |name: &str, word: &str| {
            commands.iter().filter(|it| it[0] == name && it.iter().any(|it| it == word)).count()
        };
        assert_eq!(count("HSET", "isin"), 200);
        assert!(book.trades() > 20 && count("HSET", "cancelled") > 10 && book.resting().len() > 60);
        assert!(book.best(Side::Bid) < book.best(Side::Ask), "passive prices never cross");
    }
}
