//! Masters that are killed, that hang and wake, that come back; Sentinels that act at the
//! same time, crash in the middle, or were away. Real servers, clients that stay.

use std::path::Path;
use std::time::{Duration, Instant};

use baton_lab::crash::failover::{Begun, home};
use baton_lab::crash::{Answered, Blow, Engine, Question};
use baton_lab::probe::Probes;
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::wait::wait_for;
use baton_lab::{Lab, Node, Options, market, query, wait_until};
use serde_json::{Value, json};

use crate::cli::binary;

/// For what takes a second or two, on a machine that does other things.
const SOON: Duration = Duration::from_secs(40);
/// A run of failover, a slow machine's time and a Sentinel's patience included.
const RUN_WITHIN: Duration = Duration::from_mins(1);

/// So many that each can be read between two writes to it.
pub(super) const INSTRUMENTS: usize = 60;

/// A cluster, and an engine that leads it.
pub(super) struct Scene {
    // Before the cluster: it must not see that go.
    pub(super) engine: Engine,
    pub(super) lab: Lab,
}

impl Scene {
    pub(super) fn new(options: Options, begun: Begun) -> Self {
        Self::under(options, begun, [])
    }

    /// The same, with an engine that dies of these blows.
    pub(super) fn under(
        options: Options,
        begun: Begun,
        blows: impl IntoIterator<Item = Blow>,
    ) -> Self {
        Self::prepared(options, begun, blows, |_| {})
    }

    /// The same, with files in the engine's folder that a test changes first.
    pub(super) fn prepared(
        options: Options,
        begun: Begun,
        blows: impl IntoIterator<Item = Blow>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let lab = Lab::start(options).unwrap();
        let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
        market::fill(&mut connection, INSTRUMENTS, 1).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // Shared by all tests: a plugin is compiled once.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
        std::fs::create_dir_all(&cache).unwrap();
        let home = home(root, &binary(), &cache, &lab, begun).unwrap();
        prepare(&home.folder);
        let engine = Engine::start(home, blows).unwrap();
        Self { engine, lab }
    }

    pub(super) fn data(&self, number: usize) -> &Node {
        &self.lab.data()[number]
    }

    /// Begins a run by hand.
    pub(super) fn begin(&mut self, workflow: &str, params: &Value) -> String {
        let order = json!({ "workflow": workflow, "params": params, "who": "a test" });
        let answer = self.engine.post("/runs", &order).unwrap();
        answer["run"].as_str().unwrap().to_owned()
    }

    /// The latest run of a workflow, as soon as there is one.
    pub(super) fn latest(&mut self, workflow: &str) -> String {
        let path = format!("/runs?workflow={workflow}&limit=1");
        let found = wait_for(&format!("there is a run of {workflow}"), SOON, || {
            let list = self.engine.get(&path).ok()?;
            Some(list["runs"][0]["id"].as_str()?.to_owned())
        });
        found.unwrap()
    }

    /// The end of a run, which must be good.
    pub(super) fn end_of(&mut self, id: &str) -> Value {
        let run = self.engine.end_of(id, RUN_WITHIN, nobody).unwrap();
        let told = self.engine.told(&run).unwrap();
        assert_eq!(run["state"], "succeeded", "{told}");
        run
    }

    /// Begins runs, as a watch would, until one does not leave it to Sentinel.
    fn until_failed_over(&mut self) -> Value {
        let begun = Instant::now();
        loop {
            let id = self.begin("redis-failover", &json!({}));
            let run = self.end_of(&id);
            if run["output"]["verdict"] != "no failover" {
                return run;
            }
            assert!(begun.elapsed() < RUN_WITHIN, "{run:#}");
        }
    }

    /// What must hold when all is over: one master, the one that the run says, and every
    /// Sentinel names it.
    pub(super) fn assert_master(&self, run: &Value) -> usize {
        let named = run["output"]["master"].as_str().unwrap_or_default();
        wait_until("all Sentinels agree on the one master", SOON, || {
            self.lab.agreed_master().as_deref() == Some(named)
                && self.lab.writable_masters() == [named]
        })
        .unwrap();
        self.lab.data().iter().position(|it| it.address() == named).unwrap()
    }

