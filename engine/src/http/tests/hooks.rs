use axum::body::Bytes;
use hyper::Method;
use serde_json::json;

use super::{Response, Server, run};
use crate::http::now;
use crate::runner::{Admission, BeginError, Input};
use crate::trigger::webhook::BODY_BYTES_MAX;
use crate::trigger::webhook::tests::signature;

const SESAME: (&str, &str) = ("authorization", "Bearer open-sesame");
const FIRING: &str =
    r#"{"status":"firing","groupKey":"g","commonLabels":{"cluster":"bondx"},"alerts":[]}"#;

/// A server whose loop gives every delivery the same answer.
async fn answering(answer: Result<Admission, BeginError>) -> Server {
    Server::start(None, move |input| match input {
        Input::Begin { reply, .. } => drop(reply.send(answer.clone())),
        other => panic!("unasked for: {other:?}"),
    })
    .await
}

/// A server whose loop must not be asked.
async fn unasked() -> Server {
    Server::start(None, |input| panic!("asked: {input:?}")).await
}

impl Server {
    async fn deliver(
        &self,
        hook: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        self.call(Method::POST, &format!("/hooks/{hook}"), headers, body).await
    }
}

#[tokio::test]
async fn what_the_engine_took_is_202_with_the_run() {
    for (admission, outcome, reason) in [
        (Admission::Started(run("r1")), "started", ""),
        (Admission::Queued { run: run("r1"), reason: "cool-down".into() }, "queued", "cool-down"),
        (Admission::Joined(run("r1")), "joined", "concurrency key"),
        (Admission::Duplicate(run("r1")), "duplicate", "same delivery"),
    ] {
        let server = answering(Ok(admission)).await;
        let response = server.deliver("am", &[SESAME], FIRING).await;
        assert_eq!((response.status, response.header("location")), (202, "/runs/r1"));
        let body = response.json();
        assert_eq!((&body["run"], &body["outcome"]), (&json!("r1"), &json!(outcome)), "{body}");
        assert!(body["reason"].as_str().unwrap_or_default().contains(reason), "{body}");
    }
}

