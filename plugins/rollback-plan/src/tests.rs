//! Each place on the way back has its own words, and only the last one is ready.

use super::*;
use baton_plugin::redis::ErrorKind;
use baton_topology::testing::{DATA, SENTINELS, Sim};

/// After a failover: the first node was master, the second one is.
fn failed_over() -> Sim {
    let sim = Sim::bondx();
    sim.node(1, |node| {
        node.follows = None;
        node.replid = "b".repeat(40);
    });
    for at in [0, 2] {
        sim.node(at, |node| {
            node.follows = Some(DATA[1].into());
            node.replid = "b".repeat(40);
        });
    }
    for at in 0..SENTINELS.len() {
        sim.sentinel(at, |it| it.master = DATA[1].into());
    }
    sim
}

fn asked(sim: &Sim, refusal: Option<&str>) -> Output {
    let input = Input {
        cluster: "bondx".into(),
        old_master: DATA[0].into(),
        refusal: refusal.map(str::to_owned),
    };
    RollbackPlan::run(input, &mut sim.host()).unwrap()
}

#[test]
fn an_old_master_that_follows_again_is_ready_and_the_command_is_whole() {
    let plan = asked(&failed_over(), None);
    assert_eq!((plan.verdict.as_str(), plan.blocks.len()), ("ready", 0), "{plan:?}");
    assert_eq!(plan.master.as_deref(), Some(DATA[1]));
    assert_eq!((plan.attached, plan.same_history, plan.lag_bytes), (true, true, Some(0)));
    assert_eq!(
        plan.commands,
        [
            "baton doctor bondx".to_owned(),
            format!(
                "baton run workflows/redis-switchover.toml --param cluster=bondx --param target={}",
                DATA[0]
            ),
        ]
    );
}

#[test]
fn each_thing_that_is_in_the_way_is_named_with_what_mends_it() {
    type Change = fn(&Sim);
    let cases: [(Change, &str, &str); 8] = [
        (|sim| sim.node(0, |it| it.down = Some(ErrorKind::Refused)), "does not answer", "start "),
        (|sim| sim.node(0, |it| it.follows = None), "takes writes", "redis-rejoin"),
        (
            |sim| {
                sim.node(0, |it| {
                    it.follows = None;
                    it.min_replicas = 100;
                });
            },
            "as a master, fenced",
            "redis-rejoin",
        ),
        (|sim| sim.node(0, |it| it.follows = Some(DATA[2].into())), "follows", "redis-rejoin"),
        (|sim| sim.node(0, |it| it.syncing = true), "full copy", "wait until"),
        (|sim| sim.node(0, |it| it.link = Some(false)), "no link", "masterauth"),
        (|sim| sim.node(0, |it| it.min_replicas = 100), "is fenced", "redis-rejoin"),
        (|sim| sim.node(1, |it| it.offset = 9_000_000), "8999000 bytes behind", "wait until"),
    ];
    for (change, block, first) in cases {
        let sim = failed_over();
        change(&sim);
        let plan = asked(&sim, Some("as switchover-plan says"));
        assert_eq!(plan.verdict, "blocked", "{block}");
        assert_eq!(plan.blocks.len(), 1, "{:?}", plan.blocks);
        assert!(plan.blocks[0].contains(block), "{:?}", plan.blocks);
        assert!(plan.commands[0].contains(first), "{:?}", plan.commands);
        assert!(plan.commands.last().unwrap().contains("redis-switchover"), "{:?}", plan.commands);
    }
}

#[test]
fn a_refusal_for_another_reason_is_in_the_way_too() {
    let plan = asked(&failed_over(), Some("a save is under way"));
    assert_eq!(plan.verdict, "blocked");
    assert_eq!(plan.blocks, ["a switchover would be refused: a save is under way"]);
}

#[test]
fn where_it_is_the_master_there_is_nothing_to_do() {
    let plan = asked(&Sim::bondx(), Some("already"));
    assert_eq!((plan.verdict.as_str(), plan.commands.len()), ("not needed", 0));
    assert_eq!(plan.expected_gap, "none");
}

#[test]
fn it_only_reads_and_a_node_that_nobody_listed_is_a_fault() {
    let mut host = failed_over().host();
    let input =
        |old: &str| Input { cluster: "bondx".into(), old_master: old.into(), refusal: None };
    RollbackPlan::run(input(DATA[0]), &mut host).unwrap();
    let reads = ["PING", "INFO", "CONFIG GET", "SENTINEL"];
    assert!(
        host.sent.iter().all(|it| reads.iter().any(|read| it.contains(read))),
        "{:?}",
        host.sent
    );
    assert_eq!(RollbackPlan::run(input("10.9.9.9:1"), &mut host).unwrap_err().code, "no-such-node");
}
