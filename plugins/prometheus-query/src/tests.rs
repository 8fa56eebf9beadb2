use super::*;
use baton_plugin::http::Response;
use baton_plugin::testing::FakeCluster;
use baton_plugin::{CallError, ErrorKind, FaultKind, json};
use serde_json::Value as Json;

fn answer(status: u16, body: &Json) -> Response {
    Response { status, body: body.to_string().into_bytes(), ..Response::default() }
}

fn vector(values: &[(&str, &str)]) -> Response {
    let result: Vec<Json> = values
        .iter()
        .map(|(job, value)| json!({ "metric": { "job": job }, "value": [1.5, value] }))
        .collect();
    answer(
        200,
        &json!({ "status": "success", "data": { "resultType": "vector", "result": result } }),
    )
}

fn query(name: &str, max: Option<f64>, min: Option<f64>) -> Query {
    let when_empty = WhenEmpty::Unknown;
    Query { name: name.into(), promql: format!("rate({name}[1m])"), max, min, when_empty }
}

fn run(queries: Vec<Query>, answers: Vec<Response>) -> (Result<Output, Fault>, Vec<String>) {
    run_on(queries, answers.into_iter().map(Ok).collect())
}

fn run_on(
    queries: Vec<Query>,
    answers: Vec<Result<Response, CallError>>,
) -> (Result<Output, Fault>, Vec<String>) {
    let mut fake = FakeCluster::doors_only().on_http("prometheus", "GET /api/v1/query", answers);
    let output = PrometheusQuery::run(Input { endpoint: "prometheus".into(), queries }, &mut fake);
    (output, fake.sent)
}

fn one(query: Query, given: Response) -> Output {
    run(vec![query], vec![given]).0.unwrap()
}

#[test]
fn each_series_is_held_against_its_bounds_and_the_worst_counts() {
    let queries = vec![query("errors", Some(1.0), None), query("orders", None, Some(10.0))];
    let answers = vec![vector(&[("api", "0.5"), ("feed", "2")]), vector(&[("api", "12")])];
    let (output, sent) = run(queries, answers);
    let output = output.unwrap();
    assert_eq!((output.verdict, &*output.breached), (State::Breach, &["errors".to_owned()][..]));
    assert_eq!(output.queries[0].series[0].labels, "{job=\"feed\"}", "the worst first");
    assert_eq!(output.queries[1].state, State::Ok);
    assert_eq!(sent[0], "prometheus GET /api/v1/query?query=rate%28errors%5B1m%5D%29");
    let table = "| what | bounds | value | |\n|---|---|---|---|\n\
                 | errors `{job=\"feed\"}` | at most 1 | 2 | **breach** |\n\
                 | errors `{job=\"api\"}` | at most 1 | 0.5 | ok |\n\
                 | orders `{job=\"api\"}` | at least 10 | 12 | ok |\n";
    assert_eq!(output.markdown, table);
}

#[test]
fn bounds_themselves_are_kept_and_infinity_breaks_them() {
    let state =
        |value: &str| one(query("x", Some(1.0), Some(0.0)), vector(&[("a", value)])).verdict;
    let all = ["1", "0", "1.0001", "-0.1", "+Inf", "-Inf", "NaN"].map(state);
    let (ok, breach) = (State::Ok, State::Breach);
    assert_eq!(all, [ok, ok, breach, breach, breach, breach, State::Unknown]);
}

#[test]
fn no_value_is_what_the_query_says_it_is() {
    for (when_empty, state) in [
        (WhenEmpty::Unknown, State::Unknown),
        (WhenEmpty::Ok, State::Ok),
        (WhenEmpty::Breach, State::Breach),
    ] {
        let query = Query { when_empty, ..query("x", None, None) };
        assert_eq!(one(query, vector(&[])).verdict, state);
    }
}

#[test]
fn a_query_that_prometheus_refuses_has_a_row_and_the_others_theirs() {
    let refusal =
        json!({ "status": "error", "errorType": "bad_data", "error": "1:2: parse | error" });
    let queries = vec![query("wrong", None, None), query("right", Some(1.0), None)];
    let output = run(queries, vec![answer(400, &refusal), vector(&[("a", "1")])]).0.unwrap();
    assert_eq!((output.verdict, &*output.unknown), (State::Unknown, &["wrong".to_owned()][..]));
    let note = output.queries[0].note.as_deref();
    assert_eq!(note, Some("Prometheus refuses it: 1:2: parse | error"));
    assert!(output.markdown.contains("parse \\| error | unknown |"), "{}", output.markdown);
}

#[test]
fn many_series_are_all_compared_and_few_are_shown() {
    let names: Vec<String> = (0..50).map(|number| format!("job{number}")).collect();
    let mut values: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "0")).collect();
    values[49].1 = "7";
    let output = one(query("x", Some(1.0), None), vector(&values));
    let answered = &output.queries[0];
    assert_eq!((answered.state, answered.series.len(), answered.more), (State::Breach, 20, 30));
    assert_eq!(answered.series[0].labels, "{job=\"job49\"}");
    assert!(output.markdown.contains("45 more"), "{}", output.markdown);
}

#[test]
fn a_scalar_is_a_value_and_a_matrix_is_none() {
    let of = |kind: &str, result: Json| {
        let body = json!({ "status": "success", "data": { "resultType": kind, "result": result } });
        one(query("x", Some(1.0), None), answer(200, &body))
    };
    assert_eq!(of("scalar", json!([1.5, "3"])).verdict, State::Breach);
    let matrix = of("matrix", json!([]));
    assert!(matrix.queries[0].note.as_ref().unwrap().contains("instant query"));
    for rubbish in [json!(null), json!([1]), json!([1, 2]), json!([1, "x"])] {
        assert_eq!(of("scalar", rubbish).verdict, State::Unknown);
    }
    assert_eq!(of("vector", json!({})).verdict, State::Unknown);
    assert_eq!(of("vector", json!([null])).verdict, State::Unknown);
}

#[test]
fn who_is_no_prometheus_is_a_fault() {
    let fault = |answer| run_on(vec![query("x", None, None)], vec![answer]).0.unwrap_err();
    let page =
        |status| Response { status, body: b"<html>Bad gateway".to_vec(), ..Response::default() };
    let bad = fault(Ok(page(502)));
    assert_eq!((bad.code, bad.kind), ("not-prometheus", FaultKind::Retryable));
    assert!(bad.message.contains("<html>Bad gateway"), "{}", bad.message);
    assert_eq!(fault(Ok(page(200))).kind, FaultKind::Permanent);
    let refused = fault(Err(CallError::new(ErrorKind::Refused, "nobody listens")));
    assert_eq!((refused.code, refused.kind), ("refused", FaultKind::Retryable));
    assert_eq!(run(Vec::new(), vec![page(200)]).0.unwrap_err().code, "bad-input");
}
