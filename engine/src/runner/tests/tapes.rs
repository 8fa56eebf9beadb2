//! What attempts heard goes to disk ahead of what they did, and once.

use baton_core::id::Side;
use baton_core::run::event::{Call, Event};
use serde_json::json;

use super::gate::Mode;
use super::lab::{Lab, call, doing, manual, sleeping, step, told};
use crate::journal::AppendError;
use crate::runner::tape::{EndView, TapeError, TapeView, Wanted, tape};

fn numbered(index: u32) -> Call {
    Call { index, ..call(None) }
}

/// Each event of the batch that was asked for last, in a word or two.
fn last_batch(lab: &Lab) -> Vec<String> {
    let batch = lab.gate.seen().pop().unwrap();
    batch.entries.iter().map(|entry| shown(&entry.event)).collect()
}

fn shown(event: &Event) -> String {
    if let Event::Taped { tape, .. } = event {
        let heard: Vec<u32> = tape.entries.iter().map(|entry| entry.index).collect();
        let begins = if tape.head.is_some() { "begins, " } else { "" };
        return format!("tape {begins}{heard:?}");
    }
    if let Event::Called { call, .. } = event {
        return match &call.outcome {
            None => format!("intent {}", call.index),
            Some(outcome) => format!("outcome {} {outcome}", call.index),
        };
    }
    event.to_string()
}

/// What is on disk of a run's tapes.
fn heard(lab: &Lab, run: &baton_core::id::RunId) -> Vec<u32> {
    let mut heard = Vec::new();
    for event in lab.events(run) {
        if let Event::Taped { tape, .. } = event {
            heard.extend(tape.entries.iter().map(|entry| entry.index));
        }
    }
    heard
}

#[tokio::test]
async fn g4_what_was_heard_stands_in_the_batch_before_the_change_that_it_led_to() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    let of = doing(&run, 0, 1);
    lab.intend_all(&of, told(&[0, 1]), vec![numbered(2), numbered(3)]).await.unwrap();
    assert_eq!(last_batch(&lab), ["tape begins, [0, 1]", "intent 2", "intent 3"]);
    let mut more = told(&[2]);
    more.outcomes = vec![Call { outcome: Some("7".to_owned()), ..numbered(2) }];
    lab.intend_all(&of, more, vec![numbered(4)]).await.unwrap();
    assert_eq!(last_batch(&lab), ["outcome 2 7", "tape [2]", "intent 4"]);
    lab.end_telling(of, told(&[4]), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
    let ends: Vec<String> = lab.events(&run).iter().map(shown).collect();
    assert_eq!(ends[ends.len() - 3..], ["tape [4]", "success of step 0[0] attempt 1", "close"]);
}

#[tokio::test]
async fn a_change_that_heard_nothing_begins_its_tape_with_its_input() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    lab.intend(&doing(&run, 0, 1)).await.unwrap();
    assert_eq!(last_batch(&lab), ["tape begins, []", "intent 0"]);
}

#[tokio::test]
async fn a_tape_is_kept_of_an_attempt_that_changed_something_or_wants_it() {
    let record = sleeping("record", "").replace("timeout", "record = true\ntimeout");
    let lab = Lab::new(&[sleeping("act", ""), record]).await;
    for (workflow, kept) in [("act", vec![]), ("record", vec![0, 1])] {
        let run = lab.run(manual(workflow)).await;
        lab.end_telling(doing(&run, 0, 1), told(&[0, 1]), Ok(json!({}))).await;
        lab.state(&run, "succeeded").await;
        assert_eq!(heard(&lab, &run), kept, "{workflow}");
    }
}

#[tokio::test]
async fn what_a_refused_batch_carried_is_neither_lost_nor_doubled() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    let of = doing(&run, 0, 1);
    lab.intend_all(&of, told(&[0]), vec![numbered(1)]).await.unwrap();
    lab.gate.set(Mode::Fail(AppendError::Full("told so".to_owned())));
    let tried = lab.gate.seen().len();
    let intent = lab.intend_all(&of, told(&[1, 2]), vec![numbered(3)]);
    let released = async {
        while lab.gate.seen().len() < tried + 2 {
            lab.view(&run).await;
        }
        lab.gate.release();
    };
    let (intent, ()) = tokio::join!(intent, released);
    intent.unwrap();
    // An end that is refused at first, too.
    lab.gate.set(Mode::Fail(AppendError::Busy));
    let tried = lab.gate.seen().len();
    lab.end_telling(of, told(&[3, 4]), Ok(json!({}))).await;
    while lab.gate.seen().len() < tried + 2 {
        lab.view(&run).await;
    }
    lab.gate.release();
    lab.state(&run, "succeeded").await;
    assert_eq!(heard(&lab, &run), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn intents_of_one_pipeline_are_stored_together_or_told_that_they_were_not_sent() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    let of = doing(&run, 0, 1);
    let twice = vec![numbered(1), numbered(1)];
    assert!(lab.intend_all(&of, told(&[0]), twice).await.is_err());
    // The host tells again what came with intents that were refused.
    lab.intend_all(&of, told(&[0, 1]), vec![numbered(2)]).await.unwrap();
    assert_eq!(heard(&lab, &run), [0, 1]);
    let view = lab.view(&run).await;
    let outcome = view.steps[0].calls[0].outcome.as_deref().unwrap();
    assert!(outcome.starts_with("not sent"), "{outcome}");
}

