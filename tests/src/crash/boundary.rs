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
    /// All, but of each point at most so many, evenly spread over its passings.
    AtMost(u64),
    /// So many in all: the points in turn, evenly spread over the passings of each, every
    /// other one with a second death.
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
    fn count(&mut self, subject: &str, blows: &[Blow], played: Result<Played>) {
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
    let mut tally = play_all(subject, &cases(&whole.passings, choice), jobs);
    for (point, count) in whole.passings {
        if let Some(row) = tally.rows.get_mut(&point.to_string()) {
            row.passings = count;
        }
    }
    Ok(tally)
}

fn cases(passings: &BTreeMap<Point, u64>, choice: Choice) -> Vec<Vec<Blow>> {
    let once = |passing: Passing| vec![Blow::At(passing)];
    let twice = |passing: Passing| vec![Blow::At(passing), again(passing.number)];
    let all = |most: u64| {
        let of = move |(point, count): (&Point, &u64)| spread(*point, *count, most);
        passings.iter().flat_map(of)
    };
    match choice {
        Choice::All => all(u64::MAX).flat_map(|passing| [once(passing), twice(passing)]).collect(),
        Choice::AtMost(most) => all(most).map(once).collect(),
        Choice::Sample(wanted) => {
            let points = passings.values().filter(|count| **count > 0).count().max(1);
            let each = u64::try_from(wanted.div_ceil(points)).unwrap_or(u64::MAX);
            let mut chosen: Vec<Passing> = all(each).collect();
            // The first of each point, then the second of each: a cut hits all alike.
            let mut seen: BTreeMap<Point, u64> = BTreeMap::new();
            chosen.sort_by_cached_key(|passing| {
                let turn = seen.entry(passing.point).or_default();
                *turn += 1;
                (*turn, passing.point)
            });
            chosen.truncate(wanted);
            let case = |(number, passing): (usize, Passing)| {
                if number.is_multiple_of(2) { once(passing) } else { twice(passing) }
            };
            chosen.into_iter().enumerate().map(case).collect()
        }
    }
}

/// The next life dies as well, at the first thing that it writes: what it resumes.
fn again(number: u64) -> Blow {
    let point = if number.is_multiple_of(2) { Point::AppendAfter } else { Point::AppendBefore };
    Blow::At(Passing { point, number: 1 })
}

/// At most `most` of the `count` passings of a point: the middles of equal parts.
fn spread(point: Point, count: u64, most: u64) -> impl Iterator<Item = Passing> {
    let wanted = count.min(most);
    (0..wanted).map(move |part| {
        let number = 1 + (2 * part + 1) * count / (2 * wanted);
        Passing { point, number: number.min(count) }
    })
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

/// Plays `times` times under the same `blows`: to look at one case.
pub fn again_and_again(subject: &dyn Subject, blows: &[Blow], times: usize, jobs: usize) -> Tally {
    play_all(subject, &vec![blows.to_vec(); times], jobs)
}

fn play_all(subject: &dyn Subject, cases: &[Vec<Blow>], jobs: usize) -> Tally {
    gather(cases, jobs, |blows| (subject.name(), blows.clone(), subject.play(blows)))
}

/// Plays all `cases`, `jobs` at a time, and counts what came of them. `play` gives the
/// play's name, its blows and its end.
pub(super) fn gather<C: Sync>(
    cases: &[C],
    jobs: usize,
    play: impl Fn(&C) -> (String, Vec<Blow>, Result<Played>) + Sync,
) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, blows, played) = play(case);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.count(&name, &blows, played);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passings() -> BTreeMap<Point, u64> {
        [(Point::AppendBefore, 40), (Point::ChangeAfter, 20), (Point::TriggerAfter, 1)].into()
    }

    #[test]
    fn all_are_each_passing_with_one_death_and_with_two() {
        let cases = cases(&passings(), Choice::All);
        assert_eq!(cases.len(), 2 * 61);
        let distinct: std::collections::BTreeSet<_> =
            cases.iter().map(|blows| format!("{blows:?}")).collect();
        assert_eq!(distinct.len(), cases.len());
    }

    #[test]
    fn a_sample_has_all_points_and_both_ends() {
        let chosen = cases(&passings(), Choice::Sample(7));
        let firsts: Vec<String> = chosen.iter().map(|blows| blows[0].to_string()).collect();
        let expected = [
            "append:7:before",
            "change:4:after",
            "trigger:1:after",
            "append:21:before",
            "change:11:after",
            "append:34:before",
            "change:17:after",
        ];
        assert_eq!(firsts, expected);
    }
}
