//! The doors in the sandbox wall, one folder each: what an attempt holds and how
//! it is linked (`mod`), the rule (`grant`), the functions (`host`), tests. What several
//! doors share stands beside them.

mod change;
pub(crate) mod clock;
mod dial;
pub mod exec;
pub mod http;
#[cfg(test)]
mod lab;
pub(crate) mod log;
pub mod probe;
pub(crate) mod progress;
pub mod redis;
mod secret;
mod tls;

/// What the operator let plugins reach besides Redis, secrets resolved.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// `[http]` of baton.toml.
    pub http: Vec<http::Endpoint>,
    /// `[exec]`.
    pub exec: Vec<exec::Command>,
    /// `[probe]`.
    pub probe: Vec<probe::Target>,
}
