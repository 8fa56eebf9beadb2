//! Servers that are gone, silent, slow, or answer nonsense: a clear error, within its time.

use std::time::{Duration, Instant};

use super::{Attempt, at, endpoint, request};
use crate::capability::lab::{Act, Server};
use crate::guest::wit::http::Method;
use crate::guest::wit::types::{Error, ErrorKind};

/// For a server that would never end; far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

/// A GET of at most `time_ms` from a server that does this.
async fn get_within(time_ms: u32, acts: &[Act]) -> Error {
    let server = Server::start(acts).await;
    let begun = Instant::now();
    let mut attempt = Attempt::new(at(&server));
    let error = attempt.call(request(Method::Get, "/", ""), time_ms).await.unwrap().unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert!(error.message.contains("service"), "{}", error.message);
    assert!(error.message.len() < 600, "{}", error.message);
    error
}

/// The same of a server that is not given up for being late.
async fn get(acts: &[Act]) -> Error {
    get_within(10_000, acts).await
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

#[tokio::test]
async fn g7_a_body_without_end_is_cut_off() {
    let head = say("HTTP/1.1 200 OK\r\n\r\n");
    let flood = Act::Flood("0123456789abcdef", 100 << 20 >> 4);
    let error = get(&[head, flood.clone()]).await;
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.message.contains("more than 65536 bytes"), "{}", error.message);
    let announced = say("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n");
    assert_eq!(get(&[announced, flood.clone()]).await.kind, ErrorKind::Limit);
    let chunked = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n");
    assert_eq!(get(&[chunked, flood]).await.kind, ErrorKind::Limit);
}

#[tokio::test]
async fn g7_heads_without_end_are_cut_off() {
    let status = say("HTTP/1.1 200 OK\r\n");
    for flood in [
        Act::Flood("X-Header: y\r\n", 1 << 20),
        Act::Flood("x", 100 << 20),
        Act::Flood("X: y\r\n", 200),
    ] {
        let error = get(&[status.clone(), flood, say("\r\n\r\n")]).await;
        assert!([ErrorKind::Limit, ErrorKind::Protocol].contains(&error.kind), "{error:?}");
    }
}

#[tokio::test]
async fn who_is_silent_or_slow_is_given_up_in_time() {
    let head = say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    for (acts, told) in [
        (vec![Act::Hold], "no whole answer in time"),
        (vec![say("HTTP/1.1 200"), Act::Hold], "no whole answer in time"),
        (vec![say("HTTP/1.1 200 OK\r\nX-A: "), Act::Drip], "no whole answer in time"),
        (vec![head.clone(), Act::Drip], "it had answered 200 OK"),
    ] {
        let error = get_within(200, &acts).await;
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
        assert!(error.message.contains(told), "{}", error.message);
    }
}

#[tokio::test]
async fn nonsense_is_named_as_what_it_is() {
    for said in [
        "-ERR unknown command 'GET'\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
    ] {
        let error = get(&[say(said)]).await;
        assert_eq!(error.kind, ErrorKind::Protocol, "{said:?} {error:?}");
        assert!(!error.message.contains(|c: char| c.is_control()), "{:?}", error.message);
    }
}

#[tokio::test]
async fn who_hangs_up_is_named_as_such() {
    let half = say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let chunked = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    for acts in [vec![], vec![say("HTTP/1.1 2")], vec![half], vec![chunked]] {
        let error = get(&acts).await;
        assert_eq!(error.kind, ErrorKind::Closed, "{error:?}");
    }
}

#[tokio::test]
async fn g4_a_change_without_an_answer_is_in_doubt_and_one_with_a_status_is_not() {
    for acts in [vec![Act::Hold], vec![]] {
        let server = Server::start(&acts).await;
        let mut attempt = Attempt::new(at(&server));
        let sent = attempt.call(request(Method::Post, "/orders", "x"), 200).await.unwrap();
        let message = sent.unwrap_err().message;
        assert!(message.ends_with("service> POST /orders (1 bytes) is in doubt"), "{message}");
        assert_eq!(attempt.journal.told(), ["intend 0 Once service> POST /orders (1 bytes)"]);
        assert_eq!(server.asked().len(), 1);
    }
    let half = say("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nhalf");
    let server = Server::start(&[half]).await;
    let mut attempt = Attempt::new(at(&server));
    let error = attempt.send(Method::Post, "/orders", "x").await.unwrap_err();
    assert!(error.message.contains("it had answered 201 Created"), "{}", error.message);
    assert_eq!(attempt.journal.told()[1], "outcome 0 201 Created");
}

#[tokio::test]
async fn g4_who_is_gone_leaves_no_doubt() {
    let address = {
        let server = Server::start(&[]).await;
        server.address.clone()
    };
    // Its listener goes with its task, which ends when it is next looked at.
    tokio::task::yield_now().await;
    let mut attempt = Attempt::new(endpoint(&format!("http://{address}")));
    let error = attempt.send(Method::Post, "/orders", "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{}", error.message);
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
    let mut attempt = Attempt::new(endpoint("http://does-not-exist.invalid"));
    let error = attempt.send(Method::Post, "/orders", "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{}", error.message);
}

#[tokio::test]
async fn the_endpoints_own_time_bounds_the_guests() {
    let server = Server::start(&[Act::Hold]).await;
    let endpoint = crate::capability::http::Endpoint { timeout_ms: 100, ..at(&server) };
    let begun = Instant::now();
    let mut attempt = Attempt::new(endpoint);
    let sent = attempt.call(request(Method::Get, "/", ""), u32::MAX).await.unwrap();
    assert_eq!(sent.unwrap_err().kind, ErrorKind::TimedOut);
    assert!(begun.elapsed() < SOON);
}
