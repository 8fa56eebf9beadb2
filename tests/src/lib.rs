//! A laboratory: real Redis servers, real Sentinels and a real client, on
//! loopback, started and ended by the program that asks for them.
//!
//! It knows nothing of the engine's code. What it knows of Baton is what any
//! outsider knows: a binary to start, a configuration file, HTTP.
//!
//! Nothing outlives its owner: every server is ended when its handle drops,
//! and by the kernel when this process dies in any other way.

pub use baton_market as books;
pub mod chaos;
pub mod crash;
pub mod daemon;
pub mod exchange;
pub mod haproxy;
pub mod history;
pub mod island;
pub mod keeper;
pub mod keys;
pub mod kube;
pub mod lab;
pub mod market;
pub mod node;
mod ports;
pub mod probe;
pub mod prometheus;
pub mod query;
pub mod receiver;
pub mod trader;
pub mod wait;
pub mod web;

pub use lab::{Lab, Options};
pub use node::Node;
pub use wait::wait_until;
