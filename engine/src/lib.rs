//! The Baton daemon and command line, as a library so that tests can reach its rooms.
//!
//! `cli -> engine -> http -> trigger -> runner -> {journal, host} -> core`; no arrow is
//! ever reversed. `library` reads the configured folders for whoever needs them.

pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod journal;
pub mod library;
pub mod runner;
pub mod trigger;
