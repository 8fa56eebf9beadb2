//! What of all that was seen is a violation. Pure.

use super::fault::Fault;
use super::observed::{Observed, Run};
use super::plan::{Mode, Plan, Sentinels};
use super::story::{Asks, Failover, Loss, Must, Verdict, must};

/// A transaction is at least so long in the replication stream: MULTI, one change of a book,
/// the trader's own line, EXEC; bytes.
const TRANSACTION_BYTES_MIN: u64 = 100;
/// From the end of its absence until an engine watches again, on a busy machine, ms.
const BACK_WITHIN_MS: u64 = 4_000;
/// How long a machine may stand still, ms.
const STALLED_MS: u64 = 5_000;
/// How long Sentinels need for one of their own that is half done, ms.
const LEFT_TO_SENTINEL_MS: u64 = 12_000;
/// From a promotion by Sentinel until Baton fences the old master: a watch has to see it
/// twice, and looks every second, ms.
const NOTICED_WITHIN_MS: u64 = 3_000;

/// Each sentence is one violation; none: all is as promised.
pub(super) fn violations(plan: &Plan, seen: &Observed) -> Vec<String> {
    let faults = plan.faults();
    let must = must(&faults);
    let mut wrong = Vec::new();
    if let Some(what) = &seen.restless {
        wrong.push(format!("it does not come to rest: {what}"));
    }
    if seen.doubled > 0 {
        wrong.push(format!("{} transactions are there more than once", seen.doubled));
    }
    wrong.extend(seen.unreadable.iter().map(|it| format!("run {it} is unreadable")));
    if plan.mode == Mode::Observe {
        let changes = seen.changes.iter();
        wrong.extend(changes.map(|it| format!("in mode observe it changed something: {it}")));
    }
    wrong.extend(taken_over(plan, &must, seen));
    wrong.extend(as_chosen(plan, &must, seen));
    wrong.extend(missing(plan, &must, seen));
    wrong.extend(beside(plan, &must, seen));
    wrong.extend(verdicts(&must, seen));
    wrong.extend(questions(plan, &must, seen));
    // Only a failover of Sentinel beside ours leaves two histories.
    if seen.by_hand && plan.sentinels == Sentinels::LookOn {
        wrong.push("a fenced node had to be taken back by hand".to_owned());
    }
    let unpaid = seen.debts.iter().filter(|it| it.state != "succeeded");
    wrong.extend(unpaid.map(|it| format!("a debt is not paid: {}", it.told)));
    wrong
}

/// The run whose promotion stands.
fn last(seen: &Observed) -> Option<&Run> {
    seen.runs.iter().rev().find(|it| it.promoted.is_some())
}

/// Whether nothing keeps Baton from doing at once what it has to.
fn is_undisturbed(plan: &Plan) -> bool {
    plan.mode == Mode::Lead && plan.kills.is_empty()
}

fn taken_over(plan: &Plan, must: &Must, seen: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    if must.failover == Failover::Forbidden {
        let begun = seen.runs.iter().filter(|it| it.began);
        wrong.extend(begun.map(|it| format!("nobody should be promoted: {}", it.told)));
        if plan.sentinels == Sentinels::LookOn && seen.master.is_some_and(|it| it != 0) {
            wrong.push(format!("data node {:?} is master, and nobody should be", seen.master));
        }
    }
    let someone_acts =
        is_undisturbed(plan) || (plan.sentinels == Sentinels::Act && plan.mode != Mode::Observe);
    let expected = must.failover == Failover::Expected && !seen.stalled;
    if expected && someone_acts && seen.master == Some(0) {
        let told: Vec<&str> = seen.runs.iter().map(|it| it.told.as_str()).collect();
        wrong.push(format!("nobody has taken over; runs: {told:?}"));
    }
    wrong
}

/// The last master is the one that the journal names, and the one that was chosen.
fn as_chosen(plan: &Plan, must: &Must, seen: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in seen.runs.iter().filter(|it| it.promoted.is_some()) {
        if !run.adopted && run.promoted != run.chosen {
            wrong.push(format!("promoted is not chosen: {}", run.told));
        }
        if must.choice.is_some() && !run.adopted && run.promoted != must.choice {
            wrong.push(format!("only {:?} should be promoted: {}", must.choice, run.told));
        }
    }
    // A second fault may hit the new master, and Sentinel replaces that: Baton cools down.
    let hit_again = plan.faults().len() > 1 && plan.sentinels == Sentinels::Act;
    if let Some(run) = last(seen).filter(|it| it.promoted != seen.master && !hit_again) {
        wrong.push(format!("the master is data node {:?}, by the run {}", seen.master, run.told));
    }
    wrong
}

