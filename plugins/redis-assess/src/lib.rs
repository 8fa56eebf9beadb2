//! `redis-assess`: looks at a cluster from every side and names what it sees.
//!
//! Read-only. The judgement itself is one pure table in [`evidence`].

pub mod evidence;
pub mod past;

use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Level, Mode, Plugin, Sample};
use baton_topology::{Assessment, Look, Node, Scope, Verdict, look};
use evidence::{Judgement, Patience, confirm, judge, seen_from};
use past::{last_known, lineage, replaced};
use serde::Deserialize;

/// Longest wait for a member, ms, connecting included. One member that hangs makes
/// every look take this long, so it stands between a dead master and its successor.
const TIMEOUT_MS: u32 = 300;

/// Between the two looks that a death needs, ms.
const CONFIRM_MS: u32 = 100;

/// A process that is younger may have come back without its data, s: as long as the host
/// keeps samples of the one before.
const YOUNG_S: i64 = 600;

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
                "CONFIG|GET",
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
        let mut seen = look(&cluster, Scope::Whole, TIMEOUT_MS, host)?;
        let mut judged = judge(&seen, patience, &[]);
        // While all is well the past tells nothing new.
        let samples = if is_plain(&seen, &judged) { Vec::new() } else { samples(&cluster, host) };
        if !samples.is_empty() {
            judged = judge(&seen, patience, &samples);
        }
        if judged.verdict == Verdict::Dead {
            host.sleep(input.confirm_ms.unwrap_or(CONFIRM_MS));
            let again = look(&cluster, Scope::Whole, TIMEOUT_MS, host)?;
            judged = confirm(&judged, &seen, judge(&again, patience, &samples), &again);
            seen = again;
        }
        let vantage = seen_from(&seen, &judged, patience);
        let known = last_known(&seen, &samples);
        let replaced = replaced(&seen, judged.master.as_deref(), &known);
        let Judgement { evidence, verdict, master, reason } = judged;
        Ok(Assessment {
            cluster: cluster.name,
            mode: cluster.mode.name().into(),
            verdict,
            evidence,
            reason,
            masters: seen.masters().map(|it| it.address.clone()).collect(),
            vantage,
            lineage: lineage(&seen, master.as_deref(), &known),
            last_known: known,
            replaced: replaced.filter(|_| cluster.mode != Mode::Observe),
            master,
            nodes: seen.nodes,
            sentinels: seen.sentinels,
            at_ms: seen.at_ms,
            down_after_ms: cluster.down_after_ms,
            max_lost_bytes: cluster.max_lost_bytes,
        })
    }
}

/// Nothing is amiss, and nobody is empty or so young that it may have come back without
/// its data.
fn is_plain(seen: &Look, judged: &Judgement) -> bool {
    let is_settled = |it: &Node| it.keys != Some(0) && it.uptime_s.is_none_or(|it| it > YOUNG_S);
    judged.verdict == Verdict::Healthy && seen.nodes.iter().all(is_settled)
}

/// What the host has kept. A look is worth something without it.
fn samples<H: Host>(cluster: &Cluster, host: &mut H) -> Vec<Sample> {
    host.lineage(&cluster.name).unwrap_or_else(|error| {
        host.log(Level::Warn, &format!("the samples kept of the nodes are not to be had: {error}"));
        Vec::new()
    })
}

