//! The listener: every connection bounded in number, time and size, so that slow,
//! greedy or broken peers cost little, and an end that lets answers out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at the same time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 512;
/// Time for the head of a request, idle time of a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest head of a request; 431 above it.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers of a request; 431 above it.
const HEADERS_MAX: usize = 64;
/// Longest life of a connection: a peer that never reads its answers lets go of its
/// place. Far above every honest exchange.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);
/// How long answers under way may take once the end has come.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done, then lets open requests end.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_within(HEAD_TIMEOUT, listener, router, shutdown).await;
}

pub(super) async fn serve_within(
    head_timeout: Duration,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let arrival = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            // Ended ones are taken away at once: the set holds only what is open.
            Some(_) = connections.join_next() => {}
            (place, accepted) = arrival => match accepted {
                Ok((stream, _)) => {
                    let connection = converse(head_timeout, stream, router.clone(), ended.clone());
                    connections.spawn(async move {
                        let _place = place;
                        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    ending.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", DRAIN_TIMEOUT.as_secs());
    }
}

async fn converse(
    head_timeout: Duration,
    stream: TcpStream,
    router: Router,
    mut ended: watch::Receiver<bool>,
) {
    // Answers are small: without this the kernel may hold one back for 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let end = async move {
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection: {error}");
    }
}
