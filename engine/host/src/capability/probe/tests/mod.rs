//! Looks at servers that behave as they should or not.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::time::{Duration, Instant};

use baton_core::run::Taping;
use baton_core::workflow::plan::{Grants, ProbeGrant};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::{Address, Expected, Look, Target, Targets, Tls, Url, View};
use crate::capability::lab::{Act, CA, Journal, Server, caller};
use crate::guest::wit::probe::{Finding, Host as _};
use crate::guest::wit::types::{Error, ErrorKind};

/// For what would otherwise never end; far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(15);

fn target(name: &str, look: Look) -> Target {
    Target { name: name.to_owned(), look, timeout_ms: 10_000 }
}

fn tcp(address: &str) -> Look {
    Look::Tcp(Address::parse(address).unwrap())
}

fn http(address: &str, statuses: &[u16], contains: Option<&str>) -> Look {
    Look::Http {
        url: Url::parse(&format!("http://{address}/healthz"), ["http", "https"]).unwrap(),
        tls: Tls::default(),
        statuses: statuses.to_vec(),
        expected: Expected { contains: contains.map(str::to_owned), fields: Vec::new() },
    }
}

fn web_socket(address: &str) -> Look {
    let url = Url::parse(&format!("ws://{address}/feed"), ["ws", "wss"]).unwrap();
    Look::WebSocket { url, tls: Tls::default(), subscribe: None, expected: Expected::default() }
}

/// A subscription to trades, and what must come of it.
fn subscribed(address: &str) -> Look {
    let fields = vec![("/channel".to_owned(), json!("trades")), ("/seq".to_owned(), json!(7))];
    let Look::WebSocket { url, tls, .. } = web_socket(address) else { panic!("a feed") };
    let subscribe = Some("{\"op\":\"subscribe\",\"channel\":\"trades\"}".to_owned());
    let expected = Expected { contains: None, fields };
    Look::WebSocket { url, tls, subscribe, expected }
}

async fn look_at(
    targets: Vec<Target>,
    granted: &[&str],
    asked: &[&str],
) -> Result<Vec<Finding>, Error> {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let probe = vec![ProbeGrant { targets: list(granted) }];
    let grants = Grants { probe, ..Grants::default() };
    let (mut caller, journal) = caller(grants, Journal::default(), Taping::Record);
    let targets = Targets::new(targets).unwrap();
    let begun = Instant::now();
    let found = View { targets: &targets, caller: &mut caller }.look(list(asked), 60_000).await;
    assert!(begun.elapsed() < SOON);
    assert_eq!(journal.told(), Vec::<String>::new(), "a look changes nothing");
    found.unwrap()
}

/// One look; the reason with the address taken out.
async fn seen(look: Look, address: &str) -> (bool, String) {
    seen_within(10_000, look, address).await
}

async fn seen_within(timeout_ms: u32, look: Look, address: &str) -> (bool, String) {
    let targets = vec![Target { timeout_ms, ..target("it", look) }];
    let finding = look_at(targets, &["it"], &["it"]).await.unwrap().remove(0);
    (finding.up, finding.reason.replace(address, "it"))
}

/// How long a case may take that ends by being late.
fn time_of(told: &str) -> u32 {
    if told == "in time" { 200 } else { 10_000 }
}

/// The address of nobody.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_port_that_accepts_is_up() {
    let server = Server::start(&[Act::Hold]).await;
    let (up, reason) = seen(tcp(&server.address), &server.address).await;
    assert_eq!((up, reason.as_str()), (true, "it accepts connections"));
    let address = nobody().await;
    let (up, reason) = seen(tcp(&address), &address).await;
    assert_eq!(
        (up, reason.as_str()),
        (false, "it refused the connection: no process listens there")
    );
}

#[tokio::test]
async fn a_page_is_up_if_it_says_what_it_should() {
    let server = Server::answering("200 OK", "status: ready").await;
    let other = Server::answering("503 Service Unavailable", "no").await;
    for (server, statuses, contains, up, reason) in [
        (&server, &[][..], None, true, "it answers 200 OK"),
        (&server, &[][..], Some("ready"), true, "it answers 200 OK with \"ready\""),
        (&server, &[][..], Some("fine"), false, "it answers 200 OK, but without \"fine\""),
        (&server, &[204][..], None, false, "it answers 200 OK"),
        (&other, &[][..], None, false, "it answers 503 Service Unavailable"),
        (&other, &[503][..], None, true, "it answers 503 Service Unavailable"),
    ] {
        let address = &server.address;
        let found = seen(http(address, statuses, contains), address).await;
        assert_eq!(found, (up, reason.to_owned()));
    }
    assert!(server.asked()[0].starts_with("GET /healthz HTTP/1.1\r\n"));
}

