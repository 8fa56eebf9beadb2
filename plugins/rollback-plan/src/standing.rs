//! Where the old master stands on its way back. Pure.

use baton_topology::{Look, Node};

/// A replica may be behind by so much before a handover is tried, bytes: the same as
/// `switchover-plan` allows.
const GAP_BYTES_MAX: i64 = 1_000_000;

/// One of these, the first that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the master.
    Master,
    /// It does not answer.
    Gone { error: String },
    /// There is nobody to take over from.
    NoMaster,
    /// It says that it is master, beside another one.
    Alone { fenced: bool },
    /// It follows somebody else.
    Elsewhere { whom: String },
    /// It is taking a full copy, or reading its data.
    Copying,
    /// Its link is down.
    Unlinked,
    /// It follows, on another history still.
    OtherHistory,
    /// It follows, and its gate is a fence: its rejoin is not over.
    Fenced,
    /// It follows, so many bytes behind.
    Behind { bytes: i64 },
    /// Its `replica-priority` is 0.
    Never,
    /// Nothing of it is in the way.
    Ready,
}

/// Where `old` stands; `master` is the only one, if there is one.
pub(crate) fn standing(seen: &Look, old: &str, master: Option<&str>) -> Standing {
    let Some(node) = seen.node(old).filter(|it| it.role.is_some()) else {
        let error = seen.node(old).and_then(|it| it.error.clone());
        return Standing::Gone { error: error.unwrap_or_else(|| "no answer".into()) };
    };
    if node.is_master() {
        let others = seen.masters().any(|it| !crate::same(&it.address, old));
        return if others {
            Standing::Alone { fenced: node.is_fenced() }
        } else {
            Standing::Master
        };
    }
    let Some(head) = master.and_then(|it| seen.node(it)) else { return Standing::NoMaster };
    follower(node, head)
}

fn follower(node: &Node, head: &Node) -> Standing {
    if !node.follows(&head.address) {
        let whom = node.master_host_port.clone().unwrap_or_else(|| "nobody".into());
        return Standing::Elsewhere { whom };
    }
    if node.syncing || node.loading {
        return Standing::Copying;
    }
    if node.link_up != Some(true) {
        return Standing::Unlinked;
    }
    if node.replid != head.replid {
        return Standing::OtherHistory;
    }
    if node.is_fenced() {
        return Standing::Fenced;
    }
    if node.priority == Some(0) {
        return Standing::Never;
    }
    match head.offset.zip(node.offset).map(|(head, own)| head - own) {
        Some(bytes) if bytes > GAP_BYTES_MAX => Standing::Behind { bytes },
        Some(_) | None => Standing::Ready,
    }
}

impl Standing {
    /// What is in the way.
    pub(crate) fn block(&self, old: &str) -> Option<String> {
        Some(match self {
            Self::Master | Self::Ready => return None,
            Self::Gone { error } => format!("{old} does not answer ({error})"),
            Self::NoMaster => "there is not exactly one master to take over from".into(),
            Self::Alone { fenced: true } => {
                format!("{old} is back as a master, fenced: its rejoin is not over")
            }
            Self::Alone { fenced: false } => {
                format!("{old} is back as a master and takes writes: what it takes now is lost")
            }
            Self::Elsewhere { whom } => format!("{old} follows {whom}, not the master"),
            Self::Copying => format!("{old} is taking a full copy or reads its data"),
            Self::Unlinked => format!("{old} has no link to the master"),
            Self::OtherHistory => format!("{old} is still on another history"),
            Self::Fenced => {
                format!("{old} is fenced (min-replicas-to-write): its rejoin is not over")
            }
            Self::Behind { bytes } => format!("{old} is {bytes} bytes behind"),
            Self::Never => format!("{old} has replica-priority 0: never to be master"),
        })
    }

    /// What to type until it is master, in this order.
    pub(crate) fn commands(&self, cluster: &str, old: &str) -> Vec<String> {
        let rejoin = format!(
            "baton runs --workflow redis-rejoin (it waits for {old}); if none does: baton run workflows/redis-rejoin.toml --param cluster={cluster} --param node={old}"
        );
        let first = match self {
            Self::Master => return Vec::new(),
            Self::Ready => Vec::new(),
            Self::Gone { .. } => vec![format!("start {old}, on its machine"), rejoin],
            Self::NoMaster => {
                vec![format!("baton run workflows/redis-failover.toml --param cluster={cluster}")]
            }
            Self::Alone { .. } | Self::Elsewhere { .. } | Self::Fenced => vec![rejoin],
            Self::Copying | Self::OtherHistory | Self::Behind { .. } => {
                vec![format!(
                    "wait until {old} has caught up: baton run workflows/redis-rollback-plan.toml --param cluster={cluster} --param old_master={old}"
                )]
            }
            Self::Unlinked => {
                vec![
                    format!("look at the log of {old}: network, `masterauth`, `masteruser`"),
                    rejoin,
                ]
            }
            Self::Never => {
                vec![format!("CONFIG SET replica-priority 100 at {old}, if it shall be")]
            }
        };
        let doctor = format!("baton doctor {cluster}");
        let switch = format!(
            "baton run workflows/redis-switchover.toml --param cluster={cluster} --param target={old}"
        );
        first.into_iter().chain([doctor, switch]).collect()
    }
}
