//! Lists and views, of runs that are open, closed, or cannot be read.

use super::lab::{Lab, asking, manual};
use crate::runner::Filter;

fn ids(runs: &[crate::runner::view::Summary]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

#[tokio::test]
async fn a_list_is_newest_first_and_goes_on_where_it_stopped() {
    let lab = Lab::new(&[asking("ask", ""), asking("other", "")]).await;
    let mut runs = Vec::new();
    for workflow in ["ask", "other", "ask", "ask"] {
        runs.push(lab.run(manual(workflow)).await);
    }
    lab.answer(&runs[0], "ok", true).await.unwrap();
    let list = |filter: Filter| lab.handle.runs(filter);
    let all = list(Filter::default()).await;
    let newest: Vec<&str> = runs.iter().rev().map(baton_core::id::RunId::as_str).collect();
    assert_eq!(ids(&all), newest);
    let first = list(Filter { limit: Some(2), ..Filter::default() }).await;
    assert_eq!(ids(&first), newest[..2]);
    let before = Some(runs[2].clone());
    let rest = list(Filter { before, ..Filter::default() }).await;
    assert_eq!(ids(&rest), newest[2..]);
    let unknown = Some("nobody".parse().unwrap());
    assert!(list(Filter { before: unknown, ..Filter::default() }).await.is_empty());
    let state = Some("succeeded".to_owned());
    assert_eq!(ids(&list(Filter { state, ..Filter::default() }).await), [runs[0].as_str()]);
    let workflow = Some("other".to_owned());
    assert_eq!(ids(&list(Filter { workflow, ..Filter::default() }).await), [runs[1].as_str()]);
}

#[tokio::test]
async fn a_closed_run_is_shown_as_it_was() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let run = lab.run(manual("ask")).await;
    let open = lab.view(&run).await;
    assert_eq!(open.steps[0].question.as_deref(), Some("Go?"));
    lab.answer(&run, "ok", true).await.unwrap();
    let lab = lab.crash().await;
    let view = lab.view(&run).await;
    assert_eq!((view.state.as_str(), view.begun_at), ("succeeded", open.begun_at));
    assert_eq!(view.steps[0].output["who"], "ann");
    assert_eq!(lab.handle.run("nobody".parse().unwrap()).await, None);
    assert_eq!(lab.handle.runs(Filter::default()).await.len(), 1);
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_in_the_list() {
    let lab = Lab::new(&[asking("ask", "")]).await;
    let bad = lab.run(manual("ask")).await;
    let lab = lab.crash_spoiling(Some(bad.clone())).await;
    let state = Some("unreadable".to_owned());
    let list = lab.handle.runs(Filter { state, ..Filter::default() }).await;
    assert_eq!(ids(&list), [bad.as_str()]);
}
