//! What the operator said of a target.

use baton_core::Json;

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
        /// What the body must hold.
        expected: Expected,
    },
    /// A WebSocket is opened, and a ping answered by its pong; or what is expected of a
    /// message comes.
    WebSocket {
        /// Where.
        url: Url,
        /// Whom to trust, where the URL says wss.
        tls: Tls,
        /// What is said first, if anything.
        subscribe: Option<String>,
        /// What a message must hold.
        expected: Expected,
    },
}

/// What an answer or a message must hold; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// This text.
    pub contains: Option<String>,
    /// As JSON these values, each by its pointer (RFC 6901).
    pub fields: Vec<(String, Json)>,
}

impl Expected {
    /// Whether anything will do.
    pub fn is_nothing(&self) -> bool {
        self.contains.is_none() && self.fields.is_empty()
    }

    /// The first that `body` lacks, in words that follow "without".
    pub(super) fn lacking(&self, body: &[u8]) -> Option<String> {
        let holds =
            |text: &String| body.windows(text.len()).any(|window| window == text.as_bytes());
        if let Some(text) = self.contains.as_ref().filter(|text| !holds(text)) {
            return Some(format!("{text:?}"));
        }
        if self.fields.is_empty() {
            return None;
        }
        let Ok(json) = serde_json::from_slice::<Json>(body) else {
            return Some("JSON".to_owned());
        };
        let is = |found: &Json, value: &Json| {
            found == value || found.as_f64().is_some_and(|number| Some(number) == value.as_f64())
        };
        let lacks = |(pointer, value): &&(String, Json)| {
            !json.pointer(pointer).is_some_and(|found| is(found, value))
        };
        self.fields.iter().find(lacks).map(|(pointer, value)| format!("{value} at {pointer}"))
    }

    /// In words that follow "with"; none if anything will do.
    pub(super) fn shown(&self) -> Option<String> {
        let text = self.contains.iter().map(|text| format!("{text:?}"));
        let fields = self.fields.iter().map(|(pointer, value)| format!("{value} at {pointer}"));
        let all: Vec<String> = text.chain(fields).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}
