//! What was found of each instrument: bounded lists, honest counts.

use crate::Violation;
use baton_plugin::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Violations listed; all are counted.
pub const VIOLATIONS_MAX: usize = 1000;
/// Instruments listed, of those to halt and of those that are safe; all are counted.
pub const INSTRUMENTS_MAX: usize = 1000;
/// Violations that one instrument keeps: enough to see what is wrong with it.
const KEPT_OF_ONE: usize = 100;
/// Reasons of one instrument to be halted.
const REASONS_MAX: usize = 10;
/// Bytes of those that are to be halted: three checks' are one gate's input, of 1 MiB.
const HALT_BYTES_MAX: usize = 200 * 1024;
/// Bytes of all texts kept: an output has at most 1 MiB.
const BYTES_MAX: usize = 500 * 1024;

/// Why an instrument must not be traded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Halt {
    /// Which.
    pub instrument: String,
    /// Its violations.
    pub violations: usize,
    /// Each broken invariant with a key where it shows, once; at most 10.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reason {
    /// The invariant that is broken.
    pub invariant: String,
    /// Where it shows.
    pub key: String,
}

impl Halt {
    fn of(instrument: String, found: &Found) -> Self {
        let mut reasons: Vec<Reason> = Vec::new();
        for it in &found.kept {
            let reason = Reason { invariant: it.invariant.clone(), key: it.key.clone() };
            if reasons.len() < REASONS_MAX && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Self { instrument, violations: found.count, reasons }
    }

    /// As JSON, roughly.
    fn bytes(&self) -> usize {
        let reason = |it: &Reason| 30 + it.invariant.len() + it.key.len();
        60 + self.instrument.len() + self.reasons.iter().map(reason).sum::<usize>()
    }
}

/// What was found, instrument by instrument.
#[derive(Debug, Default)]
pub struct Tally {
    found: BTreeMap<String, Found>,
}

/// What is wrong with one instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// All of it.
    pub count: usize,
    /// The first of it.
    pub kept: Vec<Violation>,
}

impl Found {
    /// Adds one more.
    pub fn push(&mut self, violation: Violation) {
        self.count += 1;
        if self.kept.len() < KEPT_OF_ONE {
            self.kept.push(violation);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn extend(&mut self, other: Self) {
        self.count += other.count;
        let room = KEPT_OF_ONE.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }
}

/// What a [`Tally`] comes to.
#[derive(Debug, Default)]
pub struct Sum {
    /// The first violations, at most [`VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// All of them.
    pub violation_count: usize,
    /// Instruments that must not be traded, at most [`INSTRUMENTS_MAX`].
    pub halt: Vec<Halt>,
    /// All of them.
    pub halted: usize,
}

impl Tally {
    /// What is wrong with an instrument, in place of what was said before.
    pub fn set(&mut self, instrument: &str, found: Found) {
        self.found.remove(instrument);
        self.add(instrument, found);
    }

    /// What else is wrong with it.
    pub fn add(&mut self, instrument: &str, found: Found) {
        if !found.is_empty() {
            self.found.entry(instrument.to_owned()).or_default().extend(found);
        }
    }

    /// One thing more that is wrong with it.
    pub fn push(&mut self, violation: Violation) {
        self.found.entry(violation.instrument.clone()).or_default().push(violation);
    }

    /// Whether something is wrong with it.
    pub fn is_halted(&self, instrument: &str) -> bool {
        self.found.contains_key(instrument)
    }

    /// All of it.
    pub fn close(self) -> Sum {
        let mut sum = Sum::default();
        let (mut bytes, mut halt_bytes) = (0, 0);
        for (instrument, found) in self.found {
            sum.violation_count += found.count;
            if !instrument.is_empty() {
                sum.halted += 1;
                let halt = Halt::of(instrument, &found);
                halt_bytes += halt.bytes();
                if sum.halt.len() < INSTRUMENTS_MAX && halt_bytes <= HALT_BYTES_MAX {
                    sum.halt.push(halt);
                }
            }
            for it in found.kept {
                bytes += 80 + it.key.len() + it.message.len() + it.instrument.len();
                if sum.violations.len() < VIOLATIONS_MAX && bytes <= BYTES_MAX {
                    sum.violations.push(it);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(count: usize, message: &str) -> Found {
        let mut found = Found::default();
        for number in 0..count {
            found.push(Violation::new("sum", "XS", &format!("order:{number}"), message));
        }
        found
    }

    #[test]
    fn lists_are_bounded_and_counts_are_not() {
        let mut tally = Tally::default();
        for number in 0..3000 {
            tally.add(&format!("XS{number:04}"), violations(3, "off"));
        }
        tally.add("XS0000", violations(10_000, "off"));
        let sum = tally.close();
        assert_eq!((sum.halted, sum.violation_count), (3000, 19_000));
        assert!(sum.halt.len() <= INSTRUMENTS_MAX && sum.violations.len() <= VIOLATIONS_MAX);
        assert!(sum.halt.len() > 500, "{}", sum.halt.len());
        assert_eq!(sum.halt[0].violations, 10_003);
        assert_eq!(sum.halt[0].reasons.len(), REASONS_MAX);
    }

    #[test]
    fn long_texts_do_not_make_an_output_too_large() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.add(&format!("XS{number:04}"), violations(100, &"x".repeat(5000)));
        }
        let bytes: usize = tally.close().violations.iter().map(|it| it.message.len()).sum();
        assert!(bytes <= BYTES_MAX);
    }

    #[test]
    fn what_is_found_again_takes_the_place_of_what_was() {
        let mut tally = Tally::default();
        tally.set("XS1", violations(2, "off"));
        tally.set("XS1", violations(1, "off"));
        tally.set("XS2", violations(1, "off"));
        tally.set("XS2", Found::default());
        assert!(tally.is_halted("XS1") && !tally.is_halted("XS2"));
        assert_eq!(tally.close().violation_count, 1);
    }
}
