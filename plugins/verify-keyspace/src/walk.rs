//! Every key: what the left node has is compared, what only the right one has is found by
//! walking over that.
//!
//! SCAN walks over the buckets of a hash table in the order of their numbers read
//! backwards, bit by bit: first those whose lowest bits are 0. The buckets with certain
//! lowest bits are therefore one stretch of it, and stay one while the table grows or
//! shrinks. That is a slice ([`Slice`]): it can be walked over alone.

use crate::judge::Suspects;
use crate::nodes::Sides;
use crate::pace::Pace;
use crate::{Input, TIMEOUT_MS};
use baton_plugin::redis::Page;
use baton_plugin::{Fault, Host};

/// Slices of a key space, at most.
const SLICES_MAX: u32 = 1024;

/// A part of a key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The lowest bits that its buckets have.
    low: u64,
    mask: u64,
}

impl Slice {
    pub(crate) fn of(input: &Input) -> Result<Self, Fault> {
        let (slice, slices) = (input.slice, input.slices);
        if !slices.is_power_of_two() || slices > SLICES_MAX || slice >= slices {
            let why = format!(
                "slice {slice} of {slices}: `slices` is a power of two, {SLICES_MAX} at most, and `slice` is below it"
            );
            return Err(Fault::permanent("bad-input", why));
        }
        let low = match slices.trailing_zeros() {
            0 => 0,
            bits => u64::from(slice).reverse_bits() >> (64 - bits),
        };
        Ok(Self { low, mask: u64::from(slices) - 1 })
    }

    /// Where SCAN begins with it.
    fn begin(self) -> u64 {
        self.low
    }

    /// Whether what SCAN gave as its next cursor is still in it.
    fn goes_on(self, cursor: u64) -> bool {
        cursor != 0 && cursor & self.mask == self.low
    }
}

/// Gives the number of keys that were looked at on the left.
pub(crate) fn compare<H: Host>(
    input: &Input,
    sides: &Sides,
    right: &str,
    suspects: &mut Suspects,
    host: &mut H,
) -> Result<u64, Fault> {
    let left = sides.left.as_str();
    let slice = Slice::of(input)?;
    let mut speed = Pace::new(input, sides.total(), host);
    let mut keys = 0;
    for &database in &sides.databases {
        let mut page = Page { cursor: slice.begin(), ..at(input, database, speed.page()) };
        loop {
            let found = host
                .compare(&input.cluster, left, right, &page, TIMEOUT_MS)
                .map_err(|error| Fault::from_redis("cannot compare keys", &error))?;
            keys += u64::from(found.keys);
            page.cursor = found.cursor;
            speed.went(u64::from(found.keys), found.slowest_us, "compared", host);
            suspects.add(database, found, false)?;
            if !slice.goes_on(page.cursor) {
                break;
            }
        }
    }
    let mut speed = Pace::new(input, sides.total(), host);
    for &database in &sides.databases {
        let mut page = Page { cursor: slice.begin(), ..at(input, database, speed.page()) };
        loop {
            let found = host
                .absent(&input.cluster, right, left, &page, TIMEOUT_MS)
                .map_err(|error| Fault::from_redis("cannot look for extra keys", &error))?;
            page.cursor = found.cursor;
            speed.went(
                u64::from(found.keys),
                found.slowest_us,
                "looked for extra keys among",
                host,
            );
            suspects.add(database, found, true)?;
            if !slice.goes_on(page.cursor) {
                break;
            }
        }
    }
    Ok(keys)
}

pub(crate) fn at(input: &Input, database: u32, count: u32) -> Page {
    Page { database, cursor: 0, pattern: input.pattern.clone(), count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(slice: u32, slices: u32) -> Result<Slice, Fault> {
        let input = serde_json::json!({ "cluster": "c", "slice": slice, "slices": slices });
        Slice::of(&serde_json::from_value(input).expect("an input"))
    }

    /// Redis's own step from a cursor to the next, for a table of `size` buckets.
    fn next(cursor: u64, size: u64) -> u64 {
        let mask = size - 1;
        (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
    }

    #[test]
    fn slices_are_all_of_a_table_of_any_size_that_may_grow_and_shrink() {
        for (slices, sizes) in
            [(1, [8, 8]), (16, [4, 4]), (16, [256, 256]), (16, [64, 512]), (8, [512, 4])]
        {
            let mut seen = std::collections::BTreeSet::new();
            for number in 0..slices {
                let slice = slice(number, slices).expect("a slice");
                let mut cursor = slice.begin();
                for step in 0.. {
                    let size = sizes[usize::from(step > 2)];
                    // Of the largest table, all buckets that are one in this one.
                    let bucket = cursor & (size - 1);
                    seen.extend((0..512).filter(|it| it & (size - 1) == bucket));
                    cursor = next(cursor, size);
                    if !slice.goes_on(cursor) {
                        break;
                    }
                }
            }
            assert_eq!(seen.len(), 512, "{slices} {sizes:?}");
        }
    }

    #[test]
    fn slices_do_not_overlap() {
        let mut walked = 0;
        for number in 0..16 {
            let slice = slice(number, 16).expect("a slice");
            let mut cursor = slice.begin();
            loop {
                walked += 1;
                cursor = next(cursor, 1024);
                if !slice.goes_on(cursor) {
                    break;
                }
            }
        }
        assert_eq!(walked, 1024);
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        for (number, slices) in [(0, 0), (0, 3), (4, 4), (0, 2048)] {
            assert!(slice(number, slices).is_err(), "{number} of {slices}");
        }
    }
}
