//! Reads request bodies: bounded in size and time, whatever the sender claims.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body that is not here by then is not coming.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is too large is read and thrown away: a sender that is
/// still writing when the connection closes never sees the 413.
const DRAINED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The whole body, or why not.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    read_within(BODY_TIMEOUT, body, bytes_max).await
}

async fn read_within(patience: Duration, body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    if body.size_hint().lower() > DRAINED_BYTES_MAX {
        return Err(too_large(bytes_max));
    }
    let late = || format!("the body took longer than {} s", patience.as_secs());
    tokio::time::timeout(patience, collect(body, bytes_max))
        .await
        .unwrap_or_else(|_| Err(Problem::new(StatusCode::REQUEST_TIMEOUT, late())))
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let (mut kept, mut seen) = (Vec::new(), 0u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len() as u64;
        if seen <= bytes_max as u64 {
            kept.extend_from_slice(&data);
        } else if seen > DRAINED_BYTES_MAX {
            break;
        }
    }
    if seen > bytes_max as u64 { Err(too_large(bytes_max)) } else { Ok(kept) }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body is larger than {bytes_max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with("bytes_max", bytes_max)
}

/// The JSON object that a call of our own API holds, with the bytes it was read from.
pub(super) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<(T, Vec<u8>), Problem> {
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send JSON, with the header `Content-Type: application/json`",
        ));
    }
    let bytes = read(body, bytes_max).await?;
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        let status = match error.classify() {
            serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, format!("the body does not fit: {error}"))
    })?;
    Ok((value, bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, Bytes};
    use axum::http::StatusCode;
    use futures::stream;

    use super::read_within;

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read_within(Duration::from_millis(20), body, 10).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut() {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 * 1024]));
        let body = Body::from_stream(stream::repeat_with(chunk));
        let problem = read_within(Duration::from_mins(1), body, 10).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_bad_request() {
        let broken = std::io::Error::other("gone");
        let body = Body::from_stream(stream::iter([Ok(Bytes::from("{")), Err(broken)]));
        let problem = read_within(Duration::from_mins(1), body, 10).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    }
}
