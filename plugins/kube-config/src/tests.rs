//! Once, in the right order, against somebody who changes the same.

use super::*;
use baton_plugin::testing::FakeCluster;
use baton_plugin::{CallError, FaultKind};

const MAP: &str = "/api/v1/namespaces/bondx/configmaps/redis";
const API: &str = "/apis/apps/v1/namespaces/bondx/deployments/api";

fn answer(status: u16, document: &Json) -> Response {
    let body = document.to_string().into_bytes();
    Response { status, body, ..Response::default() }
}

fn ok(document: &Json) -> Response {
    answer(200, document)
}

/// In turn.
fn all<const N: usize>(answers: [Response; N]) -> Vec<Result<Response, CallError>> {
    answers.map(Ok).into()
}

fn answers(status: u16, message: &str) -> Response {
    answer(status, &json!({ "message": message }))
}

fn config_map(version: &str, host: &str) -> Json {
    json!({ "metadata": { "resourceVersion": version }, "data": { "REDIS": host, "OTHER": "x" } })
}

fn deployment_of(mark: &str, updated: i64) -> Json {
    json!({
        "metadata": { "resourceVersion": "7", "generation": 2 },
        "spec": { "replicas": 1, "template": { "metadata": { "annotations": { ANNOTATION: mark } } } },
        "status": { "observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "availableReplicas": updated },
    })
}

fn input(restart: &[&str]) -> Input {
    Input {
        endpoint: "kube".into(),
        namespace: "bondx".into(),
        config_map: "redis".into(),
        data: [("REDIS".to_owned(), "new:1".to_owned())].into(),
        restart: restart.iter().map(|it| (*it).to_owned()).collect(),
        within_ms: None,
    }
}

fn own_mark() -> String {
    mark(&input(&[]).data)
}

#[test]
fn the_values_are_written_read_back_and_their_readers_restarted() {
    let new = own_mark();
    let mut fake = FakeCluster::doors_only()
        .on_http(
            "kube",
            &format!("GET {MAP}"),
            all([ok(&config_map("1", "old:1")), ok(&config_map("2", "new:1"))]),
        )
        .on_http("kube", &format!("PATCH {MAP}"), all([ok(&json!({}))]))
        .on_http(
            "kube",
            &format!("GET {API}"),
            all([
                ok(&deployment_of("before", 1)),
                ok(&deployment_of(&new, 0)),
                ok(&deployment_of(&new, 1)),
            ]),
        )
        .on_http("kube", &format!("PATCH {API}"), all([ok(&json!({}))]));
    let output = KubeConfig::run(input(&["api"]), &mut fake).unwrap();
    assert_eq!((output.verdict.as_str(), output.resource_version.as_str()), ("changed", "2"));
    assert_eq!(
        (output.changed, output.restarted),
        (vec!["REDIS".to_owned()], vec!["api".to_owned()])
    );
    assert_eq!(fake.count_sent("PATCH"), 2);
    assert_eq!(fake.reported, ["0 of 1 pods are new, 0 available, 1 in all"]);
}

#[test]
fn what_is_so_already_is_neither_written_nor_restarted() {
    let mut fake = FakeCluster::doors_only()
        .on_http("kube", &format!("GET {MAP}"), all([ok(&config_map("2", "new:1"))]))
        .on_http("kube", &format!("GET {API}"), all([ok(&deployment_of(&own_mark(), 1))]));
    let output = KubeConfig::run(input(&["api"]), &mut fake).unwrap();
    assert_eq!(output.verdict, "as it was");
    assert_eq!(fake.count_sent("PATCH"), 0);
}

#[test]
fn somebody_elses_change_in_between_is_looked_at_again_and_not_for_ever() {
    let get = format!("GET {MAP}");
    let patch = format!("PATCH {MAP}");
    let mut fake = FakeCluster::doors_only()
        .on_http(
            "kube",
            &get,
            all([
                ok(&config_map("1", "old:1")),
                ok(&config_map("2", "older:1")),
                ok(&config_map("3", "new:1")),
            ]),
        )
        .on_http("kube", &patch, all([answers(409, "conflict"), ok(&json!({}))]));
    assert_eq!(KubeConfig::run(input(&[]), &mut fake).unwrap().verdict, "changed");
    let mut fake = FakeCluster::doors_only()
        .on_http("kube", &get, all([ok(&config_map("1", "old:1"))]))
        .on_http("kube", &patch, all([answers(409, "conflict")]));
    let fault = KubeConfig::run(input(&[]), &mut fake).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("conflict", FaultKind::Retryable));
    assert_eq!(fake.count_sent("PATCH"), 5);
    // Written, and written over before it was read back.
    let mut fake = FakeCluster::doors_only()
        .on_http("kube", &get, all([ok(&config_map("1", "old:1"))]))
        .on_http("kube", &patch, all([ok(&json!({}))]));
    assert_eq!(KubeConfig::run(input(&[]), &mut fake).unwrap_err().code, "changed-again");
}

#[test]
fn a_refusal_says_which_and_whether_trying_again_helps() {
    for (status, code, kind) in [
        (401, "not-allowed", FaultKind::Permanent),
        (404, "not-there", FaultKind::Permanent),
        (422, "refused", FaultKind::Permanent),
        (503, "not-answered", FaultKind::Retryable),
    ] {
        let mut fake = FakeCluster::doors_only().on_http(
            "kube",
            &format!("GET {MAP}"),
            all([answers(status, "because")]),
        );
        let fault = KubeConfig::run(input(&[]), &mut fake).unwrap_err();
        assert_eq!((fault.code, fault.kind), (code, kind));
        assert!(fault.message.contains("because"), "{}", fault.message);
    }
}

#[test]
fn a_name_that_is_none_asks_nothing() {
    for bad in ["a/b", "", "A", "..", "a%2fb", "a?b"] {
        let mut fake = FakeCluster::doors_only();
        let fault = KubeConfig::run(input(&[bad]), &mut fake).unwrap_err();
        assert_eq!((fault.code, fake.sent.len()), ("bad-name", 0), "{bad}");
    }
}

#[test]
fn a_mark_tells_values_apart() {
    let of = |key: &str, value: &str| mark(&[(key.to_owned(), value.to_owned())].into());
    assert_eq!(of("a", "b"), of("a", "b"));
    assert_ne!(of("a", "b"), of("ab", ""));
    assert_eq!(of("a", "b").len(), 16);
}
