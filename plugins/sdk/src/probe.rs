//! Looks at targets of baton.toml.

/// What was seen of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// It answers as it should.
    pub up: bool,
    /// Until that was known, ms.
    pub latency_ms: u32,
    /// In words: what was seen.
    pub reason: String,
}
