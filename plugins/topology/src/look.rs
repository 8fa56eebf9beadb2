//! One look at a cluster: every member asked at once.

use crate::{Node, Watcher};
use baton_plugin::redis::{ErrorKind, RedisError, Request};
use baton_plugin::{Cluster, Fault, Host, MemberKind};

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Data nodes and Sentinels.
    Everyone,
    /// Data nodes and Sentinels; of a data node also its memory and our fence.
    Whole,
    /// Data nodes only.
    DataNodes,
}

/// What everyone said at one time.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it began, Unix ms.
    pub at_ms: u64,
    /// Data nodes in baton.toml's order.
    pub nodes: Vec<Node>,
    /// Sentinels in baton.toml's order; none if not asked.
    pub sentinels: Vec<Watcher>,
}

impl Look {
    /// A node by its address, however spelled.
    pub fn node(&self, address: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| crate::same_address(&node.address, address))
    }

    /// Nodes that say they are master.
    pub fn masters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_master())
    }

    /// Who has taken over from `old`: another node that says it is master and that most
    /// Sentinels that answer name, whoever else says so too. Without Sentinels the only other
    /// master; where there are some and none answers, nobody has.
    pub fn successor_of(&self, old: &str) -> Option<&Node> {
        let others = || self.masters().filter(|it| !crate::same_address(&it.address, old));
        if self.sentinels.is_empty() {
            return others().next().filter(|_| others().count() == 1);
        }
        let all = self.watching().count();
        let votes = |node: &Node| self.watching().filter(|it| it.names(&node.address)).count();
        others().find(|it| votes(it) * 2 > all)
    }

    /// Data nodes that answered something.
    pub fn reachable(&self) -> Vec<String> {
        self.nodes.iter().filter(|it| it.reachable).map(|it| it.address.clone()).collect()
    }

    /// Sentinels that answered and know the master.
    pub fn watching(&self) -> impl Iterator<Item = &Watcher> {
        self.sentinels.iter().filter(|it| it.reachable && it.master.is_some())
    }
}

/// Asks every member in one call; takes at most `timeout_ms`.
///
/// # Errors
/// A [`Fault`] where the step may not ask at all: a missing grant, an unknown
/// cluster. A member that does not answer is part of the look.
pub fn look<H: Host>(
    cluster: &Cluster,
    scope: Scope,
    timeout_ms: u32,
    host: &mut H,
) -> Result<Look, Fault> {
    let at_ms = host.now_ms();
    let data = cluster.addresses(MemberKind::Data);
    let sentinels = match scope {
        Scope::Everyone | Scope::Whole => cluster.addresses(MemberKind::Sentinel),
        Scope::DataNodes => Vec::new(),
    };
    let questions = match scope {
        Scope::Whole => Node::all_questions(),
        Scope::Everyone | Scope::DataNodes => Node::questions(),
    };
    let requests: Vec<Request> = data
        .iter()
        .map(|it| Request::new(it.clone(), questions.clone()))
        .chain(
            sentinels
                .iter()
                .map(|it| Request::new(it.clone(), Watcher::questions(&cluster.master_name))),
        )
        .collect();
    let mut answers = host
        .call(&cluster.name, &requests, timeout_ms)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?
        .into_iter();
    let mut next = |address: &String| {
        let missing = || RedisError::new(ErrorKind::Internal, "the host gave no result");
        let answer = answers.next().unwrap_or_else(|| Err(missing()));
        // A missing grant would make every member look ill: it is the author's mistake.
        match answer {
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::NotFound) => {
                Err(Fault::from_redis(&format!("cannot ask {address}"), &error))
            }
            answer => Ok(answer),
        }
    };
    let nodes =
        data.iter().map(|it| Ok(Node::read(it, &next(it)?))).collect::<Result<_, Fault>>()?;
    let sentinels = sentinels
        .iter()
        .map(|it| Ok(Watcher::read(it, &next(it)?)))
        .collect::<Result<_, Fault>>()?;
    Ok(Look { at_ms, nodes, sentinels })
}
