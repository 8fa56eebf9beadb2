//! What leaves, and what comes back.

use super::{Attempt, at, endpoint, header, request};
use crate::capability::http::{Endpoint, Tls};
use crate::capability::lab::{Act, CA, Journal, Server, whole};
use crate::guest::wit::http::{Method, Request};
use crate::guest::wit::types::ErrorKind;
use baton_core::run::Taping;

/// The value of a header of a request.
fn value<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let lines = request.split("\r\n\r\n").next()?.lines();
    let mut pairs = lines.filter_map(|line| line.split_once(": "));
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[tokio::test]
async fn a_request_leaves_with_what_is_the_hosts_own() {
    let server = Server::answering("200 OK", "[1]").await;
    let mut attempt = Attempt::new(endpoint(&format!("http://{}/base/", server.address)));
    let sent = Request {
        headers: vec![header("X-Scope", "bondx")],
        ..request(Method::Post, "/orders?x=1", "{}")
    };
    let response = attempt.call(sent, 10_000).await.unwrap().unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, &b"[1]"[..]));
    let asked = server.asked().remove(0);
    assert!(asked.starts_with("POST /base/orders?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
    assert_eq!(value(&asked, "host"), Some(server.address.as_str()));
    assert_eq!(value(&asked, "authorization"), Some("Bearer hunter2"));
    assert_eq!(value(&asked, "x-scope"), Some("bondx"));
    assert_eq!(value(&asked, "idempotency-key").map(str::len), Some(32));
}

#[tokio::test]
async fn the_idempotency_key_is_the_same_only_for_the_same_request() {
    let server = Server::answering("200 OK", "").await;
    let mut first = Attempt::new(at(&server));
    first.send(Method::Post, "/orders", "a").await.unwrap();
    first.send(Method::Post, "/orders", "a").await.unwrap();
    first.send(Method::Get, "/orders", "").await.unwrap();
    let mut second = Attempt::new(at(&server));
    second.send(Method::Post, "/orders", "a").await.unwrap();
    let mut third = Attempt::new(at(&server));
    third.send(Method::Post, "/orders", "b").await.unwrap();
    let asked = server.asked();
    let keys: Vec<_> = asked.iter().map(|it| value(it, "idempotency-key")).collect();
    assert_eq!(keys[2], None, "a read has none");
    assert_eq!(keys[0], keys[3], "another attempt of the same step");
    assert_ne!(keys[0], keys[1], "meant twice");
    assert_ne!(keys[0], keys[4], "says something else");
}

#[tokio::test]
async fn g9_a_server_that_echoes_the_log_in_gives_nothing_away() {
    let server = Server::start(&[Act::Echo]).await;
    let mut attempt = Attempt::new(at(&server));
    let response = attempt.send(Method::Post, "/orders", "x").await.unwrap();
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("Bearer (redacted)") && !body.contains("hunter2"), "{body}");
    // The answer goes to disk with the next change.
    attempt.send(Method::Post, "/orders", "y").await.unwrap();
    let text = attempt.journal.text();
    assert!(text.contains("(redacted)") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn g9_headers_give_no_log_in_away() {
    let said = "HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nX-Echo: Bearer hunter2\r\n\
                X-Bytes: \u{e9}\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(&[Act::Say(said.to_owned())]).await;
    let response = Attempt::new(at(&server)).send(Method::Get, "/", "").await.unwrap();
    let names: Vec<&str> = response.headers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["x-echo", "x-bytes", "content-length"]);
    assert_eq!(response.headers[0].value, "Bearer (redacted)");
}

#[tokio::test]
async fn g7_a_redirect_is_told_and_not_followed() {
    let other = Server::answering("200 OK", "secret").await;
    let said = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        other.address
    );
    let server = Server::start(&[Act::Say(said)]).await;
    let response = Attempt::new(at(&server)).send(Method::Get, "/", "").await.unwrap();
    assert_eq!((response.status, response.headers[0].name.as_str()), (302, "location"));
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn answers_of_every_shape_are_heard_out() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let to_the_end = "HTTP/1.0 200 OK\r\n\r\nabc";
    let told_first = format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", whole("200 OK", "abc"));
    for said in [chunked, to_the_end, &told_first] {
        let server = Server::start(&[Act::Say(said.to_owned())]).await;
        let response = Attempt::new(at(&server)).send(Method::Get, "/", "").await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"abc"[..]), "{said}");
    }
    let head = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned());
    let server = Server::start(&[head]).await;
    let response = Attempt::new(at(&server)).send(Method::Head, "/", "").await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 0));
}

#[tokio::test]
async fn g4_the_intent_is_on_disk_before_the_request_leaves() {
    let server = Server::answering("202 Accepted", "").await;
    let mut attempt = Attempt::new(at(&server));
    attempt.send(Method::Get, "/orders", "").await.unwrap();
    attempt.send(Method::Post, "/orders?at=x", "12345").await.unwrap();
    assert_eq!(
        attempt.journal.told(),
        ["heard 0", "intend 1 Once service> POST /orders?at=x (5 bytes)", "outcome 1 202 Accepted"]
    );
    let mut attempt = Attempt::with(at(&server), Journal::full(), Taping::Record);
    let error = attempt.send(Method::Post, "/orders", "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("nothing was sent"), "{}", error.message);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn https_is_verified() {
    let server = Server::secure(&[Act::Say(whole("200 OK", "safe"))]).await;
    let trusting = |ca: Option<&[u8]>, host: &str| {
        let address = server.address.replace("127.0.0.1", host);
        let tls = Tls { ca_pem: ca.map(<[u8]>::to_vec), ..Tls::default() };
        Attempt::new(Endpoint { tls, ..endpoint(&format!("https://{address}")) })
    };
    let response = trusting(Some(CA), "127.0.0.1").send(Method::Get, "/", "").await.unwrap();
    assert_eq!(response.body, b"safe");
    // The name is not the certificate's.
    let error = trusting(Some(CA), "localhost").send(Method::Post, "/", "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("TLS"), "{}", error.message);
    assert_eq!(server.asked().len(), 1, "nothing leaves for whom we do not trust");
}

#[tokio::test]
async fn what_baton_toml_lacks_and_certificates_that_are_none_are_said() {
    let mut attempt = Attempt::new(Endpoint { name: "other".to_owned(), ..endpoint("http://h") });
    let error = attempt.send(Method::Get, "/", "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.message, "baton.toml has no endpoint service: add [http.service]");
    let tls = Tls { ca_pem: Some(b"rubbish".to_vec()), ..Tls::default() };
    let bad = Endpoint { tls, ..endpoint("https://h") };
    assert!(super::Endpoints::new(vec![bad]).is_err_and(|(name, _)| name == "service"));
}
