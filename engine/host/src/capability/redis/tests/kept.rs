//! Connections that outlive an attempt, and those that must not.

use std::sync::Arc;

use super::super::Kept;
use super::servers::{Server, answering};
use super::{Attempt, cluster, grant};
use crate::guest::wit::redis::{Error, ErrorKind, Node, Reply};

/// One attempt that sends `commands`, one call each, and ends well.
async fn attempt(
    address: &str,
    kept: &Arc<Kept>,
    commands: &[&str],
) -> Vec<Result<Vec<Reply>, Error>> {
    let may = grant(&["data"], &["@read", "SET", "SELECT"], &["*"]);
    let mut attempt = Attempt::keeping(cluster(&[address], &[]), vec![may], kept);
    let mut answers = Vec::new();
    for command in commands {
        let pipeline: Vec<&str> = command.split("; ").collect();
        answers.push(attempt.ask(address, &pipeline).await);
    }
    attempt.state.give_back();
    answers
}

/// The server's number of the connection that an attempt is given.
async fn number(address: &str, kept: &Arc<Kept>) -> i64 {
    let answer = attempt(address, kept, &["CLIENT ID"]).await.remove(0).unwrap();
    let Node::Integer(number) = answer[0][0] else { panic!("{answer:?}") };
    number
}

#[tokio::test]
async fn plain_reads_leave_a_connection_for_the_next_attempt() {
    let server = Server::start(&[]);
    let kept = Arc::new(Kept::default());
    let first = number(&server.address, &kept).await;
    attempt(&server.address, &kept, &["PING; INFO; CONFIG GET save", "GET a"]).await;
    assert_eq!(number(&server.address, &kept).await, first);
    // Without a place to keep it nothing is inherited.
    assert_ne!(number(&server.address, &Arc::new(Kept::default())).await, first);
}

#[tokio::test]
async fn what_was_said_on_a_connection_is_not_inherited() {
    let server = Server::start(&[]);
    for said in ["SELECT 1", "WATCH a", "WATCH a; UNWATCH", "MULTI; GET a; EXEC", "SET a 1"] {
        let kept = Arc::new(Kept::default());
        let first = number(&server.address, &kept).await;
        attempt(&server.address, &kept, &[said]).await;
        assert_ne!(number(&server.address, &kept).await, first, "{said}");
    }
}

#[tokio::test]
async fn a_server_that_died_between_two_looks_refuses_the_second_and_breaks_nothing() {
    let mut server = Server::start(&[]);
    let kept = Arc::new(Kept::default());
    let address = server.address.clone();
    attempt(&address, &kept, &["PING"]).await.remove(0).unwrap();
    server.kill();
    let error = attempt(&address, &kept, &["PING"]).await.remove(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "certain at once: {}", error.message);
}

#[tokio::test]
async fn a_connection_with_an_answer_still_to_come_is_not_kept() {
    let server = Server::start(&[]);
    let kept = Arc::new(Kept::default());
    let first = number(&server.address, &kept).await;
    let may = grant(&["data"], &["@read", "SET", "SELECT"], &["*"]);
    let mut late = Attempt::keeping(cluster(&[&server.address], &[]), vec![may], &kept);
    server.freeze();
    let calls = [(server.address.as_str(), &["PING"] as &[&str])];
    let error = late.call(&calls, 100).await.unwrap().remove(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    late.state.give_back();
    server.wake();
    assert_ne!(number(&server.address, &kept).await, first);
}

#[tokio::test]
async fn an_answer_too_many_ends_a_kept_connection() {
    // Two answers to each question: the second would be taken for that of the next.
    let address = answering(Some(b"+PONG\r\n+FORGED\r\n")).await;
    let kept = Arc::new(Kept::default());
    let mut two = cluster(&[&address], &[]);
    two.resp = 2;
    for _ in 0..2 {
        let may = grant(&["data"], &["@read", "SET", "SELECT"], &["*"]);
        let mut attempt = Attempt::keeping(two.clone(), vec![may], &kept);
        let answer = attempt.ask(&address, &["PING"]).await.unwrap();
        assert_eq!(answer[0], [Node::Simple("PONG".to_owned())]);
        attempt.state.give_back();
    }
}
