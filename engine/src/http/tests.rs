//! The routes through a real listener on loopback, before a loop that the test plays.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a loop that a test plays refuses whatever the test did not ask for"
)]

mod api;
mod health;
mod hooks;
mod listener;
mod switches;
mod tape;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use baton_core::expression::{Condition, Template};
use baton_core::id::RunId;
use baton_core::workflow::plan::{Webhook, WebhookAuth, WebhookFormat};
use baton_host::capability::redis::Secret;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::serve::serve_within;
use super::{BrokenView, Catalog, PluginView, State, router};
use crate::runner::{Handle, Input};
use crate::trigger::webhook::Hooks;
use crate::trigger::webhook::tests::{loopback, secrets, webhook};

/// A bound for what must happen soon.
const SOON: Duration = Duration::from_secs(20);

/// A server, and the end of it.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
struct Response {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
}

impl Response {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Checks that it is a problem as RFC 9457 has it, with `part` in its detail.
    #[track_caller]
    fn is_problem(&self, status: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], json!(status), "{body}");
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{body}");
    }
}

fn run(id: &str) -> RunId {
    id.parse().unwrap()
}

/// Hooks: `am` and `json` ask for a bearer token, `signed` for a signature; `open`
/// asks nobody, `broken` has a condition that fails.
fn hooks() -> Hooks {
    let (_folder, secrets) = secrets();
    let bearer = || WebhookAuth::Bearer(vec!["token".to_owned()]);
    let mut am = webhook("am", WebhookFormat::Alertmanager, bearer());
    am.when = Some(Condition::parse("labels.cluster == 'bondx'").unwrap());
    let mut keyed = webhook("json", WebhookFormat::Json, bearer());
    keyed.params = Template::parse(json!({ "cluster": "${body.cluster}" })).unwrap();
    let signed = WebhookAuth::StandardWebhooks(vec!["signing".to_owned()]);
    let mut broken = webhook("broken", WebhookFormat::Json, WebhookAuth::None);
    broken.when = Some(Condition::parse("body.nothing.here == 1").unwrap());
    let all: [Webhook; 5] = [
        am,
        keyed,
        webhook("signed", WebhookFormat::Json, signed),
        webhook("open", WebhookFormat::Json, WebhookAuth::None),
        broken,
    ];
    Hooks::gather(all.iter().map(|hook| ("failover", hook)), &secrets, loopback())
}

fn catalog() -> Catalog {
    let plugin = PluginView {
        name: "redis-ping".to_owned(),
        version: "1.0.0".to_owned(),
        summary: "Pings".to_owned(),
        digest: "00".to_owned(),
        bytes: 1,
        imports: vec!["baton:plugin/redis".to_owned()],
        redis_commands: vec!["PING".to_owned()],
        asks: Vec::new(),
        input_schema: json!({}),
        output_schema: json!({}),
    };
    Catalog { workflows: Vec::new(), plugins: vec![plugin], broken: Vec::new() }
}

fn answer(mut inputs: mpsc::Receiver<Input>, mut play: impl FnMut(Input) + Send + 'static) {
    tokio::spawn(async move {
        while let Some(input) = inputs.recv().await {
            play(input);
        }
    });
}

impl Server {
    /// Starts one whose loop answers with `play`.
    async fn start(token: Option<&str>, play: impl FnMut(Input) + Send + 'static) -> Self {
        let (server, inputs) = Self::start_with(token, SOON).await;
        answer(inputs, play);
        server
    }

    /// The same, where not everything could be loaded.
    async fn lacking(broken: Vec<BrokenView>, play: impl FnMut(Input) + Send + 'static) -> Self {
        let (server, inputs) = Self::of(Catalog { broken, ..catalog() }, None, SOON).await;
        answer(inputs, play);
        server
    }

    /// Starts one whose loop is the receiver's holder.
    async fn start_with(token: Option<&str>, head: Duration) -> (Self, mpsc::Receiver<Input>) {
        Self::of(catalog(), token, head).await
    }

    async fn of(
        catalog: Catalog,
        token: Option<&str>,
        head: Duration,
    ) -> (Self, mpsc::Receiver<Input>) {
        let (handle, inputs) = Handle::fake();
        let state = State::new(handle, hooks(), catalog, token.map(Secret::new));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve_within(head, listener, router(state), shutdown));
        (Self { address, stop, served }, inputs)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let exchange = async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let response = sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            Response { status: parts.status.as_u16(), headers: parts.headers, text }
        };
        tokio::time::timeout(SOON, exchange).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, &[], "").await
    }

    /// POST of JSON, as our API takes it.
    async fn post(&self, path: &str, body: &Value) -> Response {
        self.call(Method::POST, path, &[("content-type", "application/json")], body.to_string())
            .await
    }
}
