use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{SOON, Server};
use crate::runner::Input;

/// What the server says before it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await;
    read.expect("the server closes the connection").unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let (server, _inputs) = Server::start_with(None, Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /hooks/am HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    until_closed(&mut stream).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    until_closed(&mut silent).await;
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let (server, _inputs) = Server::start_with(None, SOON).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut head = "GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned();
    for number in 0..70 {
        head.push_str(&format!("x-{number}: y\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

#[tokio::test]
async fn rubbish_on_the_wire_is_answered_and_ends_nothing() {
    let (server, _inputs) = Server::start_with(None, SOON).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00rubbish\r\n\r\n").await.unwrap();
    until_closed(&mut stream).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_end_lets_open_requests_out_and_takes_no_more() {
    let (server, mut inputs) = Server::start_with(None, SOON).await;
    let address = server.address;
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET /runs HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let asked = tokio::time::timeout(SOON, inputs.recv()).await.expect("the loop is asked");
    let Some(Input::List { reply, .. }) = asked else { panic!("no list") };
    server.stop.send(()).unwrap();
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("the listener closes");
    reply.send(Vec::new()).unwrap();
    let said = until_closed(&mut open).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"runs\""), "{said}");
    tokio::time::timeout(SOON, server.served).await.expect("serve returns").unwrap();
}

#[tokio::test]
async fn a_sender_that_writes_all_before_it_reads_still_sees_its_413() {
    let (server, _inputs) = Server::start_with(None, SOON).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = vec![b' '; 4_000_000];
    let head = format!(
        "POST /hooks/open HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}
