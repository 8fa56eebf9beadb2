//! Bytes to nodes, whole and in pieces, honest and hostile.

use super::super::resp::{Broken, Budget, Reader};
use crate::guest::wit::redis::Node;
use crate::limits;

/// Gives its bytes one at a time.
fn pieces(bytes: &[u8]) -> impl tokio::io::AsyncRead + Unpin + use<> {
    let mut mock = tokio_test_pieces::Pieces::default();
    mock.0.extend(bytes.iter().copied());
    mock
}

mod tokio_test_pieces {
    use std::collections::VecDeque;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, ReadBuf};

    #[derive(Default)]
    pub(super) struct Pieces(pub(super) VecDeque<u8>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(byte) = self.0.pop_front() {
                buffer.put_slice(&[byte]);
            }
            Poll::Ready(Ok(()))
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Node>, Broken> {
    futures::executor::block_on(async {
        let whole = Reader::default().reply(&mut &*bytes, &mut Budget::new()).await;
        let parted = Reader::default().reply(&mut pieces(bytes), &mut Budget::new()).await;
        assert_eq!(whole.as_ref().ok(), parted.as_ref().ok());
        whole
    })
}

fn bulk(text: &str) -> Node {
    Node::Bulk(text.as_bytes().to_vec())
}

#[test]
fn every_kind_of_resp_is_read() {
    let simple = |text: &str| Node::Simple(text.to_owned());
    let expected: Vec<(&str, Vec<Node>)> = vec![
        ("+OK\r\n", vec![simple("OK")]),
        ("-WRONGTYPE no\r\n", vec![Node::Error("WRONGTYPE no".to_owned())]),
        (":-42\r\n", vec![Node::Integer(-42)]),
        ("$-1\r\n", vec![Node::Null]),
        ("*-1\r\n", vec![Node::Null]),
        ("_\r\n", vec![Node::Null]),
        ("$0\r\n\r\n", vec![bulk("")]),
        ("$4\r\na\r\nb\r\n", vec![bulk("a\r\nb")]),
        ("#t\r\n", vec![Node::Boolean(true)]),
        (",inf\r\n", vec![Node::Double(f64::INFINITY)]),
        (",1.5\r\n", vec![Node::Double(1.5)]),
        ("(-123456789012345678901\r\n", vec![Node::BigNumber("-123456789012345678901".to_owned())]),
        ("!5\r\nERR x\r\n", vec![Node::Error("ERR x".to_owned())]),
        ("=8\r\ntxt:text\r\n", vec![bulk("text")]),
        (
            "*2\r\n*1\r\n:1\r\n:2\r\n",
            vec![Node::Array(2), Node::Array(1), Node::Integer(1), Node::Integer(2)],
        ),
        ("%1\r\n+a\r\n~1\r\n+b\r\n", vec![Node::Map(1), simple("a"), Node::Set(1), simple("b")]),
        // An attribute stands before its value, also inside another one.
        ("|1\r\n+ttl\r\n|1\r\n+x\r\n+y\r\n:9\r\n+OK\r\n", vec![simple("OK")]),
        ("*1\r\n|1\r\n+a\r\n*1\r\n+b\r\n:1\r\n", vec![Node::Array(1), Node::Integer(1)]),
        // A push that nobody asked for.
        (">2\r\n+invalidate\r\n*1\r\n+k\r\n+OK\r\n", vec![simple("OK")]),
    ];
    for (bytes, nodes) in expected {
        assert_eq!(read(bytes.as_bytes()).unwrap(), nodes, "{bytes:?}");
    }
}

#[test]
fn nonsense_is_protocol_and_never_a_panic() {
    for bytes in [
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        ":x\r\n",
        ":99999999999999999999\r\n",
        "$-7\r\n",
        "*-7\r\n",
        "$1\r\nab\r\n",
        "#y\r\n",
        "(12a\r\n",
        "?\r\n",
    ] {
        let broken = read(bytes.as_bytes()).unwrap_err();
        assert!(matches!(broken, Broken::Protocol(_)), "{bytes:?} {broken}");
    }
    assert!(matches!(read(b"*2\r\n:1\r\n").unwrap_err(), Broken::Closed));
    let endless = vec![b'+'; 10 * limits::LINE_BYTES_MAX];
    let whole =
        futures::executor::block_on(Reader::default().reply(&mut &*endless, &mut Budget::new()));
    assert!(matches!(whole.unwrap_err(), Broken::Protocol(_)));
}

#[test]
fn a_reply_is_bounded_before_it_is_received() {
    for bytes in [
        "$999999999999\r\n",
        "*4000000000\r\n",
        "*99999999999\r\n",
        "%2147483647\r\n",
        "|4294967295\r\n",
    ] {
        let broken = read(bytes.as_bytes()).unwrap_err();
        assert!(matches!(broken, Broken::Limit(_)), "{bytes:?} {broken}");
    }
    // Many levels take no stack.
    let deep = "*1\r\n".repeat(100_000) + ":1\r\n";
    let whole = futures::executor::block_on(
        Reader::default().reply(&mut deep.as_bytes(), &mut Budget::new()),
    );
    assert_eq!(whole.unwrap().len(), 100_001);
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in r"[*$:+_%~>|!=,(#\-0-9a-c\r\n]{0,60}") {
        // Whatever it says, it ends: bounded by the bytes given.
        let _ = futures::executor::block_on(
            Reader::default().reply(&mut bytes.as_bytes(), &mut Budget::new()),
        );
    }
}