#[tokio::test]
async fn an_attempt_that_leaves_its_tape_asks_a_person() {
    let replay = sleeping("act", "").replace("timeout", "when_interrupted = \"replay\"\ntimeout");
    let lab = Lab::new(&[replay]).await;
    let run = lab.run(manual("act")).await;
    // It never asked for the time: its plugin sleeps.
    lab.intend_all(&doing(&run, 0, 1), told(&[0]), vec![numbered(1)]).await.unwrap();
    let lab = lab.crash().await;
    let view = lab.state(&run, "asking").await;
    let attempt = step(&view, "act").attempts.last().unwrap().clone();
    assert_eq!((attempt.number, attempt.end.as_str(), attempt.replayed), (1, "diverged", true));
    let why = attempt.fault.unwrap().message;
    assert!(why.contains("call 0 was clock.now") && why.contains("clock.sleep"), "{why}");
}

#[tokio::test]
async fn a_tape_is_read_back_from_its_parts() {
    let lab = Lab::new(&[sleeping("act", "")]).await;
    let run = lab.run(manual("act")).await;
    let of = doing(&run, 0, 1);
    lab.intend_all(&of, told(&[0]), vec![numbered(1)]).await.unwrap();
    let wanted =
        |step: &str, attempt| Wanted { step: step.to_owned(), item: 0, side: Side::Do, attempt };
    let view = lab.handle.tape(run.clone(), wanted("act", None)).await.unwrap();
    assert_eq!((view.calls.len(), &view.end), (1, &EndView::Open));
    lab.end_telling(of, told(&[1]), Ok(json!({ "n": 1 }))).await;
    lab.state(&run, "succeeded").await;
    let view = tape(&*lab.gate.inner(), &run, &wanted("act", Some(1))).unwrap();
    assert_eq!(view.end, EndView::Output(json!({ "n": 1 })));
    assert_eq!((view.plugin.name.as_str(), view.context.step.as_str()), ("sleep", "act"));
    let numbers: Vec<u32> = view.entries().unwrap().iter().map(|entry| entry.index).collect();
    assert_eq!(numbers, [0, 1]);
    let missing = |step: &str, attempt| tape(&*lab.gate.inner(), &run, &wanted(step, attempt));
    for (step, attempt) in [("act", Some(2)), ("nothing", None)] {
        assert!(matches!(missing(step, attempt), Err(TapeError::Missing(_))), "{step}");
    }
}

#[test]
fn a_file_that_is_no_tape_of_ours_is_refused_in_words() {
    let whole = json!({
        "format": "baton-tape", "version": baton_host::TAPE_VERSION, "input": {}, "end": "open",
        "context": { "run_id": "r", "workflow": "w", "step": "s", "item": 0, "attempt": 1, "done": [] },
        "plugin": { "name": "p", "digest": "d" },
        "calls": [{ "index": 0, "function": "clock.now", "request": [], "digest": "x", "answer": 1 }],
    });
    let read = |tape: &serde_json::Value| TapeView::read(&tape.to_string());
    let refused = |tape: &serde_json::Value| read(tape).unwrap_err();
    assert!(TapeView::read("{").unwrap_err().contains("no JSON"));
    assert!(refused(&json!({ "format": "cassette" })).contains("it is no tape"));
    assert!(refused(&json!({ "format": "baton-tape", "version": 99 })).contains("version 99"));
    let mut damaged = whole.clone();
    damaged["calls"][0]["index"] = json!("first");
    assert!(refused(&damaged).contains("damaged"));
    let tape = read(&whole).unwrap();
    assert!(tape.entries().is_err(), "its digest is none");
    assert_eq!(tape.context().unwrap().step, "s");
}
