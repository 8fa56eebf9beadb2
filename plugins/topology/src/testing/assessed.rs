//! What `redis-assess` would say of a simulated cluster.

use super::{DATA, HISTORY, Sim};
use crate::{Assessment, Evidence, Lineage, Scope, Verdict, look};

/// What `redis-assess` would say of a cluster whose first node is dead, without the
/// judgement: for tests of the plugins that come after it.
pub fn assessed(sim: &Sim) -> Assessment {
    let mut host = sim.host();
    let cluster = host.cluster.clone();
    let seen =
        look(&cluster, Scope::Everyone, 500, &mut host).expect("a simulated cluster can be asked");
    let of = seen.nodes.iter().filter(|it| it.is_of(HISTORY));
    let lineage = Lineage {
        replid: HISTORY.into(),
        offset: of.filter_map(|it| it.offset).max().unwrap_or(0),
    };
    Assessment {
        cluster: cluster.name,
        mode: cluster.mode.name().into(),
        verdict: Verdict::Dead,
        evidence: Evidence::DeadMaster,
        reason: "as the test says".into(),
        master: Some(DATA[0].into()),
        masters: seen.masters().map(|it| it.address.clone()).collect(),
        vantage: None,
        last_known: Vec::new(),
        replaced: None,
        nodes: seen.nodes,
        sentinels: seen.sentinels,
        lineage: Some(lineage),
        at_ms: seen.at_ms,
        down_after_ms: cluster.down_after_ms,
        max_lost_bytes: cluster.max_lost_bytes,
    }
}
