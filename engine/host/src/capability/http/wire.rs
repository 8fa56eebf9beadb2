//! One request on one connection, within one deadline: sent, and its answer read up to
//! its bounds.
//!
//! **Invariant:** nothing here tries twice, follows a redirect, or keeps a connection.

use std::error::Error as _;
use std::pin::pin;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::capability::dial::Stream;
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::text::tame;

/// A connection that is ready for its one request.
pub(crate) struct Line<'a> {
    /// How people know the other side.
    pub(crate) name: &'a str,
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) deadline: Instant,
    pub(crate) answer_bytes_max: usize,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// The status, if that much was heard.
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Error,
}

impl Line<'_> {
    /// Sends `request` and hears the answer out.
    ///
    /// # Errors
    /// With the status if the head of an answer came.
    pub(crate) async fn ask(self, request: Request<Full<Bytes>>) -> Result<Answered, Unanswered> {
        let Self { name, stream, deadline, answer_bytes_max } = self;
        let mut status = None;
        let exchange = exchange(name, stream, request, answer_bytes_max, &mut status);
        let result = timeout_at(deadline, exchange).await;
        let result = result.unwrap_or_else(|_elapsed| {
            Err(Error {
                kind: ErrorKind::TimedOut,
                message: format!("{name} is connected, but gave no whole answer in time"),
            })
        });
        result.map_err(|error| match status {
            None => Unanswered { status, error },
            Some(code) => {
                let message = format!("{} (it had answered {code})", error.message);
                Unanswered { status, error: Error { message, ..error } }
            }
        })
    }
}

async fn exchange(
    name: &str,
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    answer_bytes_max: usize,
    status: &mut Option<StatusCode>,
) -> Result<Answered, Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX)
        .max_headers(limits::HTTP_ANSWER_HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(name, &error))?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(|error| broken(name, &error))?;
        *status = Some(response.status());
        heard(name, response, answer_bytes_max).await
    };
    // The connection moves only while somebody looks at it; it may end before the last of
    // the body was taken.
    let (mut asked, mut connection) = (pin!(asked), pin!(connection));
    let mut is_open = true;
    loop {
        tokio::select! {
            answered = &mut asked => return answered,
            // Why it ended is told to whoever asked.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

async fn heard(
    name: &str,
    response: Response<Incoming>,
    answer_bytes_max: usize,
) -> Result<Answered, Error> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| broken(name, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > answer_bytes_max {
            return Err(Error {
                kind: ErrorKind::Limit,
                message: format!(
                    "{name} answers with more than {answer_bytes_max} bytes: ask for less, or raise `answer_bytes_max` in baton.toml"
                ),
            });
        }
        body.extend_from_slice(&data);
    }
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(Answered { status: head.status, headers, body })
}

fn broken(name: &str, error: &hyper::Error) -> Error {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let why = tame(&format!("{error}{cause}"), limits::OUTCOME_TEXT_BYTES_MAX);
    if error.is_parse_too_large() {
        return Error {
            kind: ErrorKind::Limit,
            message: format!(
                "{name} answers with a head of more than {} headers or {} bytes",
                limits::HTTP_ANSWER_HEADERS_MAX,
                limits::HTTP_HEAD_BYTES_MAX
            ),
        };
    }
    if error.is_parse() {
        return Error {
            kind: ErrorKind::Protocol,
            message: format!("{name} answers with what is no HTTP ({why})"),
        };
    }
    Error { kind: ErrorKind::Closed, message: format!("the connection to {name} broke ({why})") }
}
