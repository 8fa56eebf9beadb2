//! What a cluster of Redis and Sentinel says of itself.
//!
//! Shared by the plugins that judge and change a cluster: one look at every member
//! at once ([`look`]), each member's answers as data ([`Node`], [`Watcher`]), and
//! the assessment that travels from `redis-assess` to `choose-replica` and
//! `promote`. It judges nothing and changes nothing.

mod address;
mod assessment;
mod gate;
mod look;
mod node;
#[cfg(feature = "testing")]
pub mod testing;
mod watcher;

pub use address::{same_address, split_address};
pub use assessment::{Assessment, Evidence, LastKnown, Lineage, Vantage, Verdict, Vote};
pub use gate::{
    FENCE_REPLICAS, gate_commands, gate_question, gates, is_fence, read_gate, usual_gate,
};
pub use look::{Look, Scope, look};
pub use node::{Health, Node};
pub use watcher::{Peer, Watcher};
