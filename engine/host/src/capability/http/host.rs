//! `http.send`.

use std::sync::Arc;
use std::time::Duration;

use baton_core::id::Digest;
use baton_core::run::event::{Call, CallClass};
use baton_crash::{self as crash, Point};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::class::word;
use super::wire::{Answered, Line, Unanswered};
use super::{Known, View, grant};
use crate::capability::change::{self, Change};
use crate::capability::dial::dial;
use crate::capability::secret::blot;
use crate::guest::wit::http::{Header, Host, Request, Response};
use crate::guest::wit::types::{Error, ErrorKind};
use crate::host::Context;
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::text::tame;

type Outcome<T> = Result<T, Error>;

/// What a guest is not told of an answer: it would be a log-in.
const UNTOLD: &[&str] = &["set-cookie", "www-authenticate", "proxy-authenticate"];

impl Host for View<'_> {
    async fn send(
        &mut self,
        endpoint: String,
        request: Request,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Response>> {
        let first = self.caller.take(1)?;
        let asked = || asked(&endpoint, &request, timeout_ms);
        let live = match self.caller.tape.hear(first, 1, asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let answer = self.answer(&endpoint, &request, timeout_ms, first, &live.cut).await?;
        Ok(self.caller.tell(live, answer))
    }
}

impl View<'_> {
    async fn answer(
        &mut self,
        endpoint: &str,
        request: &Request,
        timeout_ms: u32,
        index: u32,
        cut: &[Call],
    ) -> wasmtime::Result<Outcome<Response>> {
        let (known, class) = match self.granted(endpoint, request) {
            Ok(granted) => granted,
            Err(refusal) => return change::refused(cut, refusal).map(Err),
        };
        match Change::admit(self.caller, cut, index, class, &shown(endpoint, request))? {
            Ok(change) => Ok(self.send_it(&known, request, timeout_ms, index, &change).await),
            Err(in_doubt) => Ok(Err(in_doubt)),
        }
    }

    /// The endpoint and what repeating the request would mean, or why it is not sent.
    fn granted(&self, endpoint: &str, request: &Request) -> Outcome<(Arc<Known>, CallClass)> {
        let (step, grants) = (&self.caller.context.step, &self.caller.grants.http);
        grant::knows(step, grants, endpoint)?;
        let known = self.endpoints.find(endpoint).ok_or_else(|| Error {
            kind: ErrorKind::NotFound,
            message: format!("baton.toml has no endpoint {endpoint}: add [http.{endpoint}]"),
        })?;
        let class = grant::check(step, grants, &known.endpoint, request)?;
        Ok((known, class))
    }

    /// Connecting comes before the intent, so that a service that is gone leaves no doubt
    /// behind; the intent's way to the disk does not count as the service's time.
    async fn send_it(
        &self,
        known: &Known,
        request: &Request,
        timeout_ms: u32,
        index: u32,
        change: &Change,
    ) -> Outcome<Response> {
        let endpoint = &known.endpoint;
        let time = Duration::from_millis(timeout_ms.clamp(1, endpoint.timeout_ms).into());
        let sent = whole(known, request, &self.caller.context, index)?;
        let begun = Instant::now();
        let stream = dial(&endpoint.url.address, known.tls.as_ref(), begun + time).await?;
        let left = time.saturating_sub(begun.elapsed());
        crash::point(if change.is_read() { Point::ReadBefore } else { Point::ChangeBefore });
        change.intend(self.caller).await?;
        if !change.is_read() {
            crash::point(Point::ChangeIntended);
        }
        let line = Line {
            name: &endpoint.name,
            stream,
            deadline: Instant::now() + left,
            answer_bytes_max: endpoint.answer_bytes_max,
        };
        let answered = line.ask(sent).await;
        crash::point(if change.is_read() { Point::ReadAfter } else { Point::ChangeAfter });
        match answered {
            Ok(answered) => {
                change.came_of(self.caller, &answered.status.to_string());
                Ok(told(answered, known))
            }
            // The receiver had decided by the time it said its status.
            Err(Unanswered { status: Some(status), error }) => {
                change.came_of(self.caller, &status.to_string());
                Err(error)
            }
            Err(Unanswered { status: None, error }) => Err(change.doubted(error)),
        }
    }
}

