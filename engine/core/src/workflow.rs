//! What a workflow is: from a TOML document to a plan that can run.
//!
//! ```text
//! source --parse--> Document (1:1 with the TOML) --check--> Plan (typed, acyclic, immutable)
//!                                                   \-----> Flaws (all of them, with spans)
//! ```
//! **Invariant:** a [`plan::Plan`] exists only if `check` found no flaw; nothing
//! after `check` checks again.

mod document;

mod check;
pub mod flaw;
mod params;
pub mod plan;

pub use check::{Asks, Library, PluginFacts, check};
pub use document::parse_duration;
pub use flaw::{Flaw, Flaws};
