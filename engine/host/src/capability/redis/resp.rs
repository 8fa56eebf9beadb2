//! RESP2 and RESP3 over a stream, exact and bounded.
//!
//! The `redis` crate is not used here: its parser builds trees without a bound
//! on size (a server that answers `$999999999999` fills our memory), it rewrites
//! error texts, and its connections hide whether anything was sent. A reply goes
//! straight into the flat list that crosses the wall.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::head::{Head, Next, head};
use super::packed;
use crate::guest::wit::redis::Node;
use crate::limits;

/// Why a reply could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection broke ({0})")]
    Io(#[from] io::Error),
    #[error("the answer is not RESP: {0}")]
    Protocol(String),
    #[error("the replies are larger than {0}: ask for less at a time")]
    Limit(String),
}

/// What is left of the bounds on the replies of one pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    bytes: usize,
    bytes_max: usize,
    nodes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        let bytes = limits::REPLY_BYTES_MAX;
        Self { bytes, bytes_max: bytes, nodes: limits::REPLY_NODES_MAX }
    }

    /// For replies that do not become trees.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self { bytes, bytes_max: bytes, nodes: bytes }
    }

    /// Whether so many bytes are left.
    fn allows(mut self, bytes: usize) -> Result<(), Broken> {
        self.take_bytes(bytes)
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Broken> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| Broken::Limit(format!("{} bytes", self.bytes_max)))?;
        Ok(())
    }

    fn take_node(&mut self) -> Result<(), Broken> {
        self.nodes = self
            .nodes
            .checked_sub(1)
            .ok_or_else(|| Broken::Limit(format!("{} values", limits::REPLY_NODES_MAX)))?;
        Ok(())
    }
}

/// Bytes received and not yet read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    at: usize,
}

/// What is read at a time: a page of values of a bulk read in a few reads.
const CHUNK: usize = 64 * 1024;

impl Reader {
    /// Whether bytes are waiting that belong to no question.
    pub(super) fn has_rest(&self) -> bool {
        self.at < self.buffer.len()
    }

    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.at)
    }

    /// One reply, in pre-order. Pushes in between are left out, attributes too.
    pub(super) async fn reply(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
    ) -> Result<Vec<Node>, Broken> {
        let mut nodes = Vec::new();
        self.heads(source, budget, |head| nodes.push(node(head))).await?;
        Ok(nodes)
    }

    /// One reply, appended to `out` in the packed form.
    pub(super) async fn packed(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        self.heads(source, budget, |head| packed::push(out, head)).await
    }

    /// Gives the values of one reply to `take`, in pre-order.
    async fn heads(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
        mut take: impl FnMut(Head<'_>),
    ) -> Result<(), Broken> {
        let mut is_first = true;
        let mut missing: usize = 1;
        // Values to be read and thrown away: attributes, pushes.
        let mut idle: usize = 0;
        while missing > 0 || idle > 0 {
            let (head, taken) = match head(&self.buffer[self.at..])? {
                Next::Whole(head, taken) => (head, taken),
                Next::Part(needed) => {
                    budget.allows(needed)?;
                    self.fill(source).await?;
                    continue;
                }
            };
            budget.take_bytes(taken)?;
            budget.take_node()?;
            let children = head.children();
            if children > budget.nodes {
                return Err(Broken::Limit(format!("{} values", limits::REPLY_NODES_MAX)));
            }
            if idle > 0 {
                // An attribute inside an attribute stands before its value, too.
                idle += children;
                idle -= usize::from(!matches!(head, Head::Attribute(_)));
            } else if matches!(head, Head::Attribute(_))
                || (is_first && matches!(head, Head::Push(_)))
            {
                idle = children;
            } else {
                missing += children;
                missing -= 1;
                is_first = false;
                take(head);
            }
            self.at += taken;
        }
        Ok(())
    }

    async fn fill(&mut self, source: &mut (impl AsyncRead + Unpin)) -> Result<(), Broken> {
        self.buffer.drain(..std::mem::take(&mut self.at));
        self.buffer.reserve(CHUNK);
        if source.read_buf(&mut self.buffer).await? == 0 {
            return Err(Broken::Closed);
        }
        Ok(())
    }
}

fn node(head: Head<'_>) -> Node {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match head {
        Head::Null => Node::Null,
        Head::Boolean(it) => Node::Boolean(it),
        Head::Integer(it) => Node::Integer(it),
        Head::Double(it) => Node::Double(it),
        Head::Bulk(it) => Node::Bulk(it.to_vec()),
        Head::Simple(it) => Node::Simple(text(it)),
        Head::Error(it) => Node::Error(text(it)),
        Head::BigNumber(it) => Node::BigNumber(text(it)),
        Head::Array(it) => Node::Array(it),
        Head::Map(it) => Node::Map(it),
        Head::Set(it) => Node::Set(it),
        Head::Push(it) | Head::Attribute(it) => Node::Push(it),
    }
}

/// Commands as a server reads them.
pub(super) fn encode<'a>(commands: impl Iterator<Item = &'a [Vec<u8>]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        put(&mut bytes, command.iter().map(Vec::as_slice));
    }
    bytes
}

/// Appends one command.
pub(super) fn put<'a>(bytes: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    line(bytes, b'*', words.len());
    for word in words {
        line(bytes, b'$', word.len());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// A count or length; without the machinery of formatting, which costs more than all else
/// of a short command.
fn line(bytes: &mut Vec<u8>, kind: u8, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        // One digit.
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        if left == 0 {
            break;
        }
    }
    bytes.push(kind);
    bytes.extend_from_slice(&digits[at..]);
    bytes.extend_from_slice(b"\r\n");
}