/// The request as it leaves: with all that is the host's own.
fn whole(
    known: &Known,
    request: &Request,
    context: &Context,
    index: u32,
) -> Outcome<hyper::Request<Full<Bytes>>> {
    let endpoint = &known.endpoint;
    let method = word(request.method);
    let mut built = hyper::Request::builder()
        .method(method)
        .uri(format!("{}{}", endpoint.url.prefix, request.path))
        .header(hyper::header::HOST, &endpoint.url.authority)
        .header(hyper::header::USER_AGENT, concat!("baton/", env!("CARGO_PKG_VERSION")))
        .header(hyper::header::ACCEPT_ENCODING, "identity")
        .header(hyper::header::CONNECTION, "close");
    for Header { name, value } in &request.headers {
        built = built.header(name, value);
    }
    if !matches!(method, "GET" | "HEAD") {
        built = built.header(&endpoint.idempotency_header, key(context, index, endpoint, request));
    }
    for (name, secret) in &endpoint.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        // rustls and hyper never show a value that is marked so.
        let value = HeaderValue::from_str(secret.expose()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Error {
                kind: ErrorKind::Internal,
                message: format!(
                    "nothing was sent: a header of [http.{}] in baton.toml, or its secret, is none that HTTP can carry",
                    endpoint.name
                ),
            });
        };
        built = built.header(name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone()));
    built.body(body).map_err(|error| Error {
        kind: ErrorKind::Internal,
        message: format!("nothing was sent: the request cannot be written ({error})"),
    })
}

/// The same for the same request of the same step of the same run, however often it is
/// sent: so that a receiver knows it again.
fn key(context: &Context, index: u32, endpoint: &super::Endpoint, request: &Request) -> String {
    let (item, index) = (context.item.to_string(), index.to_string());
    let run = context.run.to_string();
    let words =
        [&run, &context.step, &item, &index, &endpoint.name, word(request.method), &request.path];
    let mut fields = Vec::new();
    for bytes in words.map(str::as_bytes).into_iter().chain([request.body.as_slice()]) {
        fields.extend((bytes.len() as u64).to_be_bytes());
        fields.extend(bytes);
    }
    Digest::of(&fields).to_string()[..limits::IDEMPOTENCY_KEY_CHARS].to_owned()
}

/// The answer as a guest may see it.
fn told(answered: Answered, known: &Known) -> Response {
    let secrets = &known.endpoint.secrets;
    let clean =
        |text: String| String::from_utf8_lossy(&blot(text.into_bytes(), secrets)).into_owned();
    let headers = answered.headers.into_iter().filter(|(name, _)| !UNTOLD.contains(&name.as_str()));
    Response {
        status: answered.status.as_u16(),
        headers: headers.map(|(name, value)| Header { name, value: clean(value) }).collect(),
        body: blot(answered.body, secrets),
    }
}

/// All of a request, for the tape.
fn asked(endpoint: &str, request: &Request, timeout_ms: u32) -> Asked {
    let mut asking = Asked::of("http.send").text(endpoint).text(word(request.method));
    asking = asking.text(&request.path).number(request.headers.len() as u64);
    for header in &request.headers {
        asking = asking.text(&header.name).text(&header.value);
    }
    asking.bytes(&request.body).number(timeout_ms.into()).word(&shown(endpoint, request))
}

/// `prometheus> POST /api/v1/query (17 bytes)`.
fn shown(endpoint: &str, request: &Request) -> String {
    let method = word(request.method);
    let path = tame(&request.path, limits::REQUEST_TEXT_BYTES_MAX);
    let endpoint = tame(endpoint, limits::REQUEST_TEXT_BYTES_MAX);
    match request.body.len() {
        0 => format!("{endpoint}> {method} {path}"),
        bytes => format!("{endpoint}> {method} {path} ({bytes} bytes)"),
    }
}
