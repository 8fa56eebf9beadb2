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
    /// Two reachable nodes say that they are master.
    SplitBrain,
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
    /// The furthest offset of it that any node has shown, bytes.
    pub offset: i64,
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
