//! One connection to one member: opened, logged in, asked.
//!
//! **Invariant:** nothing here tries twice. A connection that failed is dropped;
//! the next call opens another.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Known;
use super::cluster::Auth;
use super::packed::Packed;
use super::resp::{Broken, Budget, Reader, encode};
use crate::guest::wit::redis::{Error, ErrorKind, MemberKind, Node};
use crate::limits;
use crate::text::tame;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A member that answered, ready for commands.
pub(super) struct Connection {
    address: String,
    stream: Box<dyn Stream>,
    reader: Reader,
    opened: Instant,
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(
        known: &Known,
        address: &str,
        kind: MemberKind,
        deadline: Instant,
    ) -> Result<Self, Error> {
        Self::open_as(known, address, kind, known.cluster.resp, deadline).await
    }

    /// The same in a protocol version of the caller's choice.
    pub(super) async fn open_as(
        known: &Known,
        address: &str,
        kind: MemberKind,
        resp: u8,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let mut connection = Self::connect(known, address, deadline).await?;
        timeout_at(deadline, connection.log_in(auth_of(known, kind), resp))
            .await
            .unwrap_or_else(|_| Err(silent(address, "the log-in")))?;
        Ok(connection)
    }

    /// Connects, and logs in with the first [`Connection::exchange_ahead`].
    pub(super) async fn connect(
        known: &Known,
        address: &str,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let stream = timeout_at(deadline, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable(address, "no answer to the connection attempt in time"))?
            .map_err(|error| unconnected(address, &error))?;
        // Replies are waited for, so every command leaves at once; without the
        // option it only leaves later.
        let _ = stream.set_nodelay(true);
        let stream =
            timeout_at(deadline, secured(known, address, stream)).await.unwrap_or_else(|_| {
                Err(silent(address, "the TLS handshake (check `tls` of the cluster)"))
            })?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            reader: Reader::default(),
            opened: Instant::now(),
        })
    }

    async fn log_in(&mut self, auth: &Auth, resp: u8) -> Result<(), Error> {
        let password = auth.password.as_ref().map(super::Secret::expose);
        let username = auth.username.as_deref();
        if resp == 3 {
            let mut hello = vec!["HELLO", "3"];
            if let Some(password) = password {
                hello.extend(["AUTH", username.unwrap_or("default"), password]);
            }
            let reply = self.ask(&hello).await?;
            // Before Redis 6: RESP2 will do.
            if !matches!(&reply, Node::Error(text) if is_old(text)) {
                return self.admitted(&reply);
            }
        }
        if let Some(words) = plain_log_in(auth) {
            let reply = self.ask(&words).await?;
            self.admitted(&reply)?;
        }
        Ok(())
    }

    /// [`Connection::exchange`] behind the log-in, in one go: what is sent does not wait
    /// for a server that hangs to let us in, but for the server to wake. In RESP2, since
    /// nothing else can be agreed on unheard.
    pub(super) async fn exchange_ahead(
        &mut self,
        auth: &Auth,
        bytes: &[u8],
        count: usize,
        replies: &mut Vec<Vec<Node>>,
    ) -> Result<(), Error> {
        let Some(words) = plain_log_in(auth) else {
            return self.exchange(bytes, count, replies).await;
        };
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut all = encode([words.as_slice()].into_iter());
        all.extend_from_slice(bytes);
        let mut heard = Vec::new();
        let ended = self.exchange(&all, count + 1, &mut heard).await;
        let mut heard = heard.into_iter();
        let admitted = heard.next().and_then(|reply| reply.into_iter().next());
        replies.extend(heard);
        if let Some(reply) = admitted {
            self.admitted(&reply)?;
        }
        ended
    }

    /// One question and its answer.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Node, Error> {
        let command: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut replies = Vec::new();
        self.exchange(&encode([command.as_slice()].into_iter()), 1, &mut replies).await?;
        replies.into_iter().flatten().next().ok_or_else(|| self.broken(&Broken::Closed))
    }

    fn admitted(&self, reply: &Node) -> Result<(), Error> {
        let Node::Error(text) = reply else { return Ok(()) };
        let text = tame(text, limits::OUTCOME_TEXT_BYTES_MAX);
        let refusals = [
            "NOAUTH",
            "WRONGPASS",
            "NOPERM",
            "DENIED",
            "ERR AUTH",
            "ERR Client sent AUTH",
            "ERR invalid password",
        ];
        if refusals.iter().any(|refusal| text.starts_with(refusal)) {
            return Err(Error {
                kind: ErrorKind::Unauthorized,
                message: format!(
                    "{} answers, but refuses the log-in ({text}): check username and password of the cluster in baton.toml",
                    self.address
                ),
            });
        }
        Err(Error {
            kind: ErrorKind::Protocol,
            message: format!("{} answers the log-in with: {text}", self.address),
        })
    }

    /// Sends `bytes` and reads `count` replies; those that came stand in
    /// `replies` even when the connection broke after them.
    pub(super) async fn exchange(
        &mut self,
        bytes: &[u8],
        count: usize,
        replies: &mut Vec<Vec<Node>>,
    ) -> Result<(), Error> {
        let Self { stream, reader, .. } = self;
        let (mut source, mut sink) = tokio::io::split(stream);
        let write = async {
            sink.write_all(bytes).await?;
            sink.flush().await.map_err(Broken::from)
        };
        let read = async {
            let mut budget = Budget::new();
            while replies.len() < count {
                replies.push(reader.reply(&mut source, &mut budget).await?);
            }
            Ok::<(), Broken>(())
        };
        // Both at once: a server may answer the first command while we still send
        // the last. A server that answers and hangs up is heard out.
        let (sent, heard) = futures::join!(write, read);
        heard.and(sent).map_err(|broken| self.broken(&broken))
    }

    /// The same, with the replies in the packed form, one behind the other, at most
    /// `bytes_max` on the wire; `ends` says where each ends.
    pub(super) async fn exchange_packed(
        &mut self,
        bytes: &[u8],
        count: usize,
        bytes_max: usize,
        replies: &mut Packed,
    ) -> Result<(), Error> {
        let Self { stream, reader, .. } = self;
        let (mut source, mut sink) = tokio::io::split(stream);
        let write = async {
            sink.write_all(bytes).await?;
            sink.flush().await.map_err(Broken::from)
        };
        let read = async {
            let mut budget = Budget::of_bytes(bytes_max);
            for _ in 0..count {
                reader.packed(&mut source, &mut budget, &mut replies.bytes).await?;
                replies.ends.push(replies.bytes.len());
            }
            Ok::<(), Broken>(())
        };
        let (sent, heard) = futures::join!(write, read);
        heard.and(sent).map_err(|broken| self.broken(&broken))
    }

    /// Subscribes to `channels` and tells of each message, for as long as any come; gives
    /// why that ended. A server that says nothing is asked for a sign of life, so that a
    /// connection whose other end is gone is noticed.
    pub(super) async fn listen(
        mut self,
        channels: &[&str],
        mut told: impl FnMut(&[Node]),
    ) -> Error {
        let Self { stream, reader, .. } = &mut self;
        let (mut source, mut sink) = tokio::io::split(stream);
        let heard = Mutex::new(Instant::now());
        let ears = async {
            loop {
                let message = reader.reply(&mut source, &mut Budget::new()).await?;
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if let [Node::Error(text)] = message.as_slice() {
                    return Err::<(), _>(Broken::Protocol(format!("it answers {text}")));
                }
                told(&message);
            }
        };
        let mouth = async {
            let words = ["PSUBSCRIBE"].iter().chain(channels);
            let words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
            sink.write_all(&encode([words.as_slice()].into_iter())).await?;
            loop {
                tokio::time::sleep(limits::HINT_PING_EVERY).await;
                let since = heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                if since > limits::HINT_SILENCE_MAX {
                    let silent = io::Error::new(io::ErrorKind::TimedOut, "no sign of life");
                    return Err::<(), _>(Broken::Io(silent));
                }
                sink.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
            }
        };
        let ended = tokio::select! { ended = ears => ended, ended = mouth => ended };
        let broken = ended.err().unwrap_or(Broken::Closed);
        self.broken(&broken)
    }

    /// The bare stream, for what is no question and answer; and what has come already.
    pub(super) fn into_stream(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.reader.into_rest())
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Whether it is still there, as far as can be known without asking: a server
    /// that closed an idle connection is not asked on it.
    pub(super) async fn is_open(&mut self) -> bool {
        let mut byte = [0];
        // What has come since it was used last is seen once the reactor has looked.
        tokio::task::yield_now().await;
        // Bytes that nobody asked for (a reply that came too late) mean that
        // question and answer no longer match.
        !self.reader.has_rest() && self.stream.read(&mut byte).now_or_never().is_none()
    }

    fn broken(&self, why: &Broken) -> Error {
        broken(&self.address, why)
    }
}