    fn trader(&self) -> Trader {
        let mut connection = query::connect(&self.data(0).address(), None).unwrap();
        let market = market::fill(&mut connection, INSTRUMENTS, 2).unwrap();
        let habits = Habits { name: "takeover".to_owned(), rate_per_s: 100, seed: 1 };
        let trader = Trader::start(Route::of(&self.lab), market, &habits);
        wait_until("something is written", SOON, || trader.acked() > 50).unwrap();
        trader
    }

    /// Nothing that was acknowledged may be missing; the run declared no loss.
    fn assert_nothing_lost(&self, trader: Trader, master: usize) {
        let seen = trader.acked();
        wait_until("trade goes on", SOON, || trader.acked() > seen + 20).unwrap();
        let history = trader.stop();
        let mut connection = query::connect(&self.data(master).address(), None).unwrap();
        let account = history.account(&mut connection).unwrap();
        assert_eq!((account.lost.len(), account.doubled.len()), (0, 0), "{account:?}");
    }

    fn gate(&self, node: usize) -> String {
        let words = ["CONFIG", "GET", "min-replicas-to-write"];
        query::ask::<(String, String)>(self.data(node), &words).unwrap().1
    }

    /// The first node is back for good: a replica without a fence.
    fn assert_back(&self) {
        assert!(query::in_sync(self.data(0)));
        assert_eq!(self.gate(0), "0");
    }
}

/// Nothing here is for a person to decide.
pub(super) fn nobody(question: &Question) -> anyhow::Result<Answered> {
    anyhow::bail!("run {} asks: {}", question.run, question.asks)
}

fn patient() -> Options {
    // Sentinel keeps out of it, however slow this machine is.
    Options { down_after_ms: 60_000, ..Options::bondx() }
}

fn quick() -> Options {
    Options { down_after_ms: 1_000, failover_timeout_ms: 3_000, ..Options::bondx() }
}

