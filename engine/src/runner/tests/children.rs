//! A step that is a run of its own.

use super::lab::{Lab, asking, key, manual, step};
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

const LOOSE: &str = "name = \"loose\"\n[steps.inner]\nworkflow = \"ask\"\ndetach = true\n[steps.told]\nneeds = [\"inner\"]\nreport = true\n";

fn loose(head: &str) -> [String; 2] {
    [asking("ask", head), LOOSE.to_owned()]
}

#[tokio::test]
async fn a_run_that_is_let_go_outlives_its_parent() {
    let lab = Lab::new(&loose("")).await;
    let run = lab.run(manual("loose")).await;
    let view = lab.state(&run, "succeeded").await;
    let output = &step(&view, "inner").output;
    assert_eq!(output["outcome"], "started");
    let id: RunId = output["run"].as_str().unwrap().parse().unwrap();
    assert_eq!(step(&view, "inner").child.as_deref(), Some(id.as_str()));
    let inner = lab.view(&id).await;
    assert!(inner.parent.is_none(), "it is nobody's child");
    lab.answer(&id, "ok", true).await.unwrap();
    lab.state(&id, "succeeded").await;
}

#[tokio::test]
async fn g2_a_run_that_is_let_go_is_on_disk_with_the_end_of_its_step_and_survives_a_crash() {
    let lab = Lab::new(&loose("")).await;
    let run = lab.run(manual("loose")).await;
    let view = lab.state(&run, "succeeded").await;
    let id: RunId = step(&view, "inner").child.clone().unwrap().parse().unwrap();
    let batch = |wanted: &dyn Fn(&crate::journal::Entry) -> bool| {
        lab.gate.seen().iter().position(|batch| batch.entries.iter().any(wanted))
    };
    let begun = batch(&|it| it.run == id && matches!(it.event, Event::Begun { .. }));
    let told = batch(&|it| it.run == run && matches!(it.event, Event::Succeeded { .. }));
    assert!(begun.is_some());
    assert_eq!(begun, told);
    let lab = lab.crash().await;
    assert_eq!(lab.resumed, 1, "the parent is over, what it let go is not");
    lab.answer(&id, "ok", true).await.unwrap();
    lab.state(&id, "succeeded").await;
}

#[tokio::test]
async fn a_run_that_is_let_go_joins_the_one_that_holds_its_key() {
    let lab = Lab::new(&loose(&key("join"))).await;
    let first = lab.run(manual("loose")).await;
    let first = lab.state(&first, "succeeded").await;
    let second = lab.run(manual("loose")).await;
    let second = lab.state(&second, "succeeded").await;
    assert_eq!(step(&second, "inner").output["outcome"], "joined");
    assert_eq!(step(&second, "inner").child, step(&first, "inner").child);
}

#[tokio::test]
async fn a_run_that_is_let_go_waits_for_its_key_or_fails_its_step_as_its_workflow_says() {
    let lab = Lab::new(&loose(&key("queue"))).await;
    let first = lab.run(manual("loose")).await;
    let first = lab.state(&first, "succeeded").await;
    let second = lab.run(manual("loose")).await;
    let second = lab.state(&second, "succeeded").await;
    assert_eq!(step(&second, "inner").output["outcome"], "queued");
    let id = |view| step(view, "inner").child.clone().unwrap().parse::<RunId>().unwrap();
    assert_eq!(lab.view(&id(&second)).await.state, "queued");
    lab.answer(&id(&first), "ok", true).await.unwrap();
    lab.state(&id(&second), "asking").await;

    let lab = Lab::new(&loose(&key("refuse"))).await;
    let first = lab.run(manual("loose")).await;
    lab.state(&first, "succeeded").await;
    let second = lab.run(manual("loose")).await;
    let second = lab.state(&second, "failed").await;
    assert_eq!(step(&second, "inner").fault.as_ref().unwrap().code, "key-held");
}

#[tokio::test]
async fn a_cancel_of_the_parent_leaves_what_it_let_go() {
    let parent = "name = \"loose\"\n[steps.inner]\nworkflow = \"ask\"\ndetach = true\n[steps.ok]\nneeds = [\"inner\"]\napproval = { prompt = \"Go?\", timeout = \"20m\" }\n";
    let lab = Lab::new(&[asking("ask", ""), parent.to_owned()]).await;
    let run = lab.run(manual("loose")).await;
    let id = step(&lab.view(&run).await, "inner").child.clone().unwrap().parse().unwrap();
    lab.cancel(&run).await.unwrap();
    lab.state(&run, "cancelled").await;
    assert_eq!(lab.view(&id).await.state, "asking");
}
