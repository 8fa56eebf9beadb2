//! What `redis-assess` hands on.

use crate::{Node, Watcher};
use baton_plugin::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names for what was seen, as orchestrator names its analyses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Evidence {
    /// The master answers and takes writes.
    Healthy,
    /// The master is dead: we, its replicas and its Sentinels do not contradict.
    DeadMaster,
    /// Only we cannot reach it: its replicas or Sentinels can.
    UnreachableFromEngine,
    /// We reach it; its replicas and Sentinels do not.
    MasterIsolatedFromReplicas,
    /// Dead as seen by us and the replicas, and no majority of Sentinels is left to act.
    SentinelQuorumLost,
    /// It answers and cannot write: MISCONF, OOM, BUSY, LOADING, too few replicas.
    WriteStalled,
    /// It came back empty while its replicas still hold data.
    MasterRebootedEmpty,
    /// Two reachable nodes say that they are master, and both take writes.
    SplitBrain,
    /// A master takes no writes because Baton has fenced it.
    FencedByBaton,
    /// A Sentinel is at work.
    FailoverInProgress,
    /// What was seen proves nothing.
    Unknown,
}

/// The evidence in one word for a workflow's `when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// A promotion is called for.
    Dead,
    /// Something is wrong that a promotion does not cure.
    Degraded,
    /// Nothing can be said.
    Unknown,
}

/// The history that a promotion must continue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lineage {
    /// The master's replication id.
    pub replid: String,
    /// The furthest offset of it that any node shows or, while it was reachable, has
    /// shown us, bytes.
    pub offset: i64,
}

/// What one of the three vantage points says of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    /// It sees it alive.
    Alive,
    /// It sees it dead.
    Dead,
    /// It sees nothing, or is not one voice.
    Mute,
}

/// The three vantage points. Two of them must see a master dead, or it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vantage {
    /// Our own connection to it.
    pub us: Vote,
    /// Its reachable replicas; one that hears it outweighs all that do not.
    pub replicas: Vote,
    /// More than half of all Sentinels listed.
    pub sentinels: Vote,
}

/// What a data node that does not show itself now said last, from the samples that
/// the host keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastKnown {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// `master` or `slave`.
    pub role: String,
    /// Of the process that said it.
    pub run_id: String,
    /// The history it was on.
    pub replid: String,
    /// How far, bytes.
    pub offset: i64,
    /// Keys, over all databases; none where that was not asked.
    pub keys: Option<i64>,
    /// When, Unix ms.
    pub at_ms: u64,
}

/// A cluster seen from every side.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    /// Its name in baton.toml.
    pub cluster: String,
    /// `observe`, `assist` or `lead`.
    pub mode: String,
    /// In one word.
    pub verdict: Verdict,
    /// By name.
    pub evidence: Evidence,
    /// One sentence for a person.
    pub reason: String,
    /// Whom it is about: what most Sentinels say; without them, whom the replicas
    /// follow; else the node that says so itself.
    pub master: Option<String>,
    /// Reachable nodes that say they are master.
    pub masters: Vec<String>,
    /// What each vantage point says of the master.
    #[serde(default)]
    pub vantage: Option<Vantage>,
    /// Data nodes that do not show themselves now, as they were seen last.
    #[serde(default)]
    pub last_known: Vec<LastKnown>,
    /// A master that another one has replaced, by Sentinels' majority and by history: it
    /// does not answer, or is master still and unfenced. None in mode `observe`.
    #[serde(default)]
    pub replaced: Option<String>,
    /// Every data node, in baton.toml's order.
    pub nodes: Vec<Node>,
    /// Every Sentinel, in baton.toml's order.
    pub sentinels: Vec<Watcher>,
    /// The history to continue; none where nobody shows one.
    pub lineage: Option<Lineage>,
    /// When the last look began, Unix ms.
    pub at_ms: u64,
    /// Sentinel's down-after-milliseconds, from baton.toml.
    pub down_after_ms: u32,
    /// Loss ceiling, bytes, from baton.toml.
    pub max_lost_bytes: u64,
}
