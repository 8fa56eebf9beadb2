//! The Baton daemon and command line, as a library so that tests can reach its rooms.
//!
//! `cli -> http -> trigger -> runner -> {journal, host} -> core`; no arrow is ever reversed.

pub mod cli;
pub mod config;
pub mod http;
pub mod journal;
pub mod runner;
pub mod trigger;
