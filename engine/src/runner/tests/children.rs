//! A step that is a run of its own.

use super::lab::{Lab, asking, manual, step};
use baton_core::id::RunId;
use baton_core::run::event::{Event, Outcome};

const PARENT: &str = "name = \"parent\"\n[steps.inner]\nworkflow = \"ask\"\n[steps.told]\nneeds = [\"inner\"]\nreport = true\n";

async fn family(timeout: &str) -> (Lab, RunId, RunId) {
    let parent = PARENT.replace("workflow = \"ask\"", &format!("workflow = \"ask\"\n{timeout}"));
    let lab = Lab::new(&[asking("ask", ""), parent]).await;
    let run = lab.run(manual("parent")).await;
    let child = step(&lab.view(&run).await, "inner").child.clone().unwrap().parse().unwrap();
    (lab, run, child)
}

#[tokio::test]
async fn a_child_begins_with_its_parents_start_and_ends_its_step() {
    let (lab, run, child) = family("").await;
    let begun = |id: &RunId| {
        let of = |batch: &crate::journal::Batch| {
            batch
                .entries
                .iter()
                .any(|entry| entry.run == *id && matches!(entry.event, Event::Begun { .. }))
        };
        lab.gate.seen().iter().position(of)
    };
    assert_eq!(begun(&run), begun(&child));
    let view = lab.view(&child).await;
    assert_eq!(view.parent.unwrap().run, run.as_str());
    lab.answer(&child, "ok", true).await.unwrap();
    let view = lab.state(&run, "succeeded").await;
    assert_eq!(step(&view, "inner").state, "succeeded");
    assert!(step(&view, "told").output["markdown"].as_str().unwrap().starts_with("# parent"));
}

#[tokio::test]
async fn a_child_that_fails_fails_its_step() {
    let (lab, run, child) = family("").await;
    lab.answer(&child, "ok", false).await.unwrap();
    let view = lab.state(&run, "failed").await;
    assert_eq!(step(&view, "inner").fault.as_ref().unwrap().code, "child-failed");
}

#[tokio::test]
async fn a_cancel_of_the_parent_cancels_the_child() {
    let (lab, run, child) = family("").await;
    lab.cancel(&run).await.unwrap();
    lab.state(&run, "cancelled").await;
    assert_eq!(lab.view(&child).await.state, "cancelled");
    assert_eq!(lab.outcome(&child), Outcome::Cancelled);
}

#[tokio::test]
async fn a_step_that_times_out_cancels_its_child() {
    let (lab, run, child) = family("timeout = \"50ms\"").await;
    let view = lab.state(&run, "failed").await;
    assert_eq!(step(&view, "inner").fault.as_ref().unwrap().code, "timeout");
    assert_eq!(lab.view(&child).await.state, "cancelled");
}

#[tokio::test]
async fn g2_a_restart_in_the_middle_of_a_child_goes_on_with_it() {
    let (lab, run, child) = family("").await;
    let lab = lab.crash().await;
    assert_eq!(lab.resumed, 2);
    lab.answer(&child, "ok", true).await.unwrap();
    let view = lab.state(&run, "succeeded").await;
    assert_eq!(step(&view, "inner").attempts.len(), 1);
    assert_eq!(view.interruptions, 0);
}

#[tokio::test]
async fn g2_a_child_that_cannot_be_read_fails_its_step_and_does_not_hang_it() {
    let (lab, run, child) = family("").await;
    let lab = lab.crash_spoiling(Some(child.clone())).await;
    let view = lab.state(&run, "failed").await;
    let fault = step(&view, "inner").fault.clone().unwrap();
    assert_eq!(fault.code, "child-lost");
    assert!(fault.message.contains(child.as_str()), "{}", fault.message);
}
