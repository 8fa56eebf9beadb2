use baton_core::run::event::{Cause, TriggerKind};
use hyper::Method;
use serde_json::{Value, json};

use super::{SOON, Server, run};
use crate::runner::view::{RunView, Summary, TriggerView};
use crate::runner::{Admission, BeginError, CommandError, Input};

fn summary(id: &str) -> Summary {
    Summary {
        id: id.to_owned(),
        workflow: "w".to_owned(),
        state: "running".to_owned(),
        begun_at: 1,
        closed_at: None,
        trigger: "manual".to_owned(),
        key: None,
    }
}

fn view(id: &str) -> RunView {
    RunView {
        id: id.to_owned(),
        workflow: "w".to_owned(),
        state: "running".to_owned(),
        begun_at: 1,
        closed_at: None,
        key: None,
        digest: String::new(),
        builds: crate::runner::view::BuildsView::default(),
        params: json!({}),
        trigger: TriggerView {
            kind: "manual".to_owned(),
            source: "me".to_owned(),
            evidence: Value::Null,
            dedup: None,
        },
        parent: None,
        output: Value::Null,
        joined: Vec::new(),
        interruptions: 0,
        acknowledged: None,
        now: 2,
        steps: Vec::new(),
        note: None,
    }
}

/// A loop with the run `r1` and twelve others, where `r2` is closed.
fn play(input: Input) {
    match input {
        Input::Begin { begin, reply } => {
            assert_eq!((begin.trigger.kind, begin.workflow.as_str()), (TriggerKind::Manual, "w"));
            drop(reply.send(Ok(Admission::Started(run("r1")))));
        }
        Input::Cancel { run: id, by, reply } => {
            let Cause::Person { who, reason } = by else { panic!("{by:?}") };
            assert_eq!((who.as_str(), reason.as_str()), ("me", "why not"));
            drop(reply.send(known(id.as_str())));
        }
        Input::Answer { run: id, step, item, answer, reply } => {
            assert_eq!((step.as_str(), item, answer.approved), ("ok", Some(2), true));
            drop(reply.send(known(id.as_str())));
        }
        Input::List { filter, reply } => {
            let count = filter.limit.unwrap_or(usize::MAX).min(12);
            drop(reply.send((0..count).map(|n| summary(&format!("r{n}"))).collect()));
        }
        Input::Show { run, reply } => {
            drop(reply.send((run.as_str() == "r1").then(|| view("r1"))));
        }
        other => panic!("unasked for: {other:?}"),
    }
}

fn known(id: &str) -> Result<(), CommandError> {
    match id {
        "r1" => Ok(()),
        "r2" => Err(CommandError::Illegal("it is closed".to_owned())),
        _ => Err(CommandError::UnknownRun(run(id))),
    }
}

#[tokio::test]
async fn runs_are_listed_in_pages() {
    let server = Server::start(None, play).await;
    let page = server.get("/runs?limit=5&state=running&workflow=w&before=r99").await.json();
    assert_eq!(page["runs"].as_array().unwrap().len(), 5);
    assert_eq!(page["next"], json!("r4"));
    let last = server.get("/runs?limit=12").await.json();
    assert_eq!((last["runs"].as_array().unwrap().len(), &last["next"]), (12, &Value::Null));
    for (query, part) in [
        ("limit=0", "from 1"),
        ("limit=501", "500"),
        ("limit=x", "limit"),
        ("state=happy", "timed-out"),
        ("before=R!", "run id"),
        ("colour=red", "colour"),
    ] {
        server.get(&format!("/runs?{query}")).await.is_problem(400, part);
    }
}

#[tokio::test]
async fn a_run_is_shown_or_404() {
    let server = Server::start(None, play).await;
    assert_eq!(server.get("/runs/r1").await.json(), serde_json::to_value(view("r1")).unwrap());
    server.get("/runs/r3").await.is_problem(404, "no run r3");
    server.get("/runs/R!").await.is_problem(404, "not a run id");
}

#[tokio::test]
async fn a_run_is_begun_cancelled_and_answered() {
    let server = Server::start(None, play).await;
    let response = server.post("/runs", &json!({"workflow": "w", "who": "me"})).await;
    assert_eq!((response.status, response.header("location")), (202, "/runs/r1"));
    assert_eq!(response.json(), json!({"run": "r1", "outcome": "started"}));
    let why = json!({"who": "me", "reason": "why not"});
    assert_eq!(server.post("/runs/r1/cancel", &why).await.status, 202);
    server.post("/runs/r2/cancel", &why).await.is_problem(409, "closed");
    server.post("/runs/r3/cancel", &why).await.is_problem(404, "no run r3");
    let yes = json!({"step": "ok", "item": 2, "approved": true, "who": "me", "reason": "looked"});
    assert_eq!(server.post("/runs/r1/answer", &yes).await.status, 202);
    let mute = json!({"step": "ok", "item": 2, "approved": true, "who": "me", "reason": " "});
    server.post("/runs/r1/answer", &mute).await.is_problem(422, "write why");
    server.post("/runs/r2/answer", &yes).await.is_problem(409, "closed");
}

