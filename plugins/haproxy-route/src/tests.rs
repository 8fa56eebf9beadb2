//! In the right order, not more than is needed, and read back.

use super::*;
use baton_plugin::FaultKind;
use baton_plugin::testing::FakeCluster;

fn csv(lines: &[&str]) -> Response {
    let body = format!("# pxname,svname,scur,status,addr\n{}\n", lines.join("\n"));
    Response { status: 200, body: body.into_bytes(), ..Response::default() }
}

fn done(state: &str) -> Response {
    let location = format!("/haproxy;st={state}");
    Response { status: 303, headers: vec![("location".into(), location)], body: Vec::new() }
}

const OLD: [&str; 2] = ["redis,n1,4,UP,10.0.0.1:6379", "redis,n2,0,MAINT,10.0.0.2:6379"];
const CLOSED: [&str; 2] = ["redis,n1,4,MAINT,10.0.0.1:6379", "redis,n2,0,MAINT,10.0.0.2:6379"];
const WAKING: [&str; 2] = ["redis,n1,0,MAINT,10.0.0.1:6379", "redis,n2,0,DOWN,10.0.0.2:6379"];
const NEW: [&str; 2] = ["redis,n1,0,MAINT,10.0.0.1:6379", "redis,n2,1,UP,10.0.0.2:6379"];

fn route(pages: &[[&str; 2]], states: &[&str], node: &str) -> (Result<Output, Fault>, Vec<String>) {
    let pages = pages.iter().map(|it| Ok(csv(it))).collect();
    let states = states.iter().map(|it| Ok(done(it))).collect();
    let mut fake = FakeCluster::doors_only().on_http("proxy", "GET /haproxy;csv", pages).on_http(
        "proxy",
        "POST /haproxy",
        states,
    );
    let input = Input {
        endpoint: "proxy".into(),
        path: path(),
        backend: "redis".into(),
        node: node.into(),
        standby: Vec::new(),
        within_ms: None,
    };
    (HaproxyRoute::run(input, &mut fake), fake.sent)
}

#[test]
fn the_old_one_is_closed_and_emptied_before_the_new_one_is_opened() {
    let (output, sent) = route(&[OLD, CLOSED, WAKING, NEW], &["DONE"], "10.0.0.2:6379");
    let output = output.unwrap();
    assert_eq!((output.verdict.as_str(), output.server.as_str()), ("changed", "n2"));
    let posts = sent.iter().filter(|it| it.contains("POST")).count();
    assert_eq!(posts, 3, "maint, shutdown, ready: {sent:?}");
    assert_eq!(output.table.rows[1], ["n2", "10.0.0.2:6379", "UP", "1"]);
}

#[test]
fn what_stands_already_is_not_asked_for_again() {
    let (output, sent) = route(&[NEW], &["DONE"], "10.0.0.2:6379");
    assert_eq!(output.unwrap().verdict, "as it was");
    assert!(sent.iter().all(|it| it.starts_with("proxy GET")), "{sent:?}");
}

#[test]
fn sessions_that_linger_at_a_closed_server_are_ended() {
    let lingering = ["redis,n1,2,MAINT,10.0.0.1:6379", "redis,n2,1,UP,10.0.0.2:6379"];
    let (output, sent) = route(&[lingering, lingering, NEW], &["DONE"], "10.0.0.2:6379");
    assert_eq!(output.unwrap().verdict, "changed");
    assert_eq!(sent.iter().filter(|it| it.contains("POST")).count(), 1, "{sent:?}");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    for (pages, states, node, code, kind) in [
        (OLD, "DENY", "10.0.0.2:6379", "denied", FaultKind::Permanent),
        (OLD, "PART", "10.0.0.2:6379", "not-done", FaultKind::Retryable),
        (OLD, "DONE", "10.0.0.9:6379", "no-such-server", FaultKind::Permanent),
        (WAKING, "DONE", "10.0.0.2:6379", "not-up", FaultKind::Retryable),
        (["redis,n1,0,UP,", "redis,n2,0,UP,"], "DONE", "x:1", "no-addresses", FaultKind::Permanent),
        (
            ["x,n1,0,UP,a:1", "x,n2,0,UP,b:1"],
            "DONE",
            "a:1",
            "no-such-backend",
            FaultKind::Permanent,
        ),
    ] {
        let fault = route(&[pages], &[states], node).0.unwrap_err();
        assert_eq!((fault.code, fault.kind), (code, kind), "{}", fault.message);
    }
}

#[test]
fn replicas_stand_by_and_are_down_before_their_first_check() {
    let page = |lines: [&str; 3]| Ok(csv(&lines));
    // The first one is dead, and was the master until now; the third one was closed once.
    let old = page([
        "redis,n1,0,DOWN,10.0.0.1:6379",
        "redis,n2,0,UP,10.0.0.2:6379",
        "redis,n3,0,MAINT,10.0.0.3:6379",
    ]);
    let new = page([
        "redis,n1,0,MAINT,10.0.0.1:6379",
        "redis,n2,1,UP,10.0.0.2:6379",
        "redis,n3,0,DOWN,10.0.0.3:6379",
    ]);
    let open = page([
        "redis,n1,0,MAINT,10.0.0.1:6379",
        "redis,n2,1,UP,10.0.0.2:6379",
        "redis,n3,0,no check,10.0.0.3:6379",
    ]);
    let route = |pages| {
        let mut fake = FakeCluster::doors_only()
            .on_http("proxy", "GET /haproxy;csv", pages)
            .on_http("proxy", "POST /haproxy", vec![Ok(done("DONE"))]);
        let input = Input {
            endpoint: "proxy".into(),
            path: path(),
            backend: "redis".into(),
            node: "10.0.0.2:6379".into(),
            standby: vec!["10.0.0.3:6379".into()],
            within_ms: None,
        };
        (HaproxyRoute::run(input, &mut fake), fake.count_sent("POST"))
    };
    let (output, posts) = route(vec![old.clone(), old.clone(), new.clone()]);
    assert!(output.unwrap().reason.ends_with("(n2) alone; 1 stand by"));
    assert_eq!(posts, 3, "the first closed; the third out of maintenance, and down");
    let (output, posts) = route(vec![new]);
    assert_eq!((output.unwrap().verdict.as_str(), posts), ("as it was", 0));
    // Nothing tells a replica apart there.
    assert_eq!(route(vec![old.clone(), old, open]).0.unwrap_err().code, "replica-open");
}
