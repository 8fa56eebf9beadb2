use super::super::observed::Debt;
use super::super::plan::EngineKill;
use super::*;

fn plan(fault: Fault) -> Plan {
    let mut plan = Plan::drawn(1, Some(fault), Some(Mode::Lead));
    plan.strikes.truncate(1);
    plan.kills.clear();
    plan.sentinels = Sentinels::Act;
    plan
}

/// A failover as it should be.
fn good() -> Observed {
    let run = Run {
        state: "succeeded".into(),
        verdict: "pass".into(),
        chosen: Some(1),
        began: true,
        promoted: Some(1),
        seen_until_ms: Some(5_000),
        ..Run::default()
    };
    let debt = Debt { state: "succeeded".into(), ..Debt::default() };
    Observed {
        acked: 100,
        master: Some(1),
        runs: vec![run],
        debts: vec![debt],
        ..Observed::default()
    }
}

fn calm() -> Observed {
    Observed { acked: 100, master: Some(0), ..Observed::default() }
}

#[track_caller]
fn expect(plan: &Plan, seen: &Observed, word: &str) {
    let found = violations(plan, seen);
    assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
}

#[test]
fn what_is_as_promised_is_no_violation() {
    assert!(violations(&plan(Fault::KillMaster), &good()).is_empty());
    assert!(violations(&plan(Fault::DiskFull), &calm()).is_empty());
    let asked = Observed { asked: vec!["decide".into()], ..calm() };
    assert!(violations(&plan(Fault::BothLagging), &asked).is_empty());
}

#[test]
fn a_cluster_that_finds_no_rest_is_one() {
    let seen = Observed { restless: Some("two masters".into()), ..good() };
    expect(&plan(Fault::KillMaster), &seen, "two masters");
    let seen = Observed { doubled: 1, ..good() };
    expect(&plan(Fault::KillMaster), &seen, "more than once");
    let seen = Observed { unreadable: vec!["x".into()], ..good() };
    expect(&plan(Fault::KillMaster), &seen, "unreadable");
    let mut looked_on = plan(Fault::KillMaster);
    let seen = Observed { by_hand: true, ..good() };
    assert!(violations(&looked_on, &seen).is_empty());
    looked_on.sentinels = Sentinels::LookOn;
    expect(&looked_on, &seen, "by hand");
    let mut seen = good();
    seen.debts[0].state = "failed".into();
    expect(&plan(Fault::KillMaster), &seen, "debt");
}

#[test]
fn a_promotion_where_nobody_is_dead_is_one() {
    let mut seen = good();
    seen.runs[0].promoted = None;
    seen.master = Some(0);
    for fault in [Fault::DiskFull, Fault::WrongPassword, Fault::PartitionEngine, Fault::Hiccup] {
        expect(&plan(fault), &seen, "nobody should be promoted");
    }
    // Sentinels may, where they act.
    let moved = Observed { master: Some(2), ..calm() };
    assert!(violations(&plan(Fault::DiskFull), &moved).is_empty());
    let mut looked_on = plan(Fault::DiskFull);
    looked_on.sentinels = Sentinels::LookOn;
    expect(&looked_on, &moved, "nobody should be");
}

#[test]
fn a_dead_master_that_nobody_replaces_is_one() {
    expect(&plan(Fault::KillMaster), &calm(), "nobody has taken over");
    let stalled = Observed { stalled: true, ..calm() };
    assert!(violations(&plan(Fault::KillMaster), &stalled).is_empty());
    // An engine that was away while Sentinels looked on could not.
    let mut killed = plan(Fault::KillMaster);
    killed.sentinels = Sentinels::LookOn;
    killed.kills = vec![EngineKill::Outside { at_ms: 0, away_ms: 1_000 }];
    assert!(violations(&killed, &calm()).is_empty());
}

#[test]
fn a_master_that_is_not_the_journaled_choice_is_one() {
    expect(&plan(Fault::KillMaster), &Observed { master: Some(2), ..good() }, "by the run");
    let mut other = good();
    (other.runs[0].promoted, other.master) = (Some(2), Some(2));
    expect(&plan(Fault::KillMaster), &other, "promoted is not chosen");
    other.runs[0].adopted = true;
    assert!(violations(&plan(Fault::KillMaster), &other).is_empty());
    let mut stale = good();
    stale.runs[0].chosen = Some(2);
    (stale.runs[0].promoted, stale.master) = (Some(2), Some(2));
    assert!(violations(&plan(Fault::PriorityTrap), &stale).is_empty());
    expect(&plan(Fault::ForeignLineage), &stale, "only Some(1)");
}

