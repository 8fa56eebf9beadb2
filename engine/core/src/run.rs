//! The run machine: what a run is, and what must happen next.
//!
//! Three total functions carry the engine. [`apply`] folds one journaled fact into
//! a run, [`outstanding`] says what the world still owes it, and [`step`] is their
//! difference. Recovery needs no code of its own: replay the journal with `apply`,
//! append `Interrupted` for attempts that were running, perform `outstanding`.
//!
//! ```text
//! event ─► apply ─► table (one lane) ─► settle (the graph) ─► Run ─► outstanding ─► effects
//! ```
//!
//! **Invariant:** nothing here knows of a journal, a timer or a plugin host.

mod apply;
mod effect;
pub mod event;
pub mod fault;
mod fresh;
mod hear;
mod invocation;
mod place;
mod scope;
mod settle;
mod shared;
#[cfg(test)]
mod sim;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use apply::{Illegal, Next, apply, step};
pub use effect::{Effect, outstanding};
pub use fresh::Staleness;
pub use invocation::{Done, Invocation, Replay, Taping};
pub use place::{AnswerRecord, AttemptEnd, AttemptRecord, CallRecord, Item, Question, State};
pub use shared::Shared;
pub use state::{Ending, Joined, Phase, Refresh, Run, SkipReason, StepRun};

/// Version of the rules: of [`event::Event`]'s meaning and of the transition table.
/// A run keeps the version it began with.
pub const RULES_VERSION: u32 = 1;
