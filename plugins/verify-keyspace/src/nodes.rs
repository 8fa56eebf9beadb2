//! Which nodes, and which databases of them.

use crate::Input;
use baton_plugin::redis::{Command, Info, Request, Role};
use baton_plugin::{Fault, Host, MemberKind};
use std::collections::{BTreeMap, BTreeSet};

/// Longest wait for ROLE and INFO, ms.
const TIMEOUT_MS: u32 = 2000;

/// Whom to compare.
#[derive(Clone)]
pub(crate) struct Sides {
    pub(crate) left: String,
    pub(crate) right: Option<String>,
    pub(crate) databases: Vec<u32>,
    /// Keys of the left node by database, as INFO counts them.
    pub(crate) keys: BTreeMap<u32, u64>,
}

impl Sides {
    /// The node to hold against the left one.
    pub(crate) fn right(&self) -> Result<&str, Fault> {
        self.right.as_deref().ok_or_else(|| {
            let why = format!(
                "no replica of {} is attached and readable: name the node to compare as `right`",
                self.left
            );
            Fault::retryable("no-replica", why)
        })
    }

    /// Keys to walk over on the left, all databases together.
    pub(crate) fn total(&self) -> u64 {
        self.databases.iter().filter_map(|it| self.keys.get(it)).sum()
    }
}

struct Seen {
    address: String,
    role: Role,
    keys: BTreeMap<u32, u64>,
}

/// Asks every data node that was granted.
pub(crate) fn find<H: Host>(input: &Input, host: &mut H) -> Result<Sides, Fault> {
    let cluster = host
        .describe_cluster(&input.cluster)
        .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
    let all = cluster.addresses(MemberKind::Data);
    let ask = |address: &String| {
        let commands = vec![Command::line("ROLE"), Command::line("INFO keyspace")];
        Request::new(address.clone(), commands)
    };
    let requests: Vec<Request> = all.iter().map(ask).collect();
    let results = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot look for the nodes", &error))?;
    let mut seen = Vec::new();
    for (address, result) in all.into_iter().zip(results) {
        // Who does not answer is nobody to compare; who was named is missed below.
        let Ok(replies) = result else { continue };
        let role = replies.first().and_then(Role::from_value);
        let Some(role) = role else { continue };
        let info = replies.get(1).and_then(Info::from_value).unwrap_or_default();
        seen.push(Seen { address, role, keys: databases(&info) });
    }
    let left = match &input.left {
        Some(address) => named(&seen, address)?,
        None => master(&seen)?,
    };
    let right = match &input.right {
        Some(address) => Some(named(&seen, address)?),
        None => seen.iter().find(|it| follows(it, &left.address)),
    };
    if right.is_some_and(|right| right.address == left.address) {
        let why = format!("left and right are both {}: name two nodes", left.address);
        return Err(Fault::permanent("same-node", why));
    }
    let both = left.keys.keys().chain(right.into_iter().flat_map(|it| it.keys.keys()));
    let found: BTreeSet<u32> = both.copied().collect();
    let databases = input.databases.clone().unwrap_or_else(|| found.into_iter().collect());
    Ok(Sides {
        left: left.address.clone(),
        right: right.map(|it| it.address.clone()),
        databases,
        keys: left.keys.clone(),
    })
}

/// How far the left node has written, and the right one has read, bytes. None: the right one
/// does not follow it.
pub(crate) fn offsets<H: Host>(
    input: &Input,
    left: &str,
    right: &str,
    host: &mut H,
) -> Result<Option<(i64, i64)>, Fault> {
    let ask = |address: &str| Request::new(address, vec![Command::line("ROLE")]);
    let results = host
        .call(&input.cluster, &[ask(left), ask(right)], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask how far the nodes are", &error))?;
    let mut roles = Vec::new();
    for result in results {
        let replies = result
            .map_err(|error| Fault::from_redis("cannot ask how far the nodes are", &error))?;
        roles.push(replies.first().and_then(Role::from_value));
    }
    let wrote = match roles.first() {
        Some(Some(Role::Master { offset } | Role::Replica { offset, .. })) => *offset,
        _ => return Ok(None),
    };
    match roles.get(1) {
        Some(Some(Role::Replica { master, offset, .. })) if master == left => {
            Ok(Some((wrote, *offset)))
        }
        _ => Ok(None),
    }
}

fn named<'a>(seen: &'a [Seen], address: &str) -> Result<&'a Seen, Fault> {
    seen.iter().find(|it| it.address == address).ok_or_else(|| {
        let why = format!("{address} does not answer, or is no data node of the cluster");
        Fault::retryable("no-node", why)
    })
}

fn master(seen: &[Seen]) -> Result<&Seen, Fault> {
    let masters: Vec<&Seen> =
        seen.iter().filter(|it| matches!(it.role, Role::Master { .. })).collect();
    match masters[..] {
        [one] => Ok(one),
        [] => Err(Fault::retryable("no-master", "no reachable node is master: name `left`")),
        _ => {
            let names: Vec<&str> = masters.iter().map(|it| it.address.as_str()).collect();
            let why = format!("{} all are master: name `left` and `right`", names.join(" and "));
            Err(Fault::permanent("split-brain", why))
        }
    }
}

fn follows(node: &Seen, left: &str) -> bool {
    matches!(&node.role, Role::Replica { master, link, .. } if master == left && link == "connected")
}

/// `db0:keys=5,expires=0,avg_ttl=0`.
fn databases(info: &Info) -> BTreeMap<u32, u64> {
    // Redis allows any number; nobody has more.
    (0..64)
        .filter_map(|number: u32| {
            let text = info.get(&format!("db{number}"))?;
            let keys = text.split(',').find_map(|it| it.strip_prefix("keys="))?;
            Some((number, keys.parse().ok()?))
        })
        .collect()
}