#[tokio::test]
async fn g7_a_page_that_is_slow_endless_or_no_page_is_down_in_time() {
    let head = Act::Say("HTTP/1.1 200 OK\r\n\r\n".to_owned());
    for (acts, told) in [
        (vec![Act::Hold], "in time"),
        (vec![head.clone(), Act::Drip], "in time"),
        (vec![head, Act::Flood("xxxxxxxxxxxxxxxx", 1 << 20)], "more than"),
        (vec![Act::Say("+PONG\r\n".to_owned())], "what is no HTTP"),
        (vec![], "broke"),
    ] {
        let server = Server::start(&acts).await;
        let look = http(&server.address, &[], None);
        let (up, reason) = seen_within(time_of(told), look, &server.address).await;
        assert!(!up && reason.contains(told), "{reason}");
    }
}

#[tokio::test]
async fn tls_is_verified() {
    let page = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned());
    let server = Server::secure(&[page]).await;
    let look = |host: &str| {
        let address = server.address.replace("127.0.0.1", host);
        let url = Url::parse(&format!("https://{address}"), ["http", "https"]).unwrap();
        let tls = Tls { ca_pem: Some(CA.to_vec()), ..Tls::default() };
        Look::Http { url, tls, statuses: Vec::new(), expected: Expected::default() }
    };
    assert!(seen(look("127.0.0.1"), &server.address).await.0);
    let (up, reason) = seen(look("localhost"), &server.address).await;
    assert!(!up && reason.contains("TLS with it failed"), "{reason}");
}

