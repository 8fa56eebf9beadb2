//! The project's integration tests: one binary, real Redis, real Sentinels.
//! A test never skips itself: `cargo xtask test` brings what they need.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod app;
mod approvals;
mod chaos;
mod cli;
mod crash;
mod detection;
mod disk;
mod doctor;
mod doors;
mod flaws;
mod house;
mod journal;
mod keyspace;
mod lab;
mod lost;
mod plan;
mod runbook;
mod switches;
mod switchover;
mod takeover;
mod tapes;
mod verdicts;
mod versions;
mod watches;
mod workflows;
