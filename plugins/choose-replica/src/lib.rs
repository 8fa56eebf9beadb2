//! `choose-replica`: chooses the replica to promote, before anything is changed.
//!
//! Read-only. The ranking itself is one pure function in [`ranking`].

pub mod ranking;

use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, Plugin, Table, json};
use baton_topology::{Assessment, Look, Node, Scope, Verdict, look, same_address};
use ranking::{Candidate, Ranking, Zones, rank};
use serde::{Deserialize, Serialize};

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 500;

/// Between two looks that must agree, ms.
const DRAIN_MS: u32 = 100;

/// Looks until received data must have drained: 2 s.
const DRAIN_LOOKS_MAX: u32 = 20;

/// What to choose from.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The whole output of `redis-assess`.
    pub assessment: Assessment,
}

/// The choice.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Whom to promote; none when blocked.
    pub chosen: Option<String>,
    /// Of the chosen process.
    pub run_id: Option<String>,
    /// The history it carries: the dead master's.
    pub replid: Option<String>,
    /// How far it carries it, bytes.
    pub offset: Option<i64>,
    /// Bytes between it and the furthest anyone has shown, the dead master while it
    /// lived included: what of all that was seen a promotion loses, at most.
    pub lost_bytes_bound: Option<i64>,
    /// How long before the assessment the dead master was seen last, ms. What it took
    /// since then and sent to nobody is known to nobody. None: it was never seen.
    pub last_seen_ms: Option<u64>,
    /// One sentence for a person.
    pub reason: String,
    /// Best first, then those that are out.
    pub candidates: Vec<Candidate>,
    /// Why nobody is chosen although somebody could be: a person has to decide.
    pub blocked: Option<String>,
    /// The candidates for people.
    pub table: Table,
}

/// The plugin.
pub struct ChooseReplica;

impl Plugin for ChooseReplica {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "choose-replica",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Chooses the replica to promote, with a reason for each candidate",
            redis_commands: &["PING", "INFO"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let assessment = &input.assessment;
        if assessment.cluster != input.cluster {
            let of = &assessment.cluster;
            return Err(Fault::permanent("wrong-cluster", format!("the assessment is of {of}")));
        }
        if assessment.verdict != Verdict::Dead {
            let why = format!("the master is not dead: {}", assessment.reason);
            return Err(Fault::permanent("not-dead", why));
        }
        let lineage = assessment.lineage.as_ref().ok_or_else(|| {
            Fault::permanent("no-lineage", "the assessment shows no history to continue")
        })?;
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let nodes = drained(&cluster, host)?.nodes;
        let ranking = rank(&nodes, assessment, lineage, &zones(&cluster));
        if let Some(blocked) = ranking.blocked.clone() {
            return Ok(Output {
                blocked: Some(blocked.clone()),
                ..nobody(assessment, ranking, blocked)
            });
        }
        let best = ranking.candidates.first().filter(|it| it.eligible).cloned();
        let best = best.ok_or_else(|| no_candidate(&ranking))?;
        let lost = best.behind.unwrap_or(0);
        let reason = format!("{}: {}. {}", best.address, best.reason, loss(assessment, lost));
        Ok(Output {
            chosen: Some(best.address),
            run_id: best.run_id,
            replid: Some(lineage.replid.clone()),
            offset: best.offset,
            lost_bytes_bound: Some(lost),
            ..nobody(assessment, ranking, reason)
        })
    }
}

/// An output that chooses nobody.
fn nobody(assessment: &Assessment, ranking: Ranking, reason: String) -> Output {
    Output {
        chosen: None,
        run_id: None,
        replid: None,
        offset: None,
        lost_bytes_bound: None,
        last_seen_ms: last_seen_ms(assessment),
        reason,
        table: table(&ranking.candidates),
        candidates: ranking.candidates,
        blocked: None,
    }
}

fn no_candidate(ranking: &Ranking) -> Fault {
    let each: Vec<String> =
        ranking.candidates.iter().map(|it| format!("{}: {}", it.address, it.reason)).collect();
    let message = format!("no replica may be promoted. {}", each.join(". "));
    Fault::permanent("no-candidate", message).with(json!({ "candidates": ranking.candidates }))
}

fn last_seen_ms(assessment: &Assessment) -> Option<u64> {
    let dead = assessment.master.as_deref()?;
    let known = assessment.last_known.iter().find(|it| same_address(&it.address, dead))?;
    Some(assessment.at_ms.saturating_sub(known.at_ms))
}

