//! Requests to endpoints of baton.toml.

use serde_json::Value as Json;
use std::fmt::Write as _;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads, without the body.
    Head,
    /// Happens at most once, unless baton.toml says otherwise of the path.
    Post,
    /// Again is the same.
    Put,
    /// Happens at most once, unless baton.toml says otherwise of the path.
    Patch,
    /// Again is the same.
    Delete,
}

impl Method {
    /// As RFC 9110 spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// From `/` on, below the endpoint's address, with the query, percent-encoded.
    pub path: String,
    /// Names and values; host, length, log-in and idempotency key are the host's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    /// A POST of JSON.
    pub fn post_json(path: impl Into<String>, body: &Json) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { headers, body: body.to_string().into_bytes(), ..Self::new(Method::Post, path) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status; redirects are not followed.
    pub status: u16,
    /// Names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// In words, if it is none.
    pub fn json(&self) -> Result<Json, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// The beginning of the body as text for people, at most `chars_max` characters.
    pub fn excerpt(&self, chars_max: usize) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.trim().chars().take(chars_max).collect()
    }
}

/// `path` with a query: `/api/v1/query?query=up%7B%7D`.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (index, (name, value)) in pairs.iter().enumerate() {
        whole.push(if index == 0 { '?' } else { '&' });
        encode(name, &mut whole);
        whole.push('=');
        encode(value, &mut whole);
    }
    whole
}

/// `text` as one segment of a path: `a b` becomes `a%20b`.
pub fn segment(text: &str) -> String {
    let mut whole = String::new();
    encode(text, &mut whole);
    whole
}

/// Percent-encodes everything that RFC 3986 does not call unreserved.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("text takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_carries_any_text() {
        let path = with_query("/q", &[("query", "up{job=\"ä b\"}"), ("time", "1.5")]);
        assert_eq!(path, "/q?query=up%7Bjob%3D%22%C3%A4%20b%22%7D&time=1.5");
        assert_eq!(with_query("/q", &[]), "/q");
        assert_eq!(segment("a/b ä"), "a%2Fb%20%C3%A4");
    }

    #[test]
    fn a_response_is_read() {
        let response =
            Response { status: 204, body: b" {\"a\":1}".to_vec(), ..Response::default() };
        assert!(response.is_success());
        assert_eq!(response.json().unwrap()["a"], 1);
        assert_eq!(response.excerpt(3), "{\"a");
        assert!(Response::default().json().is_err());
    }
}