baton_plugin::export!(RedisAssess);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::redis::ErrorKind;
    use baton_plugin::testing::{FakeCluster, Responder};
    use baton_topology::testing::{DATA, HISTORY, Sim};
    use baton_topology::{Evidence, Lineage, Vantage, Vote};

    fn assess<R: Responder>(host: &mut FakeCluster<R>) -> Assessment {
        RedisAssess::run(Input { cluster: "bondx".into(), confirm_ms: None }, host).unwrap()
    }

    #[test]
    fn a_healthy_cluster_costs_one_look() {
        let mut host = Sim::bondx().host();
        host.samples = vec![master_sample(&host, 1)];
        let seen = assess(&mut host);
        assert!(seen.last_known.is_empty());
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

    /// The first node was a master of `HISTORY` that far, 300 ms before.
    fn master_sample<R>(host: &FakeCluster<R>, offset: i64) -> Sample {
        Sample {
            address: DATA[0].into(),
            at_ms: host.now_ms - 300,
            run_id: format!("run-{}", DATA[0]),
            master: true,
            replid: HISTORY.into(),
            replid2: "0".repeat(40),
            second_offset: -1,
            offset,
            keys: Some(10),
        }
    }

    #[test]
    fn a_dead_masters_last_offset_is_known_from_the_samples() {
        let mut host = Sim::killed().host();
        host.samples = vec![master_sample(&host, 900), master_sample(&host, 1234)];
        host.samples[0].at_ms -= 1000;
        let seen = assess(&mut host);
        assert_eq!(seen.verdict, Verdict::Dead, "{}", seen.reason);
        assert_eq!(seen.lineage, Some(Lineage { replid: HISTORY.into(), offset: 1234 }));
        let [known] = &seen.last_known[..] else { panic!("{:?}", seen.last_known) };
        assert_eq!((known.address.as_str(), known.role.as_str()), (DATA[0], "master"));
        assert_eq!((known.offset, known.at_ms), (1234, host.now_ms - 400));
        let votes = Vantage { us: Vote::Dead, replicas: Vote::Dead, sentinels: Vote::Alive };
        assert_eq!(seen.vantage, Some(votes), "Sentinels have not noticed yet");
    }

    #[test]
    fn the_masters_own_history_is_continued_and_not_the_one_that_more_replicas_carry() {
        let sim = Sim::killed();
        for replica in [1, 2] {
            sim.node(replica, |it| (it.replid, it.offset) = ("b".repeat(40), 9_999_999));
        }
        let mut host = sim.host();
        assert_eq!(assess(&mut host).lineage.unwrap().replid, "b".repeat(40));
        sim.node(1, |it| (it.replid, it.offset) = (HISTORY.into(), 1000));
        assert_eq!(assess(&mut host).lineage, None, "one of each, and nothing tells which");
        host.samples = vec![master_sample(&host, 1000)];
        assert_eq!(assess(&mut host).lineage.unwrap().replid, HISTORY);
        // A sample of a history that nobody carries any more proves nothing.
        sim.node(1, |it| it.replid = "b".repeat(40));
        assert_eq!(assess(&mut host).lineage.unwrap().replid, "b".repeat(40));
    }

    #[test]
    fn a_master_that_sentinel_has_replaced_is_told_from_one_that_is_only_away() {
        let sim = Sim::killed();
        sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
        sim.host().call_as_test(DATA[2], "REPLICAOF 127.0.0.1 7002");
        let mut host = sim.host();
        host.samples = vec![master_sample(&host, 1000)];
        assert_eq!(assess(&mut host).replaced, None, "most Sentinels name it still");
        for index in 0..3 {
            sim.sentinel(index, |it| it.master = DATA[1].into());
        }
        let mut host = sim.host();
        assert_eq!(assess(&mut host).replaced, None, "nothing tells that it was master");
        host.samples = vec![master_sample(&host, 1000)];
        assert_eq!(assess(&mut host).replaced.as_deref(), Some(DATA[0]));
        host.samples[0].replid = "c".repeat(40);
        assert_eq!(assess(&mut host).replaced, None, "of another history");
        // It is back, as a master, and takes writes.
        sim.node(0, |it| it.down = None);
        let seen = assess(&mut sim.host());
        assert_eq!(seen.evidence, Evidence::SplitBrain);
        assert_eq!(seen.replaced.as_deref(), Some(DATA[0]));
        let mut observed = sim.host();
        observed.cluster.mode = Mode::Observe;
        assert_eq!(assess(&mut observed).replaced, None);
        sim.host().call_as_test(DATA[0], "CONFIG SET min-replicas-to-write 100");
        assert_eq!(assess(&mut sim.host()).replaced, None, "it is fenced");
        // A promotion by hand that the Sentinels have not been told of: the new one stays.
        for index in 0..3 {
            sim.sentinel(index, |it| it.master = DATA[0].into());
        }
        sim.host().call_as_test(DATA[0], "CONFIG SET min-replicas-to-write 0");
        assert_eq!(assess(&mut sim.host()).replaced, None);
    }

    #[test]
    fn of_two_that_sentinels_have_promoted_the_one_that_most_do_not_name_is_replaced() {
        let sim = Sim::killed();
        for replica in [DATA[1], DATA[2]] {
            sim.host().call_as_test(replica, "REPLICAOF NO ONE");
        }
        for index in 0..3 {
            sim.sentinel(index, |it| it.master = DATA[2].into());
        }
        assert_eq!(assess(&mut sim.host()).replaced.as_deref(), Some(DATA[1]));
        sim.sentinel(0, |it| it.master = DATA[1].into());
        sim.sentinel(1, |it| it.master = DATA[0].into());
        assert_eq!(assess(&mut sim.host()).replaced, None, "they do not agree");
    }

    #[test]
    fn a_master_that_came_back_empty_is_known_even_after_all_have_copied_that() {
        let sim = Sim::bondx();
        for index in 0..3 {
            sim.node(index, |it| (it.keys, it.offset, it.replid) = (0, 14, "b".repeat(40)));
        }
        sim.node(0, |it| it.run_id = "another".into());
        let mut host = sim.host();
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy, "an empty cluster is one");
        host.samples = vec![master_sample(&host, 1000)];
        let seen = assess(&mut host);
        assert_eq!(seen.evidence, Evidence::MasterRebootedEmpty);
        assert!(seen.reason.contains("held 10 keys, at offset 1000"), "{}", seen.reason);
        // Restarted once more since then, and still empty.
        let emptied = Sample {
            run_id: "between".into(),
            replid: "c".repeat(40),
            keys: Some(0),
            ..master_sample(&host, 0)
        };
        host.samples.push(emptied);
        assert_eq!(assess(&mut host).evidence, Evidence::MasterRebootedEmpty);
        // Emptied by command before it restarted.
        host.samples.truncate(1);
        host.samples.push(Sample { keys: Some(0), ..master_sample(&host, 1001) });
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy);
        host.samples.truncate(1);
        // Emptied by command: the same process, or the same history.
        host.samples[0].run_id = "another".into();
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy);
        host.samples[0].run_id = "an older one".into();
        host.samples[0].replid = "b".repeat(40);
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy);
    }

    #[test]
    fn a_master_that_came_back_empty_is_known_after_clients_have_written_again() {
        let sim = Sim::bondx();
        for index in 0..3 {
            sim.node(index, |it| (it.keys, it.offset, it.replid) = (4, 500, "b".repeat(40)));
        }
        sim.node(0, |it| (it.run_id, it.uptime_s) = ("another".into(), Some(3)));
        let mut host = sim.host();
        host.samples = vec![master_sample(&host, 1000)];
        let seen = assess(&mut host);
        assert_eq!(seen.evidence, Evidence::MasterRebootedEmpty, "{}", seen.reason);
        assert!(seen.reason.contains("with 4 keys"), "{}", seen.reason);
        // It is not looked for in a process that has been there for long.
        sim.node(0, |it| it.uptime_s = Some(YOUNG_S + 1));
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy);
        // Half of them may have expired.
        sim.node(0, |it| (it.uptime_s, it.keys) = (Some(3), 5));
        assert_eq!(assess(&mut host).evidence, Evidence::Healthy);
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
