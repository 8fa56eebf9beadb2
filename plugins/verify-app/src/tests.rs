//! What is asked, what passes for right, and what is taken away.

use super::*;
use baton_plugin::http::Response;
use baton_plugin::probe::Finding;
use baton_plugin::testing::FakeCluster;
use baton_plugin::{CallError, ErrorKind, json};

type Answer = Result<Response, CallError>;

#[expect(clippy::unnecessary_wraps, reason = "it stands beside answers that are errors")]
fn answer(status: u16, body: &Json) -> Answer {
    Ok(Response { status, body: body.to_string().into_bytes(), ..Response::default() })
}

/// An order is placed, read back and cancelled.
fn input() -> Input {
    serde_json::from_value(json!({
        "targets": ["api"],
        "flow": [
            { "name": "place", "endpoint": "orders", "method": "POST", "path": "/orders",
              "body": { "client_id": "baton-{run}", "quantity": 5 }, "status": [201],
              "keep": { "order": "/id" } },
            { "name": "read back", "endpoint": "orders", "path": "/orders/{order}",
              "fields": { "/id": "{order}", "/quantity": 5, "/client_id": "baton-{run}" },
              "within_ms": 1000 },
        ],
        "cleanup": [
            { "name": "cancel", "endpoint": "orders", "method": "DELETE",
              "path": "/orders/{order}", "status": [204] },
        ],
    }))
    .unwrap()
}

fn order() -> Json {
    json!({ "id": 17, "quantity": 5.0, "client_id": "baton-r-1" })
}

/// Everything as it should be, for a test to break.
fn host() -> FakeCluster {
    let mut host = FakeCluster::doors_only()
        .on_probe("api", Finding { up: true, latency_ms: 3, reason: "it is".into() })
        .on_http("orders", "POST /orders", vec![answer(201, &json!({ "id": 17 }))])
        .on_http("orders", "GET /orders/17", vec![answer(200, &order())])
        .on_http("orders", "DELETE /orders/17", vec![answer(204, &Json::Null)]);
    host.context.run_id = "r-1".into();
    host
}

fn told(output: &Output) -> Vec<(&str, Went)> {
    output.checks.iter().map(|it| (it.check.as_str(), it.verdict)).collect()
}

use Went::{Fail, NotRun, Pass};

#[test]
fn a_flow_that_works_passes_and_is_taken_away() {
    let mut host = host();
    let output = VerifyApp::run(input(), &mut host).unwrap();
    assert_eq!(output.verdict, Verdict::Pass, "{}", output.reason);
    let expected = [("api", Pass), ("place", Pass), ("read back", Pass), ("cancel", Pass)];
    assert_eq!(told(&output), expected);
    assert_eq!(
        host.sent[1..],
        ["orders POST /orders", "orders GET /orders/17", "orders DELETE /orders/17"]
    );
    assert!(!output.left_behind && output.table.rows.len() == 4);
}

#[test]
fn what_is_kept_goes_into_paths_and_bodies_with_its_type() {
    let mut values = Values::new("r-1");
    values.keep("order", json!(17));
    values.keep("name", json!("a/b"));
    assert_eq!(values.path("/o/{order}/{name}?q={run}"), "/o/17/a%2Fb?q=r-1");
    let body = json!({ "id": "{order}", "text": "{order} of {name}", "deep": ["{name}"] });
    let filled = json!({ "id": 17, "text": "17 of a/b", "deep": ["a/b"] });
    assert_eq!(values.json(&body), filled);
    assert_eq!(values.text("{ {} {Order} {\"a\":1} {order"), "{ {} {Order} {\"a\":1} {order");
}

#[test]
fn a_wrong_status_a_wrong_field_and_no_json_fail_and_the_order_is_still_cancelled() {
    for (wrong, seen) in [
        (answer(500, &json!({ "error": "no" })), "status 500 instead of 200 to 299"),
        (answer(200, &json!({ "id": 17, "quantity": 4 })), "no /client_id"),
        (
            answer(200, &json!({ "id": 17, "quantity": 4, "client_id": "baton-r-1" })),
            "/quantity is 4 instead of 5",
        ),
        (
            answer(200, &json!({ "id": "17", "quantity": 5, "client_id": "baton-r-1" })),
            "/id is \"17\" instead of 17",
        ),
        (
            Ok(Response { status: 200, body: b"<html>".to_vec(), ..Response::default() }),
            "no JSON: <html>",
        ),
        (Err(CallError::new(ErrorKind::TimedOut, "no answer in time")), "no answer in time"),
    ] {
        let mut host = host().on_http("orders", "GET /orders/17", vec![wrong]);
        let output = VerifyApp::run(input(), &mut host).unwrap();
        assert_eq!(output.verdict, Verdict::Fail);
        let expected = [("api", Pass), ("place", Pass), ("read back", Fail), ("cancel", Pass)];
        assert_eq!(told(&output), expected);
        assert!(output.reason.contains(seen), "{}", output.reason);
        assert_eq!(host.count_sent("DELETE /orders/17"), 1);
        assert!(!output.left_behind);
    }
}

