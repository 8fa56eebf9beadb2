//! Attempts that are cut off and go on from what is on disk.

use super::{Attempt, at, request};
use crate::capability::lab::{Server, divergence};
use crate::guest::wit::http::Method;
use crate::guest::wit::types::ErrorKind;

#[tokio::test]
async fn g4_a_replay_sends_nothing_that_its_tape_holds() {
    let server = Server::answering("200 OK", "abc").await;
    let mut first = Attempt::new(at(&server));
    let read = first.send(Method::Get, "/a", "").await;
    let changed = first.send(Method::Post, "/a", "x").await;
    first.send(Method::Post, "/b", "x").await.unwrap();
    let mut second = first.again(at(&server));
    assert_eq!(second.send(Method::Get, "/a", "").await, read);
    assert_eq!(second.send(Method::Post, "/a", "x").await, changed);
    assert_eq!(server.asked().len(), 3);
    assert_eq!(second.journal.told(), Vec::<String>::new());
}

#[tokio::test]
async fn g4_a_once_request_that_was_on_its_way_is_in_doubt_and_not_sent_again() {
    let server = Server::answering("200 OK", "").await;
    let mut first = Attempt::new(at(&server));
    first.send(Method::Post, "/orders", "x").await.unwrap();
    let mut second = first.again(at(&server));
    let error = second.send(Method::Post, "/orders", "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InDoubt);
    assert!(error.message.contains("is not done again"), "{}", error.message);
    assert_eq!(server.asked().len(), 1);
    // What comes after it goes on live.
    second.send(Method::Post, "/other", "x").await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn g4_an_idempotent_request_goes_again_with_the_same_key() {
    let server = Server::answering("200 OK", "").await;
    for (method, path) in [(Method::Put, "/x"), (Method::Post, "/silences")] {
        let mut first = Attempt::new(at(&server));
        first.send(method, path, "x").await.unwrap();
        let mut second = first.again(at(&server));
        second.send(method, path, "x").await.unwrap();
        let told = second.journal.told();
        assert_eq!(told, ["outcome 0 200 OK"], "its intent is on disk already");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!((&asked[0], &asked[2]), (&asked[1], &asked[3]));
}

#[tokio::test]
async fn g4_another_request_does_not_take_the_place_of_one_in_flight() {
    let server = Server::answering("200 OK", "").await;
    let mut first = Attempt::new(at(&server));
    first.send(Method::Put, "/x", "x").await.unwrap();
    for other in [
        request(Method::Put, "/y", "x"),
        request(Method::Get, "/x", ""),
        request(Method::Delete, "/x", ""),
        request(Method::Put, "/a/../x", "x"),
    ] {
        let mut second = first.again(at(&server));
        let left = divergence(second.call(other, 10_000).await);
        assert_eq!(left.index, 0);
    }
    assert_eq!(server.asked().len(), 1);
}
