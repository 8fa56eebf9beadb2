//! What one seed decides, and the matrix.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::books::Dice;
use crate::crash::{Blow, Passing, Point};

use super::fault::Fault;
use super::story::{go_together, needs, story};

/// When the first fault comes, ms after the engine is ready: its watch has looked.
const FIRST_MS: std::ops::Range<u64> = 600..2_600;
/// How much later a second one may come, ms.
const SECOND_MS_MAX: u64 = 3_000;
/// When the engine is killed, ms after the first fault, and how long it stays away, ms.
const KILL_MS_MAX: u64 = 4_000;
const AWAY_MS_MAX: u64 = 1_500;
/// In the middle of what Baton does about a fault, ms after it.
const MIDDLE_MS: std::ops::Range<u64> = 100..1_200;
/// About what a failover makes of each kind until it has promoted.
const APPENDS: u64 = 60;
const CHANGES: u64 = 12;
const READS: u64 = 250;

/// What Baton may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Observe,
    /// What Sentinel does not.
    Assist,
    /// All of it.
    Lead,
}

impl Mode {
    /// As baton.toml spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Assist => "assist",
            Self::Lead => "lead",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found =
            [Self::Observe, Self::Assist, Self::Lead].into_iter().find(|it| it.word() == text);
        found.ok_or_else(|| format!("no mode is called {text:?}; there are observe, assist, lead"))
    }
}

/// What Sentinels do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinels {
    /// They fail over by themselves: quorum 2 of 3.
    Act,
    /// They say what they see: their quorum is out of reach.
    LookOn,
}

/// One death of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKill {
    /// From outside.
    Outside {
        /// After the beginning, ms.
        at_ms: u64,
        /// Until it is started again, ms.
        away_ms: u64,
    },
    /// By itself, at a point in its code; started again at once.
    Within(Passing),
}

impl EngineKill {
    /// As the crash laboratory deals it; none from here for one from outside.
    pub(super) fn blow(self) -> Option<Blow> {
        match self {
            Self::Outside { .. } => None,
            Self::Within(passing) => Some(Blow::At(passing)),
        }
    }

    /// How long the engine is away at most, ms, without its start.
    pub(super) fn away_ms(self) -> u64 {
        match self {
            Self::Outside { away_ms, .. } => away_ms,
            Self::Within(_) => 0,
        }
    }
}

impl fmt::Display for EngineKill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside { at_ms, away_ms } => write!(out, "{at_ms}+{away_ms}"),
            Self::Within(passing) => write!(out, "{passing}"),
        }
    }
}

/// A fault with its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    /// After the beginning.
    pub(super) at: Duration,
    pub(super) lasts: Duration,
}

/// One round, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it comes from.
    pub seed: u64,
    /// What was asked for with it, as arguments of `cargo xtask chaos`.
    pub(super) wish: String,
    /// Baton's mode.
    pub mode: Mode,
    /// What Sentinels do.
    pub sentinels: Sentinels,
    pub(super) strikes: Vec<Strike>,
    /// Deaths of the engine.
    pub kills: Vec<EngineKill>,
}

/// What a row of the matrix wants beside its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    EngineKilled,
    /// All of it is left to Baton.
    SentinelsLookOn,
}

impl Plan {
    /// The round of a seed; with `only`, one that has this fault, in this mode.
    pub fn drawn(seed: u64, only: Option<Fault>, mode: Option<Mode>) -> Self {
        let mut dice = Dice::new(seed);
        let first = only.unwrap_or_else(|| pick(&mut dice, &Fault::ALL));
        let mut faults = vec![first];
        if dice.below(5) < 2 {
            let others = Fault::ALL.into_iter().filter(|it| go_together(first, *it));
            let others: Vec<Fault> = others.collect();
            if !others.is_empty() {
                faults.push(pick(&mut dice, &others));
            }
        }
        let drawn = match dice.below(10) {
            0 => Mode::Observe,
            1 | 2 => Mode::Assist,
            _ => Mode::Lead,
        };
        let look_on = dice.below(2) == 0;
        let only = only.map(|it| format!(" --only {it}")).unwrap_or_default();
        let modes = mode.map(|it| format!(" --mode {}", it.word())).unwrap_or_default();
        let wish = only + &modes;
        let mut plan = Self::of(&mut dice, seed, &faults, mode.unwrap_or(drawn), wish);
        if look_on {
            plan.sentinels = Sentinels::LookOn;
        }
        plan.kills = kills(&mut dice, plan.strikes[0].at);
        plan
    }