#[tokio::test]
async fn what_starts_nothing_is_202_ignored_with_the_reason() {
    let server = unasked().await;
    for (body, reason) in [
        (r#"{"status":"resolved","alerts":[]}"#, "resolved"),
        (r#"{"status":"firing","commonLabels":{"cluster":"x"}}"#, "does not hold"),
    ] {
        let response = server.deliver("am", &[SESAME], body).await;
        assert_eq!(response.status, 202, "{response:?}");
        let body = response.json();
        assert_eq!(body["outcome"], json!("ignored"), "{body}");
        assert!(body["reason"].as_str().unwrap().contains(reason), "{body}");
    }
    let refused = BeginError::Refused { key: "redis:bondx".into(), holder: run("r9") };
    let response = answering(Err(refused)).await.deliver("am", &[SESAME], FIRING).await;
    assert_eq!(response.status, 202, "a 4xx makes Alertmanager resend for ever: {response:?}");
    assert!(response.text.contains("ignored") && response.text.contains("r9"), "{response:?}");
}

#[tokio::test]
async fn what_cannot_be_stored_now_is_503_with_retry_after() {
    for error in
        [BeginError::Unavailable("disk full".into()), BeginError::UnknownWorkflow("w".into())]
    {
        let response = answering(Err(error)).await.deliver("am", &[SESAME], FIRING).await;
        response.is_problem(503, "");
        assert_eq!(response.header("retry-after"), "5");
    }
    let (server, inputs) = Server::start_with(None, super::SOON).await;
    drop(inputs);
    server.deliver("am", &[SESAME], FIRING).await.is_problem(503, "stopping");
}

#[tokio::test]
async fn an_expression_that_fails_is_503_so_that_the_sender_comes_again() {
    let response = unasked().await.deliver("broken", &[], "{}").await;
    response.is_problem(503, "when");
    assert_eq!(response.header("retry-after"), "5");
}

#[tokio::test]
async fn params_that_do_not_fit_are_422_with_each_mistake() {
    let error = BeginError::BadParams(vec!["`cluster` must be a string".into()]);
    let response = answering(Err(error)).await.deliver("json", &[SESAME], r#"{"cluster":7}"#).await;
    response.is_problem(422, "must be a string");
    assert_eq!(response.json()["errors"], json!(["`cluster` must be a string"]));
}

#[tokio::test]
async fn bad_or_missing_authentication_is_401() {
    let server = unasked().await;
    for headers in [&[][..], &[("authorization", "Bearer no")], &[("authorization", "Basic x")]] {
        let response = server.deliver("am", headers, "{rubbish").await;
        response.is_problem(401, "");
        assert!(response.header("www-authenticate").starts_with("Bearer"), "{response:?}");
    }
    server.deliver("signed", &[SESAME], "{}").await.is_problem(401, "webhook-id");
}

#[tokio::test]
async fn a_signed_delivery_is_taken_fresh_and_refused_old_or_altered() {
    let server = answering(Ok(Admission::Started(run("r1")))).await;
    let now_s = now() / 1000;
    for (at_s, signed, sent, status) in
        [(now_s, "{}", "{}", 202), (now_s - 400, "{}", "{}", 401), (now_s, "{}", "{ }", 401)]
    {
        let at = at_s.to_string();
        let signature = signature("msg_1", &at, signed.as_bytes());
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        let response = server.deliver("signed", &headers, sent).await;
        assert_eq!(response.status, status, "{response:?}");
    }
}

#[tokio::test]
async fn rubbish_is_400_and_json_that_does_not_fit_422() {
    let server = unasked().await;
    let deep = format!("{{\"a\":{}", "[".repeat(200_000));
    for body in [&b""[..], b"nope", b"{", b"{}{}", b"\xff\xfe", deep.as_bytes()] {
        let body = Bytes::copy_from_slice(body);
        server.deliver("json", &[SESAME], body).await.is_problem(400, "not JSON");
    }
    for body in ["[]", "7", "null"] {
        server.deliver("json", &[SESAME], body).await.is_problem(422, "object");
    }
    server.deliver("am", &[SESAME], "{}").await.is_problem(422, "Alertmanager");
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_cap_and_no_larger() {
    let server = answering(Ok(Admission::Started(run("r1")))).await;
    let sized = |bytes: usize| {
        let frame = r#"{"cluster":""}"#;
        format!(r#"{{"cluster":"{}"}}"#, "x".repeat(bytes - frame.len()))
    };
    let response = server.deliver("json", &[SESAME], sized(BODY_BYTES_MAX)).await;
    assert_eq!(response.status, 202, "{response:?}");
    for bytes in [BODY_BYTES_MAX + 1, 3 * 1024 * 1024] {
        let response = server.deliver("json", &[SESAME], sized(bytes)).await;
        response.is_problem(413, "larger than");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_another_method_405() {
    let server = unasked().await;
    server.deliver("nope", &[SESAME], "{}").await.is_problem(404, "webhook");
    server.deliver("%ff", &[SESAME], "{}").await.is_problem(400, "");
    server.deliver("am/more", &[SESAME], "{}").await.is_problem(404, "");
    let response = server.get("/hooks/am").await;
    response.is_problem(405, "Allow");
    assert_eq!(response.header("allow"), "POST");
}

#[tokio::test]
async fn a_web_page_may_not_call_a_hook_that_asks_nobody() {
    let server = answering(Ok(Admission::Started(run("r1")))).await;
    let page = ("origin", "https://evil.example");
    server.deliver("open", &[page], "{}").await.is_problem(403, "web pages");
    assert_eq!(server.deliver("open", &[], "{}").await.status, 202);
    assert_eq!(server.deliver("am", &[SESAME, page], FIRING).await.status, 202);
}
