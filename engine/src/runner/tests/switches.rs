//! What a pause and a maintenance window hold back, and what an acknowledgement ends.

use std::time::Duration;

use baton_core::Millis;
use baton_core::id::RunId;
use serde_json::json;

use super::lab::{Lab, asking, doing, key, manual, sleeping, step, webhook};
use crate::runner::switches::{By, Order, Which};
use crate::runner::{Admission, CommandError};

/// Looks, then changes `bondx`.
fn failover(head: &str) -> String {
    format!(
        "name = \"f\"\n{head}\n[steps.look]\nplugin = \"sleep\"\nfresh_for = \"10m\"\n{}",
        changing("act", "needs = [\"look\"]")
    )
}

/// A step that may change `bondx`.
fn changing(name: &str, more: &str) -> String {
    format!(
        "[steps.{name}]\nplugin = \"sleep\"\n{more}\n[[steps.{name}.grants.redis]]\n\
         cluster = \"bondx\"\nnodes = [\"data\"]\ncommands = [\"REPLICAOF\"]\n"
    )
}

fn by() -> By {
    By { who: "ann".to_owned(), reason: "new racks".to_owned() }
}

impl Lab {
    async fn told(&self, order: Order) {
        self.handle.order(order, by()).await.unwrap();
    }

    /// A run whose first step has looked.
    async fn looked(&self, run: &RunId) {
        self.end(doing(run, 0, 1), Ok(json!({}))).await;
        self.when(run, |view| view.steps[0].state == "succeeded").await;
    }

    async fn act(&self, run: &RunId, state: &str) {
        self.when(run, |view| step(view, "act").state == state).await;
    }
}

fn pause() -> Order {
    Order::Pause { for_ms: None }
}

async fn maintain(lab: &Lab, cluster: &str, for_ms: Millis) -> Result<(), CommandError> {
    let now = lab.handle.stats().await.ready_since.unwrap();
    // Begun at the start of the engine: at once, that is.
    let order = Order::Maintain { cluster: cluster.to_owned(), from: None, until: now + for_ms };
    lab.handle.order(order, by()).await
}

const HOUR: Millis = 3_600_000;

#[tokio::test]
async fn g7_a_pause_holds_what_changes_over_a_crash_until_somebody_resumes() {
    let lab = Lab::new(&[failover("")]).await;
    lab.told(pause()).await;
    let run = lab.run(manual("f")).await;
    lab.looked(&run).await;
    lab.act(&run, "held").await;
    let lab = lab.crash().await;
    let view = lab.view(&run).await;
    let held = step(&view, "act").held.clone().unwrap();
    assert_eq!(
        (held.why.as_str(), held.until, held.end.as_str()),
        ("paused by ann: new racks", None, "baton resume --reason WHY")
    );
    let stats = lab.handle.stats().await;
    assert_eq!((stats.pauses, stats.windows, stats.held, stats.attempts), (1, 0, 1, 0));
    lab.told(Order::Resume).await;
    lab.act(&run, "running").await;
    assert_eq!(lab.handle.stats().await.held, 0);
    let lab = lab.crash().await;
    assert!(lab.handle.switches().await.brakes.is_empty());
}

#[tokio::test]
async fn what_runs_already_is_not_cut_off_and_its_next_try_is_held() {
    let retry = "retry = { attempts = 2, backoff = \"1ms\" }";
    let lab = Lab::new(&[format!("name = \"w\"\n{}", changing("act", retry))]).await;
    let run = lab.run(manual("w")).await;
    lab.act(&run, "running").await;
    lab.told(pause()).await;
    assert_eq!(step(&lab.view(&run).await, "act").state, "running");
    let fault = baton_core::run::fault::Fault::retryable("x", "again");
    lab.end(doing(&run, 0, 1), Err(fault)).await;
    lab.act(&run, "held").await;
    lab.told(Order::Resume).await;
    lab.when(&run, |view| step(view, "act").attempts.len() == 2).await;
}

#[tokio::test]
async fn a_window_holds_what_began_by_itself_and_leaves_people_alone() {
    let child = "name = \"parent\"\n[steps.below]\nworkflow = \"f\"\n".to_owned();
    let lab = Lab::new(&[failover(""), child]).await;
    maintain(&lab, "bondx", HOUR).await.unwrap();
    for (workflow, state) in [("f", "held"), ("parent", "held")] {
        let run = lab.run(webhook(workflow)).await;
        let acting = acting(&lab, run, workflow).await;
        lab.looked(&acting).await;
        lab.act(&acting, state).await;
    }
    for workflow in ["f", "parent"] {
        let run = lab.run(manual(workflow)).await;
        let acting = acting(&lab, run, workflow).await;
        lab.looked(&acting).await;
        lab.act(&acting, "running").await;
    }
}

