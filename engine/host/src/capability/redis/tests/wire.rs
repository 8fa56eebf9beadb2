//! Calls against real servers, and against what calls itself one.

use std::time::{Duration, Instant};

use baton_core::run::Taping;

use super::super::{Auth, Cluster, Secret, Tls};
use super::servers::{Server, answering, free_port, full};
use super::{Attempt, Journal, cluster, grant};
use crate::guest::wit::redis::{ErrorKind, Host as _, MemberKind, Node};

fn simple(text: &str) -> Vec<Node> {
    vec![Node::Simple(text.to_owned())]
}

fn bulk(text: &str) -> Vec<Node> {
    vec![Node::Bulk(text.as_bytes().to_vec())]
}

/// An attempt that may do everything on these data nodes.
fn free(nodes: &[&str]) -> Attempt {
    Attempt::new(cluster(nodes, &[]), vec![everything()])
}

fn everything() -> baton_core::workflow::plan::RedisGrant {
    grant(
        &["data", "sentinels"],
        &[
            "@read",
            "SET",
            "GETSET",
            "INCR",
            "LPUSH",
            "DEBUG",
            "CONFIG|SET",
            "SHUTDOWN",
            "CLIENT|KILL",
        ],
        &["*"],
    )
}

#[tokio::test]
async fn g4_every_change_is_intended_before_it_is_sent_and_told_after() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    let replies =
        attempt.ask(&server.address, &["SET a 1", "GET a", "INCR a", "LPUSH a x"]).await.unwrap();
    assert_eq!(replies[..3], [simple("OK"), bulk("1"), vec![Node::Integer(2)]]);
    assert!(matches!(&replies[3][0], Node::Error(text) if text.starts_with("WRONGTYPE")));
    assert_eq!(
        attempt.journal.told(),
        [
            "intend 0 Idempotent SET a 1",
            "intend 2 Once INCR a",
            "intend 3 Once LPUSH a x",
            "outcome 0 OK",
            "outcome 2 2",
            "outcome 3 WRONGTYPE Operation against a key holding the wrong kind of value",
        ]
    );
    // Numbers go on over calls; a read leaves no trace.
    attempt.ask(&server.address, &["PING"]).await.unwrap();
    attempt.ask(&server.address, &["SET a 2"]).await.unwrap();
    assert_eq!(attempt.journal.told()[6..], ["intend 5 Idempotent SET a 2", "outcome 5 OK"]);
}

#[tokio::test]
async fn g4_without_its_intent_on_disk_nothing_is_sent() {
    let server = Server::start(&[]);
    let journal = Journal { full_from: Some(1), ..Journal::default() };
    let cluster = cluster(&[&server.address], &[]);
    let mut attempt = Attempt::with(cluster, vec![everything()], journal, Taping::Off);
    let error = attempt.ask(&server.address, &["SET a 1", "SET b 1"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("nothing was sent") && error.message.contains("disk is full"));
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
    let replies = attempt.ask(&server.address, &["MGET a b"]).await.unwrap();
    assert_eq!(replies[0], [Node::Array(2), Node::Null, Node::Null]);
}

#[tokio::test]
async fn g4_transactions_are_told_by_what_exec_did() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    let commands = ["MULTI", "SET a 1", "INCR a", "EXEC"];
    attempt.ask(&server.address, &commands).await.unwrap();
    assert_eq!(attempt.journal.told()[2..], ["outcome 1 OK", "outcome 2 2"]);
    attempt.ask(&server.address, &["WATCH a"]).await.unwrap();
    let mut other = free(&[&server.address]);
    other.ask(&server.address, &["SET a 9"]).await.unwrap();
    attempt.ask(&server.address, &commands).await.unwrap();
    assert_eq!(
        attempt.journal.told()[6..],
        ["outcome 6 not done: EXEC gave null", "outcome 7 not done: EXEC gave null"]
    );
}

#[tokio::test]
async fn members_are_asked_at_once_and_fail_by_themselves() {
    let one = Server::start(&[]);
    let hung = Server::start(&[]);
    hung.freeze();
    let gone = format!("127.0.0.1:{}", free_port());
    let mut attempt = free(&[&one.address, &hung.address, &gone]);
    let begun = Instant::now();
    let results = attempt
        .call(&[(&one.address, &["PING"]), (&hung.address, &["PING"]), (&gone, &["PING"])], 300)
        .await
        .unwrap();
    assert_eq!(results[0], Ok(vec![simple("PONG")]));
    assert_eq!(results[1].as_ref().unwrap_err().kind, ErrorKind::TimedOut);
    let refused = results[2].as_ref().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Refused);
    assert_eq!(refused.message, format!("{gone} refused the connection: no process listens there"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn g4_a_change_that_gets_no_answer_is_in_doubt() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    attempt.ask(&server.address, &["PING"]).await.unwrap();
    server.freeze();
    let results = attempt.call(&[(&server.address, &["SET a 1", "GET a"])], 200).await.unwrap();
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.ends_with("SET is in doubt"), "{}", error.message);
    assert_eq!(
        attempt.journal.told(),
        ["intend 0 Idempotent SET a 1"].map(|_| "intend 1 Idempotent SET a 1")
    );
}

