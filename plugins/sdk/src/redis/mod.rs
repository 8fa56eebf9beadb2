//! Redis's words: commands, replies, and what the common replies mean.

mod command;
mod error;
mod info;
mod role;
mod stream;
mod value;

pub use command::{Command, Request};
pub use error::{ErrorKind, RedisError};
pub use info::Info;
pub use role::Role;
pub use stream::{StreamPlace, StreamReading, Streamed, Stretch, Unreadable};
pub use value::{Malformed, Node, Value};