/// What a broken connection is to a guest.
pub(super) fn broken(address: &str, broken: &Broken) -> Error {
    let kind = match broken {
        Broken::Closed | Broken::Io(_) => ErrorKind::Closed,
        Broken::Protocol(_) => ErrorKind::Protocol,
        Broken::Limit(_) => ErrorKind::Limit,
    };
    let message = tame(&broken.to_string(), limits::OUTCOME_TEXT_BYTES_MAX);
    Error { kind, message: format!("{address}: {message}") }
}

/// How to log in at a member of this kind.
pub(super) fn auth_of(known: &Known, kind: MemberKind) -> &Auth {
    match kind {
        MemberKind::Data => &known.cluster.auth,
        MemberKind::Sentinel => &known.cluster.sentinel_auth,
    }
}

/// AUTH, where there is a password.
fn plain_log_in(auth: &Auth) -> Option<Vec<&str>> {
    let password = auth.password.as_ref().map(super::Secret::expose)?;
    Some(["AUTH"].into_iter().chain(auth.username.as_deref()).chain([password]).collect())
}

/// TLS, where the cluster wants it.
async fn secured(
    known: &Known,
    address: &str,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, Error> {
    let Some(config) = &known.tls else { return Ok(Box::new(stream)) };
    let host = address.rsplit_once(':').map_or(address, |(host, _port)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| unreachable(address, "its host is no name that TLS can check"))?;
    match TlsConnector::from(Arc::clone(config)).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(insecure(address, &error)),
    }
}

