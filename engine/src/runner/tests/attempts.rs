//! As many attempts at a time as allowed; the others wait their turn.

use super::lab::{Lab, asking, doing, manual, sleeping};
use baton_core::run::fault::Fault;
use serde_json::json;

#[tokio::test]
async fn attempts_wait_for_a_free_slot() {
    let lab = Lab::bounded(&[sleeping("act", "")], 1, 1000).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(lab.run(manual("act")).await);
    }
    assert_eq!(lab.handle.stats().await.attempts, 1);
    assert_eq!(lab.view(&runs[1]).await.steps[0].state, "ready");
    // One slot becomes free by an end, the next by a cancel.
    lab.end(doing(&runs[0], 0, 1), Ok(json!({}))).await;
    lab.when(&runs[1], |view| view.steps[0].state == "running").await;
    assert_eq!(lab.view(&runs[2]).await.steps[0].state, "ready");
    lab.cancel(&runs[1]).await.unwrap();
    lab.when(&runs[2], |view| view.steps[0].state == "running").await;
    assert_eq!(lab.handle.stats().await.attempts, 1);
    lab.end(doing(&runs[2], 0, 1), Ok(json!({}))).await;
    lab.state(&runs[2], "succeeded").await;
    assert_eq!(lab.handle.stats().await.attempts, 0);
}

#[tokio::test]
async fn a_cancelled_run_ends_its_attempts() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.cancel(&run).await.unwrap();
    let view = lab.state(&run, "cancelled").await;
    assert_eq!(view.steps[0].fault.as_ref().unwrap().code, "stopped");
    assert_eq!(lab.handle.stats().await.attempts, 0);
}

#[tokio::test]
async fn an_attempt_that_failed_for_now_is_tried_again() {
    let retry = sleeping("act", "") + "retry = { attempts = 2, backoff = \"1ms\" }\n";
    let lab = Lab::new(&[retry]).await;
    let run = lab.run(manual("act")).await;
    lab.end(doing(&run, 0, 1), Err(Fault::retryable("busy", "not now"))).await;
    lab.when(&run, |view| view.steps[0].attempts.len() == 2).await;
    lab.end(doing(&run, 0, 2), Err(Fault::retryable("busy", "not now"))).await;
    let view = lab.state(&run, "failed").await;
    assert_eq!(view.steps[0].fault.as_ref().unwrap().code, "busy");
}

#[tokio::test]
async fn a_run_without_attempts_needs_no_slot() {
    let lab = Lab::bounded(&[sleeping("act", ""), asking("ask", "")], 1, 1000).await;
    lab.run(manual("act")).await;
    let run = lab.run(manual("ask")).await;
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
}
