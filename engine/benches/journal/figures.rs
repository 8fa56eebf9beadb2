//! What was measured, beside the goals: JSON for machines, a table for people.

use std::time::Duration;

use serde_json::{Value, json};

use crate::machine;
use crate::resume::Back;
use crate::spread::{Spread, tenths};

/// A durable step in sequence takes at most so many of this machine's own syncs, and one
/// instantiation.
const SYNCS_PER_STEP_MAX: f64 = 2.5;
/// With 64 callers, at least so many runs of three steps a second.
const RUNS_PER_S_MIN: f64 = 5_000.0;
/// One run is at work again within this time.
const ONE_BACK_MS_MAX: f64 = 50.0;
/// Of 10,000, the first.
const MANY_BACK_MS_MAX: f64 = 1_000.0;
/// Memory of an engine with nothing to do.
const IDLE_MB_MAX: f64 = 40.0;
/// Records of a run of three steps: its beginning, three starts, three ends, its close.
const RECORDS_PER_RUN: f64 = 8.0;

/// Everything.
#[derive(Default)]
pub(crate) struct Figures {
    /// 4 KiB appended and synced; 4 KiB written over and synced.
    pub(crate) machine: [Vec<Duration>; 2],
    pub(crate) call: Vec<Duration>,
    /// On a young journal.
    pub(crate) fresh: Pace,
    /// The same, with a long history.
    pub(crate) old: Pace,
    pub(crate) bytes_per_run: u64,
    pub(crate) history_bytes: u64,
    /// By the number of runs that were cut off.
    pub(crate) resumed: Vec<(u32, Back)>,
    /// Memory, in KiB.
    pub(crate) idle: u64,
    pub(crate) waiting: u64,
}

/// How fast it goes.
#[derive(Default)]
pub(crate) struct Pace {
    /// From one durable step of a chain to the next.
    pub(crate) step: Vec<Duration>,
    pub(crate) rates: Vec<Rate>,
}

/// A crowd's.
pub(crate) struct Rate {
    pub(crate) callers: u32,
    pub(crate) runs_per_s: f64,
    /// Batches, each with one sync.
    pub(crate) batches_per_s: f64,
}

impl Pace {
    fn json(&self) -> Value {
        let step = Spread::of(&self.step);
        let rates = self.rates.iter().map(|rate| {
            json!({
                "callers": rate.callers,
                "three_step_runs_per_s": tenths(rate.runs_per_s),
                "records_per_s": tenths(rate.runs_per_s * RECORDS_PER_RUN),
                "syncs_per_s": tenths(rate.batches_per_s),
            })
        });
        json!({
            "step_us_p50": step.p50, "step_us_p99": step.p99,
            "crowds": rates.collect::<Vec<_>>(),
        })
    }

    fn runs_per_s(&self, callers: u32) -> f64 {
        let rate = self.rates.iter().find(|rate| rate.callers == callers);
        rate.map_or(0.0, |rate| rate.runs_per_s)
    }
}

impl Figures {
    /// What a step may take at most, in microseconds.
    fn step_us_max(&self) -> f64 {
        let sync = Spread::of(&self.machine[0]).p50;
        tenths(SYNCS_PER_STEP_MAX * sync + Spread::of(&self.call).p50)
    }

    /// For `target/bench/journal.json`.
    pub(crate) fn json(&self) -> Value {
        let [append, rewrite] = [0, 1].map(|at: usize| Spread::of(&self.machine[at]));
        let resumed = self.resumed.iter().map(|(runs, back)| {
            json!({
                "interrupted_runs": runs,
                "first_step_ms": back.first_step.map(millis),
                "all_taken_up_ms": millis(back.all),
                "rss_kib": back.rss_kib,
            })
        });
        json!({
            "append_fdatasync_us_p50": append.p50, "append_fdatasync_us_p99": append.p99,
            "rewrite_fdatasync_us_p50": rewrite.p50, "rewrite_fdatasync_us_p99": rewrite.p99,
            "instantiate_call_us_p50": Spread::of(&self.call).p50,
            "young": self.fresh.json(),
            "after_100000_runs": self.old.json(),
            "bytes_per_run": self.bytes_per_run,
            "bytes_after_100000_runs": self.history_bytes,
            "resumed": resumed.collect::<Vec<_>>(),
            "rss_idle_kib": self.idle,
            "rss_10000_waiting_kib": self.waiting,
            "goals": self.goals().map(|(what, figure, goal, met)| {
                json!({ "what": what, "figure": figure, "goal": goal, "met": met })
            }),
            "machine": machine::facts(),
        })
    }

