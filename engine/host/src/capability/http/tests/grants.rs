use baton_core::run::event::CallClass::{self, Idempotent, Once, Read};
use baton_core::workflow::plan::HttpGrant;
use expect_test::{Expect, expect};

use super::super::{class::class, grant::check};
use super::{endpoint, everything, grant, header, request};
use crate::guest::wit::http::{Header, Method, Request};
use crate::guest::wit::types::ErrorKind;

fn ask(grants: &[HttpGrant], request: &Request) -> Result<CallClass, (ErrorKind, String)> {
    check("try", grants, &endpoint("http://h:1/base"), request)
        .map_err(|error| (error.kind, error.message))
}

fn refusal(grants: &[HttpGrant], request: &Request, expected: &Expect) {
    let (kind, message) = ask(grants, request).unwrap_err();
    assert_eq!(kind, ErrorKind::Denied);
    expected.assert_eq(&message);
}

#[test]
fn g7_a_refusal_names_the_line_that_would_allow_it() {
    let grants = [grant(&["GET"], &["/api/v1/query*"])];
    let get = |path| request(Method::Get, path, "");
    refusal(
        &[],
        &get("/"),
        &expect![[
            r#"step "try" was granted nothing of endpoint service: add [[steps.try.grants.http]] with endpoint = "service", methods and paths"#
        ]],
    );
    refusal(
        &grants,
        &get("/admin?x=1"),
        &expect![[
            r#"step "try" may not ask service for /admin?x=1: add "/admin" to grants.http.paths of the step"#
        ]],
    );
    refusal(
        &grants,
        &request(Method::Delete, "/api/v1/query", ""),
        &expect![[
            r#"step "try" may not send DELETE /api/v1/query to service: add "DELETE" to grants.http.methods of the step"#
        ]],
    );
    refusal(
        &[HttpGrant { only_reads: true, ..everything() }],
        &request(Method::Post, "/orders", ""),
        &expect![[
            r#"step "try" may only read, and POST /orders may change something: if it does not, add its path to `reads` under [http.service] in baton.toml; else take `only_reads` out of grants.http of the step"#
        ]],
    );
    assert_eq!(ask(&grants, &get("/api/v1/query_range?query=up")), Ok(Read));
}

#[test]
fn g7_one_grant_must_allow_method_and_path_together() {
    let grants = [grant(&["GET"], &["/**"]), grant(&["POST"], &["/silences"])];
    assert_eq!(ask(&grants, &request(Method::Post, "/silences", "")), Ok(Idempotent));
    assert!(ask(&grants, &request(Method::Post, "/orders", "")).is_err());
}

#[test]
fn g7_only_reads_lets_reads_through_and_another_grant_may_let_more() {
    let reads = HttpGrant { only_reads: true, ..everything() };
    assert_eq!(ask(std::slice::from_ref(&reads), &request(Method::Post, "/query", "x")), Ok(Read));
    assert_eq!(ask(std::slice::from_ref(&reads), &request(Method::Get, "/x", "")), Ok(Read));
    assert!(ask(std::slice::from_ref(&reads), &request(Method::Put, "/x", "")).is_err());
    assert_eq!(ask(&[reads, everything()], &request(Method::Put, "/x", "")), Ok(Idempotent));
}

#[test]
fn g7_a_path_that_could_mean_another_is_refused_whatever_is_granted() {
    for path in [
        "",
        "*",
        "admin",
        "//evil/x",
        "http://evil/x",
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/a%2fadmin",
        "/a%5cadmin",
        "/a\r\nHost: evil",
        "/a HTTP/1.1\r\nX: y",
        "/a\0",
        "/a#x",
    ] {
        let (kind, message) = ask(&[everything()], &request(Method::Get, path, "")).unwrap_err();
        assert_eq!(kind, ErrorKind::Denied, "{path:?}");
        assert!(!message.contains(['\r', '\n', '\0']), "{message:?}");
    }
}

#[test]
fn g7_headers_of_the_hosts_own_cannot_be_set_nor_others_smuggled() {
    let with = |headers: Vec<Header>| {
        ask(&[everything()], &Request { headers, ..request(Method::Get, "/", "") })
    };
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "AUTHORIZATION",
        "Cookie",
        "idempotency-key",
        "X-HTTP-Method-Override",
        "Upgrade",
        "te",
    ] {
        assert!(with(vec![header(name, "x")]).is_err(), "{name}");
    }
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("x\r\nhost", "evil"),
        ("x:", "y"),
        ("ü", "x"),
        ("x", "a\r\nhost: evil"),
        ("x", "a\nb"),
        ("x", "\0"),
    ] {
        let (_, message) = with(vec![header(name, value)]).unwrap_err();
        assert!(!message.contains(['\r', '\n']), "{message:?}");
    }
    assert_eq!(with(vec![header("X-Scope-OrgID", "bondx"), header("accept", "*/*")]), Ok(Read));
}

#[test]
fn g7_what_is_too_much_is_refused_before_anything_is_sent() {
    let limit = |request: Request| ask(&[everything()], &request).unwrap_err().0;
    let get = || request(Method::Get, "/", "");
    assert_eq!(
        limit(request(Method::Get, &format!("/{}", "x".repeat(8_000)), "")),
        ErrorKind::Limit
    );
    assert_eq!(limit(request(Method::Put, "/", &"x".repeat((1 << 20) + 1))), ErrorKind::Limit);
    let many = (0..33).map(|number| header(&format!("x-{number}"), "y")).collect();
    assert_eq!(limit(Request { headers: many, ..get() }), ErrorKind::Limit);
    let large = vec![header("x", &"y".repeat(8 * 1024))];
    assert_eq!(limit(Request { headers: large, ..get() }), ErrorKind::Limit);
}

#[test]
fn g4_the_class_is_the_methods_unless_the_operator_knows_better() {
    let of = |method, path| class(&endpoint("http://h"), method, path);
    for (method, path, expected) in [
        (Method::Get, "/x", Read),
        (Method::Head, "/x", Read),
        (Method::Put, "/x", Idempotent),
        (Method::Delete, "/x", Idempotent),
        (Method::Post, "/x", Once),
        (Method::Patch, "/x", Once),
        (Method::Post, "/query_range", Read),
        (Method::Post, "/query/x", Once),
        (Method::Post, "/silences", Idempotent),
        (Method::Patch, "/silences", Idempotent),
    ] {
        assert_eq!(of(method, path), expected, "{method:?} {path}");
    }
}
