//! What data nodes said of themselves, kept: who was on which history, and how far.
//!
//! A node that is gone cannot be asked, and one that restarted has forgotten (Redis 7.0
//! comes up from its append-only file with a new replication id and offset 0). So the
//! host takes a sample of every INFO that passes it, whoever asked, and keeps it in
//! memory and on disk. Nothing else can say later who was ahead, or what was lost.
//!
//! A node's past is a list of *stretches*: times in which it was one process with one
//! role on one history. Of each the first and the newest sample is kept, so that steady
//! progress costs nothing and no change is ever thinned out.
//!
//! **Invariant:** samples come from servers only ([`read::sample`] over replies to
//! INFO); no guest and no file but our own has a hand in them. **Invariant:** keeping
//! them never holds up nor fails a call: what cannot be kept is lost and said.

mod keeper;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::guest::wit::redis::{Node, Sample};
use crate::limits;

use super::grant::Command;
pub(crate) use keeper::Keeper;

/// The past of one cluster.
pub(super) struct Lineage {
    cluster: String,
    nodes: Mutex<BTreeMap<String, VecDeque<Stretch>>>,
    keeper: Keeper,
}

/// One process in one role on one history.
#[derive(Clone, Debug, PartialEq)]
struct Stretch {
    first: Sample,
    newest: Sample,
    /// When a sample of it went to disk last, Unix ms.
    kept_ms: u64,
}

impl Lineage {
    /// The past of `cluster`, whose data nodes are `addresses`, as far as `keeper` has it.
    pub(super) fn open(cluster: &str, addresses: &[String], keeper: Keeper) -> Self {
        let mut nodes = BTreeMap::new();
        for sample in keeper.load(cluster) {
            if addresses.contains(&sample.address) {
                let at_ms = sample.at_ms;
                take(&mut nodes, sample, at_ms);
            }
        }
        Self { cluster: cluster.to_owned(), nodes: Mutex::new(nodes), keeper }
    }

    /// Takes a sample of what a data node just replied, if it said enough.
    pub(super) fn hear(&self, address: &str, commands: &[Command], replies: &[Vec<Node>]) {
        let infos = commands.iter().zip(replies).filter(|(command, _)| command.name == "INFO");
        let Some(sample) =
            read::sample(address, now_ms(), infos.map(|(_, reply)| reply.as_slice()))
        else {
            return;
        };
        let due = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            take(&mut nodes, sample.clone(), now_ms())
        };
        if due {
            self.keeper.keep(&self.cluster, &sample);
        }
    }

    /// First and newest sample of each stretch, node by node, in order of time.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        for stretch in nodes.values().flatten() {
            samples.push(stretch.first.clone());
            if stretch.newest.at_ms != stretch.first.at_ms {
                samples.push(stretch.newest.clone());
            }
        }
        samples
    }
}

/// Takes `sample` in; gives whether it is due on disk.
fn take(nodes: &mut BTreeMap<String, VecDeque<Stretch>>, sample: Sample, now_ms: u64) -> bool {
    let past = nodes.entry(sample.address.clone()).or_default();
    if let Some(stretch) = past.back_mut().filter(|it| is_same(&it.newest, &sample)) {
        // A clock that was set back must not stop the keeping.
        let due = now_ms.abs_diff(stretch.kept_ms) >= limits::LINEAGE_KEEP_EVERY_MS;
        if due {
            stretch.kept_ms = now_ms;
        }
        stretch.newest = sample;
        return due;
    }
    if past.len() == limits::LINEAGE_STRETCHES_MAX {
        past.pop_front();
    }
    past.push_back(Stretch { first: sample.clone(), newest: sample, kept_ms: now_ms });
    true
}

/// Whether both are of one stretch.
fn is_same(one: &Sample, other: &Sample) -> bool {
    one.run_id == other.run_id
        && one.master == other.master
        && one.replid == other.replid
        && one.replid2 == other.replid2
        && one.second_offset == other.second_offset
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
