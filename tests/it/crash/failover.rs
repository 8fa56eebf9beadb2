//! The real failover, cut off, on real clusters.

use std::path::Path;
use std::time::Duration;

use baton_lab::crash::boundary::{Choice, every, from_outside};
use baton_lab::crash::failover::{Begun, Failover};

use super::JOBS;
use crate::cli::binary;

fn failover(begun: Begun) -> (tempfile::TempDir, Failover) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let failover = Failover::new(root, &binary(), cache.path(), begun).unwrap();
    (cache, failover)
}

#[test]
fn g2_g8_a_failover_that_is_cut_off_ends_with_one_master_and_nothing_lost() {
    let (_cache, failover) = failover(Begun::ByAlert);
    let tally = every(&failover, Choice::Sample(5), JOBS).unwrap();
    assert!(tally.violations.is_empty(), "\n{}", tally.table());
    assert!(2 * tally.deaths() >= tally.plays(), "hardly anything died:\n{}", tally.table());
}

#[test]
fn g2_g8_a_failover_begun_by_its_watch_survives_a_death_from_outside() {
    let (_cache, failover) = failover(Begun::ByAll);
    let tally = from_outside(&failover, 1, 2, Duration::from_millis(1_500), JOBS);
    assert!(tally.violations.is_empty(), "\n{}", tally.table());
}
