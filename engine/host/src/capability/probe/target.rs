//! What the operator said of a target.

pub use crate::capability::dial::{Address, Url};
pub use crate::capability::tls::Tls;

/// Something to look at.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in baton.toml.
    pub name: String,
    /// How to look.
    pub look: Look,
    /// Longest time of one look, in milliseconds.
    pub timeout_ms: u32,
}

/// How to look.
#[derive(Clone, Debug)]
pub enum Look {
    /// Somebody accepts a connection.
    Tcp(Address),
    /// A GET is answered.
    Http {
        /// What is asked for.
        url: Url,
        /// Whom to trust, where the URL says https.
        tls: Tls,
        /// Statuses that are up; none: any of 200 to 299.
        statuses: Vec<u16>,
        /// What the body must hold, if anything.
        contains: Option<String>,
    },
    /// A WebSocket is opened, and a ping answered by its pong.
    WebSocket {
        /// Where.
        url: Url,
        /// Whom to trust, where the URL says wss.
        tls: Tls,
    },
}
