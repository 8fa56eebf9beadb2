//! The run machine: what a run is, and what must happen next.

pub mod event;
pub mod fault;

/// Version of the rules: of [`event::Event`]'s meaning and of the transition table.
/// A run keeps the version it began with.
pub const RULES_VERSION: u32 = 1;
