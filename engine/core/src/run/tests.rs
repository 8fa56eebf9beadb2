//! The machine, feature by feature: a script of facts, and what the run makes of it.
//! The simulator looks for what nobody thought of; these say what was.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

mod ends;
mod fresh;
mod graph;
mod invocation;
mod lanes;
mod replay;
mod script;
