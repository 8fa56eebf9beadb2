//! Time limits.

use super::lab::{Lab, asking, manual, step};
use baton_core::run::event::Outcome;

#[tokio::test]
async fn a_question_that_nobody_answers_is_answered_by_its_time() {
    let ask = asking("ask", "").replace("20m", "30ms");
    let lab = Lab::new(&[ask]).await;
    let run = lab.run(manual("ask")).await;
    let view = lab.state(&run, "failed").await;
    assert_eq!(step(&view, "ok").output["who"], "timeout");
    assert!(view.closed_at.unwrap() >= view.begun_at + 30);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_timed_out() {
    let lab = Lab::new(&[asking("ask", "timeout = \"30ms\"")]).await;
    let run = lab.run(manual("ask")).await;
    lab.state(&run, "timed-out").await;
    assert_eq!(lab.outcome(&run), Outcome::TimedOut);
    assert_eq!(
        lab.cancel(&run).await.unwrap_err().to_string(),
        format!("run {run} is over: timed-out")
    );
}

#[tokio::test]
async fn a_run_that_is_over_at_once_is_one_batch() {
    let report = "name = \"told\"\n[steps.told]\nreport = true\n".to_owned();
    let lab = Lab::new(&[report]).await;
    let run = lab.run(manual("told")).await;
    assert_eq!(lab.view(&run).await.state, "succeeded");
    assert_eq!(lab.gate.seen().len(), 1);
    let stats = lab.handle.stats().await;
    assert_eq!((stats.open, stats.closed[&("told".to_owned(), "succeeded")]), (0, 1));
}
