//! Redis's words: commands, replies, and what the common replies mean.

mod command;
mod error;
mod info;
mod keys;
mod packed;
mod role;
mod stream;
mod value;

pub use command::{Command, Request};
pub use error::{ErrorKind, RedisError};
pub use info::Info;
pub use keys::{Compared, Difference, Held, Holding, Holdings, Page, Unread};
pub use packed::{Flat, Head, Items, Replies, View};
pub use role::Role;
pub use stream::{StreamPlace, StreamReading, Streamed, Stretch, Unreadable};
pub use value::{Malformed, Node, Value};
