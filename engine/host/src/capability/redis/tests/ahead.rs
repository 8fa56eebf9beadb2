//! What leaves together with the log-in: settings, and nothing else.

use std::time::Duration;

use super::super::{Auth, Secret};
use super::servers::{Server, answering};
use super::{Attempt, cluster, grant};
use crate::guest::wit::redis::{ErrorKind, Node};

const FENCE: [&str; 2] = ["CONFIG SET min-replicas-to-write 100", "CONFIG REWRITE"];

fn free(address: &str, password: Option<&str>) -> Attempt {
    let auth = Auth { username: None, password: password.map(Secret::new) };
    let cluster = super::Cluster { auth, ..cluster(&[address], &[]) };
    let commands = ["@read", "SET", "CONFIG|SET", "CONFIG|REWRITE"];
    Attempt::new(cluster, vec![grant(&["data"], &commands, &["*"])])
}

/// Asks as somebody else would, until the server answers.
async fn setting(address: &str, password: Option<&str>) -> Vec<Node> {
    let mut asking = free(address, password);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match asking.ask(address, &["CONFIG GET min-replicas-to-write"]).await {
            Ok(mut replies) => return replies.remove(0),
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn settings_left_with_a_server_that_hangs_hold_when_it_wakes() {
    for password in [None, Some("hunter2")] {
        let wanted = password.map_or_else(Vec::new, |it| vec!["--requirepass", it]);
        let server = Server::start(&wanted);
        server.freeze();
        let mut attempt = free(&server.address, password);
        let results = attempt.call(&[(&server.address, &FENCE)], 200).await.unwrap();
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert!(error.message.ends_with("CONFIG|SET and 1 more are in doubt"), "{}", error.message);
        assert_eq!(attempt.journal.told().len(), 2, "both are intended");
        // Our side is closed by now: what was sent is in the server's own buffer.
        drop(attempt);
        server.wake();
        let set = Node::Bulk(b"100".to_vec());
        assert!(setting(&server.address, password).await.contains(&set), "{password:?}");
    }
}

#[tokio::test]
async fn anything_else_waits_to_be_let_in_and_leaves_no_doubt() {
    let server = Server::start(&[]);
    server.freeze();
    let mut attempt = free(&server.address, None);
    for commands in [&["SET a 1"][..], &["CONFIG SET maxmemory 1", "SET a 1"]] {
        let results = attempt.call(&[(&server.address, commands)], 200).await.unwrap();
        assert_eq!(results[0].as_ref().unwrap_err().kind, ErrorKind::TimedOut);
        assert_eq!(attempt.journal.told(), Vec::<String>::new(), "{commands:?}");
    }
}

#[tokio::test]
async fn a_refused_log_in_is_said_and_its_settings_are_not_in_doubt() {
    let server = Server::start(&["--requirepass", "hunter2"]);
    let mut attempt = free(&server.address, Some("wrong"));
    let error = attempt.ask(&server.address, &FENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(!error.message.contains("doubt") && !error.message.contains("wrong"), "{error:?}");
    let told = attempt.journal.told();
    assert!(told[2].starts_with("outcome 0 NOAUTH"), "{told:?}");
}

#[tokio::test]
async fn settings_of_a_server_that_answers_are_answered_and_the_log_in_is_not_among_them() {
    let server = Server::start(&["--requirepass", "hunter2"]);
    let mut attempt = free(&server.address, Some("hunter2"));
    let first = ["CONFIG GET min-replicas-to-write", "CONFIG SET min-replicas-to-write 100"];
    let replies = attempt.ask(&server.address, &first).await.unwrap();
    assert_eq!(replies.len(), 2);
    assert!(replies[0].contains(&Node::Bulk(b"0".to_vec())), "{replies:?}");
    assert_eq!(replies[1], [Node::Simple("OK".to_owned())]);
}

#[tokio::test]
async fn a_server_that_answers_nonsense_ends_it() {
    let address = answering(Some(b"!!!\r\n")).await;
    let mut attempt = free(&address, Some("hunter2"));
    let results = attempt.call(&[(&address, &FENCE)], 500).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind, ErrorKind::Protocol);
}
