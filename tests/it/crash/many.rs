//! Many at once, and an engine that dies in the middle of it.

use baton_lab::crash::deliveries::{Flood, flood};
use baton_lab::crash::random;

use super::{JOBS, bench};

/// The seed of all that is random here.
const SEED: u64 = 1;

#[test]
fn g1_every_delivery_that_was_answered_is_a_run_and_the_same_one_is_one_run() {
    let bench = bench();
    let sent = Flood { identical: 1_000, distinct: 1_000, senders: 8 };
    let flooded = flood(&bench, SEED, sent).unwrap();
    assert!(flooded.violations.is_empty(), "{:#?}", flooded.violations);
    assert!(flooded.deaths >= 3, "it died only {} times", flooded.deaths);
}

#[test]
fn g2_g4_many_runs_at_once_survive_deaths_at_random() {
    let tally = random::rounds(&bench(), SEED, 4, JOBS).unwrap();
    assert!(tally.violations.is_empty(), "\n{}", tally.table());
    assert!(tally.deaths() > 0, "nothing died:\n{}", tally.table());
}