    fn goals(&self) -> [(&'static str, f64, f64, bool); 6] {
        let most = |what, figure: f64, goal: f64| (what, figure, goal, figure <= goal);
        let back = |runs: u32| {
            let found = self.resumed.iter().find(|(count, _)| *count == runs);
            found.and_then(|(_, back)| back.first_step).map_or(f64::INFINITY, millis)
        };
        let runs = tenths(self.fresh.runs_per_s(64));
        let later = tenths(self.old.runs_per_s(64));
        [
            most("durable step, us", Spread::of(&self.fresh.step).p50, self.step_us_max()),
            ("three-step runs/s, 64 callers", runs, RUNS_PER_S_MIN, runs >= RUNS_PER_S_MIN),
            // Runs of the same speed differ by a fifth on a shared machine.
            ("the same after 100,000 runs", later, tenths(0.8 * runs), later >= 0.8 * runs),
            most("one interrupted run back, ms", back(1), ONE_BACK_MS_MAX),
            most("first of 10,000 back, ms", back(10_000), MANY_BACK_MS_MAX),
            most("idle memory, MB", megabytes(self.idle), IDLE_MB_MAX),
        ]
    }

    /// For people.
    pub(crate) fn print(&self) {
        println!("{:<44}{:>12}{:>12}", "", "p50", "p99");
        let line = |what: &str, spread: &Spread| {
            let (p50, p99) = (format!("{} us", spread.p50), format!("{} us", spread.p99));
            println!("{what:<44}{p50:>12}{p99:>12}");
        };
        line("4 KiB append + fdatasync, alone", &Spread::of(&self.machine[0]));
        line("4 KiB written over + fdatasync, alone", &Spread::of(&self.machine[1]));
        line("instantiate + call, alone", &Spread::of(&self.call));
        for (what, pace) in [("young journal", &self.fresh), ("100,000 runs later", &self.old)] {
            println!("{what}");
            line("  durable step, in sequence", &Spread::of(&pace.step));
            for Rate { callers, runs_per_s, batches_per_s } in &pace.rates {
                let what = format!("  three-step runs, {callers} callers");
                let records = runs_per_s * RECORDS_PER_RUN;
                println!(
                    "{what:<44}{runs_per_s:>10.0}/s   {records:.0} records/s in {batches_per_s:.0} syncs/s"
                );
            }
        }
        println!("{:<44}{:>12}", "bytes stored a run", self.bytes_per_run);
        for (runs, back) in &self.resumed {
            let first = back.first_step.map(millis).unwrap_or_default();
            let what = format!("{runs} interrupted runs: first step, all taken up");
            println!("{what:<44}{first:>9} ms{:>9} ms", millis(back.all));
        }
        let (idle, waiting) = (megabytes(self.idle), megabytes(self.waiting));
        println!("{:<44}{idle:>9} MB", "memory, idle");
        println!("{:<44}{waiting:>9} MB", "memory, 10,000 waiting runs");
        println!();
        for (what, figure, goal, met) in self.goals() {
            let met = if met { "met" } else { "NOT MET" };
            println!("{what:<44}{figure:>12}   goal {goal}: {met}");
        }
    }
}

fn millis(time: Duration) -> f64 {
    tenths(time.as_secs_f64() * 1_000.0)
}

fn megabytes(kib: u64) -> f64 {
    tenths(f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1024.0 / 1e6)
}
