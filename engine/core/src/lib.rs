//! Baton's functional core: what a workflow is, what a run is, and what must
//! happen next.
//!
//! Nothing here waits, reads a clock, draws a random number, or touches a file
//! or a socket. Time, ids and jitter arrive inside events; whatever the world
//! still owes a run comes out as effects. `clippy.toml` beside this crate bans
//! what would break that.

pub mod expression;
pub mod id;
pub mod limits;
pub mod run;
pub mod workflow;

/// A JSON value: what plugins take and give, and what params are.
pub type Json = serde_json::Value;

/// Milliseconds since the Unix epoch, as told by an event; the core has no clock.
pub type Millis = u64;
