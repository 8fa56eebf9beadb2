//! What people read: views in, text out. Everything here is pure.

pub(super) mod doctor;
pub(super) mod graph;
pub(super) mod journal;
pub(super) mod live;
pub(super) mod look;
mod page;
pub(super) mod plan;
pub(super) mod plugins;
pub(super) mod replay;
pub(super) mod run;
pub(super) mod runs;
pub(super) mod switches;
mod table;
pub(super) mod words;

pub(super) use look::Look;

#[cfg(test)]
mod samples;