/// What a promotion loses, as far as anybody can say.
fn loss(assessment: &Assessment, lost: i64) -> String {
    match last_seen_ms(assessment) {
        Some(age_ms) => format!(
            "Of what was seen it loses {lost} bytes at most; the dead master was seen last {age_ms} ms before it was found dead, and what it took in that time and sent to nobody is lost as well"
        ),
        None => format!(
            "Of what its replicas show it loses {lost} bytes at most; the dead master itself was never seen, so what it had sent to nobody is not known"
        ),
    }
}

fn zones(cluster: &Cluster) -> Zones {
    let zoned =
        cluster.members.iter().filter_map(|it| Some((it.address.clone(), it.zone.clone()?)));
    zoned.collect()
}

fn table(candidates: &[Candidate]) -> Table {
    let number = |it: Option<i64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let mut table =
        Table::new(["rank", "replica", "offset", "behind", "priority", "zone", "reason"]);
    for it in candidates {
        table.rows.push(vec![
            it.rank.map_or_else(|| "out".to_owned(), |rank| rank.to_string()),
            it.address.clone(),
            number(it.offset),
            number(it.behind),
            number(it.priority),
            it.zone.clone().unwrap_or_else(|| "-".to_owned()),
            it.reason.clone(),
        ]);
    }
    table
}

/// Looks until no offset can move any more: what the dead master had sent may still be in
/// a replica's buffers. A replica whose link is down has applied all that it received and
/// dropped what was half a command (Redis 7.0 networking.c, replication.c:
/// replicationCacheMaster), so that one look is enough; the others are looked at until
/// they stand still.
fn drained<H: Host>(cluster: &Cluster, host: &mut H) -> Result<Look, Fault> {
    let mut last = look(cluster, Scope::DataNodes, TIMEOUT_MS, host)?;
    let is_final =
        |it: &Node| it.is_master() || !it.reachable || (it.link_up == Some(false) && !it.syncing);
    if last.nodes.iter().all(is_final) {
        return Ok(last);
    }
    for _ in 0..DRAIN_LOOKS_MAX {
        host.sleep(DRAIN_MS);
        let next = look(cluster, Scope::DataNodes, TIMEOUT_MS, host)?;
        let still = last.nodes.iter().zip(&next.nodes).all(|(old, new)| {
            old.is_master() || (old.offset, old.reachable) == (new.offset, new.reachable)
        });
        if still {
            return Ok(next);
        }
        last = next;
    }
    Err(Fault::retryable(
        "not-drained",
        "the replicas' offsets keep moving: somebody still feeds them; assess again",
    ))
}

