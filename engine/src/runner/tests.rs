//! Tests of the loop: through its handle, with journals that hold, fail and survive.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod attempts;
mod begin;
mod children;
mod clock;
mod ends;
mod failing;
mod gate;
mod keys;
mod lab;
mod questions;
mod reassess;
mod resume;
mod schedule;
mod shown;
mod switches;
mod tapes;
