//! What the operator said of an endpoint, secrets resolved.

pub use crate::capability::dial::Url;
pub use crate::capability::secret::Secret;
pub use crate::capability::tls::Tls;

/// A service that plugins may be let speak to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in baton.toml.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Whom to trust, where the URL says https.
    pub tls: Tls,
    /// Headers that are put into each request: the log-in.
    pub headers: Vec<(String, Secret)>,
    /// What is taken out of whatever comes back: the secrets, however they are spelt.
    pub secrets: Vec<Secret>,
    /// Patterns of paths that change nothing whatever the method: Prometheus takes
    /// queries by POST.
    pub reads: Vec<String>,
    /// Patterns of paths where doing it again is the same, because the receiver heeds the
    /// idempotency key or the request says what is to be.
    pub idempotent: Vec<String>,
    /// The header that carries the idempotency key.
    pub idempotency_header: String,
    /// Longest time of one request, connecting included, in milliseconds.
    pub timeout_ms: u32,
    /// Longest body of an answer, in bytes.
    pub answer_bytes_max: usize,
}
