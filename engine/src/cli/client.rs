//! Talks to a running `baton serve`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use baton_core::Json;
use baton_core::id::Side;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::failure::Failure;
use super::{Person, Server};
use crate::config::Config;
use crate::runner::switches::Switches;
use crate::runner::tape::{TapeView, Wanted as TapeWanted};
use crate::runner::view::{RunView, Summary};

/// Longer than the server's own patience with its engine (8 s).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// More than any answer of ours: a run with everything in it, a tape, or a plugin.
const ANSWER_BYTES_MAX: usize = 160 * 1024 * 1024;
/// Largest page that the server gives.
const PAGE_MAX: usize = 500;

/// A server, by address.
#[derive(Clone)]
pub(super) struct Client {
    base: String,
    token: Option<String>,
    http: Http<HttpConnector, Full<Bytes>>,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum ClientError {
    /// Nobody listens there.
    Absent(String),
    /// It answered with a problem.
    Problem { status: StatusCode, detail: String },
    /// It did not answer in time, or not as Baton does.
    Broken(String),
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) workflow: Option<String>,
    pub(super) state: Option<String>,
    pub(super) limit: usize,
}

/// What became of a wish to run.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Begun {
    pub(super) run: String,
    /// `started`, `queued`, `joined` or `duplicate`.
    pub(super) outcome: String,
    /// Why it waits.
    pub(super) reason: Option<String>,
}

impl Client {
    /// The server that the person named, or the one that serves the data folder;
    /// none if nobody named one and nobody serves.
    ///
    /// # Errors
    /// If the address is none, or the token cannot be had, or something listens
    /// but does not answer.
    pub(super) async fn find(server: &Server, config: &Config) -> Result<Option<Self>, Failure> {
        if let Some(url) = &server.server {
            return Self::new(base(url)?, config).map(Some);
        }
        let file = config.paths.data.join("listening");
        let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
        let client = Self::new(base(text.trim())?, config)?;
        match client.send(Method::GET, "/livez", None).await {
            Err(ClientError::Absent(_)) => Ok(None),
            Err(ClientError::Broken(what)) => Err(Failure::new(what).help(format!(
                "{} says that a server listens there; if it hangs, restart it",
                file.display()
            ))),
            Ok(_) | Err(ClientError::Problem { .. }) => Ok(Some(client)),
        }
    }

    fn new(base: String, config: &Config) -> Result<Self, Failure> {
        let own = std::env::var("BATON_TOKEN").ok().filter(|token| !token.is_empty());
        let token = match (own, &config.server.token) {
            (Some(token), _) => Some(token),
            (None, None) => None,
            (None, Some(name)) => {
                let secret = config.secrets.get(name).map_err(|error| {
                    Failure::new(error.to_string())
                        .help("the server asks for a token; put it into BATON_TOKEN")
                })?;
                Some(secret.expose().to_owned())
            }
        };
        let http = Http::builder(TokioExecutor::new()).build_http();
        Ok(Self { base, token, http })
    }

    /// As people write it.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// One run; none if the server does not know it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn run(&self, id: &str) -> Result<Option<RunView>, ClientError> {
        match self.get(&format!("/runs/{id}")).await {
            Err(ClientError::Problem { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The tape of an attempt.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn tape(
        &self,
        id: &str,
        wanted: &TapeWanted,
    ) -> Result<TapeView, ClientError> {
        let side = match wanted.side {
            Side::Do => "do",
            Side::Undo => "undo",
        };
        let (step, item) = (escape(&wanted.step), wanted.item);
        let mut path = format!("/runs/{id}/tape?step={step}&item={item}&side={side}");
        if let Some(number) = wanted.attempt {
            let _ = write!(path, "&attempt={number}");
        }
        self.get(&path).await
    }

    /// The component of a build; none if the server keeps none such.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn build(&self, digest: &str) -> Result<Option<Bytes>, ClientError> {
        match self.send(Method::GET, &format!("/builds/{digest}"), None).await {
            Err(ClientError::Problem { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Runs, newest first, as many pages as it takes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn runs(&self, wanted: &Wanted) -> Result<Vec<Summary>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Page {
            runs: Vec<Summary>,
            next: Option<String>,
        }
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let limit = (wanted.limit - all.len()).clamp(1, PAGE_MAX);
            let mut path = format!("/runs?limit={limit}");
            let asked =
                [("workflow", &wanted.workflow), ("state", &wanted.state), ("before", &before)];
            for (name, value) in asked {
                if let Some(value) = value {
                    let _ = write!(path, "&{name}={}", escape(value));
                }
            }
            let page: Page = self.get(&path).await?;
            let got_some = !page.runs.is_empty();
            all.extend(page.runs);
            before = page.next;
            if before.is_none() || !got_some || all.len() >= wanted.limit {
                return Ok(all);
            }
        }
    }

    /// Digests of the loaded workflows, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn digest(&self, workflow: &str) -> Result<Option<String>, ClientError> {
        let catalog: Json = self.get("/workflows").await?;
        let workflows = catalog["workflows"].as_array().map_or(&[][..], Vec::as_slice);
        let found = workflows.iter().find(|one| one["name"] == workflow);
        Ok(found.and_then(|one| one["digest"].as_str()).map(str::to_owned))
    }

    /// Begins a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn begin(
        &self,
        workflow: &str,
        params: &Json,
        who: &str,
    ) -> Result<Begun, ClientError> {
        let body = json!({ "workflow": workflow, "params": params, "who": who });
        parse(&self.send(Method::POST, "/runs", Some(&body)).await?)
    }

    /// Ends a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn cancel(&self, id: &str, by: &Person) -> Result<(), ClientError> {
        let body = json!({ "who": by.who, "reason": by.reason });
        self.send(Method::POST, &format!("/runs/{id}/cancel"), Some(&body)).await.map(drop)
    }

    /// Answers a question of a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn answer(&self, id: &str, answer: &Json) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/runs/{id}/answer"), Some(answer)).await.map(drop)
    }

