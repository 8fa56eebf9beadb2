//! A death at every boundary, by sample.

use std::time::Duration;

use baton_lab::crash::boundary::{Choice, Tally, every, from_outside};
use baton_lab::crash::torture::{Policy, Torture};

use super::{JOBS, bench};

fn assert_sound(tally: &Tally) {
    assert!(tally.violations.is_empty(), "\n{}", tally.table());
    assert!(2 * tally.deaths() >= tally.plays(), "hardly anything died:\n{}", tally.table());
}

#[test]
fn g2_g4_a_death_at_any_boundary_leaves_once_at_once_where_attempts_are_run_anew() {
    let bench = bench();
    let torture = Torture::new(&bench, Policy::Rerun).unwrap();
    assert_sound(&every(&torture, Choice::Sample(24), JOBS).unwrap());
}

#[test]
fn g2_g4_a_death_at_any_boundary_leaves_once_at_once_where_a_person_is_asked() {
    let bench = bench();
    let torture = Torture::new(&bench, Policy::Ask).unwrap();
    assert_sound(&every(&torture, Choice::Sample(14), JOBS).unwrap());
}

#[test]
fn g2_g4_a_death_at_any_boundary_leaves_once_at_once_where_the_tape_is_played_again() {
    let bench = bench();
    let torture = Torture::new(&bench, Policy::Replay).unwrap();
    assert_sound(&every(&torture, Choice::Sample(22), JOBS).unwrap());
}

#[test]
fn g2_g4_a_death_from_outside_leaves_once_at_once() {
    let bench = bench();
    let torture = Torture::new(&bench, Policy::Rerun).unwrap();
    let tally = from_outside(&torture, 1, 8, Duration::from_millis(150), JOBS);
    assert!(tally.violations.is_empty(), "\n{}", tally.table());
    assert!(tally.deaths() > 0, "nothing died:\n{}", tally.table());
}
