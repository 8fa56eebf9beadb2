//! Beginning: answered after the flush, or not at all; one delivery, one run.

use super::gate::Mode;
use super::lab::{Lab, PATIENCE, asking, delivery, manual};
use crate::journal::AppendError;
use crate::runner::{Admission, BeginError, CommandError};

#[tokio::test]
async fn g1_a_begin_is_answered_after_the_flush_and_not_before() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    lab.gate.set(Mode::Hold);
    let mut answer = lab.post(manual("ask"));
    while !lab.gate.holds() {
        tokio::task::yield_now().await;
    }
    // Give the loop every chance to answer too early.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(answer.try_recv().is_err());
    lab.gate.release();
    let run = answer.await.unwrap().unwrap().run().clone();
    assert!(!lab.events(&run).is_empty());
    lab.state(&run, "asking").await;
}

#[tokio::test]
async fn g1_a_begin_whose_append_fails_never_was() {
    let lab =
        Lab::new(&[asking("ask", "concurrency = { key = \"k\", policy = \"refuse\" }")]).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    let refused = lab.handle.begin(delivery("ask", "d", 1000)).await;
    assert!(matches!(refused, Err(BeginError::Unavailable(_))), "{refused:?}");
    assert!(lab.handle.runs(<_>::default()).await.is_empty());
    assert!(lab.handle.stats().await.stalled.is_some());
    // A repeat that shared the failed batch would be no duplicate either.
    let (one, two) = (lab.post(delivery("ask", "d", 1000)), lab.post(delivery("ask", "d", 1000)));
    assert!(matches!(one.await.unwrap(), Err(BeginError::Unavailable(_))));
    assert!(matches!(two.await.unwrap(), Err(BeginError::Unavailable(_))));
    lab.gate.release();
    let run = lab.run(delivery("ask", "d", 1000)).await;
    lab.state(&run, "asking").await;
    assert_eq!(lab.handle.stats().await.stalled, None);
}

#[tokio::test]
async fn what_can_never_be_accepted_is_said_even_while_the_journal_fails() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    let (good, bad) = (lab.post(manual("ask")), lab.post(manual("task")));
    assert!(matches!(good.await.unwrap(), Err(BeginError::Unavailable(_))));
    assert_eq!(bad.await.unwrap(), Err(BeginError::UnknownWorkflow("task".to_owned())));
}

#[tokio::test]
async fn a_stopped_journal_ends_the_loop() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    lab.gate.set(Mode::Fail(AppendError::Stopped("the disk is gone".to_owned())));
    let refused = lab.handle.begin(manual("ask")).await.unwrap_err();
    assert!(refused.to_string().contains("the disk is gone"), "{refused}");
    tokio::time::timeout(PATIENCE, lab.handle.ended()).await.unwrap();
    assert!(matches!(lab.handle.begin(manual("ask")).await, Err(BeginError::Unavailable(_))));
}

#[tokio::test]
async fn one_delivery_twice_in_one_batch_is_one_run() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let (one, two) = (lab.post(delivery("ask", "d", 1000)), lab.post(delivery("ask", "d", 1000)));
    let run = one.await.unwrap().unwrap().run().clone();
    assert_eq!(two.await.unwrap(), Ok(Admission::Duplicate(run)));
    assert_eq!(lab.handle.runs(<_>::default()).await.len(), 1);
    assert_eq!(lab.gate.seen().len(), 1);
}

#[tokio::test]
async fn a_delivery_is_a_duplicate_while_its_run_succeeded_lately() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(delivery("ask", "d", 600_000)).await;
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
    assert_eq!(lab.begin(delivery("ask", "d", 600_000)).await, Admission::Duplicate(run.clone()));
    // A restart knows it from the journal.
    let lab = lab.crash().await;
    assert_eq!(lab.begin(delivery("ask", "d", 600_000)).await, Admission::Duplicate(run));
}

#[tokio::test]
async fn a_delivery_after_its_time_or_after_a_failure_is_a_new_run() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(delivery("ask", "short", 0)).await;
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
    let again = lab.run(delivery("ask", "short", 0)).await;
    assert_ne!(run, again);
    let failed = lab.run(delivery("ask", "d", 600_000)).await;
    lab.answer(&failed, "ok", false).await.unwrap();
    lab.state(&failed, "failed").await;
    let next = lab.run(delivery("ask", "d", 600_000)).await;
    let lab = lab.crash().await;
    assert_eq!(lab.begin(delivery("ask", "d", 600_000)).await, Admission::Duplicate(next));
}

#[tokio::test]
async fn more_open_runs_than_allowed_are_refused_until_one_closes() {
    let lab = Lab::bounded(&[asking("ask", "")], 64, 1).await;
    let run = lab.run(manual("ask")).await;
    let refused = lab.handle.begin(manual("ask")).await.unwrap_err();
    assert!(refused.to_string().contains("limits.open_runs"), "{refused}");
    lab.cancel(&run).await.unwrap();
    lab.run(manual("ask")).await;
}

#[tokio::test]
async fn commands_say_why_they_do_nothing() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let unknown = "nobody".parse().unwrap();
    assert_eq!(lab.cancel(&unknown).await, Err(CommandError::UnknownRun(unknown.clone())));
    assert_eq!(lab.answer(&unknown, "ok", true).await, Err(CommandError::UnknownRun(unknown)));
    let run = lab.run(manual("ask")).await;
    let error = lab.answer(&run, "okay", true).await.unwrap_err();
    assert_eq!(error.to_string(), "no step `okay`; the steps are ok");
    lab.answer(&run, "ok", true).await.unwrap();
    let over = format!("run {run} is over: succeeded");
    assert_eq!(lab.cancel(&run).await.unwrap_err().to_string(), over);
    assert_eq!(lab.answer(&run, "ok", true).await.unwrap_err().to_string(), over);
}

#[tokio::test]
async fn a_stop_takes_no_more_and_ends_the_loop() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(manual("ask")).await;
    lab.handle.stop(60_000).await;
    tokio::time::timeout(PATIENCE, lab.handle.ended()).await.unwrap();
    assert!(matches!(lab.handle.begin(manual("ask")).await, Err(BeginError::Unavailable(_))));
    let lab = lab.crash().await;
    assert_eq!(lab.resumed, 1);
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
}
