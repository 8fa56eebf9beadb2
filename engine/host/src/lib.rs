//! Runs Baton's plugins: wasmtime, and the doors in the sandbox wall.
//!
//! A [`Plugin`] is a verified, compiled component. An [`Attempt`] says what to
//! run it on and what it may reach. [`Host::run`] gives a fresh store, lets it
//! run, and turns whatever happens (a fault, a trap, a limit) into a value.
//!
//! **Invariant:** this crate knows nothing of journals or workflows' order; what
//! must be on disk before a call is sent goes through [`Wall::intend`].

pub mod capability;
mod host;

pub use host::{Attempt, Context, Done, Host, Info, LoadError, Options, Plugin, Wall, WallError};