/// A feed that says `before` each handshake's end, then answers pings, or not.
async fn feed(before: usize, answers: bool) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        for _ in 0..before {
            if socket.send(Message::text("tick")).await.is_err() {
                return;
            }
        }
        if answers {
            // Reading answers pings.
            while let Some(Ok(_)) = socket.next().await {}
        } else {
            std::future::pending::<()>().await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_web_socket_is_up_once_it_answers_a_ping() {
    for before in [0, 100] {
        let (address, task) = feed(before, true).await;
        let found = seen(web_socket(&address), &address).await;
        assert_eq!(found, (true, "it speaks WebSocket and answers a ping".to_owned()));
        task.abort();
    }
}

#[tokio::test]
async fn g7_a_web_socket_that_is_silent_babbles_or_is_none_is_down_in_time() {
    let (silent, task) = feed(0, false).await;
    let (up, reason) = seen_within(200, web_socket(&silent), &silent).await;
    assert!(!up && reason.contains("in time"), "{reason}");
    task.abort();
    let (babbling, task) = feed(100_000, false).await;
    let (up, reason) = seen(web_socket(&babbling), &babbling).await;
    assert!(!up && reason.contains("1000 messages without answering"), "{reason}");
    task.abort();
    let wrong_key = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
    let say = |text: &str| Act::Say(text.to_owned());
    for (acts, told) in [
        (vec![say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")], "it answers 404"),
        (vec![say(wrong_key)], "the WebSocket handshake failed"),
        (vec![say("nonsense\r\n\r\n")], "the WebSocket handshake failed"),
        (vec![say("HTTP/1.1 101 X\r\nA: "), Act::Drip], "in time"),
        (vec![say("HTTP/1.1 101 X\r\n"), Act::Flood("X: y\r\n", 1 << 20)], "handshake failed"),
        (vec![Act::Hold], "in time"),
        (vec![], "the WebSocket handshake failed"),
    ] {
        let server = Server::start(&acts).await;
        let look = web_socket(&server.address);
        let (up, reason) = seen_within(time_of(told), look, &server.address).await;
        assert!(!up && reason.contains(told), "{reason}");
    }
}

#[tokio::test]
async fn a_page_of_json_is_up_if_its_fields_are_as_they_should() {
    let server = Server::answering("200 OK", r#"{"status":"ok","lag":{"ms":3.0}}"#).await;
    let text = Server::answering("200 OK", "status: ok").await;
    let field = |pointer: &str, value| (pointer.to_owned(), value);
    for (server, fields, up, reason) in [
        (
            &server,
            vec![field("/status", json!("ok"))],
            true,
            "it answers 200 OK with \"ok\" at /status",
        ),
        (&server, vec![field("/lag/ms", json!(3))], true, "it answers 200 OK with 3 at /lag/ms"),
        (
            &server,
            vec![field("/status", json!("degraded"))],
            false,
            "it answers 200 OK, but without \"degraded\" at /status",
        ),
        (&server, vec![field("/lag", json!(3))], false, "it answers 200 OK, but without 3 at /lag"),
        (&text, vec![field("/status", json!("ok"))], false, "it answers 200 OK, but without JSON"),
    ] {
        let Look::Http { url, tls, statuses, .. } = http(&server.address, &[], None) else {
            panic!("a page");
        };
        let expected = Expected { contains: None, fields };
        let look = Look::Http { url, tls, statuses, expected };
        assert_eq!(seen(look, &server.address).await, (up, reason.to_owned()));
    }
}

/// A feed that says each of `messages` once it was subscribed to, then stays or closes.
async fn trades(messages: Vec<String>, stays: bool) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        assert_eq!(first.to_text().unwrap(), r#"{"op":"subscribe","channel":"trades"}"#);
        for message in messages {
            if socket.send(Message::text(message)).await.is_err() {
                return;
            }
        }
        if stays {
            std::future::pending::<()>().await;
        }
        let _ = socket.close(None).await;
    });
    (address, task)
}

#[tokio::test]
async fn a_feed_is_up_once_it_delivers_what_was_subscribed_to() {
    let other = r#"{"channel":"quotes","seq":7}"#.to_owned();
    let right = r#"{"seq":7,"channel":"trades"}"#.to_owned();
    let (address, task) = trades(vec![other, "tick".to_owned(), right], true).await;
    let found = seen(subscribed(&address), &address).await;
    let told = r#"it sends messages with "trades" at /channel, 7 at /seq"#;
    assert_eq!(found, (true, told.to_owned()));
    task.abort();
}

#[tokio::test]
async fn g7_a_feed_that_delivers_nothing_something_else_or_closes_is_down_in_time() {
    let wrong = || r#"{"channel":"trades","seq":8}"#.to_owned();
    for (messages, stays, told) in [
        (
            Vec::new(),
            true,
            "sent no message with \"trades\" at /channel, 7 at /seq in time (0 others)",
        ),
        (vec![wrong(), wrong()], true, "in time (2 others)"),
        (Vec::new(), false, "closed before it sent a message with"),
        (vec![wrong()], false, "closed before it sent a message with"),
        (vec![wrong(); 2_000], true, "sent 1000 messages without"),
    ] {
        let (address, task) = trades(messages, stays).await;
        let time_ms = if told.contains("in time") { 300 } else { 10_000 };
        let (up, reason) = seen_within(time_ms, subscribed(&address), &address).await;
        assert!(!up && reason.contains(told), "{reason}");
        task.abort();
    }
}

#[tokio::test]
async fn many_are_looked_at_at_once_and_told_in_order() {
    let up = Server::start(&[Act::Hold]).await;
    let silent = Server::start(&[Act::Hold]).await;
    let names: Vec<String> = (0..40).map(|number| format!("silent-{number}")).collect();
    let mut targets = vec![target("up", tcp(&up.address))];
    targets.extend(
        names.iter().map(|name| Target {
            timeout_ms: 300,
            ..target(name, http(&silent.address, &[], None))
        }),
    );
    let mut asked: Vec<&str> = names.iter().map(String::as_str).collect();
    asked.insert(7, "up");
    let begun = Instant::now();
    let found = look_at(targets, &asked, &asked).await.unwrap();
    let state: Vec<bool> = found.iter().map(|finding| finding.up).collect();
    assert_eq!(state.iter().filter(|up| **up).count(), 1);
    assert!(state[7], "{:?}", found[7]);
    assert!((250..5_000).contains(&found[0].latency_ms), "{:?}", found[0]);
    assert!(begun.elapsed() < Duration::from_secs(6), "one after the other takes 12 s");
}

#[tokio::test]
async fn g7_what_was_not_granted_is_not_looked_at() {
    let server = Server::start(&[]).await;
    let targets =
        || vec![target("mine", tcp(&server.address)), target("yours", tcp(&server.address))];
    for other in ["yours", "nobodys"] {
        let error = look_at(targets(), &["mine"], &["mine", other]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        let told = format!(
            "step \"try\" may not look at {other}: add \"{other}\" to grants.probe.targets of the step"
        );
        assert_eq!(error.message, told);
    }
    let error = look_at(targets(), &["lost"], &["lost"]).await.unwrap_err();
    assert_eq!(error.message, "baton.toml has no target lost: add [probe.lost]");
    let many = vec!["mine"; 65];
    assert_eq!(look_at(targets(), &["mine"], &many).await.unwrap_err().kind, ErrorKind::Limit);
}
