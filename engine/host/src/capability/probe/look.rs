//! One look at one target, within one deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::ClientConfig;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::target::{Expected, Look, Url};
use super::{Known, wit};
use crate::capability::dial::{Stream, dial};
use crate::capability::http::wire::Line;
use crate::limits;
use crate::text::tame;

/// What a ping says, so that its pong is known again.
const PING: &[u8] = b"baton";

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Up, or why not; both in words.
type Seen = Result<String, String>;

pub(super) async fn look(known: &Known, time: Duration) -> wit::Finding {
    let begun = Instant::now();
    let deadline = begun + time;
    let tls = known.tls.as_ref();
    let seen = match &known.target.look {
        Look::Tcp(address) => dial(address, None, deadline)
            .await
            .map_err(|error| error.message)
            .map(|_stream| format!("{address} accepts connections")),
        Look::Http { url, statuses, expected, .. } => {
            http(url, tls, statuses, expected, deadline).await
        }
        Look::WebSocket { url, subscribe, expected, .. } => {
            web_socket(url, tls, subscribe.as_deref(), expected, deadline).await
        }
    };
    let latency_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    let (up, reason) = match seen {
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    wit::Finding { up, latency_ms, reason: tame(&reason, limits::PROBE_REASON_BYTES_MAX) }
}

async fn http(
    url: &Url,
    tls: Option<&Arc<ClientConfig>>,
    statuses: &[u16],
    expected: &Expected,
    deadline: Instant,
) -> Seen {
    let stream = dial(&url.address, tls, deadline).await.map_err(|error| error.message)?;
    let path = if url.prefix.is_empty() { "/" } else { &url.prefix };
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, &url.authority)
        .header(hyper::header::USER_AGENT, concat!("baton/", env!("CARGO_PKG_VERSION")))
        .header(hyper::header::ACCEPT_ENCODING, "identity")
        .header(hyper::header::CONNECTION, "close")
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let name = url.address.to_string();
    let answer_bytes_max = limits::PROBE_BODY_BYTES_MAX;
    let line = Line { name: &name, stream, deadline, answer_bytes_max };
    let answered = line.ask(request).await.map_err(|unanswered| unanswered.error.message)?;
    let status = answered.status;
    let is_up = match statuses {
        [] => status.is_success(),
        _ => statuses.contains(&status.as_u16()),
    };
    if !is_up {
        return Err(format!("{name} answers {status}"));
    }
    if let Some(what) = expected.lacking(&answered.body) {
        return Err(format!("{name} answers {status}, but without {what}"));
    }
    let with = expected.shown().map(|what| format!(" with {what}")).unwrap_or_default();
    Ok(format!("{name} answers {status}{with}"))
}

async fn web_socket(
    url: &Url,
    tls: Option<&Arc<ClientConfig>>,
    subscribe: Option<&str>,
    expected: &Expected,
    deadline: Instant,
) -> Seen {
    let name = url.address.to_string();
    let stream = dial(&url.address, tls, deadline).await.map_err(|error| error.message)?;
    let mut socket =
        timeout_at(deadline, shake_hands(url, &name, stream)).await.unwrap_or_else(|_elapsed| {
            Err(format!("{name} is connected, but gave no WebSocket handshake in time"))
        })?;
    if let Some(text) = subscribe {
        let sent = timeout_at(deadline, socket.send(Message::text(text))).await;
        sent.map_err(|_elapsed| format!("{name} speaks WebSocket, but took no message in time"))?
            .map_err(|error| failed(&name, "the subscription", &error))?;
    }
    if expected.is_nothing() {
        return timeout_at(deadline, pinged(&name, &mut socket)).await.unwrap_or_else(|_elapsed| {
            Err(format!("{name} speaks WebSocket, but gave no pong in time"))
        });
    }
    delivered(&name, &mut socket, expected, deadline).await
}

fn failed(name: &str, what: &str, error: &WsError) -> String {
    if let WsError::Http(response) = error {
        return format!("{name} answers {}, not a WebSocket", response.status());
    }
    format!("{name}: {what} failed ({error})")
}

async fn shake_hands(url: &Url, name: &str, stream: Box<dyn Stream>) -> Result<Socket, String> {
    let scheme = if url.secure { "wss" } else { "ws" };
    let path = if url.prefix.is_empty() { "/" } else { &url.prefix };
    let request = format!("{scheme}://{}{path}", url.authority)
        .into_client_request()
        .map_err(|error| error.to_string())?;
    let bounds = WebSocketConfig::default()
        .max_message_size(Some(limits::PROBE_BODY_BYTES_MAX))
        .max_frame_size(Some(limits::PROBE_BODY_BYTES_MAX));
    let (socket, _response) = client_async_with_config(request, stream, Some(bounds))
        .await
        .map_err(|error| failed(name, "the WebSocket handshake", &error))?;
    Ok(socket)
}

/// Until a message holds what is expected.
async fn delivered(
    name: &str,
    socket: &mut Socket,
    expected: &Expected,
    deadline: Instant,
) -> Seen {
    let what = expected.shown().unwrap_or_default();
    for passed_over in 0..limits::PROBE_MESSAGES_MAX {
        let Ok(message) = timeout_at(deadline, socket.next()).await else {
            return Err(format!(
                "{name} speaks WebSocket, but sent no message with {what} in time ({passed_over} others)"
            ));
        };
        let body = match message {
            Some(Ok(Message::Text(text))) => Bytes::copy_from_slice(text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Close(_))) | None => {
                return Err(format!(
                    "{name} speaks WebSocket, but closed before it sent a message with {what}"
                ));
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Err(failed(name, "the wait for a message", &error)),
        };
        if expected.lacking(&body).is_none() {
            return Ok(format!("{name} sends messages with {what}"));
        }
    }
    Err(format!(
        "{name} speaks WebSocket, but sent {} messages without {what}",
        limits::PROBE_MESSAGES_MAX
    ))
}

/// Until a ping is answered.
async fn pinged(name: &str, socket: &mut Socket) -> Seen {
    let ping = Message::Ping(PING.into());
    socket.send(ping).await.map_err(|error| failed(name, "a ping", &error))?;
    // A feed may have begun to speak; what it says is passed over, up to a bound.
    for _ in 0..limits::PROBE_MESSAGES_MAX {
        match socket.next().await {
            Some(Ok(Message::Pong(word))) if *word == *PING => {
                return Ok(format!("{name} speaks WebSocket and answers a ping"));
            }
            Some(Ok(Message::Close(_))) | None => {
                return Err(format!(
                    "{name} speaks WebSocket, but closed before it answered a ping"
                ));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(failed(name, "the answer to a ping", &error)),
        }
    }
    Err(format!(
        "{name} speaks WebSocket, but sent {} messages without answering a ping",
        limits::PROBE_MESSAGES_MAX
    ))
}
