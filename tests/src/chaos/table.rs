//! Rows and totals.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::plan::{Plan, Sentinels, millis};
use super::round::Outcome;

/// The names of the columns.
pub fn head() -> String {
    format!(
        "{:>6} {:<44} {:<7} {:<9} {:<19} {:<16} {:>7} {:>11} {:>6}  {:<9} {:<24} {}",
        "seed",
        "faults",
        "mode",
        "sentinels",
        "moment+lasts ms",
        "engine killed",
        "gap ms",
        "lost/decl.",
        "both",
        "by",
        "verdict",
        ""
    )
}

/// One round in a line; what is wrong with it, and how to play it again, in more.
pub fn row(plan: &Plan, outcome: &Result<Outcome>) -> String {
    let mut line = begin(plan);
    match outcome {
        Ok(outcome) => {
            let gap = outcome.seen.gap_ms.map_or_else(|| "-".to_owned(), |it| it.to_string());
            let loss = format!("{}/{}", outcome.seen.lost_at_ms.len(), declared(outcome));
            let (both, verdict) = (outcome.seen.both_ms, verdict(outcome));
            let end = match (outcome.violations.is_empty(), outcome.seen.stalled) {
                (true, false) => "ok",
                (true, true) => "ok, on a machine that stood still",
                (false, _) => "VIOLATION",
            };
            let by = by(outcome);
            let _infallible =
                write!(line, " {gap:>7} {loss:>11} {both:>6}  {by:<9} {verdict:<24} {end}");
            for what in &outcome.violations {
                let _infallible = write!(line, "\n       ! {what}");
            }
            if !outcome.violations.is_empty() {
                let seen = &outcome.seen;
                for run in &seen.runs {
                    let _infallible = write!(line, "\n       run: {}", run.told);
                }
                for debt in &seen.debts {
                    let _infallible = write!(line, "\n       debt: {}", debt.told);
                }
                let _infallible = write!(line, "\n       acknowledged by {}", seen.acknowledged);
                let _infallible = write!(line, "\n       again: {}", plan.command());
            }
        }
        Err(error) => {
            let _infallible =
                write!(line, " ERROR\n       ! {error:#}\n       again: {}", plan.command());
        }
    }
    line
}

fn begin(plan: &Plan) -> String {
    let joined = |all: Vec<String>| if all.is_empty() { "-".to_owned() } else { all.join(" ") };
    let strikes = plan.strikes.iter();
    let moments = strikes.map(|it| format!("{}+{}", millis(it.at), millis(it.lasts))).collect();
    let kills = plan.kills.iter().map(ToString::to_string).collect();
    let faults: Vec<&str> = plan.strikes.iter().map(|it| it.fault.name()).collect();
    format!(
        "{:>6} {:<44} {:<7} {:<9} {:<19} {:<16}",
        plan.seed,
        faults.join(" & "),
        plan.mode.word(),
        if plan.sentinels == Sentinels::Act { "act" } else { "look on" },
        joined(moments),
        joined(kills),
    )
}

/// Bytes that were declared, or that something is kept in a file.
fn declared(outcome: &Outcome) -> String {
    let kept = outcome.seen.debts.iter().any(|it| it.kept);
    let promoted = outcome.seen.runs.iter().rev().find(|it| it.promoted.is_some());
    let bytes = promoted.map_or(0, |it| it.lost_bytes);
    if kept { format!("{bytes}b+file") } else { format!("{bytes}b") }
}

/// Whose work the last master is.
fn by(outcome: &Outcome) -> &'static str {
    let ours = outcome.seen.runs.iter().rev().find(|it| it.promoted.is_some());
    match (ours, outcome.seen.master) {
        (Some(run), _) if run.adopted => "both",
        (Some(_), _) => "baton",
        (None, Some(0) | None) => "nobody",
        (None, Some(_)) => "sentinel",
    }
}

fn verdict(outcome: &Outcome) -> String {
    let promoted = outcome.seen.runs.iter().rev().find(|it| it.promoted.is_some());
    let run = promoted.or_else(|| outcome.seen.runs.last());
    let said = match run {
        None => "no run".to_owned(),
        Some(run) if run.verdict.is_empty() => run.state.clone(),
        Some(run) => run.verdict.clone(),
    };
    let said = if outcome.seen.by_hand { format!("by hand; {said}") } else { said };
    if outcome.seen.asked.is_empty() { said } else { format!("asked; {said}") }
}

/// What came of all of them, in a line.
pub fn totals(outcomes: &[Result<Outcome>]) -> String {
    let good: Vec<&Outcome> = outcomes.iter().filter_map(|it| it.as_ref().ok()).collect();
    let errors = outcomes.len() - good.len();
    let violations = good.iter().filter(|it| !it.violations.is_empty()).count();
    let sum = |of: fn(&Outcome) -> usize| good.iter().map(|it| of(it)).sum::<usize>();
    let deaths: u32 = good.iter().map(|it| it.seen.deaths).sum();
    let mut who: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in &good {
        *who.entry(by(outcome)).or_default() += 1;
    }
    let who: Vec<String> = who.iter().map(|(who, count)| format!("{who} {count}")).collect();
    let mut gaps: Vec<u64> =
        good.iter().filter(|it| by(it) == "baton").filter_map(|it| it.seen.gap_ms).collect();
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or(0);
    format!(
        "{} rounds, {deaths} engine deaths, {} writes acknowledged, new masters by {}, median gap \
         where it was Baton {median} ms: {violations} with violations, {errors} errors",
        outcomes.len(),
        sum(|it| it.seen.acked),
        who.join(", "),
    )
}
