//! A sample of the failover laboratory; all of it: `cargo xtask chaos`
//! (docs/testing-failover.md).

use std::path::Path;

use baton_lab::chaos::{Fault, Mode, Plan, Site, head, matrix, play_all, row};

use crate::cli::binary;

/// Rounds at the same time: they wait for servers most of the time.
const JOBS: usize = 4;

/// Plays all of these; none may have a violation.
#[expect(clippy::print_stdout, reason = "the figures belong in the log of CI")]
fn hold(plans: &[Plan]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Shared by all tests: a plugin is compiled once.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
    let site = Site::new(root, &binary(), &cache).unwrap();
    // Before several engines do so at once, under a clock.
    site.compile().unwrap();
    println!("{}", head());
    let outcomes = play_all(&site, plans, JOBS, |number, outcome| {
        println!("{}", row(&plans[number], outcome));
    });
    let bad: Vec<String> = plans
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !outcome.as_ref().is_ok_and(|it| it.violations.is_empty()))
        .map(|(plan, outcome)| row(plan, outcome))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The row of the matrix with this fault alone, the engine left alone.
fn alone(fault: Fault, mode: Mode) -> Plan {
    matrix(1, Some(fault), Some(mode)).remove(0)
}

#[test]
fn g8_chaos_partitions_cost_no_acknowledged_write_that_nobody_keeps() {
    hold(&[
        alone(Fault::PartitionMaster, Mode::Lead),
        alone(Fault::PartitionGatedMaster, Mode::Lead),
        alone(Fault::PartitionEngine, Mode::Lead),
        alone(Fault::PartitionWithEngine, Mode::Lead),
    ]);
}

#[test]
fn g8_chaos_traps_promote_nobody_or_the_right_one() {
    hold(&[
        alone(Fault::BothLaggingDeclared, Mode::Lead),
        alone(Fault::ForeignLineage, Mode::Lead),
        alone(Fault::PriorityTrap, Mode::Lead),
        alone(Fault::AheadUnreachable, Mode::Lead),
    ]);
}

#[test]
fn g8_chaos_what_is_not_death_is_left_alone_and_an_observer_touches_nothing() {
    hold(&[
        alone(Fault::DiskFull, Mode::Lead),
        alone(Fault::BusyScript, Mode::Lead),
        alone(Fault::WrongPassword, Mode::Lead),
        alone(Fault::KillMaster, Mode::Observe),
    ]);
}

#[test]
fn g8_chaos_rounds_of_a_seed_hold() {
    let plans: Vec<Plan> = (1..=4).map(|seed| Plan::drawn(seed, None, Some(Mode::Lead))).collect();
    hold(&plans);
}
