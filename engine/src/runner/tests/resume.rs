//! Restarts: every unfinished run goes on, each by itself.

use std::sync::Arc;
use std::time::Instant;

use super::lab::{Lab, PATIENCE, asking, call, doing, manual, sleeping, step};
use crate::journal::{Batch, Entry, Journal, SledJournal};
use crate::runner::{Admission, Input};
use baton_core::id::RunId;
use baton_core::run::event::{Begun, Event};
use serde_json::json;

#[tokio::test]
async fn g2_an_attempt_that_was_cut_off_runs_again() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    let lab = lab.crash().await;
    let view = lab.state(&run, "running").await;
    assert_eq!(view.interruptions, 1);
    let ends: Vec<&str> =
        view.steps[0].attempts.iter().map(|attempt| attempt.end.as_str()).collect();
    assert_eq!(ends, ["interrupted", "running"]);
    lab.end(doing(&run, 0, 2), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
}

#[tokio::test]
async fn g2_one_unreadable_run_stops_no_other() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let (bad, good) = (lab.run(manual("ask")).await, lab.run(manual("ask")).await);
    let lab = lab.crash_spoiling(Some(bad.clone())).await;
    assert_eq!(lab.resumed, 1);
    lab.answer(&good, "ok", true).await.unwrap();
    lab.state(&good, "succeeded").await;
    let view = lab.view(&bad).await;
    assert_eq!(
        (view.state.as_str(), view.note.as_deref()),
        ("unreadable", Some("record 1 has a bad checksum"))
    );
    let error = lab.cancel(&bad).await.unwrap_err().to_string();
    assert!(error.contains("unreadable: record 1 has a bad checksum"), "{error}");
    assert_eq!(lab.handle.stats().await.unreadable, 1);
}

/// As a newer Baton left it.
#[tokio::test]
async fn g2_a_run_of_rules_that_are_not_known_is_refused_alone_and_says_so() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let good = lab.run(manual("ask")).await;
    let Event::Begun { at, begun } = lab.events(&good).remove(0) else { panic!("it began") };
    let newer: RunId = "of-a-newer-baton".parse().unwrap();
    let begun = Begun { id: newer.clone(), rules: 99, ..(*begun).clone() };
    let event = Event::Begun { at, begun: Arc::new(begun) };
    let entries = vec![Entry { run: newer.clone(), seq: 0, event, closed: None }];
    lab.gate.inner().append(Batch { entries }, Box::new(|end| end.unwrap()));
    let lab = lab.crash().await;
    assert_eq!(lab.resumed, 1);
    let view = lab.view(&newer).await;
    let note = view.note.unwrap();
    assert_eq!(view.state, "unreadable");
    assert!(note.contains("it began under rules version 99, this build knows version"), "{note}");
    lab.answer(&good, "ok", true).await.unwrap();
    lab.state(&good, "succeeded").await;
}

#[tokio::test]
async fn g2_timers_survive_a_restart() {
    let wait = "name = \"wait\"\n[steps.pause]\nwait = \"100ms\"\n".to_owned();
    let lab = Lab::new(&[wait]).await;
    let run = lab.run(manual("wait")).await;
    let lab = lab.crash().await;
    let view = lab.state(&run, "succeeded").await;
    assert!(view.closed_at.unwrap() >= view.begun_at + 100);
}

/// What an attempt told before an orderly stop is on disk after it.
#[tokio::test]
async fn g4_an_outcome_that_is_known_when_the_engine_stops_is_not_in_doubt() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.change(&doing(&run, 0, 1)).await;
    lab.handle.stop(0).await;
    let lab = lab.crash().await;
    let view = lab.view(&run).await;
    assert_eq!(view.steps[0].calls[0].outcome.as_deref(), Some("1"), "{view:#?}");
}

#[tokio::test]
async fn a_stop_waits_for_attempts_and_starts_no_more() {
    let two = "name = \"two\"\n[steps.one]\nplugin = \"sleep\"\n[steps.two]\nneeds = [\"one\"]\nplugin = \"sleep\"\n";
    let lab = Lab::new(&[two.to_owned()]).await;
    let run = lab.run(manual("two")).await;
    let handle = lab.handle.clone();
    let stop = tokio::spawn(async move { handle.stop(600_000).await });
    while lab.handle.begin(manual("two")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let open = lab.handle.runs(<_>::default()).await;
    assert!(!stop.is_finished());
    for other in open.iter().filter(|other| other.id != run.as_str()) {
        lab.end(doing(&other.id.parse().unwrap(), 0, 1), Ok(json!({}))).await;
    }
    lab.end(doing(&run, 0, 1), Ok(json!({}))).await;
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
    let lab = lab.crash().await;
    let view = lab.state(&run, "running").await;
    assert_eq!(step(&view, "one").state, "succeeded");
    assert_eq!((step(&view, "two").attempts.len(), view.interruptions), (1, 0));
}

#[tokio::test]
async fn g2_the_journal_on_disk_carries_runs_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let workflows = [asking("ask", &super::lab::key("join"))];
    let lab = Lab::on(open(folder.path()), &workflows).await;
    let run = lab.run(manual("ask")).await;
    lab.die().await;
    drop(lab);
    let lab = Lab::on(open(folder.path()), &workflows).await;
    assert_eq!(lab.begin(manual("ask")).await, Admission::Joined(run.clone()));
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
    assert_eq!(lab.view(&run).await.steps[0].state, "succeeded");
}

/// The loop that had it may hold it for a moment after it said that it ended.
fn open(folder: &std::path::Path) -> Arc<dyn Journal> {
    let begun = Instant::now();
    loop {
        match SledJournal::open(folder) {
            Ok(journal) => return Arc::new(journal),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_late_outcome_changes_nothing() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.intend(&doing(&run, 0, 1)).await.unwrap();
    lab.end(doing(&run, 0, 1), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
    let late = Input::Outcome { of: doing(&run, 0, 1), call: call(Some("1")) };
    lab.handle.inbox.send(late).await.unwrap();
    lab.end(doing(&run, 0, 1), Ok(json!({}))).await;
    assert_eq!(lab.view(&run).await.steps[0].calls[0].outcome, None);
    assert!(lab.intend(&doing(&run, 0, 1)).await.is_err());
}
