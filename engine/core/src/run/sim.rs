//! A seeded simulator of the machine: random plans, random replies, crashes at any
//! point. One seed is one run; a failing seed reproduces.
//!
//! The simulated shell keeps the order of the real one (check, append, install,
//! perform). [`Plant`] names faults that a test plants in the shell or in the
//! machine, to see each invariant catch one.

mod invariants;
mod ledger;
mod plans;
mod plant;
mod provoke;
mod world;

use std::collections::BTreeMap;

use invariants::Violation;
use plant::Plant;
use world::World;

/// Random numbers from one seed (xorshift64*).
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let index = self.below(list.len() as u64);
        list.get(usize::try_from(index).expect("below a length"))
    }
}

/// What a series of seeds met; a simulator that never crashes proves nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub events: u64,
    pub crashes: u64,
    pub undos: u64,
    pub questions: u64,
    pub joined: u64,
    pub replays: u64,
    pub stale: u64,
    pub outcomes: BTreeMap<&'static str, u64>,
}

fn simulate(seed: u64, plant: Plant, tally: &mut Tally) -> Result<(), Violation> {
    let mut rng = Rng::new(seed);
    let plan = plans::random(&mut rng);
    World::new(&plan, rng, plant).live(tally)
}

#[test]
#[expect(clippy::print_stdout, reason = "the tally belongs in the log of CI")]
fn g2_every_run_closes_and_every_prefix_replays() {
    let mut tally = Tally::default();
    for seed in 1..=20_000 {
        if let Err(violation) = simulate(seed, Plant::Nothing, &mut tally) {
            panic!("seed {seed}: {violation}");
        }
    }
    println!("{tally:?}");
    for outcome in ["succeeded", "failed", "cancelled", "timed-out"] {
        assert!(tally.outcomes.get(outcome).is_some_and(|n| *n > 100), "{tally:?}");
    }
    assert!(tally.replays > 200 && tally.stale > 200, "{tally:?}");
    assert!(tally.crashes > 1_000 && tally.undos > 1_000 && tally.questions > 1_000, "{tally:?}");
}

/// Each planted fault is caught, and by the invariant that is there for it.
#[test]
#[expect(clippy::print_stdout, reason = "the tally belongs in the log of CI")]
fn every_invariant_catches_its_planted_fault() {
    for (plant, invariant) in Plant::ALL {
        let caught = (1..=20_000).find_map(|seed| {
            simulate(seed, *plant, &mut Tally::default()).err().map(|v| (seed, v))
        });
        let Some((seed, violation)) = caught else {
            panic!("{plant:?} was not caught in 20000 seeds")
        };
        let message = violation.message.lines().next().unwrap_or_default();
        println!("{plant:?}, seed {seed}: {}: {message}", violation.invariant);
        assert_eq!(violation.invariant, *invariant, "{plant:?}, seed {seed}: {violation}");
    }
    let guarded: std::collections::BTreeSet<_> =
        Plant::ALL.iter().map(|(_, invariant)| *invariant).collect();
    for name in invariants::ALL {
        assert!(guarded.contains(name), "no planted fault for `{name}`");
    }
}