#[tokio::test]
async fn g4_a_member_that_cannot_be_reached_leaves_no_doubt() {
    let gone = format!("127.0.0.1:{}", free_port());
    let mut attempt = free(&[&gone]);
    let error = attempt.ask(&gone, &["SET a 1"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_goes_away_is_closed_then_refused() {
    let mut server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    let error = attempt.ask(&server.address, &["SHUTDOWN NOSAVE"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed);
    assert!(error.message.contains("SHUTDOWN is in doubt"), "{}", error.message);
    assert_eq!(attempt.journal.told().len(), 1);
    server.kill();
    let error = attempt.ask(&server.address, &["PING"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_opened_anew_by_the_next_call() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    attempt.ask(&server.address, &["PING"]).await.unwrap();
    let mut other = free(&[&server.address]);
    other.ask(&server.address, &["CLIENT KILL TYPE normal"]).await.unwrap();
    // Its end of the connection is closed; wait until ours knows.
    let deadline = Instant::now() + Duration::from_secs(10);
    let slot = attempt.state.slot("bondx", &server.address);
    while slot.lock().await.connection.as_mut().unwrap().is_open().await {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(attempt.ask(&server.address, &["SET a 1"]).await, Ok(vec![simple("OK")]));
    assert_eq!(attempt.journal.told(), ["intend 1 Idempotent SET a 1", "outcome 1 OK"]);
}

#[tokio::test]
async fn a_late_reply_never_answers_a_later_question() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut attempt = free(&[&server.address]);
    let late = attempt.call(&[(&server.address, &["DEBUG SLEEP 0.3"])], 50).await.unwrap();
    assert_eq!(late[0].as_ref().unwrap_err().kind, ErrorKind::TimedOut);
    assert_eq!(attempt.ask(&server.address, &["ECHO second"]).await, Ok(vec![bulk("second")]));
}

#[tokio::test]
async fn g9_log_ins_come_from_the_cluster_and_wrong_ones_are_no_death() {
    let server = Server::start(&[
        "--requirepass",
        "hunter2",
        "--user",
        "baton",
        "on",
        ">secret",
        "~*",
        "+@all",
    ]);
    let auth = |username: Option<&str>, password: Option<&str>| Auth {
        username: username.map(str::to_owned),
        password: password.map(Secret::new),
    };
    for resp in [2, 3] {
        for (auth, is_right) in [
            (auth(None, Some("hunter2")), true),
            (auth(Some("baton"), Some("secret")), true),
            (auth(None, Some("wrong")), false),
            (auth(Some("nobody"), Some("secret")), false),
            (auth(None, None), false),
        ] {
            let cluster = Cluster { auth: auth.clone(), resp, ..cluster(&[&server.address], &[]) };
            let mut attempt = Attempt::new(cluster, vec![everything()]);
            match attempt.ask(&server.address, &["PING"]).await {
                Ok(replies) => assert!(is_right && replies == [simple("PONG")], "{auth:?}"),
                Err(error) => {
                    assert_eq!(
                        (error.kind, is_right),
                        (ErrorKind::Unauthorized, false),
                        "{auth:?}"
                    );
                    assert!(
                        !error.message.contains("wrong") && !error.message.contains("secret"),
                        "{}",
                        error.message
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_password_that_the_server_does_not_want_is_unauthorized() {
    let server = Server::start(&[]);
    let auth = Auth { username: Some("baton".to_owned()), password: Some(Secret::new("x")) };
    for resp in [2, 3] {
        let cluster = Cluster { auth: auth.clone(), resp, ..cluster(&[&server.address], &[]) };
        let mut attempt = Attempt::new(cluster, vec![everything()]);
        let error = attempt.ask(&server.address, &["PING"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized);
    }
}

#[tokio::test]
async fn g9_secrets_are_blotted_out_of_replies() {
    let server = Server::start(&["--requirepass", "hunter2", "--masterauth", "hunter3"]);
    let auth = Auth { username: None, password: Some(Secret::new("hunter2")) };
    for resp in [2, 3] {
        let cluster = Cluster { auth: auth.clone(), resp, ..cluster(&[&server.address], &[]) };
        let mut attempt = Attempt::new(cluster, vec![everything()]);
        let replies = attempt.ask(&server.address, &["CONFIG GET *"]).await.unwrap();
        let texts: Vec<String> = replies[0].iter().map(|node| format!("{node:?}")).collect();
        let has = |text: &str| texts.contains(&format!("{:?}", bulk(text)[0]));
        assert!(has("maxmemory") && has("(redacted)"));
        assert!(!has("hunter2") && !has("hunter3"), "resp {resp}");
        let denied = attempt.ask(&server.address, &["CONFIG GET masterauth"]).await.unwrap_err();
        assert_eq!(denied.kind, ErrorKind::Denied);
    }
}

#[tokio::test]
async fn replies_have_the_shape_of_the_protocol_asked_for() {
    let server = Server::start(&[]);
    for (resp, first) in [(2, Node::Array(2)), (3, Node::Map(1))] {
        let cluster = Cluster { resp, ..cluster(&[&server.address], &[]) };
        let mut attempt = Attempt::new(cluster, vec![everything()]);
        let replies = attempt.ask(&server.address, &["CONFIG GET appendonly"]).await.unwrap();
        assert_eq!(replies[0][0], first);
    }
}

#[tokio::test]
async fn sentinels_have_their_own_log_in() {
    let sentinel = Server::sentinel("requirepass watch");
    let sentinel_auth = Auth { username: None, password: Some(Secret::new("watch")) };
    let cluster = Cluster { sentinel_auth, ..cluster(&[], &[&sentinel.address]) };
    let mut attempt = Attempt::new(cluster, vec![everything()]);
    let replies = attempt.ask(&sentinel.address, &["SENTINEL MASTERS"]).await.unwrap();
    assert_eq!(replies[0], [Node::Array(0)]);
}

#[tokio::test]
async fn servers_before_redis_6_are_spoken_to_in_resp2() {
    let old =
        answering(Some(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n")).await;
    let mut attempt = free(&[&old]);
    let replies = attempt.ask(&old, &["PING"]).await.unwrap();
    // The false server gives the same answer to all, now as an ordinary reply.
    assert!(matches!(&replies[0][0], Node::Error(text) if text.starts_with("ERR unknown command")));
}

#[tokio::test]
async fn what_is_no_redis_is_told_apart() {
    let nonsense = answering(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let silent = answering(Some(b"")).await;
    let rude = answering(None).await;
    let mut attempt = free(&[&nonsense, &silent, &rude]);
    let results = attempt
        .call(&[(&nonsense, &["PING"]), (&silent, &["PING"]), (&rude, &["PING"])], 300)
        .await
        .unwrap();
    let kinds: Vec<ErrorKind> =
        results.into_iter().map(|result| result.unwrap_err().kind).collect();
    assert_eq!(kinds, [ErrorKind::Protocol, ErrorKind::TimedOut, ErrorKind::Closed]);
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_unreachable() {
    let (full, _held) = full().await;
    let mut attempt = free(&[&full, "nowhere"]);
    let results = attempt.call(&[(&full, &["PING"]), ("nowhere", &["PING"])], 300).await.unwrap();
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable, "{}", error.message);
    }
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
}

#[tokio::test]
async fn replies_beyond_the_bound_are_refused_and_the_next_call_works() {
    let server = Server::start(&["--proto-max-bulk-len", "64mb"]);
    let mut attempt = free(&[&server.address]);
    let large = format!("SET a {}", "x".repeat(9 << 20));
    attempt.ask(&server.address, &[&large]).await.unwrap();
    let error = attempt.ask(&server.address, &["GET a"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.message.contains("ask for less at a time"), "{}", error.message);
    assert_eq!(attempt.ask(&server.address, &["PING"]).await, Ok(vec![simple("PONG")]));
    let shown = &attempt.journal.told()[0];
    assert!(shown.len() < 300, "{}", shown.len());
}

#[tokio::test]
async fn a_call_is_bounded_before_anything_is_sent() {
    let gone = format!("127.0.0.1:{}", free_port());
    let mut attempt = free(&[&gone]);
    let many = vec!["PING"; crate::limits::COMMANDS_MAX + 1];
    assert_eq!(attempt.ask(&gone, &many).await.unwrap_err().kind, ErrorKind::Limit);
    let members = vec![(gone.as_str(), &["PING"][..]); crate::limits::MEMBERS_MAX + 1];
    assert_eq!(attempt.call(&members, 100).await.unwrap_err().kind, ErrorKind::Limit);
    let huge = format!("SET a {}", "x".repeat(crate::limits::REQUEST_BYTES_MAX));
    assert_eq!(attempt.ask(&gone, &[&huge]).await.unwrap_err().kind, ErrorKind::Limit);
}

#[tokio::test]
async fn one_denied_command_and_nothing_is_sent() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    let error = attempt.ask(&server.address, &["SET a 1", "FLUSHALL"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
    assert_eq!(attempt.ask(&server.address, &["EXISTS a"]).await, Ok(vec![vec![Node::Integer(0)]]));
}

#[tokio::test]
async fn two_requests_to_one_member_go_one_after_the_other() {
    let server = Server::start(&[]);
    let mut attempt = free(&[&server.address]);
    let address = server.address.as_str();
    let results =
        attempt.call(&[(address, &["SET a 1"]), (address, &["GET a"])], 5_000).await.unwrap();
    assert_eq!(results, [Ok(vec![simple("OK")]), Ok(vec![bulk("1")])]);
}

#[tokio::test]
async fn a_guest_sees_the_members_that_it_may_reach() {
    let grants = vec![grant(&["data"], &["@read"], &[])];
    let mut attempt = Attempt::new(cluster(&["a:1", "b:1"], &["s:1"]), grants);
    let seen = attempt.view().describe_cluster("bondx".to_owned()).await.unwrap().unwrap();
    let members: Vec<_> =
        seen.members.iter().map(|member| (member.address.as_str(), member.kind)).collect();
    assert_eq!(members, [("a:1", MemberKind::Data), ("b:1", MemberKind::Data)]);
    let other = attempt.view().describe_cluster("other".to_owned()).await.unwrap().unwrap_err();
    assert_eq!(other.kind, ErrorKind::Denied);
}

/// Made with `openssl` for 127.0.0.1, valid for a hundred years; see `tls/README.md`.
const CA: &[u8] = include_bytes!("tls/ca.pem");
const CERT: &[u8] = include_bytes!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");

#[tokio::test]
async fn tls_is_spoken_and_checked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/capability/redis/tests/tls");
    let file = |name: &str| format!("{folder}/{name}");
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let server = Server::start(&[
        "--tls-port",
        "PORT",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "yes",
    ]);
    let with = |tls: Tls| Cluster { tls: Some(tls), ..cluster(&[&server.address], &[]) };
    let client_pem = Some((CERT.to_vec(), Secret::new(KEY)));
    let right = Tls { ca_pem: Some(CA.to_vec()), client_pem: client_pem.clone(), insecure: false };
    let blind = Tls { ca_pem: None, client_pem: client_pem.clone(), insecure: true };
    // The server's own certificate is no authority.
    let stranger = Tls { ca_pem: Some(CERT.to_vec()), ..right.clone() };
    for tls in [right, blind] {
        let mut attempt = Attempt::new(with(tls), vec![everything()]);
        assert_eq!(attempt.ask(&server.address, &["PING"]).await, Ok(vec![simple("PONG")]));
    }
    let mut attempt = Attempt::new(with(stranger), vec![everything()]);
    let error = attempt.ask(&server.address, &["PING"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("TLS with it failed"), "{}", error.message);
}

#[tokio::test]
async fn tls_to_a_server_without_it_fails_in_words() {
    let server = Server::start(&[]);
    let tls = Tls { ca_pem: Some(CA.to_vec()), client_pem: None, insecure: false };
    let cluster = Cluster { tls: Some(tls), ..cluster(&[&server.address], &[]) };
    let mut attempt = Attempt::new(cluster, vec![everything()]);
    // Redis takes the handshake for the beginning of a command, and waits for more.
    let results = attempt.call(&[(&server.address, &["PING"])], 300).await.unwrap();
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.contains("the TLS handshake (check `tls`"), "{}", error.message);
}

#[test]
fn certificates_that_are_none_are_refused_at_the_start() {
    let tls = Tls { ca_pem: Some(b"rubbish".to_vec()), client_pem: None, insecure: false };
    let cluster = Cluster { tls: Some(tls), ..cluster(&[], &[]) };
    let (name, message) =
        super::Clusters::new(vec![cluster], &super::Keeper::new(None)).err().unwrap();
    assert_eq!((name.as_str(), message.as_str()), ("bondx", "tls.ca holds no PEM certificate"));
}
