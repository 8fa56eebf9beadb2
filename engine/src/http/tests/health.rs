use serde_json::json;

use super::{SOON, Server};
use crate::http::BrokenView;
use crate::runner::{Input, Stats};

async fn with(stats: Stats) -> Server {
    Server::start(None, move |input| match input {
        Input::Stats { reply } => drop(reply.send(stats.clone())),
        Input::Begin { reply, .. } => {
            drop(reply.send(Err(crate::runner::BeginError::Unavailable("no".to_owned()))));
        }
        other => panic!("unasked for: {other:?}"),
    })
    .await
}

fn ready() -> Stats {
    Stats { ready_since: Some(1), ..Stats::default() }
}

#[tokio::test]
async fn it_is_ready_once_it_accepts_and_while_it_can_store() {
    let response = with(ready()).await.get("/readyz").await;
    assert_eq!((response.status, response.json()), (200, json!({"ready": true})));
    with(Stats::default()).await.get("/readyz").await.is_problem(503, "resuming");
    let stalled = Stats { stalled: Some("disk full".to_owned()), ..ready() };
    let response = with(stalled).await.get("/readyz").await;
    response.is_problem(503, "disk full");
    assert_eq!(response.json()["reasons"].as_array().unwrap().len(), 1);
    assert_eq!(response.header("retry-after"), "5");
}

#[tokio::test]
async fn it_is_ready_and_degraded_where_a_file_is_broken() {
    let broken = |kind: &str, name: &str| BrokenView {
        kind: kind.to_owned(),
        name: name.to_owned(),
        why: "1 flaw".to_owned(),
    };
    let broken = vec![broken("workflow", "failover"), broken("plugin", "promote")];
    let server = Server::lacking(broken, |input| match input {
        Input::Stats { reply } => drop(reply.send(ready())),
        Input::Begin { reply, .. } => {
            let name = "failover".to_owned();
            drop(reply.send(Err(crate::runner::BeginError::UnknownWorkflow(name))));
        }
        other => panic!("unasked for: {other:?}"),
    })
    .await;
    let response = server.get("/readyz").await;
    assert_eq!(response.status, 200);
    let degraded = ["workflow `failover` is not served", "plugin `promote` is not served"];
    assert_eq!(response.json()["degraded"], json!(degraded));
    // Its hooks are not known: a sender comes again after a 503, and not after a 404.
    server.post("/hooks/nope", &json!({})).await.is_problem(503, "not every workflow is loaded");
    let wish = json!({"workflow": "failover"});
    server.post("/runs", &wish).await.is_problem(503, "cannot be run: 1 flaw");
    assert!(server.get("/metrics").await.text.contains("\nbaton_not_served 2\n"));
}

#[tokio::test]
async fn it_is_alive_without_asking_the_engine() {
    let (server, _inputs) = Server::start_with(None, SOON).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_are_prometheus_text_with_bounded_labels() {
    let mut stats = Stats { open: 3, ..ready() };
    stats.closed.insert(("we\"ird".to_owned(), "succeeded"), 7);
    stats.admissions.insert("started", 9);
    stats.verdicts.insert(("verify-redis".to_owned(), "fail"), 2);
    stats.last_verdicts.insert("verify-redis".to_owned(), "fail");
    let server = with(stats).await;
    server.post("/hooks/open", &json!({})).await.is_problem(503, "no");
    server.get("/random-1").await.is_problem(404, "");
    server.get("/random-2").await.is_problem(404, "");
    let response = server.get("/metrics").await;
    assert_eq!(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "baton_ready 1",
        "baton_runs_open 3",
        r#"baton_runs_closed_total{workflow="we\"ird",outcome="succeeded"} 7"#,
        r#"baton_admissions_total{outcome="started"} 9"#,
        r#"baton_verdicts_total{workflow="verify-redis",verdict="fail"} 2"#,
        r#"baton_last_verdict{workflow="verify-redis",verdict="fail"} 1"#,
        r#"baton_last_verdict{workflow="verify-redis",verdict="pass with declared loss"} 0"#,
        r#"baton_webhook_deliveries_total{hook="open",outcome="unavailable"} 1"#,
        r#"baton_webhook_deliveries_total{hook="am",outcome="started"} 0"#,
        r#"baton_http_requests_total{route="/hooks/{path}",method="POST",status="503"} 1"#,
        r#"baton_http_requests_total{route="none",method="GET",status="404"} 2"#,
        r#"baton_http_request_duration_seconds_count{route="none"} 2"#,
        r#"baton_http_request_duration_seconds_bucket{route="none",le="+Inf"} 2"#,
    ] {
        assert!(response.text.lines().any(|l| l == line), "{line}\n{}", response.text);
    }
    assert!(!response.text.contains("random"), "{}", response.text);
    let well_formed = |line: &str| {
        line.starts_with("# HELP baton_")
            || line.starts_with("# TYPE baton_")
            || (line.starts_with("baton_")
                && line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()))
    };
    assert!(response.text.lines().all(well_formed), "{}", response.text);
}

#[tokio::test]
async fn what_is_loaded_is_listed() {
    let server = with(ready()).await;
    assert_eq!(server.get("/workflows").await.json(), json!({"workflows": [], "broken": []}));
    let plugins = server.get("/plugins").await.json();
    assert_eq!(plugins["plugins"][0]["name"], json!("redis-ping"));
}