#[tokio::test]
async fn why_a_run_cannot_begin_has_its_status() {
    for (error, status) in [
        (BeginError::UnknownWorkflow("w".into()), 404),
        (BeginError::BadParams(vec!["x".into()]), 422),
        (BeginError::Refused { key: "k".into(), holder: run("r9") }, 409),
        (BeginError::Unavailable("full".into()), 503),
    ] {
        let server = Server::start(None, move |input| match input {
            Input::Begin { reply, .. } => drop(reply.send(Err(error.clone()))),
            other => panic!("unasked for: {other:?}"),
        })
        .await;
        server.post("/runs", &json!({"workflow": "w"})).await.is_problem(status, "");
    }
}

#[tokio::test]
async fn a_call_that_does_not_read_is_told_why() {
    let server = Server::start(None, |input| panic!("asked: {input:?}")).await;
    for (body, status, part) in [
        (json!({}), 422, "workflow"),
        (json!({"workflow": "w", "parms": {}}), 422, "parms"),
        (json!({"workflow": "w", "params": []}), 422, "map"),
        (json!({"workflow": "w", "who": "x".repeat(300)}), 422, "who"),
    ] {
        server.post("/runs", &body).await.is_problem(status, part);
    }
    let json = ("content-type", "application/json");
    server.call(Method::POST, "/runs", &[json], "{").await.is_problem(400, "");
    server.call(Method::POST, "/runs", &[json], vec![b' '; 300_000]).await.is_problem(413, "");
    let form = ("content-type", "text/plain");
    server.call(Method::POST, "/runs", &[form], "{}").await.is_problem(415, "application/json");
    server.call(Method::DELETE, "/runs", &[], "").await.is_problem(405, "");
    server.get("/nothing").await.is_problem(404, "/metrics");
    server
        .call(Method::POST, "/runs", &[json, ("origin", "http://x")], "{}")
        .await
        .is_problem(403, "");
}

#[tokio::test]
async fn with_a_token_the_api_asks_for_it_and_health_does_not() {
    let server = Server::start(Some("sesame"), play).await;
    for path in ["/runs", "/runs/r1", "/workflows", "/plugins"] {
        server.get(path).await.is_problem(401, "Authorization");
        let bad = server.call(Method::GET, path, &[("authorization", "Bearer sesam")], "").await;
        bad.is_problem(401, "token");
        let good = server.call(Method::GET, path, &[("authorization", "Bearer sesame")], "").await;
        assert_eq!(good.status, 200, "{good:?}");
    }
    server.post("/runs", &json!({"workflow": "w"})).await.is_problem(401, "");
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_call() {
    let (server, mut inputs) = Server::start_with(None, SOON).await;
    let call = |body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
        let server = &server;
        async move { server.call(Method::POST, "/runs", &headers, body.to_string()).await }
    };
    let wish = json!({"workflow": "w"});
    let racing = async {
        let Some(Input::Begin { begin, reply }) = inputs.recv().await else { panic!("no wish") };
        assert_eq!(begin.trigger.dedup.unwrap().key, "api:k1");
        call(wish.clone()).await.is_problem(409, "in flight");
        reply.send(Ok(Admission::Started(run("r1")))).unwrap();
    };
    let both = async { tokio::join!(call(wish.clone()), racing) };
    let (first, ()) = tokio::time::timeout(SOON, both).await.expect("both calls are answered");
    assert_eq!(first.json()["outcome"], json!("started"));
    let again = call(wish).await.json();
    assert_eq!((&again["run"], &again["outcome"]), (&json!("r1"), &json!("duplicate")));
    call(json!({"workflow": "other"})).await.is_problem(422, "another body");
}

#[tokio::test]
async fn a_call_that_failed_frees_its_idempotency_key() {
    let mut answers = vec![
        Ok(Admission::Started(run("r1"))),
        Err(BeginError::Unavailable("starting".to_owned())),
    ];
    let server = Server::start(None, move |input| match input {
        Input::Begin { reply, .. } => drop(reply.send(answers.pop().unwrap())),
        other => panic!("unasked for: {other:?}"),
    })
    .await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    for status in [503, 202] {
        let body = r#"{"workflow":"w"}"#;
        assert_eq!(server.call(Method::POST, "/runs", &headers, body).await.status, status);
    }
}
