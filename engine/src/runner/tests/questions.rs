//! What a person is told with a question, of each kind.

use baton_core::id::Side;
use baton_core::run::fault::Fault;
use serde_json::json;

use super::lab::{Lab, asking, doing, manual, sleeping, step};
use crate::runner::view::QuestionView;
use crate::runner::{CommandError, Doing};

/// `stop` fails after `act` has changed something that can be undone.
fn undoable() -> String {
    let act = sleeping("act", "") + "undo = { plugin = \"sleep\" }\n";
    act + "[steps.stop]\nneeds = [\"act\"]\nplugin = \"sleep\"\n"
}

fn undoing(of: &Doing) -> Doing {
    let mut of = of.clone();
    of.attempt.side = Side::Undo;
    of
}

fn asks(view: &crate::runner::view::RunView) -> &QuestionView {
    view.steps.iter().find_map(|step| step.asks.as_ref()).expect("a question")
}

#[tokio::test]
async fn an_approval_says_until_when_and_what_silence_means() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(manual("ask")).await;
    let view = lab.view(&run).await;
    let question = asks(&view);
    assert_eq!((question.kind.as_str(), question.side.as_str()), ("approval", "do"));
    assert_eq!(question.until, Some(question.since + 20 * 60_000));
    assert_eq!(question.silence.as_deref(), Some("reject"));
    assert!(question.reject.contains("nothing is undone"), "{question:?}");
}

#[tokio::test]
async fn g4_a_call_in_doubt_is_asked_about_and_the_answer_is_kept() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.intend(&doing(&run, 0, 1)).await.unwrap();
    let lab = lab.crash().await;
    let view = lab.state(&run, "asking").await;
    let question = asks(&view);
    assert_eq!((question.kind.as_str(), question.until), ("in-doubt", None));
    assert!(question.approve.contains("runs again"), "{question:?}");
    assert_eq!(view.steps[0].calls[0].outcome, None);
    lab.answer(&run, "act", true).await.unwrap();
    let view = lab.state(&run, "running").await;
    let answer = &view.steps[0].answers[0];
    assert_eq!(
        (answer.who.as_str(), answer.approved, answer.kind.as_str()),
        ("ann", true, "in-doubt")
    );
    // It outlives the engine like every fact.
    let lab = lab.crash().await;
    assert_eq!(lab.view(&run).await.steps[0].answers.len(), 1);
}

#[tokio::test]
async fn a_step_that_was_cut_off_and_wants_a_person_says_so() {
    let lab = Lab::new(&[sleeping("act", "") + "when_interrupted = \"ask\"\n"]).await;
    let run = lab.run(manual("act")).await;
    lab.change(&doing(&run, 0, 1)).await;
    lab.handle.stop(0).await;
    let lab = lab.crash().await;
    assert_eq!(asks(&lab.state(&run, "asking").await).kind, "interrupted");
}

#[tokio::test]
async fn g2_a_run_under_which_the_engine_dies_again_and_again_asks() {
    let mut lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    for _ in 0..baton_core::limits::INTERRUPTIONS_MAX {
        lab = lab.crash().await;
    }
    let view = lab.state(&run, "asking").await;
    assert_eq!(asks(&view).kind, "poison");
    assert!(view.steps[0].question.as_deref().is_some_and(|text| text.contains("again and again")));
}

#[tokio::test]
async fn an_undo_in_doubt_asks_for_itself_and_is_answered_by_its_step() {
    let lab = Lab::new(&[undoable()]).await;
    let run = lab.run(manual("act")).await;
    let act = doing(&run, 0, 1);
    lab.end(act.clone(), Ok(json!({}))).await;
    lab.when(&run, |view| step(view, "stop").state == "running").await;
    lab.end(doing(&run, 1, 1), Err(Fault::permanent("broken", "no"))).await;
    lab.when(&run, |view| step(view, "act").state == "undoing").await;
    lab.intend(&undoing(&act)).await.unwrap();
    let lab = lab.crash().await;
    let view = lab.state(&run, "asking").await;
    let question = asks(&view);
    assert_eq!((question.kind.as_str(), question.side.as_str()), ("in-doubt", "undo"));
    assert!(question.reject.contains("not undone"), "{question:?}");
    assert_eq!(step(&view, "act").calls[0].side, "undo");
    lab.answer(&run, "act", false).await.unwrap();
    let view = lab.state(&run, "failed").await;
    assert_eq!(step(&view, "act").state, "undo-failed");
}

#[tokio::test]
async fn no_says_what_would_be_undone() {
    let head = sleeping("act", "") + "undo = { plugin = \"sleep\" }\n";
    let ask = "[steps.ok]\nneeds = [\"act\"]\napproval = { prompt = \"Go?\", timeout = \"1h\" }\n";
    let lab = Lab::new(&[head + ask]).await;
    let run = lab.run(manual("act")).await;
    lab.end(doing(&run, 0, 1), Ok(json!({}))).await;
    let view = lab.state(&run, "asking").await;
    assert!(asks(&view).reject.ends_with("undone are `act`"), "{:?}", asks(&view));
}

#[tokio::test]
async fn items_are_asked_about_one_by_one() {
    let each = "for_each = [1, 2]\nparallel = 2\non_failure = \"ask\"\n";
    let lab = Lab::new(&[sleeping("act", "") + each]).await;
    let run = lab.run(manual("act")).await;
    let mut second = doing(&run, 0, 1);
    second.attempt.place.item = 1;
    for of in [doing(&run, 0, 1), second] {
        lab.end(of, Err(Fault::permanent("broken", "no"))).await;
    }
    let view = lab.state(&run, "asking").await;
    let items = &view.steps[0].items;
    assert!(items.iter().all(|item| item.asks.as_ref().unwrap().kind == "failed"), "{items:#?}");
    let refused = lab.answer(&run, "act", true).await.unwrap_err();
    let CommandError::Illegal(said) = &refused else { panic!("{refused:?}") };
    assert!(said.contains("name one, as `act[0]`"), "{said}");
}
