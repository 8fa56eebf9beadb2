//! Until everyone follows a new master.
//!
//! Shared by the plugins that make one (`promote`, `switchover`) and the one that watches
//! over it (`settle`): re-point the nodes, tell the Sentinels by hello, read back
//! ([`converge`]); and what is done when a Sentinel makes another one at the same time.

mod attached;
mod convergence;
mod fallback;
mod hello;
mod rival;

use baton_plugin::JsonSchema;
use serde::Serialize;

pub use attached::{Attached, attached};
pub use convergence::{Ended, Settled, converge, note_rewrite};
pub use hello::Configuration;
pub use rival::is_untouched;

/// Longest wait for a member, ms, connecting included. It stands between a dead
/// master and the first write on the new one whenever some member hangs.
pub const TIMEOUT_MS: u32 = 300;

/// Default time for every Sentinel to adopt, ms: a stopped one is waited for.
pub const ADOPT_TIMEOUT_MS: u32 = 20_000;

/// A Sentinel that answers and has not adopted by hello after this is set up anew, ms.
pub(crate) const FALLBACK_MS: u32 = 3000;

/// Who succeeds whom.
#[derive(Clone, Copy, Debug)]
pub struct Succession<'a> {
    /// The new master, `host:port`.
    pub master: &'a str,
    /// The one before it. Should it be a master still, or again, it is not re-pointed:
    /// it may hold writes that nobody else has.
    pub old_master: &'a str,
    /// The highest epoch seen anywhere before.
    pub epoch_seen: i64,
    /// How long Sentinels that hang are waited for, ms; 20000 if none.
    pub adopt_timeout_ms: Option<u32>,
}

/// A Sentinel after the hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Adoption {
    /// `host:port`.
    pub address: String,
    /// It hands out the new master.
    pub adopted: bool,
    /// The epoch of its configuration.
    pub config_epoch: Option<i64>,
}
