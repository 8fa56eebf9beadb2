//! What starts runs besides a person: the outside world on one side, a
//! [`crate::runner::Begin`] on the other.
//!
//! **Invariant:** parsers and authentication are pure. They get bytes, headers and
//! the time, and give a verdict; nothing here listens, waits or stores.

mod alertmanager;
mod signature;
pub mod webhook;
