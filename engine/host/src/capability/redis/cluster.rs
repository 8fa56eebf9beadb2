//! What the operator said of a cluster, secrets resolved.

use std::collections::BTreeMap;

use crate::capability::secret::Secret;
use crate::capability::tls::Tls;

/// One Redis deployment: a master, its replicas and their Sentinels.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name in baton.toml.
    pub name: String,
    /// What Sentinel calls its master.
    pub master_name: String,
    /// What Baton may do to it.
    pub mode: Mode,
    /// `host:port` of every data node.
    pub nodes: Vec<String>,
    /// `host:port` of every Sentinel.
    pub sentinels: Vec<String>,
    /// Failure domains (a rack, a zone of a cloud) of members, by address.
    pub zones: BTreeMap<String, String>,
    /// How to log in to data nodes.
    pub auth: Auth,
    /// How to log in to Sentinels.
    pub sentinel_auth: Auth,
    /// TLS for all connections, if any.
    pub tls: Option<Tls>,
    /// Protocol version asked for: 2 or 3.
    pub resp: u8,
    /// Sentinel's down-after-milliseconds.
    pub down_after_ms: u32,
    /// A supervisor may restart a killed master within this time, ms.
    pub restart_grace_ms: u32,
    /// Loss ceiling of a promotion, in bytes of replication stream.
    pub max_lost_bytes: u64,
}

/// What Baton may do to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Detect and report; every changing command is refused.
    Observe,
    /// Sentinel acts; Baton takes over when it does not.
    Assist,
    /// Baton acts on evidence.
    Lead,
}

/// Log-in of a node.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// ACL user; none: `default`.
    pub username: Option<String>,
    /// Password; none: no AUTH is sent.
    pub password: Option<Secret>,
}