/// Servers before Redis 6 do not know HELLO; some proxies know it but not 3.
fn is_old(text: &str) -> bool {
    text.starts_with("NOPROTO") || text.to_lowercase().contains("unknown command")
}

/// No answer in time, though a connection stands.
pub(super) fn silent(address: &str, what: &str) -> Error {
    Error {
        kind: ErrorKind::TimedOut,
        message: format!("{address} is connected, but gave no reply to {what} in time"),
    }
}

fn unreachable(address: &str, why: &str) -> Error {
    Error { kind: ErrorKind::Unreachable, message: format!("{address} cannot be reached: {why}") }
}

fn unconnected(address: &str, error: &io::Error) -> Error {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        return Error {
            kind: ErrorKind::Refused,
            message: format!("{address} refused the connection: no process listens there"),
        };
    }
    if matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) {
        return Error {
            kind: ErrorKind::Closed,
            message: format!("{address} broke the connection off at once ({error})"),
        };
    }
    unreachable(address, &error.to_string())
}

fn insecure(address: &str, error: &io::Error) -> Error {
    let ended = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    let kind = if ended.contains(&error.kind()) { ErrorKind::Closed } else { ErrorKind::Protocol };
    Error {
        kind,
        message: format!(
            "{address} answers, but TLS with it failed ({error}): check `tls` of the cluster in baton.toml"
        ),
    }
}