/// Acknowledged writes that are gone and that nobody has declared or kept.
fn missing(plan: &Plan, must: &Must, seen: &Observed) -> Vec<String> {
    let lost = seen.lost_at_ms.len();
    let run = last(seen);
    if lost == 0 || plan.mode == Mode::Observe {
        return Vec::new();
    }
    let all = format!("{lost} of {} acknowledged transactions are lost", seen.acked);
    let kept = seen.debts.iter().any(|it| it.kept);
    if !kept && seen.debts.iter().any(|it| it.held) {
        return vec![format!(
            "{all}, and an old master was taken back without keeping what it had"
        )];
    }
    // What Sentinel loses by itself is not Baton's to declare.
    if run.is_none() && seen.master.is_some_and(|it| it != 0) {
        return Vec::new();
    }
    if must.loss == Loss::Emptied && run.is_none() {
        let said = seen.evidence.as_deref() == Some("MasterRebootedEmpty");
        let why = format!("{all}, and the evidence is {:?}", seen.evidence);
        return if said && seen.emptied { Vec::new() } else { vec![why] };
    }
    if must.loss != Loss::Nothing && kept {
        return Vec::new();
    }
    let Some(run) = run else { return vec![all] };
    // After that time nobody saw what the dead master took: the run says so, and since when.
    let counted = |at_ms: &&u64| run.seen_until_ms.is_none_or(|seen_ms| **at_ms < seen_ms);
    let counted = u64::try_from(seen.lost_at_ms.iter().filter(counted).count()).unwrap_or(0);
    let bytes = counted * TRANSACTION_BYTES_MIN;
    if must.loss == Loss::Nothing {
        vec![format!("{all}; none should be: {}", run.told)]
    } else if bytes > run.lost_bytes || (counted > 0 && run.verdict == "pass") {
        let (declared, verdict) = (run.lost_bytes, &run.verdict);
        vec![format!("{all}, {bytes} bytes at least; declared are {declared}, verdict {verdict:?}")]
    } else {
        Vec::new()
    }
}

/// Two nodes that acknowledged writes beside each other. Baton fences the old one also
/// where Sentinel has made the new one, once it sees that.
fn beside(plan: &Plan, must: &Must, seen: &Observed) -> Vec<String> {
    let ours = seen.runs.iter().any(|it| it.promoted.is_some() && !it.adopted);
    let noticed = if ours { 0 } else { NOTICED_WITHIN_MS };
    let away: u64 = plan.kills.iter().map(|it| it.away_ms() + BACK_WITHIN_MS).sum();
    // What a Sentinel has promoted and told nobody of stays a second master for as long as
    // Baton leaves the matter to the others.
    let half_done = plan.faults().contains(&Fault::LeaderCrashPromotion) && !ours;
    let theirs = if half_done && plan.mode == Mode::Assist { LEFT_TO_SENTINEL_MS } else { 0 };
    let stalled = if seen.stalled { STALLED_MS } else { 0 };
    let allowed = must.both_ms + noticed + away + theirs + stalled;
    if plan.mode == Mode::Observe || seen.both_ms <= allowed {
        return Vec::new();
    }
    vec![format!("two nodes acknowledged writes for {} ms; {allowed} are allowed", seen.both_ms)]
}

fn verdicts(must: &Must, seen: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in seen.runs.iter().filter(|it| it.promoted.is_some()) {
        let passed = run.state == "succeeded" && run.verdict.starts_with("pass");
        match must.verdict {
            Verdict::Good if !passed => wrong.push(format!("it should pass: {}", run.told)),
            Verdict::Bad if passed => wrong.push(format!("it should not pass: {}", run.told)),
            Verdict::Good | Verdict::Bad | Verdict::True => {}
        }
        if run.verdict == "no failover" {
            wrong.push(format!("it was one, and it says that it was none: {}", run.told));
        }
    }
    wrong
}

fn questions(plan: &Plan, must: &Must, seen: &Observed) -> Vec<String> {
    match must.asks {
        Asks::Never => {
            seen.asked.iter().map(|it| format!("nobody should be asked: {it}")).collect()
        }
        Asks::Surely if is_undisturbed(plan) && !seen.stalled && seen.asked.is_empty() => {
            let told: Vec<&str> = seen.runs.iter().map(|it| it.told.as_str()).collect();
            vec![format!("a person should be asked; runs: {told:?}")]
        }
        Asks::Surely | Asks::Perhaps => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
