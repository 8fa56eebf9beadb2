//! One run per key at a time; who waits for it, and for how long.

use super::lab::{Lab, asking, doing, key, manual, sleeping, webhook};
use crate::runner::{Admission, BeginError};
use serde_json::json;

fn queued(admission: &Admission) -> baton_core::id::RunId {
    assert!(matches!(admission, Admission::Queued { .. }), "{admission:?}");
    admission.run().clone()
}

#[tokio::test]
async fn g6_two_begins_of_one_key_in_one_batch_are_one_run() {
    let lab = Lab::new(&[asking("ask", &key("join"))]).await;
    let (one, two) = (lab.post(webhook("ask")), lab.post(webhook("ask")));
    let run = one.await.unwrap().unwrap().run().clone();
    assert_eq!(two.await.unwrap(), Ok(Admission::Joined(run.clone())));
    assert_eq!(lab.view(&run).await.joined.len(), 1);
}

#[tokio::test]
async fn g6_a_held_key_refuses_and_is_free_after_a_cancel() {
    let lab = Lab::new(&[asking("ask", &key("refuse"))]).await;
    let holder = lab.run(manual("ask")).await;
    let refused = Err(BeginError::Refused { key: "k".to_owned(), holder: holder.clone() });
    assert_eq!(lab.handle.begin(manual("ask")).await, refused);
    let lab = lab.crash().await;
    assert_eq!(lab.handle.begin(manual("ask")).await, refused);
    lab.cancel(&holder).await.unwrap();
    lab.run(manual("ask")).await;
}

#[tokio::test]
async fn g6_queued_runs_start_one_by_one_in_their_order() {
    let lab = Lab::new(&[asking("ask", &key("queue"))]).await;
    let first = lab.run(manual("ask")).await;
    let second = queued(&lab.begin(manual("ask")).await);
    let third = queued(&lab.begin(webhook("ask")).await);
    assert_eq!(lab.view(&second).await.state, "queued");
    assert_eq!(lab.handle.stats().await.queued, 2);
    let lab = lab.crash().await;
    assert_eq!(lab.view(&third).await.state, "queued");
    lab.answer(&first, "ok", true).await.unwrap();
    lab.state(&second, "asking").await;
    assert_eq!(lab.view(&third).await.state, "queued");
    lab.cancel(&second).await.unwrap();
    lab.state(&third, "asking").await;
}

#[tokio::test]
async fn a_queued_run_that_is_cancelled_leaves_the_queue() {
    let lab = Lab::new(&[asking("ask", &key("queue"))]).await;
    let first = lab.run(manual("ask")).await;
    let second = queued(&lab.begin(manual("ask")).await);
    let third = queued(&lab.begin(manual("ask")).await);
    lab.cancel(&second).await.unwrap();
    lab.state(&second, "cancelled").await;
    lab.answer(&first, "ok", true).await.unwrap();
    lab.state(&third, "asking").await;
    assert_eq!(lab.handle.stats().await.queued, 0);
}

/// A run that changed something, closed.
async fn acted(lab: &Lab, workflow: &str) {
    let run = lab.run(manual(workflow)).await;
    lab.change(&doing(&run, 0, 1)).await;
    lab.end(doing(&run, 0, 1), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
}

#[tokio::test]
async fn only_a_run_that_acted_is_followed_by_a_cool_down() {
    let lab = Lab::new(&[sleeping("act", &format!("cooldown = \"10m\"\n{}", key("join")))]).await;
    let idle = lab.run(webhook("act")).await;
    lab.end(doing(&idle, 0, 1), Ok(json!({}))).await;
    lab.state(&idle, "succeeded").await;
    acted(&lab, "act").await;
    let waiting = queued(&lab.begin(webhook("act")).await);
    assert_eq!(lab.begin(webhook("act")).await, Admission::Joined(waiting.clone()));
    let lab = lab.crash().await;
    assert_eq!(lab.begin(webhook("act")).await, Admission::Joined(waiting.clone()));
    // A person does not wait.
    let urgent = lab.run(manual("act")).await;
    lab.end(doing(&urgent, 0, 1), Ok(json!({}))).await;
    lab.state(&urgent, "succeeded").await;
    assert_eq!(lab.view(&waiting).await.state, "queued");
}

#[tokio::test]
async fn a_run_that_waits_for_its_key_waits_for_the_cool_down_too() {
    let lab = Lab::new(&[sleeping("act", &format!("cooldown = \"10m\"\n{}", key("queue")))]).await;
    let first = lab.run(manual("act")).await;
    let second = queued(&lab.begin(webhook("act")).await);
    lab.change(&doing(&first, 0, 1)).await;
    lab.end(doing(&first, 0, 1), Ok(json!({}))).await;
    lab.state(&first, "succeeded").await;
    assert_eq!(lab.view(&second).await.state, "queued");
}

#[tokio::test]
async fn a_run_held_back_by_the_cool_down_starts_when_that_ends() {
    let lab = Lab::new(&[sleeping("act", &format!("cooldown = \"200ms\"\n{}", key("join")))]).await;
    acted(&lab, "act").await;
    let closed_at = lab.handle.runs(<_>::default()).await[0].closed_at.unwrap();
    let next = lab.begin(webhook("act")).await.run().clone();
    let view = lab.state(&next, "running").await;
    let started_at = view.steps[0].started_at.unwrap();
    assert!(started_at >= closed_at + 200, "{started_at} {closed_at}");
}