#[test]
fn a_read_that_is_not_yet_right_is_asked_again() {
    let mut host = host().on_http(
        "orders",
        "GET /orders/17",
        vec![answer(404, &Json::Null), answer(200, &order())],
    );
    let output = VerifyApp::run(input(), &mut host).unwrap();
    assert_eq!((output.verdict, host.count_sent("GET /orders/17")), (Verdict::Pass, 2));
    assert_eq!(output.checks[2].ms, 200);
}

#[test]
fn an_order_that_was_placed_wrongly_is_cancelled_all_the_same() {
    let made = answer(200, &json!({ "id": 17 }));
    let mut host = host().on_http("orders", "POST /orders", vec![made]);
    let output = VerifyApp::run(input(), &mut host).unwrap();
    let expected = [("api", Pass), ("place", Fail), ("read back", NotRun), ("cancel", Pass)];
    assert_eq!(told(&output), expected);
    assert!(!output.left_behind);
}

#[test]
fn an_order_that_may_have_been_placed_is_left_behind() {
    let unknown = Err(CallError::new(ErrorKind::InDoubt, "it may have been done"));
    for answer in [unknown, answer(201, &json!({ "ok": true })), answer(201, &json!({ "id": [1] }))]
    {
        let mut host = host().on_http("orders", "POST /orders", vec![answer]);
        let output = VerifyApp::run(input(), &mut host).unwrap();
        assert_eq!((output.verdict, output.left_behind), (Verdict::Fail, true));
        assert_eq!(output.checks[3].verdict, NotRun);
        assert!(output.reason.contains("by hand"), "{}", output.reason);
    }
    let refused = Err(CallError::new(ErrorKind::Refused, "nobody listens"));
    for answer in [refused, answer(422, &json!({ "error": "no such bond" }))] {
        let mut host = host().on_http("orders", "POST /orders", vec![answer]);
        assert!(!VerifyApp::run(input(), &mut host).unwrap().left_behind);
    }
}

#[test]
fn a_clean_up_by_a_name_of_our_own_takes_away_what_never_told_its_own() {
    let mut input = input();
    input.cleanup[0].path = "/orders/client/baton-{run}".into();
    let unknown = Err(CallError::new(ErrorKind::InDoubt, "it may have been done"));
    let mut host = host().on_http("orders", "POST /orders", vec![unknown]).on_http(
        "orders",
        "DELETE /orders/client/baton-r-1",
        vec![answer(204, &Json::Null)],
    );
    let output = VerifyApp::run(input, &mut host).unwrap();
    assert_eq!((output.verdict, output.left_behind), (Verdict::Fail, false));
}

#[test]
fn a_clean_up_that_fails_fails_the_verdict() {
    let refused = answer(409, &json!({ "error": "filled" }));
    let mut host = host().on_http("orders", "DELETE /orders/17", vec![refused]);
    let output = VerifyApp::run(input(), &mut host).unwrap();
    assert_eq!((output.verdict, output.left_behind), (Verdict::Fail, true));
    assert_eq!(output.failed, ["cancel"]);
}

#[test]
fn no_order_is_placed_where_the_platform_is_down() {
    let mut host = host();
    host.doors.on_probe("api", Finding { up: false, latency_ms: 9, reason: "503".into() });
    let output = VerifyApp::run(input(), &mut host).unwrap();
    assert_eq!(
        (output.failed.as_slice(), output.reason.as_str()),
        (&["api".to_owned()][..], "api: 503")
    );
    assert_eq!(told(&output)[1..], [("place", NotRun), ("read back", NotRun)]);
    assert_eq!(host.count_sent("orders"), 0);
}

#[test]
fn a_missing_grant_on_the_way_is_a_fault_after_the_clean_up() {
    let denied = Err(CallError::new(ErrorKind::Denied, "add \"GET\""));
    let mut host = host().on_http("orders", "GET /orders/17", vec![denied]);
    let fault = VerifyApp::run(input(), &mut host).unwrap_err();
    assert_eq!(fault.code, "denied");
    assert_eq!(host.count_sent("DELETE /orders/17"), 1);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_sent() {
    let change = |change: fn(&mut Input)| {
        let mut input = input();
        change(&mut input);
        let mut host = host();
        let fault = VerifyApp::run(input, &mut host).unwrap_err();
        assert_eq!((fault.code, host.sent.len()), ("bad-input", 0));
        fault.message
    };
    assert!(change(|it| it.flow[0].keep.clear()).contains("`read back` uses {order}"));
    assert!(change(|it| it.flow[0].within_ms = Some(1)).contains("only a GET"));
    assert!(
        change(|it| *it.flow[0].keep.get_mut("order").unwrap() = "id".into()).contains("write /id")
    );
    assert!(change(|it| it.flow = vec![it.flow[0].clone(); 51]).contains("more than 50"));
    assert!(change(|it| (it.flow, it.targets) = (Vec::new(), Vec::new())).contains("neither"));
}