    /// A row of the matrix.
    fn row(seed: u64, faults: &[Fault], mode: Mode, wanted: Beside) -> Self {
        let mut dice = Dice::new(seed);
        let wish = format!(" --matrix --only {} --mode {}", faults[0], mode.word());
        let mut plan = Self::of(&mut dice, seed, faults, mode, wish);
        if wanted == Beside::EngineKilled {
            let first = millis(plan.strikes[0].at);
            let at_ms = first + between(&mut dice, &MIDDLE_MS);
            plan.kills = vec![EngineKill::Outside { at_ms, away_ms: dice.below(AWAY_MS_MAX) }];
        }
        if wanted == Beside::SentinelsLookOn {
            plan.sentinels = Sentinels::LookOn;
        }
        plan
    }

    fn of(dice: &mut Dice, seed: u64, faults: &[Fault], mode: Mode, wish: String) -> Self {
        let mut at_ms = between(dice, &FIRST_MS);
        let mut strikes = Vec::new();
        for fault in faults {
            let lasts = Duration::from_millis(between(dice, &story(*fault).lasts_ms));
            strikes.push(Strike { fault: *fault, at: Duration::from_millis(at_ms), lasts });
            at_ms += dice.below(SECOND_MS_MAX);
        }
        let sentinels = needs(faults).sentinels;
        Self { seed, wish, mode, sentinels, strikes, kills: Vec::new() }
    }

    /// Its faults.
    pub fn faults(&self) -> Vec<Fault> {
        self.strikes.iter().map(|it| it.fault).collect()
    }

    /// The command that plays it again.
    pub fn command(&self) -> String {
        if self.wish.contains("--matrix") {
            // The row's seed is its number behind the matrix's.
            return format!("cargo xtask chaos{} --seed {}", self.wish, self.seed / ROWS_MAX);
        }
        format!("cargo xtask chaos --seed {} --rounds 1{}", self.seed, self.wish)
    }
}

/// More rows than the matrix has.
const ROWS_MAX: u64 = 1_000;

/// Those that are also played where Baton assists and where it only looks on.
const IN_ALL_MODES: [Fault; 10] = [
    Fault::KillMaster,
    Fault::HangMaster,
    Fault::PartitionMaster,
    Fault::PartitionEngine,
    Fault::DiskFull,
    Fault::LeaderCrashElection,
    Fault::LeaderCrashPromotion,
    Fault::SentinelReturns,
    Fault::BothLagging,
    Fault::ForeignLineage,
];

/// Those in which Sentinels are as fast as Baton.
const ALONE: [Fault; 6] = [
    Fault::HangMaster,
    Fault::PartitionMaster,
    Fault::PartitionGatedMaster,
    Fault::DiskFull,
    Fault::BusyScript,
    Fault::PartitionWithEngine,
];

const PAIRS: [[Fault; 2]; 6] = [
    [Fault::KillMaster, Fault::PartitionReplica],
    [Fault::KillMaster, Fault::PartitionEngine],
    [Fault::HangMaster, Fault::KillReplica],
    [Fault::HangMaster, Fault::KillSentinel],
    [Fault::PartitionMaster, Fault::KillSentinel],
    [Fault::KillMaster, Fault::WrongPassword],
];

