//! What a journal that fails for a while does to runs that are under way: nothing.

use super::gate::Mode;
use super::lab::{Lab, PATIENCE, asking, doing, manual, sleeping};
use crate::journal::AppendError;
use crate::runner::CommandError;
use baton_core::run::event::Event;
use serde_json::json;

#[tokio::test]
async fn an_end_that_is_not_stored_is_tried_again_with_its_outcomes() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.change(&doing(&run, 0, 1)).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    let failed = lab.gate.seen().len();
    lab.end(doing(&run, 0, 1), Ok(json!({ "n": 1 }))).await;
    while lab.gate.seen().len() == failed {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.view(&run).await.state, "running");
    lab.gate.release();
    let view = lab.state(&run, "succeeded").await;
    assert_eq!(view.steps[0].output, json!({ "n": 1 }));
    assert_eq!(view.steps[0].calls[0].outcome.as_deref(), Some("1"));
}

#[tokio::test]
async fn g4_an_intent_waits_until_it_is_stored() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.gate.set(Mode::Fail(AppendError::Full("told so".to_owned())));
    let tried = lab.gate.seen().len();
    let doing = doing(&run, 0, 1);
    let intent = lab.intend(&doing);
    let released = async {
        // Refused, and refused again: nobody is told, and nothing is sent.
        while lab.gate.seen().len() < tried + 2 {
            lab.view(&run).await;
        }
        assert!(lab.view(&run).await.steps[0].calls.is_empty());
        lab.gate.release();
    };
    let both = async { tokio::join!(intent, released) };
    let (intent, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    intent.unwrap();
    assert_eq!(lab.view(&run).await.steps[0].calls.len(), 1);
}

#[tokio::test]
async fn g4_an_intent_that_can_never_be_stored_is_refused() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.gate.set(Mode::Refuse(|event| matches!(event, Event::Called { .. })));
    assert!(lab.intend(&doing(&run, 0, 1)).await.is_err());
}

#[tokio::test]
async fn a_command_that_is_not_stored_never_was() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(manual("ask")).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    assert!(matches!(lab.cancel(&run).await, Err(CommandError::Unavailable(_))));
    assert!(matches!(lab.answer(&run, "ok", true).await, Err(CommandError::Unavailable(_))));
    assert_eq!(lab.view(&run).await.state, "asking");
    lab.gate.release();
    lab.answer(&run, "ok", true).await.unwrap();
    lab.state(&run, "succeeded").await;
}

#[tokio::test]
async fn a_timer_whose_event_is_not_stored_comes_again() {
    let wait = "name = \"wait\"\n[steps.pause]\nwait = \"20ms\"\n".to_owned();
    let lab = Lab::new(&[wait]).await;
    let run = lab.run(manual("wait")).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    let begun = lab.gate.seen().len();
    while lab.gate.seen().len() == begun {
        lab.view(&run).await;
    }
    lab.gate.release();
    lab.state(&run, "succeeded").await;
}

#[tokio::test]
async fn a_start_that_is_not_stored_is_not_made() {
    let two = asking("two", "") + "[steps.act]\nneeds = [\"ok\"]\nplugin = \"sleep\"\n";
    let lab = Lab::new(&[two]).await;
    let run = lab.run(manual("two")).await;
    lab.gate.set(Mode::Fail(AppendError::Busy));
    assert!(lab.answer(&run, "ok", true).await.is_err());
    assert_eq!(lab.handle.stats().await.attempts, 0);
    lab.gate.release();
    lab.answer(&run, "ok", true).await.unwrap();
    assert_eq!(lab.handle.stats().await.attempts, 1);
}

#[tokio::test]
async fn a_record_that_can_never_be_stored_costs_its_run_alone() {
    let lab = Lab::new(&[sleeping("act", ""), asking("ask", "")]).await;
    let (bad, good) = (lab.run(manual("act")).await, lab.run(manual("ask")).await);
    lab.gate.set(Mode::Refuse(|event| matches!(event, Event::Succeeded { .. })));
    lab.end(doing(&bad, 0, 1), Ok(json!({}))).await;
    let view = lab.view(&bad).await;
    assert_eq!(view.state, "unreadable");
    assert!(view.note.unwrap().contains("too large"));
    lab.answer(&good, "ok", true).await.unwrap();
    lab.state(&good, "succeeded").await;
    lab.end(doing(&bad, 0, 1), Ok(json!({}))).await;
    lab.run(manual("ask")).await;
}
