//! A master's replication stream, as [`crate::Host::divergence`] reads it.

/// Where a reader of a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Of the next byte, as `master_repl_offset` counts.
    pub offset: i64,
    /// The database that the next command goes to; none as long as the stream has not
    /// named one.
    pub database: Option<u32>,
    /// Where the transaction began that it stands in, if it does.
    pub transaction: Option<i64>,
}

impl StreamPlace {
    /// Where nothing is known but the offset.
    pub fn at(offset: i64) -> Self {
        Self { offset, database: None, transaction: None }
    }
}

/// One write of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Of its first byte.
    pub offset: i64,
    /// Its length in the stream, bytes.
    pub size: u64,
    /// The database that it goes to, where the stream has named one.
    pub database: Option<u32>,
    /// Of the MULTI that it belongs to, if any.
    pub transaction: Option<i64>,
    /// `SET`, `XGROUP|CREATE`.
    pub name: String,
    /// The keys that it names, cut to 1 KiB each; none where its arguments do not tell.
    pub keys: Option<Vec<Vec<u8>>>,
    /// `keys` is all of its keys, and whole.
    pub whole: bool,
    /// The command for people: secrets blotted out, cut.
    pub text: String,
}

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// `master_repl_offset` of the node when it was read, of its last byte.
    pub end: i64,
    /// Its writes, in order.
    pub writes: Vec<Streamed>,
    /// Bytes that write nothing: PING, SELECT, MULTI, EXEC, REPLCONF, PUBLISH.
    pub idle_bytes: u64,
    /// Where to go on; none: this is all up to `end`.
    pub next: Option<StreamPlace>,
}

/// Why a stream cannot be had from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The node is on another history: it was restarted, or follows somebody.
    AnotherHistory,
    /// Its backlog begins later, or it has none.
    Overwritten,
    /// It would not go on from there.
    Refused,
}

impl Unreadable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AnotherHistory, Self::Overwritten, Self::Refused];

    /// As the contract spells it.
    pub fn code(self) -> &'static str {
        match self {
            Self::AnotherHistory => "another-history",
            Self::Overwritten => "overwritten",
            Self::Refused => "refused",
        }
    }
}

/// What a reading of a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamReading {
    /// This part of it.
    Read(Stretch),
    /// Why not, and in words what was found.
    Unreadable(Unreadable, String),
}
