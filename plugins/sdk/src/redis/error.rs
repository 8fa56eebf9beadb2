//! Why a member gave no reply.

use std::fmt;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not granted; the message names the line that would allow it.
    Denied,
    /// No such cluster or node in baton.toml.
    NotFound,
    /// Connection refused by the node's own address: no process listens there.
    Refused,
    /// No route, or no answer to the connection attempt in time.
    Unreachable,
    /// Connected, but no reply in time. A changing command is then in doubt.
    TimedOut,
    /// The connection broke. A changing command is then in doubt.
    Closed,
    /// NOAUTH, WRONGPASS, NOPERM at the handshake: never a sign of death.
    Unauthorized,
    /// Bytes that are not RESP.
    Protocol,
    /// A bound of the host was met; the message names it.
    Limit,
    /// The host could not do its part.
    Internal,
    /// The attempt was cut off while this very request was on its way, and is
    /// replayed. It may have been done and is not sent again: look, then decide.
    InDoubt,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Denied,
        Self::NotFound,
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Closed,
        Self::Unauthorized,
        Self::Protocol,
        Self::Limit,
        Self::Internal,
        Self::InDoubt,
    ];

    /// Short, stable, kebab-case.
    pub fn code(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Closed => "closed",
            Self::Unauthorized => "unauthorized",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Internal => "internal",
            Self::InDoubt => "in-doubt",
        }
    }

    /// Whether a change that was asked for may have been done.
    pub fn leaves_doubt(self) -> bool {
        matches!(self, Self::TimedOut | Self::Closed | Self::InDoubt)
    }

    /// Whether it stays so until a person acts.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Denied | Self::NotFound | Self::Unauthorized | Self::Limit)
    }
}

/// A member gave no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl RedisError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.kind.code(), self.message)
    }
}
