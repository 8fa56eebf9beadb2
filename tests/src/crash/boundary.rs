//! Every passing of every point: counted once, and then a death at each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_crash::{Passing, Point};

use super::Blow;
use crate::books::Dice;

/// Something that is played from its beginning to its end, whatever dies meanwhile.
pub trait Subject: Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// Plays it once, under these blows.
    ///
    /// # Errors
    /// When it could not be played to its end: a violation too, unless no blow fell.
    fn play(&self, blows: &[Blow]) -> Result<Played>;
}

/// One play.
#[derive(Clone, Debug)]
pub struct Played {
    /// How often the engine died.
    pub deaths: u32,
    /// Blows that did not fall.
    pub blows_left: usize,
    /// How often the first life passed each point.
    pub passings: BTreeMap<Point, u64>,
    /// What is not as promised.
    pub violations: Vec<String>,
}

/// Which of all cases are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All, each also with a second death in the recovery from the first.
    All,
    /// So many, evenly spread over all.
    Sample(usize),
}

/// What came of many plays.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By what killed.
    rows: BTreeMap<String, Row>,
    /// What is not as promised, each with its blows.
    pub violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    passings: u64,
    plays: u64,
    deaths: u64,
    spared: u64,
    violations: u64,
}

impl Tally {
    /// Plays so far.
    pub fn plays(&self) -> u64 {
        self.rows.values().map(|row| row.plays).sum()
    }

    /// Deaths so far.
    pub fn deaths(&self) -> u64 {
        self.rows.values().map(|row| row.deaths).sum()
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<18}{:>9}{:>7}{:>8}{:>8}{:>12}\n",
            "place", "passings", "plays", "deaths", "spared", "violations"
        );
        for (place, row) in &self.rows {
            let Row { passings, plays, deaths, spared, violations } = row;
            let _infallible = writeln!(
                text,
                "{place:<18}{passings:>9}{plays:>7}{deaths:>8}{spared:>8}{violations:>12}"
            );
        }
        for violation in &self.violations {
            let _infallible = writeln!(text, "  ✗ {violation}");
        }
        text
    }

    /// Counts one play under `blows` of `subject`.
    pub(super) fn count(&mut self, subject: &str, blows: &[Blow], played: Result<Played>) {
        let (deaths, spared, wrong) = match played {
            Ok(played) => (played.deaths, played.blows_left > 0, played.violations),
            Err(error) => (0, false, vec![format!("{error:#}")]),
        };
        let row = self.rows.entry(place(blows)).or_default();
        row.plays += 1;
        row.deaths += u64::from(deaths);
        row.spared += u64::from(spared);
        row.violations += u64::try_from(wrong.len()).unwrap_or(u64::MAX);
        let killed: Vec<_> = blows.iter().map(Blow::to_string).collect();
        let killed = killed.join(", then ");
        self.violations
            .extend(wrong.into_iter().map(|wrong| format!("{subject}, killed {killed}: {wrong}")));
    }
}

/// The row of a table: by the first blow.
fn place(blows: &[Blow]) -> String {
    match blows {
        [] => "nowhere".to_owned(),
        [Blow::At(passing), ..] => passing.point.to_string(),
        [Blow::After(_), ..] => "from outside".to_owned(),
    }
}

/// Counts the passings of an uncrashed play, and plays again with a death at each of
/// them that is chosen; `jobs` plays at a time.
///
/// # Errors
/// When it does not even go well uncrashed.
pub fn every(subject: &dyn Subject, choice: Choice, jobs: usize) -> Result<Tally> {
    let whole = subject.play(&[])?;
    ensure!(whole.violations.is_empty(), "uncrashed, {}: {:?}", subject.name(), whole.violations);
    let all: Vec<Passing> = whole
        .passings
        .iter()
        .flat_map(|(point, count)| (1..=*count).map(|number| Passing { point: *point, number }))
        .collect();
    let mut tally = play_all(subject, &cases(&all, choice), jobs);
    for (point, count) in whole.passings {
        if let Some(row) = tally.rows.get_mut(&point.to_string()) {
            row.passings = count;
        }
    }
    Ok(tally)
}

fn cases(all: &[Passing], choice: Choice) -> Vec<Vec<Blow>> {
    // The next life dies as well, at the first thing that it writes: what it resumes.
    let again = |number: usize| {
        let point = if number.is_multiple_of(2) { Point::AppendAfter } else { Point::AppendBefore };
        Blow::At(Passing { point, number: 1 })
    };
    let mut cases: Vec<Vec<Blow>> = Vec::new();
    for (number, passing) in all.iter().enumerate() {
        cases.push(vec![Blow::At(*passing)]);
        cases.push(vec![Blow::At(*passing), again(number)]);
    }
    match choice {
        Choice::All => cases,
        Choice::Sample(wanted) => {
            let wanted = wanted.min(cases.len());
            // The middle of each of so many equal parts.
            let at = |part: usize| (2 * part + 1) * cases.len() / (2 * wanted);
            (0..wanted).map(|part| cases[at(part)].clone()).collect()
        }
    }
}

/// Plays `count` times with a death from outside, at a time that `seed` decides, up to
/// `longest` after the engine was ready.
pub fn from_outside(
    subject: &dyn Subject,
    seed: u64,
    count: usize,
    longest: Duration,
    jobs: usize,
) -> Tally {
    let mut dice = Dice::new(seed);
    let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut blow = || Blow::After(Duration::from_millis(dice.below(longest_ms)));
    let cases: Vec<_> = (0..count).map(|_| vec![blow()]).collect();
    play_all(subject, &cases, jobs)
}

fn play_all(subject: &dyn Subject, cases: &[Vec<Blow>], jobs: usize) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while let Some(blows) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let played = subject.play(blows);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.count(&subject.name(), blows, played);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}