#[test]
fn g8_a_killed_master_that_is_restarted_takes_hardly_a_write_and_comes_back_as_a_replica() {
    let mut scene = Scene::new(patient(), Begun::ByAll);
    let trader = scene.trader();
    let probes = Probes::of_all(&scene.lab, Duration::from_millis(10));
    let killed = Instant::now();
    scene.data(0).kill().unwrap();
    let id = scene.latest("redis-failover");
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "pass", "{run:#}");
    let new = scene.assert_master(&run);
    assert!(!probes.by(new, killed).is_empty());

    let restarted = Instant::now();
    scene.data(0).start().unwrap();
    let debt = scene.latest("redis-rejoin");
    let debt = scene.end_of(&debt);
    assert_eq!(debt["output"]["outcome"], "held", "{debt:#}");
    // Without the fence: ten seconds of it, until Sentinel demotes it.
    let beside = probes.beside(0, new, restarted);
    assert!(beside < Duration::from_millis(500), "two took writes for {beside:?}: {debt:#}");
    let file = debt["output"]["salvage"].as_str().expect("it may have held something");
    assert!(Path::new(file).is_file(), "{file}");
    scene.assert_back();
    scene.assert_nothing_lost(trader, new);
    scene.assert_master(&run);
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure belongs in the log of CI")]
fn g8_a_master_that_hangs_wakes_behind_its_fence_and_what_it_alone_took_is_kept() {
    // Sentinels see it and cannot agree that it is down: one of three is away.
    let mut scene = Scene::new(Options { quorum: 3, ..quick() }, Begun::ByAll);
    scene.lab.sentinels()[2].kill().unwrap();
    let trader = scene.trader();
    let begun = Instant::now();
    let sticky = Probes::sticky(&scene.lab, 0, 8);
    wait_until("they write", SOON, || sticky.by(0, begun).len() > 100).unwrap();
    scene.data(0).stop().unwrap();
    let id = scene.latest("redis-failover");
    let run = scene.end_of(&id);
    let new = scene.lab.data().iter().position(|it| it.address() == run["output"]["master"]);
    scene.lab.sentinels()[2].start().unwrap();
    let woken = Instant::now();
    scene.data(0).cont().unwrap();
    let debt = scene.latest("redis-rejoin");
    let debt = scene.end_of(&debt);
    let taken = sticky.by(0, woken).len();
    // Sentinel alone: tens of thousands in ten seconds. Here: what was in flight, and what
    // came in before the fence was accepted.
    println!("{taken} writes were acknowledged by the woken master");
    assert!(taken <= 200, "{taken} writes were acknowledged by a woken master");
    if debt["output"]["outcome"] == "held" {
        let kept = &debt["output"]["salvage"];
        assert!(taken == 0 || kept.is_string(), "{taken} writes, kept: {kept}");
    }
    drop(sticky);
    scene.assert_back();
    scene.assert_nothing_lost(trader, new.expect("the run names a node"));
    scene.assert_master(&run);
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure belongs in the log of CI")]
fn g8_a_master_that_sentinel_replaced_wakes_behind_a_fence_as_well() {
    let mut scene = Scene::new(quick(), Begun::ByAlert);
    let old = scene.data(0).address();
    let begun = Instant::now();
    let sticky = Probes::sticky(&scene.lab, 0, 8);
    wait_until("they write", SOON, || sticky.by(0, begun).len() > 100).unwrap();
    scene.data(0).stop().unwrap();
    let new = scene.lab.wait_for_new_master(&old, SOON).unwrap();
    // The alert comes when all is done but for the old master.
    let id = scene.begin("redis-failover", &json!({}));
    let run = scene.end_of(&id);
    assert_eq!(run["output"]["verdict"], "no failover", "{run:#}");
    let debt = scene.latest("redis-rejoin");
    wait_until("its fence waits", SOON, || {
        let run = scene.engine.get(&format!("/runs/{debt}")).unwrap();
        run.to_string().contains("CONFIG SET min-replicas-to-write 100")
    })
    .unwrap();
    let woken = Instant::now();
    scene.data(0).cont().unwrap();
    let debt = scene.end_of(&debt);
    let taken = sticky.by(0, woken).len();
    println!("{taken} writes were acknowledged by the woken master");
    assert!(taken <= 200, "{taken} writes were acknowledged by a woken master: {debt:#}");
    drop(sticky);
    scene.assert_back();
    assert_eq!(scene.lab.agreed_master(), Some(new));
}

/// The run that a person begins when a Sentinel has died of what it was told.
fn after_a_sentinel_crashed(how: &str) {
    let mut scene = Scene::new(quick(), Begun::ByAlert);
    let trader = scene.trader();
    for sentinel in scene.lab.sentinels() {
        query::ask::<String>(sentinel, &["SENTINEL", "SIMULATE-FAILURE", how]).unwrap();
    }
    let killed = Instant::now();
    scene.data(0).kill().unwrap();
    wait_until("the leader among the Sentinels has crashed", SOON, || {
        scene.lab.sentinels().iter().any(|it| !it.running())
    })
    .unwrap();
    let run = scene.until_failed_over();
    let new = run["output"]["master"].as_str().unwrap().to_owned();
    assert_ne!(new, scene.data(0).address());
    // Sentinel needs twice its failover-timeout more, 26 s at BondX.
    assert!(killed.elapsed() < RUN_WITHIN);
    let living = || scene.lab.sentinels().iter().filter(|it| it.running());
    let name = scene.lab.options().master_name.clone();
    wait_until("the Sentinels that are left agree", SOON, || {
        living().all(|it| query::master_by(it, &name).as_deref() == Some(&new))
            && scene.lab.writable_masters() == [new.clone()]
    })
    .unwrap();
    // The one that crashed comes back with what it knew, and moves forward by itself.
    let crashed = scene.lab.sentinels().iter().find(|it| !it.running()).unwrap();
    crashed.start().unwrap();
    let master = scene.assert_master(&run);
    scene.assert_nothing_lost(trader, master);
}

#[test]
fn g8_a_sentinel_that_crashed_after_its_election_leaves_the_work_to_us() {
    after_a_sentinel_crashed("crash-after-election");
}

#[test]
fn g8_what_a_sentinel_promoted_before_it_crashed_is_adopted() {
    after_a_sentinel_crashed("crash-after-promotion");
}

#[test]
fn g8_a_failover_that_sentinel_has_begun_is_yielded_to() {
    let mut scene = Scene::new(quick(), Begun::ByAlert);
    let trader = scene.trader();
    scene.data(0).kill().unwrap();
    let name = scene.lab.options().master_name.clone();
    wait_until("a Sentinel has begun", SOON, || {
        scene.lab.sentinels().iter().any(|it| {
            let flags = query::sentinel_master(it, &name).remove("flags").unwrap_or_default();
            flags.contains("failover_in_progress")
        })
    })
    .unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    let run = scene.end_of(&id);
    let old = scene.data(0).address();
    let agreed = scene.lab.wait_for_new_master(&old, SOON).unwrap();
    if run["output"]["verdict"] != "no failover" {
        assert_eq!(run["output"]["master"], agreed.as_str());
    }
    let master = scene.lab.data().iter().position(|it| it.address() == agreed).unwrap();
    scene.assert_nothing_lost(trader, master);
}

#[test]
fn g8_two_faults_at_once_a_sentinel_that_was_away_and_a_replica_gone() {
    let mut scene = Scene::new(patient(), Begun::ByAlert);
    let trader = scene.trader();
    scene.lab.sentinels()[2].kill().unwrap();
    scene.data(2).kill().unwrap();
    scene.data(0).kill().unwrap();
    let id = scene.begin("redis-failover", &json!({}));
    // With no replica left nothing can be verified: first it is promoted.
    wait_until("it is promoted", SOON, || {
        let run = scene.engine.get(&format!("/runs/{id}")).unwrap();
        let steps = run["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().any(|it| it["name"] == "promote" && it["state"] == "succeeded")
    })
    .unwrap();
    scene.data(2).start().unwrap();
    scene.lab.sentinels()[2].start().unwrap();
    let run = scene.end_of(&id);
    assert_eq!(scene.assert_master(&run), 1, "the one that was away agrees too");
    scene.assert_nothing_lost(trader, 1);
}

#[test]
fn g8_the_last_replica_writes_with_too_few_others_only_once_a_person_agrees() {
    let policy = vec!["min-replicas-to-write 1".to_owned()];
    let mut scene = Scene::new(Options { data_lines: policy, ..patient() }, Begun::ByAll);
    scene.data(2).kill().unwrap();
    scene.data(0).kill().unwrap();
    let degraded = scene.latest("redis-degraded");
    let asked = scene.engine.get(&format!("/runs/{degraded}")).unwrap();
    let prompt = asked["steps"][0]["question"].as_str().unwrap();
    assert!(prompt.contains("asks for 1"), "{prompt}");
    assert_eq!(scene.gate(1), "1");
    let refused = query::ask::<String>(scene.data(1), &["SET", "canary", "1"]).unwrap_err();
    assert!(format!("{refused:#}").contains("NOREPLICAS"), "{refused:#}");
    let yes = json!({ "step": "decide", "approved": true, "who": "a test", "reason": "trade" });
    scene.engine.post(&format!("/runs/{degraded}/answer"), &yes).unwrap();
    wait_until("it takes writes", SOON, || {
        query::ask::<String>(scene.data(1), &["SET", "canary", "1"]).is_ok()
    })
    .unwrap();
    // The policy comes back with a replica, though the engine died in between.
    scene.engine.kill();
    scene.data(2).start().unwrap();
    let run = scene.end_of(&degraded);
    assert_eq!(run["output"]["state"], "done", "{run:#}");
    assert_eq!(scene.gate(1), "1");
}
