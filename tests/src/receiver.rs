//! A receiver of HTTP requests that remembers them: what a chat or a ticket system is to
//! Baton. One thread, one request a connection, ends with its value.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

/// A sender that says nothing for so long is given up.
const SPEAK_WITHIN: Duration = Duration::from_secs(5);

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Received {
    /// The value of header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one that answers every request with `status` (`202 Accepted`).
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(status: &'static str) -> Result<Self> {
        Self::with(Some(status))
    }

    /// Starts one that takes every request and never answers.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn mute() -> Result<Self> {
        Self::with(None)
    }

    fn with(status: Option<&'static str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (received, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (all, over) = (Arc::clone(&received), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut waiting = Vec::new();
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever breaks off has sent nothing.
                if let Ok(stream) = stream {
                    waiting.extend(take(stream, status, &all));
                }
            }
        });
        Ok(Self { address, received, is_over, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that came, whole, in their order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // So that it looks up once more.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Remembers a request before it is answered; gives a sender that waits for ever.
fn take(
    mut stream: TcpStream,
    status: Option<&str>,
    all: &Mutex<Vec<Received>>,
) -> Option<TcpStream> {
    let request = read(&mut stream)?;
    all.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let Some(status) = status else { return Some(stream) };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
    // Whoever has died meanwhile hears nothing.
    drop(stream.write_all(answer.as_bytes()));
    None
}

/// One whole request; none where the sender breaks off.
pub(crate) fn read(stream: &mut TcpStream) -> Option<Received> {
    stream.set_read_timeout(Some(SPEAK_WITHIN)).ok()?;
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let request = Received { line, headers, body: body.to_owned() };
            let length = request.header("content-length").and_then(|it| it.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(request);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