    /// Pauses, maintenance windows and acknowledgements.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn switches(&self) -> Result<Switches, ClientError> {
        self.get("/switches").await
    }

    /// Says something to the engine, or of one of its runs, where no more is to be heard
    /// than that it is so.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn tell(&self, path: &str, body: &Json) -> Result<(), ClientError> {
        self.send(Method::POST, path, Some(body)).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        parse(&self.send(Method::GET, path, None).await?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Bytes, ClientError> {
        let broken = |why: String| ClientError::Broken(format!("{}: {why}", self.base));
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(bytes))
            .map_err(|error| broken(format!("cannot ask: {error}")))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| {
                if error.is_connect() {
                    ClientError::Absent(self.base.clone())
                } else {
                    broken(format!("the connection broke: {error}"))
                }
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| broken(format!("the answer broke off: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        let late = || broken(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()));
        let (status, body) =
            tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| late())??;
        if status.is_success() { Ok(body) } else { Err(problem(status, &body)) }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| {
        ClientError::Broken(format!("the answer is none that this version understands: {error}"))
    })
}

/// RFC 9457 as our server writes it; whatever else answers is quoted, shortly.
fn problem(status: StatusCode, body: &[u8]) -> ClientError {
    let body = String::from_utf8_lossy(body);
    let detail = serde_json::from_str::<Json>(&body)
        .ok()
        .and_then(|problem| problem["detail"].as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("{status}: {}", body.chars().take(200).collect::<String>()));
    ClientError::Problem { status, detail }
}

/// `http://host:port` of what a person or `<data>/listening` says.
fn base(text: &str) -> Result<String, Failure> {
    let bad = |why: &str| {
        Failure::bad(format!("`{text}` is no address of a server: {why}"))
            .help("write host:port or http://host:port")
    };
    if let Ok(mut address) = text.parse::<SocketAddr>() {
        // Bound to every address means reachable here by the loopback.
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        return Ok(format!("http://{address}"));
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(bad("only http is spoken; for TLS go through a tunnel or a proxy beside it"));
    }
    let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
    Ok(format!("http://{authority}"))
}

/// Percent-encodes a value of a query.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Absent(base) => Self::new(format!("nobody listens at {base}"))
                .help("start `baton serve`, or name another server with --server"),
            ClientError::Problem { status: StatusCode::UNAUTHORIZED, detail } => {
                Self::new(detail).help("put the server's token into BATON_TOKEN")
            }
            ClientError::Problem { detail, .. } => Self::new(detail),
            ClientError::Broken(what) => Self::new(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        let read = |text: &str| base(text).map_err(|failure| failure.what);
        assert_eq!(read("127.0.0.1:7077").as_deref(), Ok("http://127.0.0.1:7077"));
        assert_eq!(read("0.0.0.0:7077").as_deref(), Ok("http://127.0.0.1:7077"));
        assert_eq!(read("http://engine:80/runs").as_deref(), Ok("http://engine:80"));
        assert_eq!(read("engine:80").as_deref(), Ok("http://engine:80"));
        assert!(read("https://engine").is_err_and(|what| what.contains("only http")));
        assert!(read("").is_err());
    }

    #[test]
    fn a_query_is_escaped() {
        assert_eq!(escape("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    }

    #[test]
    fn a_problem_is_quoted_by_its_detail() {
        let ClientError::Problem { detail, .. } =
            problem(StatusCode::CONFLICT, br#"{"detail":"run is closed"}"#)
        else {
            panic!("no problem")
        };
        assert_eq!(detail, "run is closed");
    }
}