/// Every fault where Baton leads, alone and with the engine killed in the middle; the
/// important ones in the other modes; some with Sentinels that look on; pairs.
pub fn matrix(seed: u64, only: Option<Fault>, mode: Option<Mode>) -> Vec<Plan> {
    let mut wanted: Vec<(Vec<Fault>, Mode, Beside)> = Vec::new();
    for fault in Fault::ALL {
        wanted.push((vec![fault], Mode::Lead, Beside::Nothing));
        wanted.push((vec![fault], Mode::Lead, Beside::EngineKilled));
    }
    for fault in IN_ALL_MODES {
        wanted.push((vec![fault], Mode::Assist, Beside::Nothing));
        wanted.push((vec![fault], Mode::Observe, Beside::Nothing));
    }
    for fault in ALONE {
        wanted.push((vec![fault], Mode::Lead, Beside::SentinelsLookOn));
    }
    for pair in PAIRS {
        wanted.push((pair.to_vec(), Mode::Lead, Beside::Nothing));
    }
    let numbered = (0..).zip(wanted);
    let rows = numbered.map(|(number, (faults, mode, beside))| {
        Plan::row(seed * ROWS_MAX + number, &faults, mode, beside)
    });
    let meant = |plan: &Plan| {
        only.is_none_or(|it| plan.strikes[0].fault == it) && mode.is_none_or(|it| plan.mode == it)
    };
    rows.filter(meant).collect()
}

fn kills(dice: &mut Dice, first: Duration) -> Vec<EngineKill> {
    match dice.below(10) {
        0..4 => Vec::new(),
        4..8 => {
            let outside = |dice: &mut Dice| EngineKill::Outside {
                at_ms: millis(first) + dice.below(KILL_MS_MAX),
                away_ms: dice.below(AWAY_MS_MAX),
            };
            let count = 1 + dice.below(2);
            let mut all: Vec<_> = (0..count).map(|_| outside(dice)).collect();
            all.sort_by_key(|it| match it {
                EngineKill::Outside { at_ms, .. } => *at_ms,
                EngineKill::Within(_) => 0,
            });
            all
        }
        _ => {
            let point = pick(dice, &Point::ALL);
            let most = match point.words().0 {
                "append" => APPENDS,
                "change" => CHANGES,
                "read" => READS,
                _ => 2,
            };
            vec![EngineKill::Within(Passing { point, number: 1 + dice.below(most) })]
        }
    }
}

fn pick<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    let index = dice.below(u64::try_from(all.len()).unwrap_or(1));
    all[usize::try_from(index).unwrap_or(0)]
}

fn between(dice: &mut Dice, range: &std::ops::Range<u64>) -> u64 {
    range.start + dice.below(range.end - range.start)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_a_round() {
        for seed in 0..500 {
            let plan = Plan::drawn(seed, None, None);
            assert_eq!(plan, Plan::drawn(seed, None, None));
            if let [one, other] = plan.faults()[..] {
                assert!(go_together(one, other), "{one} and {other}");
            }
            let only = Plan::drawn(seed, Some(Fault::HangMaster), Some(Mode::Assist));
            assert_eq!((only.faults()[0], only.mode), (Fault::HangMaster, Mode::Assist));
            assert!(only.command().contains("--only hang-master --mode assist"));
        }
    }

    #[test]
    fn the_matrix_has_every_fault_and_its_rows_are_found_again() {
        let all = matrix(3, None, None);
        assert!(u64::try_from(all.len()).is_ok_and(|it| it < ROWS_MAX));
        for fault in Fault::ALL {
            let rows = matrix(3, Some(fault), Some(Mode::Lead));
            assert!(rows.len() >= 2, "{fault}");
            assert!(rows.iter().all(|it| all.contains(it)), "{fault}");
            assert!(rows[0].command().ends_with("--seed 3"), "{}", rows[0].command());
        }
    }
}
