//! Places at which a test may kill the engine: one call, [`point`], in the product's
//! code, which compiles to nothing unless the feature `armed` is on.
//!
//! Armed, a process counts how often it passes each [`Point`], and two variables of its
//! environment say what is done with that:
//! - `BATON_CRASH_AT=append:17:before` kills it by SIGKILL, as it passes that point for
//!   the 17th time. What others do in that moment is cut off as by a power switch.
//! - `BATON_CRASH_COUNT=FILE` keeps the counts in that file: how many crashes there are
//!   to try.
//!
//! Only the tests' own crate arms it. `cargo build --package baton` has none of this,
//! and a test holds it to that.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "armed")]
mod armed;

/// What a crash can come between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Batches are staged together, and nothing of them is written.
    AppendBefore,
    /// They are written, and not yet forced to the disk.
    AppendWritten,
    /// They are on disk in the log, the store has not taken them, and nobody has been told.
    AppendSynced,
    /// They are everywhere, and who waited has been told: what follows has begun.
    AppendAfter,
    /// A plugin is about to change something: nothing is intended yet.
    ChangeBefore,
    /// The intents of a change are on disk, and nothing is sent.
    ChangeIntended,
    /// A change was sent and answered, and nobody has been told.
    ChangeAfter,
    /// A plugin is about to read.
    ReadBefore,
    /// What it read is there, and it has not been told.
    ReadAfter,
    /// A trigger has come in, and nothing is decided.
    TriggerBefore,
    /// What became of a trigger is on disk, and its sender has not been told.
    TriggerAfter,
}

impl Point {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::AppendBefore,
        Self::AppendWritten,
        Self::AppendSynced,
        Self::AppendAfter,
        Self::ChangeBefore,
        Self::ChangeIntended,
        Self::ChangeAfter,
        Self::ReadBefore,
        Self::ReadAfter,
        Self::TriggerBefore,
        Self::TriggerAfter,
    ];

    /// Its place and its moment, as they are spelled.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::AppendBefore => ("append", "before"),
            Self::AppendWritten => ("append", "written"),
            Self::AppendSynced => ("append", "synced"),
            Self::AppendAfter => ("append", "after"),
            Self::ChangeBefore => ("change", "before"),
            Self::ChangeIntended => ("change", "intended"),
            Self::ChangeAfter => ("change", "after"),
            Self::ReadBefore => ("read", "before"),
            Self::ReadAfter => ("read", "after"),
            Self::TriggerBefore => ("trigger", "before"),
            Self::TriggerAfter => ("trigger", "after"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, moment) = self.words();
        write!(out, "{place} {moment}")
    }
}

/// The `number`th passing of a point, from 1: `append:17:before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passing {
    /// Which point.
    pub point: Point,
    /// Which passing of it, from 1.
    pub number: u64,
}

impl fmt::Display for Passing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, moment) = self.point.words();
        write!(out, "{place}:{}:{moment}", self.number)
    }
}

impl FromStr for Passing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("`{text}` is no passing of a crash point, as `append:17:before` is");
        let mut words = text.split(':');
        let (Some(place), Some(number), Some(moment), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        let point = Point::ALL.into_iter().find(|point| point.words() == (place, moment));
        let number = number.parse().ok().filter(|number| *number > 0);
        point.zip(number).map(|(point, number)| Self { point, number }).ok_or_else(bad)
    }
}

/// The engine passes `point`. Does nothing unless armed and told to.
#[inline]
pub fn point(point: Point) {
    #[cfg(feature = "armed")]
    armed::pass(point);
    #[cfg(not(feature = "armed"))]
    let _ = point;
}

#[cfg(test)]
mod tests {
    use super::{Passing, Point};

    #[test]
    fn a_passing_is_read_as_it_is_written() {
        for point in Point::ALL {
            let passing = Passing { point, number: 17 };
            assert_eq!(passing.to_string().parse(), Ok(passing));
        }
    }

    #[test]
    fn what_is_no_passing_is_refused() {
        for text in
            ["", "append", "append:0:before", "append:x:before", "append:1:between", "a:1:b:c"]
        {
            assert!(text.parse::<Passing>().is_err(), "{text}");
        }
    }
}