#[test]
fn a_loss_that_nobody_declared_is_one() {
    let lost = |count: usize, declared: u64, verdict: &str| {
        let mut seen = Observed { lost_at_ms: vec![4_000; count], ..good() };
        seen.runs[0].lost_bytes = declared;
        seen.runs[0].verdict = verdict.into();
        seen
    };
    let declared = "pass with declared loss";
    expect(&plan(Fault::KillMaster), &lost(1, 10_000, declared), "none should be");
    let lagging = plan(Fault::BothLaggingDeclared);
    assert!(violations(&lagging, &lost(10, 1_000, declared)).is_empty());
    expect(&lagging, &lost(10, 999, declared), "declared are 999");
    expect(&lagging, &lost(10, 1_000, "pass"), "verdict");
    // What was written after the last look is said to be unknown.
    let mut late = lost(10, 0, "pass");
    late.lost_at_ms = vec![5_000; 10];
    assert!(violations(&lagging, &late).is_empty());
    // Unless the old master has come back with it, and it was thrown away.
    late.debts[0].held = true;
    expect(&lagging, &late, "without keeping");
    // Or it is kept in a file.
    let mut kept = lost(10, 0, "pass");
    kept.debts[0].kept = true;
    assert!(violations(&plan(Fault::PartitionMaster), &kept).is_empty());
    // Sentinel's own.
    let mut theirs = lost(10, 0, "");
    theirs.runs.clear();
    assert!(violations(&plan(Fault::KillMaster), &theirs).is_empty());
    theirs.master = Some(0);
    let found = violations(&plan(Fault::KillReplica), &theirs);
    assert!(found.iter().any(|it| it.contains("10 of 100")), "{found:?}");
}

#[test]
fn an_emptied_master_has_to_be_called_one() {
    let empty = Observed { lost_at_ms: vec![1; 100], emptied: true, ..calm() };
    expect(&plan(Fault::RestartEmpty), &empty, "evidence is None");
    let said = Observed { evidence: Some("MasterRebootedEmpty".into()), ..empty };
    assert!(violations(&plan(Fault::RestartEmpty), &said).is_empty());
}

#[test]
fn two_that_take_writes_for_too_long_are_one() {
    let seen = Observed { both_ms: 501, ..good() };
    expect(&plan(Fault::KillMaster), &seen, "501 ms");
    assert!(violations(&plan(Fault::PartitionMaster), &seen).is_empty());
    let mut adopted = seen;
    adopted.runs[0].adopted = true;
    assert!(violations(&plan(Fault::KillMaster), &adopted).is_empty());
    // Sentinel's work is no excuse for longer than it takes to see it.
    adopted.both_ms = 3_501;
    expect(&plan(Fault::KillMaster), &adopted, "3501 ms");
}

#[test]
fn a_verdict_that_is_not_true_is_one() {
    let mut failed = good();
    (failed.runs[0].state, failed.runs[0].verdict) = ("failed".into(), "fail".into());
    expect(&plan(Fault::KillMaster), &failed, "it should pass");
    assert!(violations(&plan(Fault::DamagedBook), &failed).is_empty());
    expect(&plan(Fault::DamagedBook), &good(), "it should not pass");
    failed.runs[0].verdict = "no failover".into();
    expect(&plan(Fault::DamagedBook), &failed, "says that it was none");
}

#[test]
fn a_person_who_is_not_asked_or_asked_in_vain_is_one() {
    let asked = Observed { asked: vec!["a question".into()], ..good() };
    expect(&plan(Fault::KillMaster), &asked, "a question");
    expect(&plan(Fault::BothLagging), &calm(), "should be asked");
}

#[test]
fn in_mode_observe_any_change_is_one() {
    let mut observe = plan(Fault::KillMaster);
    observe.mode = Mode::Observe;
    let theirs = Observed { master: Some(2), both_ms: 10_000, ..calm() };
    assert!(violations(&observe, &theirs).is_empty());
    let changed = Observed { changes: vec!["hold: CONFIG SET".into()], ..theirs };
    expect(&observe, &changed, "changed something");
}