/// The run that has the changing step: the child of `parent`.
async fn acting(lab: &Lab, run: RunId, workflow: &str) -> RunId {
    if workflow == "f" {
        return run;
    }
    let view = lab.when(&run, |view| view.steps[0].child.is_some()).await;
    view.steps[0].child.as_ref().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_window_of_another_cluster_or_time_holds_nothing() {
    let lab = Lab::new(&[failover("")]).await;
    maintain(&lab, "other", HOUR).await.unwrap();
    let now = lab.handle.stats().await.ready_since.unwrap();
    let cluster = "bondx".to_owned();
    lab.told(Order::Maintain { cluster, from: Some(now + HOUR), until: now + 2 * HOUR }).await;
    let run = lab.run(webhook("f")).await;
    lab.looked(&run).await;
    lab.act(&run, "running").await;
    let unknown = maintain(&lab, "bondy", HOUR).await;
    assert_eq!(unknown, Err(CommandError::Illegal("baton.toml has no cluster `bondy`".to_owned())));
}

#[tokio::test]
async fn a_window_ends_by_its_time_or_by_a_word() {
    let lab = Lab::new(&[failover("")]).await;
    maintain(&lab, "bondx", HOUR).await.unwrap();
    let run = lab.run(webhook("f")).await;
    lab.looked(&run).await;
    lab.act(&run, "held").await;
    lab.told(Order::Finish { which: Which::Id(1) }).await;
    lab.act(&run, "running").await;

    let lab = Lab::new(&[failover("")]).await;
    lab.told(Order::Pause { for_ms: Some(300) }).await;
    let run = lab.run(webhook("f")).await;
    lab.looked(&run).await;
    lab.act(&run, "running").await;
    let started = step(&lab.view(&run).await, "act").started_at.unwrap();
    let past = lab.handle.switches().await;
    assert!(past.brakes.is_empty() && started >= lab.view(&run).await.begun_at, "{past:?}");
}

#[tokio::test]
async fn g3_what_was_held_for_longer_than_its_evidence_lasts_looks_again() {
    let stale = failover("").replace("fresh_for = \"10m\"", "fresh_for = \"50ms\"");
    let lab = Lab::new(&[stale]).await;
    lab.told(Order::Pause { for_ms: Some(400) }).await;
    let run = lab.run(webhook("f")).await;
    lab.looked(&run).await;
    let again = |view: &crate::runner::view::RunView| view.steps[0].attempts.len() == 2;
    let view = lab.when(&run, again).await;
    assert_eq!(step(&view, "act").attempts.len(), 0);
}

#[tokio::test]
async fn a_word_that_cannot_be_kept_is_not_obeyed() {
    let lab = Lab::new(&[failover("")]).await;
    lab.spoil_switches();
    let answer = lab.handle.order(pause(), by()).await;
    assert!(matches!(answer, Err(CommandError::Unavailable(_))), "{answer:?}");
    let run = lab.run(manual("f")).await;
    lab.looked(&run).await;
    lab.act(&run, "running").await;
}

#[tokio::test]
async fn an_acknowledgement_ends_the_cool_down_and_is_shown() {
    let head = format!("cooldown = \"10m\"\n{}", key("join"));
    let lab = Lab::new(&[sleeping("act", &head)]).await;
    let first = lab.run(manual("act")).await;
    // While it runs, it says that somebody is there; the cool-down still follows.
    lab.told(Order::Acknowledge { run: first.clone() }).await;
    let seen = lab.view(&first).await.acknowledged.unwrap();
    assert_eq!((seen.who.as_str(), seen.reason.as_str()), ("ann", "new racks"));
    lab.change(&doing(&first, 0, 1)).await;
    lab.end(doing(&first, 0, 1), Ok(json!({}))).await;
    lab.state(&first, "succeeded").await;
    let Admission::Queued { run: next, reason } = lab.begin(webhook("act")).await else {
        panic!("nothing cools down")
    };
    assert!(reason.contains(&format!("baton ack {first}")), "{reason}");
    let note = lab.view(&next).await.note.unwrap();
    assert!(note.contains(&format!("baton ack {first}")), "{note}");
    // Times are in milliseconds, and it must be later than the end.
    tokio::time::sleep(Duration::from_millis(2)).await;
    lab.told(Order::Acknowledge { run: first.clone() }).await;
    lab.state(&next, "running").await;
    assert_eq!(lab.view(&first).await.acknowledged.unwrap(), seen);
    lab.end(doing(&next, 0, 1), Ok(json!({}))).await;
    lab.state(&next, "succeeded").await;
    let lab = lab.crash().await;
    lab.run(webhook("act")).await;
    let nobody: RunId = "r-none".parse().unwrap();
    let answer = lab.handle.order(Order::Acknowledge { run: nobody.clone() }, by()).await;
    assert_eq!(answer, Err(CommandError::UnknownRun(nobody)));
}

#[tokio::test]
async fn a_run_that_waits_says_for_whom() {
    let lab = Lab::new(&[asking("ask", &key("queue"))]).await;
    let first = lab.run(manual("ask")).await;
    let second = lab.begin(manual("ask")).await.run().clone();
    let third = lab.begin(manual("ask")).await.run().clone();
    let note = |view: crate::runner::view::RunView| view.note.unwrap();
    let holds = format!("waits for run {first}, which holds `k`");
    assert_eq!(note(lab.view(&second).await), holds);
    assert_eq!(note(lab.view(&third).await), holds);
}