baton_plugin::export!(ChooseReplica);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::redis::{ErrorKind, RedisError, Value};
    use baton_plugin::testing::{FakeCluster, Responder};
    use baton_topology::LastKnown;
    use baton_topology::testing::{DATA, HISTORY, SENTINELS, Sim, assessed};

    fn input(sim: &Sim) -> Input {
        Input { cluster: "bondx".into(), assessment: assessed(sim) }
    }

    #[test]
    fn the_best_is_chosen_with_all_that_promote_needs() {
        let sim = Sim::killed();
        sim.node(2, |it| it.offset = 2000);
        let chosen = ChooseReplica::run(input(&sim), &mut sim.host()).unwrap();
        assert_eq!(chosen.chosen.as_deref(), Some(DATA[2]));
        assert_eq!(chosen.replid.as_deref(), Some(HISTORY));
        assert_eq!((chosen.offset, chosen.lost_bytes_bound), (Some(2000), Some(0)));
        assert_eq!(chosen.last_seen_ms, None);
        assert!(chosen.reason.contains("was never seen"), "{}", chosen.reason);
        assert_eq!(chosen.table.rows.len(), 2);
        assert_eq!(chosen.table.rows[0][..4], ["1", DATA[2], "2000", "0"]);
        assert_eq!(chosen.table.rows[1][..4], ["out", DATA[1], "1000", "1000"]);
        assert!(chosen.table.rows.iter().all(|it| it.len() == chosen.table.columns.len()));
    }

    #[test]
    fn the_age_of_the_dead_masters_last_sample_is_said() {
        let sim = Sim::killed();
        let mut input = input(&sim);
        input.assessment.last_known = vec![LastKnown {
            address: DATA[0].into(),
            role: "master".into(),
            run_id: "r".into(),
            replid: HISTORY.into(),
            offset: 1000,
            keys: None,
            at_ms: input.assessment.at_ms - 250,
        }];
        let chosen = ChooseReplica::run(input, &mut sim.host()).unwrap();
        assert_eq!(chosen.last_seen_ms, Some(250));
        assert!(chosen.reason.contains("250 ms before it was found dead"), "{}", chosen.reason);
    }

    #[test]
    fn nobody_left_is_a_permanent_fault_that_names_each() {
        let sim = Sim::killed();
        sim.node(1, |it| it.priority = 0);
        sim.node(2, |it| it.syncing = true);
        let mut host = sim.host();
        let fault = ChooseReplica::run(input(&sim), &mut host).unwrap_err();
        assert_eq!(fault.code, "no-candidate");
        assert!(fault.message.contains("priority is 0") && fault.message.contains("full copy"));
    }

    #[test]
    fn nothing_is_chosen_while_the_master_lives() {
        let sim = Sim::bondx();
        let mut fault_host = sim.host();
        let mut input = input(&sim);
        input.assessment.verdict = Verdict::Unknown;
        assert_eq!(ChooseReplica::run(input, &mut fault_host).unwrap_err().code, "not-dead");
        assert!(fault_host.sent.is_empty());
    }

    #[test]
    fn nothing_but_reads_is_sent() {
        let sim = Sim::killed();
        let mut host = sim.host();
        ChooseReplica::run(input(&sim), &mut host).unwrap();
        assert!(host.sent.iter().all(|it| {
            let command = it.split(' ').nth(1).unwrap();
            ["PING", "INFO"].contains(&command)
        }));
    }

    /// Feeds a replica for its first few looks.
    struct Draining(Sim, u32);

    impl Responder for Draining {
        fn respond(
            &mut self,
            address: &str,
            command: &[String],
            now_ms: u64,
        ) -> Result<Value, RedisError> {
            if address == DATA[2] && command.join(" ") == "INFO replication" && self.1 > 0 {
                self.1 -= 1;
                self.0.node(2, |it| it.offset += 700);
            }
            self.0.respond(address, command, now_ms)
        }
    }

    /// The master is silent, and its replicas' links are up for as long as nothing breaks
    /// them.
    fn hanging() -> Sim {
        let sim = Sim::killed();
        sim.node(0, |it| it.down = Some(ErrorKind::TimedOut));
        for replica in [1, 2] {
            sim.node(replica, |it| it.link = Some(true));
        }
        sim
    }

    #[test]
    fn replicas_that_have_lost_their_master_are_looked_at_once() {
        let sim = Sim::killed();
        let mut host = sim.host();
        let begun_ms = host.now_ms;
        ChooseReplica::run(input(&sim), &mut host).unwrap();
        assert_eq!((host.count_sent("PING"), host.now_ms), (3, begun_ms));
    }

    #[test]
    fn received_data_drains_before_anyone_is_chosen() {
        let sim = hanging();
        sim.node(1, |it| it.offset = 2000);
        let input = Input { cluster: "bondx".into(), assessment: assessed(&sim) };
        let feed = Draining(sim, 3);
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, feed);
        let chosen = ChooseReplica::run(input, &mut host).unwrap();
        assert_eq!((chosen.chosen.as_deref(), chosen.offset), (Some(DATA[2]), Some(3100)));
    }

    #[test]
    fn a_replica_that_never_stops_is_a_fault_to_retry() {
        let sim = hanging();
        let input = Input { cluster: "bondx".into(), assessment: assessed(&sim) };
        let feed = Draining(sim, u32::MAX);
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, feed);
        assert_eq!(ChooseReplica::run(input, &mut host).unwrap_err().code, "not-drained");
    }

    #[test]
    fn a_blocked_choice_is_an_output_and_not_a_fault() {
        let before = Sim::killed();
        before.node(1, |it| it.offset = 1500);
        let mut assessment = assessed(&before);
        assessment.max_lost_bytes = 1000;
        let now = Sim::killed();
        now.node(1, |it| it.down = Some(ErrorKind::Refused));
        let input = Input { cluster: "bondx".into(), assessment };
        let output = ChooseReplica::run(input, &mut now.host()).unwrap();
        assert!(output.chosen.is_none() && output.blocked.is_some());
    }
}
