//! `promote`: makes a replica the master, and everyone follow it.
//!
//! It converges by post-conditions. Every attempt derives what is left to do from
//! the cluster itself, never from what an earlier attempt meant to do, so that it
//! may be cut off after any command and run again:
//!
//! ```text
//! last look ─ another node is master of this history ─────────────► adopt it
//!     │       a Sentinel's failover is in progress ─ wait for it ─► look again
//!     ▼
//! REPLICAOF NO ONE on the chosen, unless it is master already       [`takeover`]
//!     ▼
//! re-point the other nodes, hello to the Sentinels, read back,    [`baton_succession`]
//! until all that can follow do
//! ```

mod takeover;

use baton_plugin::{About, Fault, Host, JsonSchema, Mode, Plugin};
use baton_succession::{Adoption, Ended, Succession, converge};
use baton_topology::Assessment;
use serde::{Deserialize, Serialize};
use takeover::take_over;

/// Default time for a Sentinel's own failover to end, ms: BondX's failover-timeout
/// is 10 s, and a leader that dies is replaced after twice that.
const YIELD_TIMEOUT_MS: u32 = 15_000;

/// How often it may yield to a master that a Sentinel made at the same time.
const YIELDS_MAX: u32 = 3;

/// Whom to promote, and what was known when it was chosen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Whom to promote, `host:port`.
    pub chosen: String,
    /// Of the chosen process: another process at this address is not promoted.
    pub run_id: String,
    /// The history it has to carry on.
    pub replid: String,
    /// How far it carried it when chosen, bytes; with less it is not promoted.
    pub offset: i64,
    /// The dead master, `host:port`.
    pub old_master: String,
    /// The whole output of `redis-assess`: epochs seen then count too.
    pub assessment: Assessment,
    /// How long to wait for Sentinels that hang, ms; 20000 if absent.
    pub adopt_timeout_ms: Option<u32>,
    /// How long to wait for a Sentinel's own failover, ms; 15000 if absent.
    pub yield_timeout_ms: Option<u32>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The master now.
    pub master: String,
    /// Somebody else had promoted it.
    pub adopted: bool,
    /// A Sentinel's failover was waited for.
    pub yielded: bool,
    /// The configuration epoch that the Sentinels agree on.
    pub epoch: i64,
    /// When it was known to be master, Unix ms.
    pub promoted_at_ms: u64,
    /// The history before and after.
    pub lineage: Handover,
    /// Nodes that follow it now.
    pub repointed: Vec<String>,
    /// Its `min-replicas-to-write`: with fewer replicas it refuses every write. None where
    /// it did not say.
    pub min_replicas: Option<i64>,
    /// Members that were not there to be told.
    pub unreachable: Vec<String>,
    /// Each Sentinel.
    pub sentinels: Vec<Adoption>,
    /// Oddities, for a person.
    pub notes: Vec<String>,
}

/// Where one history ended and the next began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Handover {
    /// The dead master's.
    pub old_replid: Option<String>,
    /// The new master's own.
    pub new_replid: Option<String>,
    /// The last byte of the old one that the new one carries on.
    pub promotion_offset: Option<i64>,
}

/// The plugin.
pub struct Promote;

impl Plugin for Promote {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "promote",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Makes a replica the master, and everyone follow it",
            redis_commands: &[
                "PING",
                "INFO",
                "REPLICAOF",
                "CONFIG|REWRITE",
                "CONFIG|GET",
                "CONFIG|SET",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
                "PUBLISH",
                "SENTINEL|REMOVE",
                "SENTINEL|MONITOR",
                "SENTINEL|SET",
                "SENTINEL|FLUSHCONFIG",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        if cluster.mode == Mode::Observe {
            return Err(Fault::permanent(
                "observe-mode",
                format!(
                    "cluster {} is in mode observe: set `mode = \"lead\"` or \"assist\" in baton.toml to let Baton promote",
                    cluster.name
                ),
            ));
        }
        let mut notes = Vec::new();
        let epochs = input.assessment.sentinels.iter().filter_map(|it| it.current_epoch);
        let epoch_seen = epochs.max().unwrap_or(0);
        let mut yields = 0;
        let (taken, settled) = loop {
            let taken = take_over(&cluster, &input, &mut notes, host)?;
            let succession = Succession {
                master: &taken.master,
                old_master: &input.old_master,
                epoch_seen,
                adopt_timeout_ms: input.adopt_timeout_ms,
            };
            match converge(&cluster, &succession, &mut notes, host)? {
                Ended::Settled(settled) => break (taken, settled),
                Ended::Yielded(to) if yields < YIELDS_MAX => {
                    yields += 1;
                    notes.push(format!("{} had taken no write and yielded to {to}", taken.master));
                }
                Ended::Yielded(to) => {
                    let why = format!("{} keeps yielding, now to {to}; assess again", taken.master);
                    return Err(Fault::retryable("unsettled", why));
                }
            }
        };
        Ok(Output {
            master: taken.master,
            adopted: taken.adopted,
            yielded: taken.yielded || yields > 0,
            epoch: settled.epoch,
            promoted_at_ms: taken.at_ms,
            lineage: taken.lineage,
            repointed: settled.following,
            min_replicas: taken.min_replicas,
            unreachable: settled.unreachable,
            sentinels: settled.sentinels,
            notes,
        })
    }
}

baton_plugin::export!(Promote);

#[cfg(test)]
mod tests;
