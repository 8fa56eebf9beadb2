//! Samples, and what is told of them: the JSON for machines, the table for people.

use std::time::Duration;

use serde_json::{Value, json};

use crate::machine;
use crate::spread::{Spread, tenths};

/// A durable step in sequence takes at most this long, at the median.
const STEP_US_P50_MAX: f64 = 500.0;
/// With 64 callers, at least so many runs of three steps a second.
const RUNS_PER_S_MIN: f64 = 2_000.0;

/// Everything measured, over all rounds.
#[derive(Default)]
pub(crate) struct Figures {
    /// 4 KiB appended to a file, and `fdatasync`.
    pub(crate) append: Vec<Duration>,
    /// 4 KiB written over in a file, and `fdatasync`: the machine's own floor of a step.
    pub(crate) rewrite: Vec<Duration>,
    /// `Host::run` of the guest that does nothing.
    pub(crate) call: Vec<Duration>,
    /// From one durable step of a chain to the next.
    pub(crate) step: Vec<Duration>,
    /// A whole chain.
    pub(crate) chain: Vec<Duration>,
    /// Three-step runs in a second, one figure a round.
    pub(crate) runs_per_s: Vec<f64>,
}

impl Figures {
    /// Takes in a round.
    pub(crate) fn add(&mut self, round: Self) {
        self.append.extend(round.append);
        self.rewrite.extend(round.rewrite);
        self.call.extend(round.call);
        self.step.extend(round.step);
        self.chain.extend(round.chain);
        self.runs_per_s.extend(round.runs_per_s);
    }

    /// For `target/bench/step.json`.
    pub(crate) fn json(&self, chain_steps: u32, callers: u32) -> Value {
        let (append, rewrite) = (Spread::of(&self.append), Spread::of(&self.rewrite));
        let step = Spread::of(&self.step);
        let (call, chain) = (Spread::of(&self.call), Spread::of(&self.chain));
        let runs = median(&self.runs_per_s);
        json!({
            "append_fdatasync_us_p50": append.p50, "append_fdatasync_us_p99": append.p99,
            "rewrite_fdatasync_us_p50": rewrite.p50, "rewrite_fdatasync_us_p99": rewrite.p99,
            "fdatasync_bytes": 4096,
            "instantiate_call_us_p50": call.p50, "instantiate_call_us_p99": call.p99,
            "step_us_p50": step.p50, "step_us_p99": step.p99,
            "step_per_rewrite_fdatasync_p50": tenths(step.p50 / rewrite.p50),
            "chain_steps": chain_steps,
            "chain_us_p50": chain.p50, "chain_us_p99": chain.p99,
            "callers": callers,
            "three_step_runs_per_s": runs,
            "three_step_runs_per_s_rounds": self.runs_per_s,
            "samples": {
                "append": self.append.len(), "rewrite": self.rewrite.len(),
                "instantiate_call": self.call.len(),
                "step": self.step.len(), "chain": self.chain.len(),
            },
            "goals": {
                "step_us_p50_max": STEP_US_P50_MAX,
                "step_met": step.p50 <= STEP_US_P50_MAX,
                "three_step_runs_per_s_min": RUNS_PER_S_MIN,
                "three_step_runs_met": runs >= RUNS_PER_S_MIN,
            },
            "machine": machine::facts(),
        })
    }

    /// For people.
    pub(crate) fn print(&self, chain_steps: u32, callers: u32) {
        let runs = median(&self.runs_per_s);
        let step = Spread::of(&self.step);
        println!("{:<44}{:>10}{:>10}   goal", "", "p50", "p99");
        line("4 KiB append + fdatasync, alone", &Spread::of(&self.append), "");
        line("4 KiB written over + fdatasync, alone", &Spread::of(&self.rewrite), "");
        line("instantiate + call, alone", &Spread::of(&self.call), "");
        let goal = format!("≤ {STEP_US_P50_MAX} µs: {}", met(step.p50 <= STEP_US_P50_MAX));
        line("durable step, in sequence", &step, &goal);
        line(&format!("run of {chain_steps} such steps"), &Spread::of(&self.chain), "");
        let (what, rate) = (format!("three-step runs, {callers} callers"), format!("{runs:.0}/s"));
        println!(
            "{what:<44}{rate:>10}{:>10}   ≥ {RUNS_PER_S_MIN}/s: {}",
            "",
            met(runs >= RUNS_PER_S_MIN)
        );
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn line(what: &str, spread: &Spread, goal: &str) {
    let (p50, p99) = (format!("{:.0} µs", spread.p50), format!("{:.0} µs", spread.p99));
    println!("{what:<44}{p50:>10}{p99:>10}   {goal}");
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "not met" }
}
