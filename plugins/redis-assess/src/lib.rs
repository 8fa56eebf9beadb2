//! `redis-assess`: looks at a cluster from every side and names what it sees.
//!
//! Read-only. The judgement itself is one pure table in [`evidence`].

pub mod evidence;

use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use baton_topology::{Assessment, Lineage, Look, Scope, Verdict, look};
use evidence::{Judgement, Patience, confirm, judge};
use serde::Deserialize;

/// Longest wait for a member, ms, connecting included. One member that hangs makes
/// every look take this long, so it stands between a dead master and its successor.
const TIMEOUT_MS: u32 = 300;

/// Between the two looks that a death needs, ms.
const CONFIRM_MS: u32 = 100;

/// What to look at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// Between the two looks that a death needs, ms; 100 if absent.
    pub confirm_ms: Option<u32>,
}

/// The plugin.
pub struct RedisAssess;

impl Plugin for RedisAssess {
    type Input = Input;
    type Output = Assessment;

    fn about() -> About {
        About {
            name: "redis-assess",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Looks at a cluster from every side and names what it sees",
            redis_commands: &[
                "PING",
                "INFO",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|MYID",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Assessment, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let patience = Patience {
            down_after_ms: cluster.down_after_ms,
            restart_grace_ms: cluster.restart_grace_ms,
        };
        let mut seen = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
        let mut judged = judge(&seen, patience);
        if judged.verdict == Verdict::Dead {
            host.sleep(input.confirm_ms.unwrap_or(CONFIRM_MS));
            let again = look(&cluster, Scope::Everyone, TIMEOUT_MS, host)?;
            judged = confirm(&judged, &seen, judge(&again, patience), &again);
            seen = again;
        }
        let Judgement { evidence, verdict, master, reason } = judged;
        Ok(Assessment {
            cluster: cluster.name,
            mode: cluster.mode.name().into(),
            verdict,
            evidence,
            reason,
            masters: seen.masters().map(|it| it.address.clone()).collect(),
            lineage: lineage(&seen, master.as_deref()),
            master,
            nodes: seen.nodes,
            sentinels: seen.sentinels,
            at_ms: seen.at_ms,
            down_after_ms: cluster.down_after_ms,
            max_lost_bytes: cluster.max_lost_bytes,
        })
    }
}

/// The history to continue: the master's own if it answers, else the one that most
/// of its reachable replicas carry. The offset is the furthest that anyone shows; a
/// dead master's own last offset is known to nobody, so it may have been further.
pub fn lineage(look: &Look, master: Option<&str>) -> Option<Lineage> {
    let master = master?;
    let living = look.node(master).filter(|it| it.is_master()).and_then(|it| it.replid.clone());
    let replid = living.or_else(|| carried(look, master))?;
    let offset =
        look.nodes.iter().filter(|it| it.is_of(&replid)).filter_map(|it| it.offset).max()?;
    Some(Lineage { replid, offset })
}

/// The history that the dead master's replicas carry; a node promoted since then
/// has it as its second one.
fn carried(look: &Look, master: &str) -> Option<String> {
    let of = |node: &baton_topology::Node| {
        if node.follows(master) {
            node.replid.clone()
        } else if node.is_master() {
            node.replid2.clone()
        } else {
            None
        }
    };
    let all: Vec<String> = look.nodes.iter().filter_map(of).collect();
    let votes = |one: &str| all.iter().filter(|it| *it == one).count();
    all.iter().max_by_key(|it| votes(it)).cloned()
}

baton_plugin::export!(RedisAssess);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::redis::ErrorKind;
    use baton_plugin::testing::{FakeCluster, Responder};
    use baton_topology::Evidence;
    use baton_topology::testing::{DATA, HISTORY, Sim};

    fn assess<R: Responder>(host: &mut FakeCluster<R>) -> Assessment {
        RedisAssess::run(Input { cluster: "bondx".into(), confirm_ms: None }, host).unwrap()
    }

    #[test]
    fn a_healthy_cluster_costs_one_look() {
        let mut host = Sim::bondx().host();
        let seen = assess(&mut host);
        assert_eq!((seen.verdict, seen.evidence), (Verdict::Healthy, Evidence::Healthy));
        assert_eq!(seen.master.as_deref(), Some(DATA[0]));
        assert_eq!(seen.sentinels[0].known.len(), 2);
        assert_eq!(host.count_sent("PING"), 3);
    }

    #[test]
    fn a_killed_master_is_dead_after_two_looks_100_ms_apart() {
        let mut host = Sim::killed().host();
        let begun_ms = host.now_ms;
        let seen = assess(&mut host);
        assert_eq!((seen.verdict, seen.evidence), (Verdict::Dead, Evidence::DeadMaster));
        assert_eq!(seen.lineage, Some(Lineage { replid: HISTORY.into(), offset: 1000 }));
        assert_eq!(host.count_sent("PING"), 6);
        assert!(host.now_ms - begun_ms >= 100);
        assert!(seen.masters.is_empty());
    }

    #[test]
    fn a_missing_grant_is_a_fault_and_not_a_dead_master() {
        let sim = Sim::bondx();
        sim.node(0, |node| node.down = Some(ErrorKind::Denied));
        let input = Input { cluster: "bondx".into(), confirm_ms: None };
        assert_eq!(RedisAssess::run(input, &mut sim.host()).unwrap_err().code, "denied");
    }

    #[test]
    fn a_half_done_promotion_keeps_the_lineage_of_the_dead_master() {
        let sim = Sim::killed();
        sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
        sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
        let seen = assess(&mut sim.host());
        assert_eq!(seen.verdict, Verdict::Dead, "{}", seen.reason);
        assert_eq!(seen.masters, [DATA[1]]);
        assert_eq!(seen.lineage.unwrap().replid, HISTORY);
    }

    #[test]
    fn the_output_has_the_names_that_other_steps_use() {
        let json = serde_json::to_value(assess(&mut Sim::killed().host())).unwrap();
        assert_eq!(json["verdict"], "dead");
        assert_eq!(json["evidence"], "DeadMaster");
        assert_eq!(json["nodes"][1]["master_host_port"], DATA[0]);
        assert!(json["nodes"][0]["role"].is_null());
        assert_eq!(json["sentinels"][0]["quorum"], 2);
    }
}
