//! Every combination of what members may say, held against the rules in other words
//! than the table's own.

use super::tests::{PATIENCE, seen};
use super::*;
use baton_plugin::redis::ErrorKind;
use baton_topology::testing::{DATA, Sim, SimNode, SimSentinel};
use baton_topology::{FENCE_REPLICAS, Health, Watcher};

/// What a master may say.
fn as_master() -> Vec<Node> {
    let states: [fn(&mut SimNode); 10] = [
        |_| {},
        |it| it.loading = true,
        |it| (it.keys, it.replid) = (0, "b".repeat(40)),
        |it| it.min_replicas = FENCE_REPLICAS,
        |it| it.follows = Some(DATA[1].into()),
        |it| it.complaint = Some("BUSY a script".into()),
        |it| it.down = Some(ErrorKind::Refused),
        |it| it.down = Some(ErrorKind::TimedOut),
        |it| it.down = Some(ErrorKind::Unreachable),
        |it| it.down = Some(ErrorKind::Unauthorized),
    ];
    nodes(0, &states)
}

/// What a replica may say.
fn as_replica(index: usize) -> Vec<Node> {
    let states: [fn(&mut SimNode); 10] = [
        |it| (it.link, it.last_io_s) = (Some(true), 0),
        |it| (it.link, it.last_io_s) = (Some(true), 6),
        |it| (it.link, it.last_io_s) = (Some(true), 13),
        |it| it.link = Some(false),
        |it| it.follows = None,
        |it| (it.follows, it.min_replicas) = (None, FENCE_REPLICAS),
        |it| (it.link, it.replid) = (Some(false), "c".repeat(40)),
        |it| it.down = Some(ErrorKind::Refused),
        |it| it.down = Some(ErrorKind::TimedOut),
        |it| it.complaint = Some("NOPERM".into()),
    ];
    nodes(index, &states)
}

/// What a Sentinel may say.
fn as_sentinel(index: usize) -> Vec<Watcher> {
    let states: [fn(&mut SimSentinel); 7] = [
        |_| {},
        |it| it.flags = "master,s_down".into(),
        |it| it.flags = "master,s_down,o_down,failover_in_progress".into(),
        |it| it.master = DATA[1].into(),
        |it| it.flags = "master,s_down,tilted".into(),
        |it| it.down = Some(ErrorKind::Refused),
        |it| it.down = Some(ErrorKind::TimedOut),
    ];
    let read = |change: &fn(&mut SimSentinel)| {
        let sim = Sim::bondx();
        sim.sentinel(index, change);
        let mut watcher = seen(&sim).sentinels.swap_remove(index);
        watcher.tilt = watcher.flags.contains("tilted");
        watcher
    };
    states.iter().map(read).collect()
}

fn nodes(index: usize, states: &[fn(&mut SimNode)]) -> Vec<Node> {
    let read = |change: &fn(&mut SimNode)| {
        let sim = Sim::bondx();
        sim.node(index, change);
        seen(&sim).nodes.swap_remove(index)
    };
    states.iter().map(read).collect()
}

/// Each way to take `count` of them, whoever says which.
fn combinations<T: Clone>(each: &[Vec<T>]) -> Vec<Vec<T>> {
    each.iter().fold(vec![Vec::new()], |all, states| {
        let with = |one: &Vec<T>| {
            let more = |state: &T| one.iter().cloned().chain([state.clone()]).collect();
            states.iter().map(more).collect::<Vec<_>>()
        };
        all.iter().flat_map(with).collect()
    })
}

/// An open link to a process that is gone cannot be, however long it is silent.
fn hears(node: &Node, refused: bool) -> bool {
    node.is_replica() && node.link_up == Some(true) && (refused || node.last_io_s < Some(5))
}

