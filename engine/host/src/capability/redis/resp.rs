//! RESP2 and RESP3 over a stream, exact and bounded.
//!
//! The `redis` crate is not used here: its parser builds trees without a bound
//! on size (a server that answers `$999999999999` fills our memory), it rewrites
//! error texts, and its connections hide whether anything was sent. A reply goes
//! straight into the flat list that crosses the wall.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt as _};

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
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    nodes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { bytes: limits::REPLY_BYTES_MAX, nodes: limits::REPLY_NODES_MAX }
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Broken> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| Broken::Limit(format!("{} bytes", limits::REPLY_BYTES_MAX)))?;
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

const CHUNK: usize = 16 * 1024;

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
        let mut missing: usize = 1;
        // Values to be read and thrown away: attributes, pushes.
        let mut idle: usize = 0;
        while missing > 0 || idle > 0 {
            let value = self.value(source, budget).await?;
            budget.take_node()?;
            let children = match &value {
                Value::Node(node) => children_of(node),
                Value::Attribute(pairs) => pairs.checked_mul(2),
            }
            .ok_or_else(|| Broken::Protocol("a length beyond all bounds".to_owned()))?;
            if children > budget.nodes {
                return Err(Broken::Limit(format!("{} values", limits::REPLY_NODES_MAX)));
            }
            if idle > 0 {
                // An attribute inside an attribute stands before its value, too.
                idle += children;
                idle -= usize::from(matches!(value, Value::Node(_)));
                continue;
            }
            match value {
                Value::Attribute(_) => idle = children,
                Value::Node(Node::Push(_)) if nodes.is_empty() => idle = children,
                Value::Node(node) => {
                    missing += children;
                    missing -= 1;
                    nodes.push(node);
                }
            }
        }
        Ok(nodes)
    }

    /// One value without its children.
    async fn value(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
    ) -> Result<Value, Broken> {
        let line = self.line(source, budget).await?;
        let line = &self.buffer[line];
        let Some((kind, rest)) = line.split_first() else {
            return Err(Broken::Protocol("an empty line".to_owned()));
        };
        let node = match kind {
            b'+' => Node::Simple(String::from_utf8_lossy(rest).into_owned()),
            b'-' => Node::Error(String::from_utf8_lossy(rest).into_owned()),
            b':' => Node::Integer(number(rest)?),
            b'_' => Node::Null,
            b'#' => Node::Boolean(boolean(rest)?),
            b',' => Node::Double(double(rest)?),
            b'(' => Node::BigNumber(big_number(rest)?),
            b'$' | b'!' | b'=' => {
                let kind = *kind;
                let Some(length) = length(rest)? else { return Ok(Value::Node(Node::Null)) };
                let bytes = self.bulk(source, budget, length).await?;
                blob(kind, &self.buffer[bytes])
            }
            b'*' => length(rest)?.map_or(Ok(Node::Null), |n| count(n).map(Node::Array))?,
            b'%' => Node::Map(count(number(rest)?)?),
            b'~' => Node::Set(count(number(rest)?)?),
            b'>' => Node::Push(count(number(rest)?)?),
            b'|' => {
                let pairs: u32 = count(number(rest)?)?;
                return Ok(Value::Attribute(pairs as usize));
            }
            _ => return Err(Broken::Protocol(format!("a line begins with {:?}", shown(line)))),
        };
        Ok(Value::Node(node))
    }

    /// The range of the next line, its end left out.
    async fn line(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
    ) -> Result<Range<usize>, Broken> {
        let mut searched = 0;
        loop {
            let rest = &self.buffer[self.at..];
            let from = usize::saturating_sub(searched, 1);
            if let Some(end) = rest[from..].windows(2).position(|pair| pair == b"\r\n") {
                let line = self.at..self.at + from + end;
                budget.take_bytes(line.len() + 2)?;
                self.at = line.end + 2;
                return Ok(line);
            }
            if rest.len() > limits::LINE_BYTES_MAX {
                return Err(Broken::Protocol(format!(
                    "a line of more than {} bytes, beginning {:?}",
                    limits::LINE_BYTES_MAX,
                    shown(rest)
                )));
            }
            searched = rest.len();
            self.fill(source).await?;
        }
    }

    /// The range of the next `length` bytes, their end left out.
    async fn bulk(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        budget: &mut Budget,
        length: i64,
    ) -> Result<Range<usize>, Broken> {
        let length = usize::try_from(length)
            .map_err(|_| Broken::Protocol("a negative length".to_owned()))?;
        budget.take_bytes(length.saturating_add(2))?;
        while self.buffer.len() - self.at < length + 2 {
            self.fill(source).await?;
        }
        let bytes = self.at..self.at + length;
        if &self.buffer[bytes.end..bytes.end + 2] != b"\r\n" {
            return Err(Broken::Protocol("a bulk string does not end where it should".to_owned()));
        }
        self.at = bytes.end + 2;
        Ok(bytes)
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

enum Value {
    Node(Node),
    /// So many pairs stand before the value that they describe.
    Attribute(usize),
}

/// How many values follow as parts of this one.
fn children_of(node: &Node) -> Option<usize> {
    match node {
        Node::Array(count) | Node::Set(count) | Node::Push(count) => usize::try_from(*count).ok(),
        Node::Map(pairs) => usize::try_from(*pairs).ok()?.checked_mul(2),
        Node::Null
        | Node::Boolean(_)
        | Node::Integer(_)
        | Node::Double(_)
        | Node::Bulk(_)
        | Node::Simple(_)
        | Node::Error(_)
        | Node::BigNumber(_) => Some(0),
    }
}

fn blob(kind: u8, bytes: &[u8]) -> Node {
    match kind {
        b'!' => Node::Error(String::from_utf8_lossy(bytes).into_owned()),
        // A verbatim string begins with `txt:` or `mkd:`.
        b'=' if bytes.get(3) == Some(&b':') => Node::Bulk(bytes[4..].to_vec()),
        _ => Node::Bulk(bytes.to_vec()),
    }
}

fn ascii<'a>(text: &'a [u8], what: &str) -> Result<&'a str, Broken> {
    std::str::from_utf8(text)
        .map_err(|_| Broken::Protocol(format!("{:?} is no {what}", shown(text))))
}

fn number(text: &[u8]) -> Result<i64, Broken> {
    ascii(text, "number")?
        .parse()
        .map_err(|_| Broken::Protocol(format!("{:?} is no number", shown(text))))
}

/// None: -1, which means null.
fn length(text: &[u8]) -> Result<Option<i64>, Broken> {
    Ok(Some(number(text)?).filter(|length| *length != -1))
}

fn count(number: i64) -> Result<u32, Broken> {
    u32::try_from(number).map_err(|_| match number {
        ..0 => Broken::Protocol("a negative length".to_owned()),
        _ => Broken::Limit(format!("{} values", limits::REPLY_NODES_MAX)),
    })
}

fn boolean(text: &[u8]) -> Result<bool, Broken> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Broken::Protocol(format!("{:?} is no boolean", shown(text)))),
    }
}

fn double(text: &[u8]) -> Result<f64, Broken> {
    ascii(text, "number")?
        .parse()
        .map_err(|_| Broken::Protocol(format!("{:?} is no number", shown(text))))
}

fn big_number(text: &[u8]) -> Result<String, Broken> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Broken::Protocol(format!("{:?} is no number", shown(text))));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The beginning of what was received instead.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(40)];
    String::from_utf8_lossy(cut).into_owned()
}

/// Commands as a server reads them.
pub(super) fn encode<'a>(commands: impl Iterator<Item = &'a [Vec<u8>]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        bytes.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for argument in command {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}
