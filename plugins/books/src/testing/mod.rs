//! Markets drawn from a seed, in a Redis in memory: for the unit tests of plugins.

mod scene;
mod store;

pub use scene::{Scene, keys_of, mismatch, passive, trades};
pub use store::{Command, Data, Entry, Meanwhile, Store};
