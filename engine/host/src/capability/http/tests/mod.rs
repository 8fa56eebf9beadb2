//! The rule on its own, and requests to servers that behave as they should or not.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod grants;
mod hostile;
mod replay;
mod requests;

use std::sync::Arc;

use baton_core::run::Taping;
use baton_core::workflow::plan::{Grants, HttpGrant};

use super::{Endpoint, Endpoints, Secret, Tls, Url, View};
use crate::capability::lab::{Journal, Server, caller};
use crate::guest::Caller;
use crate::guest::wit::http::{Header, Host as _, Method, Request, Response};
use crate::guest::wit::types::Error;

/// An endpoint called `service`.
fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        name: "service".to_owned(),
        url: Url::parse(url, ["http", "https"]).unwrap(),
        tls: Tls::default(),
        headers: vec![("Authorization".to_owned(), Secret::new("Bearer hunter2"))],
        secrets: vec![Secret::new("hunter2")],
        reads: vec!["/query*".to_owned()],
        idempotent: vec!["/silences".to_owned()],
        idempotency_header: "Idempotency-Key".to_owned(),
        timeout_ms: 10_000,
        answer_bytes_max: 64 * 1024,
    }
}

fn at(server: &Server) -> Endpoint {
    endpoint(&format!("http://{}", server.address))
}

fn grant(methods: &[&str], paths: &[&str]) -> HttpGrant {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    HttpGrant {
        endpoint: "service".to_owned(),
        methods: list(methods),
        paths: list(paths),
        only_reads: false,
    }
}

fn everything() -> HttpGrant {
    grant(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], &["/**"])
}

fn request(method: Method, path: &str, body: &str) -> Request {
    Request { method, path: path.to_owned(), headers: Vec::new(), body: body.into() }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// An attempt without a guest.
struct Attempt {
    endpoints: Endpoints,
    caller: Caller,
    journal: Arc<Journal>,
}

impl Attempt {
    /// With everything granted.
    fn new(endpoint: Endpoint) -> Self {
        Self::with(endpoint, Journal::default(), Taping::Record)
    }

    fn with(endpoint: Endpoint, journal: Journal, taping: Taping) -> Self {
        let grants = Grants { http: vec![everything()], ..Grants::default() };
        let (caller, journal) = caller(grants, journal, taping);
        Self { endpoints: Endpoints::new(vec![endpoint]).unwrap(), caller, journal }
    }

    /// The attempt after a crash that lost what was not on disk, and the outcomes.
    fn again(&self, endpoint: Endpoint) -> Self {
        Self::with(endpoint, Journal::default(), Taping::Replay(self.journal.cut_off()))
    }

    async fn call(
        &mut self,
        request: Request,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let mut view = View { endpoints: &self.endpoints, caller: &mut self.caller };
        view.send("service".to_owned(), request, timeout_ms).await
    }

    async fn send(&mut self, method: Method, path: &str, body: &str) -> Result<Response, Error> {
        self.call(request(method, path, body), 10_000).await.unwrap()
    }
}
