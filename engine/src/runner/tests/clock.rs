//! Time as the loop sees it.

use std::time::{Duration, Instant};

use crate::runner::Clock;

#[test]
fn a_clock_that_is_set_back_goes_on() {
    let (mut clock, begun) = (Clock::default(), Instant::now());
    let after = |ms| begun + Duration::from_millis(ms);
    assert_eq!(clock.advance(1_000_000, after(0)), 1_000_000);
    // Set back by a quarter of an hour: neither backwards nor frozen.
    assert_eq!(clock.advance(100_000, after(10)), 1_000_010);
    assert_eq!(clock.advance(100_010, after(20)), 1_000_020);
    assert_eq!(clock.advance(2_000_000, after(21)), 2_000_000);
}

#[test]
fn parts_of_a_millisecond_add_up() {
    let (mut clock, begun) = (Clock::default(), Instant::now());
    clock.advance(1_000, begun);
    for step in 1..=20 {
        clock.advance(0, begun + Duration::from_micros(500 * step));
    }
    assert_eq!(clock.latest, 1_010);
}
