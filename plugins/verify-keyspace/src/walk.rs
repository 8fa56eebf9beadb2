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
use baton_plugin::redis::{Compared, Page};
use baton_plugin::{Fault, Host};

/// Slices of a key space, at most.
const SLICES_MAX: u32 = 1024;

/// A part of a key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    /// The lowest bits that its buckets have.
    low: u64,
    mask: u64,
}

impl Slice {
    fn of(input: &Input) -> Result<Self, Fault> {
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

    /// Keys to walk over from `cursor` on, where the slice has about `keys`: half of what is
    /// left of it, so that the last steps are of single buckets and end where it ends.
    fn count(self, cursor: u64, keys: u64, page_max: u32) -> u32 {
        if self.mask == 0 {
            return page_max;
        }
        let length = (u128::from(u64::MAX) + 1) / (u128::from(self.mask) + 1);
        let end = u128::from(self.low.reverse_bits()) + length;
        let left = end.saturating_sub(u128::from(cursor.reverse_bits()));
        let half = u128::from(keys) * left / length / 2;
        u32::try_from(half).unwrap_or(page_max).clamp(1, page_max)
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
    let keys = each_page(input, sides, slice, "compared", suspects, host, |page, host| {
        let found = host.compare(&input.cluster, left, right, page, TIMEOUT_MS);
        found.map_err(|error| Fault::from_redis("cannot compare keys", &error))
    })?;
    let what = "looked for extra keys among";
    each_page(input, sides, slice, what, suspects, host, |page, host| {
        let found = host.absent(&input.cluster, right, left, page, TIMEOUT_MS);
        let found =
            found.map_err(|error| Fault::from_redis("cannot look for extra keys", &error))?;
        Ok(found.swapped())
    })?;
    Ok(keys)
}

/// Walks over the slice, in every database, page by page; gives the number of keys.
fn each_page<H: Host>(
    input: &Input,
    sides: &Sides,
    slice: Slice,
    what: &str,
    suspects: &mut Suspects,
    host: &mut H,
    mut ask: impl FnMut(&Page, &mut H) -> Result<Compared, Fault>,
) -> Result<u64, Fault> {
    let total = sides.total() / u64::from(input.slices);
    let mut speed = Pace::new(input, total, host);
    let mut keys = 0;
    for &database in &sides.databases {
        let expected = sides.keys.get(&database).copied().unwrap_or(0) / u64::from(input.slices);
        let mut page = Page { cursor: slice.begin(), ..at(input, database, speed.page()) };
        loop {
            page.count = slice.count(page.cursor, expected, speed.page());
            let found = ask(&page, host)?;
            keys += u64::from(found.keys);
            page.cursor = found.cursor;
            speed.went(u64::from(found.keys), found.slowest_us, what, host);
            suspects.add(database, found)?;
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
    fn a_slice_is_walked_to_its_end_and_no_further() {
        for (slices, size) in [(16, 1024), (16, 16), (4, 1 << 16)] {
            let mut walked = 0;
            for number in 0..slices {
                let slice = slice(number, slices).expect("a slice");
                let mut cursor = slice.begin();
                let mut calls = 0;
                loop {
                    // A key in every bucket, as SCAN counts them.
                    for _ in 0..slice.count(cursor, size / u64::from(slices), 4_000) {
                        walked += 1;
                        cursor = next(cursor, size);
                        if cursor == 0 {
                            break;
                        }
                    }
                    calls += 1;
                    if !slice.goes_on(cursor) {
                        break;
                    }
                }
                assert!(calls < 40, "{calls}");
            }
            assert_eq!(walked, size);
        }
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        for (number, slices) in [(0, 0), (0, 3), (4, 4), (0, 2048)] {
            assert!(slice(number, slices).is_err(), "{number} of {slices}");
        }
    }
}
