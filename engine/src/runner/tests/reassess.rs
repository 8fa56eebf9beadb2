//! No incident is swallowed: what came after the last look is owed one more.

use super::lab::{Lab, doing, key, manual, trigger, webhook};
use crate::runner::Begin;
use baton_core::run::event::{Event, TriggerKind};
use serde_json::json;

fn assessing() -> String {
    format!(
        "name = \"heal\"\n{}\n[steps.first]\napproval = {{ prompt = \"Go?\", timeout = \"20m\", on_timeout = \"reject\" }}\n\
         [steps.assess]\nneeds = [\"first\"]\nplugin = \"sleep\"\nassesses = true\n",
        key("join")
    )
}

#[tokio::test]
async fn a_webhook_before_the_last_look_is_answered_by_it() {
    let lab = Lab::new(&[assessing()]).await;
    let run = lab.run(manual("heal")).await;
    lab.begin(webhook("heal")).await;
    lab.answer(&run, "first", true).await.unwrap();
    lab.end(doing(&run, 1, 1), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
    assert_eq!(lab.handle.runs(<_>::default()).await.len(), 1);
}

#[tokio::test]
async fn a_webhook_after_the_last_look_is_owed_one_more() {
    // Even when there is no room for more runs.
    let lab = Lab::bounded(&[assessing()], 64, 1).await;
    let run = lab.run(manual("heal")).await;
    lab.answer(&run, "first", true).await.unwrap();
    let looked = lab.state(&run, "running").await.steps[1].started_at.unwrap();
    while lab.view(&run).await.now == looked {
        tokio::task::yield_now().await;
    }
    lab.begin(webhook("heal")).await;
    lab.begin(webhook("heal")).await;
    lab.end(doing(&run, 1, 1), Ok(json!({}))).await;
    lab.state(&run, "succeeded").await;
    let runs = lab.handle.runs(<_>::default()).await;
    let kinds: Vec<&str> = runs.iter().map(|run| run.trigger.as_str()).collect();
    assert_eq!(kinds, ["reassess", "manual"]);
    // The debt is in the same batch as what made it.
    let last = lab
        .gate
        .seen()
        .into_iter()
        .rfind(|batch| batch.entries.iter().any(|entry| entry.closed.is_some()));
    assert!(last.unwrap().entries.iter().any(|entry| matches!(entry.event, Event::Begun { .. })));
}

#[tokio::test]
async fn a_watch_that_comes_round_again_is_no_news() {
    let lab = Lab::new(&[assessing()]).await;
    let run = lab.run(manual("heal")).await;
    for _ in 0..3 {
        let trigger = trigger(TriggerKind::Watch, "detect");
        lab.begin(Begin { workflow: "heal".to_owned(), params: json!({}), trigger }).await;
    }
    assert_eq!(lab.view(&run).await.joined.len(), 1);
}
