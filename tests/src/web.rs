//! The smallest HTTP/1.1 client that can talk to Baton: one request a connection, or
//! many on a [`Line`]; bodies with a length. No TLS, no chunks, no redirects.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A server on loopback answers within this or not at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON; the error shows the body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| {
            format!("status {} with a body that is not JSON: {}", self.status, self.body)
        })
    }

    /// The value of header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// `GET path` from `address`.
///
/// # Errors
/// When nobody answers in time or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    get_with(address, path, &[])
}

/// The same with more headers.
///
/// # Errors
/// As [`get`].
pub fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    send(address, "GET", path, headers, b"")
}

/// `POST path` of JSON bytes to `address`, with more headers.
///
/// # Errors
/// When nobody answers in time or the answer is not HTTP.
pub fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    send(address, "POST", path, headers, body)
}

/// A connection that is kept from one request to the next.
#[derive(Debug)]
pub struct Line {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Line {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self { stream: BufReader::new(connect(address)?), address })
    }

    /// `POST path` of JSON bytes. After an error the line is dead.
    ///
    /// # Errors
    /// When there is no answer in time, or it is not HTTP.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer> {
        let head = head(self.address, "POST", path, "keep-alive", &[], body);
        let stream = self.stream.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut reply = String::new();
        while !reply.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut reply)?;
            ensure!(read > 0, "the connection to {} ended", self.address);
        }
        let answer = parse(reply.as_bytes())?;
        let length = answer.header("content-length").context("an answer without a length")?;
        let mut body = vec![0; length.parse()?];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { body: String::from_utf8(body)?, ..answer })
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)
        .with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    Ok(stream)
}

fn head(
    address: SocketAddr,
    method: &str,
    path: &str,
    connection: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: {connection}\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    if !body.is_empty() {
        head.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let mut stream = connect(address)?;
    let head = head(address, method, path, "close", headers, body);
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).with_context(|| format!("{method} {path} from {address}"))?;
    parse(&reply).with_context(|| format!("{method} {path} from {address}"))
}

fn parse(reply: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(reply);
    let (head, body) =
        text.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value != "identity") {
        bail!("a chunked answer, which this client does not read");
    }
    Ok(Answer { status: status.parse()?, headers, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_gives_status_headers_and_body() {
        let answer =
            parse(b"HTTP/1.1 202 Accepted\r\nLocation: /runs/1\r\n\r\n{\"run\":\"1\"}").unwrap();
        assert_eq!((answer.status, answer.header("location")), (202, Some("/runs/1")));
        assert_eq!(answer.json().unwrap()["run"], "1");
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        assert!(parse(b"HTTP/1.1 202 Acc").is_err());
    }
}
