//! What the tests of the doors share: a caller without a guest, an engine that remembers,
//! and servers that behave as badly as they are told to.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_core::run::event::{Call, TapeEntry};
use baton_core::run::{Replay, Taping};
use baton_core::workflow::plan::Grants;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::guest::Caller;
use crate::host::{Context, Durable, Wall, WallError};
use crate::tape::{Divergence, Tape};
use crate::trap::Stop;

/// Made with `openssl` for 127.0.0.1; see `redis/tests/tls/README.md`.
pub(super) const CA: &[u8] = include_bytes!("redis/tests/tls/ca.pem");
const CERT: &[u8] = include_bytes!("redis/tests/tls/server.pem");
const KEY: &[u8] = include_bytes!("redis/tests/tls/server.key");

/// What the engine was told, in order, and what a replay would be given.
pub(super) struct Journal {
    told: Mutex<Vec<String>>,
    kept: Mutex<Replay>,
    /// Nothing can be stored.
    is_full: bool,
}

impl Default for Journal {
    fn default() -> Self {
        let kept = Replay { entries: Vec::new(), calls: Vec::new() };
        Self { told: Mutex::default(), kept: Mutex::new(kept), is_full: false }
    }
}

impl Journal {
    /// One that can store nothing.
    pub(super) fn full() -> Self {
        Self { is_full: true, ..Self::default() }
    }

    pub(super) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// All that is on disk, as text: where no secret may stand.
    pub(super) fn text(&self) -> String {
        format!("{:?} {:?}", self.told(), self.kept.lock().unwrap())
    }

    /// What is on disk after a crash that lost the outcomes.
    pub(super) fn cut_off(&self) -> Replay {
        let mut kept = self.kept.lock().unwrap().clone();
        kept.calls.iter_mut().for_each(|call| call.outcome = None);
        kept
    }
}

impl Wall for Journal {
    fn intend(
        &self,
        calls: Vec<Call>,
        heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        let full = self.is_full;
        if !full {
            let mut kept = self.kept.lock().unwrap();
            kept.entries.extend(heard.iter().cloned());
            kept.calls.extend(calls.iter().cloned());
            let mut told = self.told.lock().unwrap();
            told.extend(heard.iter().map(|entry| format!("heard {}", entry.index)));
            told.extend(
                calls
                    .iter()
                    .map(|call| format!("intend {} {:?} {}", call.index, call.class, call.request)),
            );
        }
        let durable: Durable = Box::pin(async move {
            // On its way to the disk others run.
            tokio::task::yield_now().await;
            if full { Err(WallError("the disk is full".to_owned())) } else { Ok(()) }
        });
        Box::pin(async { Ok(durable) })
    }

    fn outcome(&self, calls: Vec<Call>) {
        let told = calls
            .into_iter()
            .map(|call| format!("outcome {} {}", call.index, call.outcome.unwrap()));
        self.told.lock().unwrap().extend(told);
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _message: String) {}
}

/// A caller of step `try` with these grants, and its engine.
pub(super) fn caller(grants: Grants, journal: Journal, taping: Taping) -> (Caller, Arc<Journal>) {
    let context = Context {
        run: "r-1".parse().unwrap(),
        workflow: "test".to_owned(),
        step: "try".to_owned(),
        item: 0,
        attempt: 1,
        done: Vec::new(),
    };
    let journal = Arc::new(journal);
    let wall: Arc<dyn Wall> = Arc::clone(&journal) as Arc<dyn Wall>;
    (Caller::new(Arc::new(context), grants, wall, Tape::new(taping)), journal)
}

/// How a replayed call left its tape.
pub(super) fn divergence<T: std::fmt::Debug>(answer: wasmtime::Result<T>) -> Divergence {
    match answer.unwrap_err().downcast_ref() {
        Some(Stop::Diverged(how)) => (**how).clone(),
        other => panic!("{other:?}"),
    }
}

/// What a server does once it has heard a request.
#[derive(Clone)]
pub(super) enum Act {
    /// Says this.
    Say(String),
    /// Says this piece again and again, so many times.
    Flood(&'static str, usize),
    /// Says a byte now and then, for ever.
    Drip,
    /// Says what it heard.
    Echo,
    /// Says no more, and keeps the connection.
    Hold,
}

/// A server on loopback; ends when it is dropped.
pub(super) struct Server {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// One that does this on every connection, then closes it.
    pub(super) async fn start(acts: &[Act]) -> Self {
        Self::with(acts, None).await
    }

    /// The same behind TLS, with a certificate for 127.0.0.1.
    pub(super) async fn secure(acts: &[Act]) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                CertificateDer::pem_slice_iter(CERT).map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        Self::with(acts, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// One that answers with this status and body.
    pub(super) async fn answering(status: &str, body: &str) -> Self {
        Self::start(&[Act::Say(whole(status, body))]).await
    }

    async fn with(acts: &[Act], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (acts, heard) = (acts.to_vec(), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acts, heard, tls) = (acts.clone(), Arc::clone(&heard), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &acts, &heard).await,
                        // Who does not trust us hangs up.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &acts, &heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked, task }
    }

    /// The requests that came, whole.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An answer of HTTP.
pub(super) fn whole(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    acts: &[Act],
    heard: &Mutex<Vec<String>>,
) {
    let Some(request) = request(&mut stream).await else { return };
    heard.lock().unwrap().push(request.clone());
    for act in acts {
        // Whoever has heard enough hangs up.
        let said = match act {
            Act::Say(text) => stream.write_all(text.as_bytes()).await,
            Act::Echo => stream.write_all(whole("200 OK", &request).as_bytes()).await,
            Act::Flood(piece, times) => flood(&mut stream, piece, *times).await,
            Act::Drip => drip(&mut stream).await,
            Act::Hold => std::future::pending().await,
        };
        if said.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// One request with its body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

async fn flood(
    stream: &mut (impl AsyncWrite + Unpin),
    piece: &str,
    times: usize,
) -> std::io::Result<()> {
    for _ in 0..times {
        stream.write_all(piece.as_bytes()).await?;
    }
    Ok(())
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    loop {
        stream.write_all(b"x").await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
