//! One look at one target, within one deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::ClientConfig;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::target::{Look, Url};
use super::{Known, wit};
use crate::capability::dial::{Stream, dial};
use crate::capability::http::wire::Line;
use crate::limits;
use crate::text::tame;

/// What a ping says, so that its pong is known again.
const PING: &[u8] = b"baton";

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
        Look::Http { url, statuses, contains, .. } => {
            http(url, tls, statuses, contains.as_deref(), deadline).await
        }
        Look::WebSocket { url, .. } => web_socket(url, tls, deadline).await,
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
    contains: Option<&str>,
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
    let Some(text) = contains else { return Ok(format!("{name} answers {status}")) };
    let holds = answered.body.windows(text.len()).any(|window| window == text.as_bytes());
    if holds {
        Ok(format!("{name} answers {status} with {text:?}"))
    } else {
        Err(format!("{name} answers {status}, but without {text:?}"))
    }
}

async fn web_socket(url: &Url, tls: Option<&Arc<ClientConfig>>, deadline: Instant) -> Seen {
    let name = url.address.to_string();
    let stream = dial(&url.address, tls, deadline).await.map_err(|error| error.message)?;
    timeout_at(deadline, shake_hands(url, &name, stream)).await.unwrap_or_else(|_elapsed| {
        Err(format!("{name} is connected, but gave no WebSocket handshake and pong in time"))
    })
}

async fn shake_hands(url: &Url, name: &str, stream: Box<dyn Stream>) -> Seen {
    let scheme = if url.secure { "wss" } else { "ws" };
    let path = if url.prefix.is_empty() { "/" } else { &url.prefix };
    let request = format!("{scheme}://{}{path}", url.authority)
        .into_client_request()
        .map_err(|error| error.to_string())?;
    let bounds = WebSocketConfig::default()
        .max_message_size(Some(limits::PROBE_BODY_BYTES_MAX))
        .max_frame_size(Some(limits::PROBE_BODY_BYTES_MAX));
    let failed = |what: &str, error: &WsError| {
        if let WsError::Http(response) = error {
            return format!("{name} answers {}, not a WebSocket", response.status());
        }
        format!("{name}: {what} failed ({error})")
    };
    let (mut socket, _response) = client_async_with_config(request, stream, Some(bounds))
        .await
        .map_err(|error| failed("the WebSocket handshake", &error))?;
    let ping = Message::Ping(PING.into());
    socket.send(ping).await.map_err(|error| failed("a ping", &error))?;
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
            Some(Err(error)) => return Err(failed("the answer to a ping", &error)),
        }
    }
    Err(format!(
        "{name} speaks WebSocket, but sent {} messages without answering a ping",
        limits::PROBE_MESSAGES_MAX
    ))
}