/// The rules, in the words of design §11.
fn hold(look: &Look, judged: &Judgement) {
    let [master, rest @ ..] = &look.nodes[..] else { unreachable!("three nodes") };
    let told = || format!("{judged:?}\n{:#?}", look.nodes);
    assert!(!judged.reason.is_empty());
    let is_dead = judged.verdict == Verdict::Dead;
    let may_promote =
        matches!(judged.evidence, Evidence::DeadMaster | Evidence::SentinelQuorumLost);
    assert_eq!(is_dead, may_promote, "{}", told());
    let writable = look.masters().filter(|it| !it.is_fenced()).count();
    let failing_over = look.sentinels.iter().any(|it| it.failover_in_progress);
    assert_eq!(failing_over, judged.evidence == Evidence::FailoverInProgress, "{}", told());
    if !failing_over {
        assert_eq!(writable > 1, judged.evidence == Evidence::SplitBrain, "{}", told());
    }
    if judged.evidence == Evidence::Healthy {
        assert_eq!(look.masters().count(), 1, "{}", told());
    }
    if look.nodes.iter().all(|it| !it.reachable) && !failing_over {
        assert_eq!(judged.evidence, Evidence::Unknown, "{}", told());
    }
    if !is_dead {
        return;
    }
    // Only of somebody whom we do not reach, and who did not answer in any way.
    let named = judged.master.as_deref().unwrap();
    let named = look.node(named).unwrap();
    assert!(matches!(named.health, Health::Refused | Health::Silent), "{}", told());
    if named.address != master.address {
        return;
    }
    // A replica is there to say so, and none that hears it.
    let witness = |it: &&Node| it.role.is_some();
    assert!(rest.iter().any(|it| witness(&it)), "{}", told());
    let refused = named.health == Health::Refused;
    assert!(!rest.iter().any(|it| hears(it, refused)), "{}", told());
    if named.health == Health::Silent {
        let down = look
            .sentinels
            .iter()
            .filter(|it| it.says_down() && !it.tilt && it.names(&named.address))
            .count();
        let able = look.sentinels.iter().filter(|it| it.reachable && !it.tilt).count();
        let met = rest.iter().filter(|it| it.health != Health::Silent).count()
            + look.sentinels.iter().filter(|it| it.reachable || it.refused).count();
        assert!(down >= 2 || (able <= 1 && met >= 3), "{}", told());
    }
}

/// The same without those that differ only in who says it: the other test shows that
/// it does not matter.
fn unordered(sentinels: Vec<Vec<Watcher>>) -> Vec<Vec<Watcher>> {
    let kind = |it: &Watcher| (it.flags.clone(), it.refused, it.reachable, it.master.clone());
    let ordered = |all: &Vec<Watcher>| all.is_sorted_by_key(kind);
    sentinels.into_iter().filter(ordered).collect()
}

#[test]
fn no_combination_of_answers_breaks_a_rule() {
    let sentinels = unordered(combinations(&[as_sentinel(0), as_sentinel(1), as_sentinel(2)]));
    assert_eq!(sentinels.len(), 84);
    let nodes = combinations(&[as_master(), as_replica(1), as_replica(2)]);
    let mut look = seen(&Sim::bondx());
    let mut dead = 0;
    for nodes in nodes {
        look.nodes = nodes;
        for sentinels in &sentinels {
            look.sentinels.clone_from(sentinels);
            let judged = judge(&look, PATIENCE, &[]);
            hold(&look, &judged);
            dead += u32::from(judged.verdict == Verdict::Dead);
        }
    }
    assert!(dead > 500, "{dead}");
}

#[test]
fn it_does_not_matter_who_is_listed_first() {
    let sentinels = combinations(&[as_sentinel(0), as_sentinel(1), as_sentinel(2)]);
    let replicas = combinations(&[as_replica(1), as_replica(2)]);
    let mut look = seen(&Sim::bondx());
    for master in as_master() {
        for replicas in &replicas {
            // Every 23rd, with another first one for each pair: all kinds are met.
            for sentinels in sentinels.iter().step_by(23) {
                look.nodes = [vec![master.clone()], replicas.clone()].concat();
                look.sentinels.clone_from(sentinels);
                let judged = judge(&look, PATIENCE, &[]);
                look.nodes.reverse();
                look.sentinels.reverse();
                let turned = judge(&look, PATIENCE, &[]);
                assert_eq!(
                    (judged.evidence, judged.verdict, &judged.master),
                    (turned.evidence, turned.verdict, &turned.master),
                    "{judged:?} {turned:?}"
                );
            }
        }
    }
}
