//! Rounds of many runs at once, under one engine that dies again and again. One seed
//! decides all of it: which runs, how many deaths, and where each of them comes.

use std::time::Duration;

use anyhow::Result;
use baton_crash::{Passing, Point};

use super::boundary::{Played, Tally};
use super::torture::{self, PLAYED_WITHIN, Policy, Torture};
use super::{Bench, Blow, Engine};
use crate::books::Dice;

/// Runs at the same time.
pub const RUNS: usize = 20;
/// Deaths of one round, at most.
const DEATHS_MAX: u64 = 4;
/// Passings of each kind within which a death comes: about what so many runs make.
const APPENDS: u64 = 250;
const CHANGES: u64 = 400;
const READS: u64 = 700;
/// The latest death from outside.
const OUTSIDE_MS: u64 = 1_500;

/// Plays `rounds` rounds, `jobs` at a time, the first of them from `seed`; what is wrong
/// names the seed of its round.
///
/// # Errors
/// When it does not even go well without deaths.
pub fn rounds(bench: &Bench, seed: u64, rounds: u64, jobs: usize) -> Result<Tally> {
    let subjects =
        Policy::ALL.map(|policy| Torture::new(bench, policy).map(|torture| (policy, torture)));
    let subjects = subjects.into_iter().collect::<Result<Vec<_>>>()?;
    let seeds: Vec<u64> = (seed..seed + rounds).collect();
    let round = |seed: u64| {
        let mut dice = Dice::new(seed);
        let blows = blows(&mut dice);
        let played = play(bench, &subjects, &mut dice, &blows);
        (format!("seed {seed}"), blows, played)
    };
    Ok(super::boundary::gather(&seeds, jobs, |seed| round(*seed)))
}

fn blows(dice: &mut Dice) -> Vec<Blow> {
    let deaths = 1 + dice.below(DEATHS_MAX);
    (0..deaths).map(|_| blow(dice)).collect()
}

fn blow(dice: &mut Dice) -> Blow {
    let kind = dice.below(u64::try_from(Point::ALL.len()).unwrap_or(u64::MAX) + 1);
    let Some(point) = usize::try_from(kind).ok().and_then(|kind| Point::ALL.get(kind)) else {
        return Blow::After(Duration::from_millis(dice.below(OUTSIDE_MS)));
    };
    let most = match point.words().0 {
        "append" => APPENDS,
        "change" => CHANGES,
        "read" => READS,
        _ => u64::try_from(RUNS).unwrap_or(u64::MAX),
    };
    Blow::At(Passing { point: *point, number: 1 + dice.below(most) })
}

fn play(
    bench: &Bench,
    subjects: &[(Policy, Torture<'_>)],
    dice: &mut Dice,
    blows: &[Blow],
) -> Result<Played> {
    let kinds = u64::try_from(subjects.len()).unwrap_or(1);
    let mut engine = Engine::start(bench.home("")?, blows.iter().copied())?;
    let mut begun = Vec::new();
    for _ in 0..RUNS {
        let (policy, subject) = &subjects[usize::try_from(dice.below(kinds)).unwrap_or(0)];
        let book = bench.book();
        let id = torture::begin(&mut engine, bench, *policy, &book)?;
        begun.push((subject, book, id));
    }
    let mut violations = Vec::new();
    for (subject, book, id) in &begun {
        let run = engine.end_of(id, PLAYED_WITHIN, |question| torture::person(bench, question))?;
        let wrong = torture::judge(bench, subject.reference(), &run, book)?;
        violations.extend(wrong.into_iter().map(|wrong| format!("{book}: {wrong}")));
        bench.forget(book)?;
    }
    violations.extend(torture::judge_engine(&mut engine)?);
    let passings = engine.passings()?;
    let blows_left = engine.blows_left();
    Ok(Played { deaths: engine.retire()?, blows_left, passings, violations })
}
