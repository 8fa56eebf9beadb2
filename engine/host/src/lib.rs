//! Runs Baton's plugins: wasmtime, and the doors in the sandbox wall.
//!
//! A [`Plugin`] is a verified, compiled component. An [`Attempt`] says what to
//! run it on and what it may reach. [`Host::run`] gives a fresh store, lets it
//! run, and turns whatever happens (a fault, a trap, a limit) into a value.
//!
//! **Invariant:** this crate knows nothing of journals or workflows' order; what
//! must be on disk before a call is sent goes through [`Wall::intend`].

mod call;
pub mod capability;
mod engine;
mod guest;
mod host;
mod limits;
mod plugin;
mod tape;
mod text;
mod trap;

pub use capability::redis::is_read as redis_is_read;
pub use host::{
    Attempt, Context, Done, Durable, End, Ended, Host, Info, Kept, LoadError, Options,
    TAPE_VERSION, Wall, WallError,
};
pub use plugin::Plugin;
pub use tape::Divergence;
