//! One round played, and many.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use crate::crash::failover::{Begun, home};
use crate::crash::{Answered, Engine, Question};
use crate::daemon::Daemon;
use crate::{Lab, Node, Options, query};

use super::check::violations;
use super::collect::{collect, is_at_work};
use super::moves::{Move, Stage};
use super::observed::Observed;
use super::plan::{EngineKill, Plan, Strike};
use super::scene::Scene;
use super::story::story;

/// From the end of the last fault until all is calm: a Sentinel needs ten seconds to demote
/// a master that is back, and twice its failover-timeout to try again.
const CALM_WITHIN: Duration = Duration::from_mins(1);
/// Until a person looks into what does not get well by itself.
const LOOKED_INTO: Duration = Duration::from_secs(5);
/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks whether it is time for something.
const TICK: Duration = Duration::from_millis(5);
/// A fence: no policy asks for so many replicas.
const FENCE: u32 = 100;

/// Where rounds are played.
#[derive(Clone, Debug)]
pub struct Site {
    /// The repository, with its plugins built.
    pub root: PathBuf,
    /// An armed `baton`.
    pub binary: PathBuf,
    /// Where compiled plugins are kept.
    pub cache: PathBuf,
    /// Where the logs of a round go that had a violation, by its seed.
    pub logs: PathBuf,
}

impl Site {
    /// With a cache that exists.
    ///
    /// # Errors
    /// When the cache cannot be made.
    pub fn new(root: &Path, binary: &Path, cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache)?;
        let (root, binary, cache) = (root.to_owned(), binary.to_owned(), cache.to_owned());
        let logs = root.join("target/chaos/logs");
        Ok(Self { root, binary, cache, logs })
    }

    /// Compiles the plugins, before several engines do so at once.
    ///
    /// # Errors
    /// When an engine does not start.
    pub fn compile(&self) -> Result<()> {
        let lab = Lab::start(Options { replicas: 0, sentinels: 1, ..Options::bondx() })?;
        let home = home(&self.root, &self.binary, &self.cache, &lab, Begun::ByAlert)?;
        Daemon::start(&home).map(Daemon::kill)
    }
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was.
    pub plan: Plan,
    pub(super) seen: Observed,
    /// What was not as promised.
    pub violations: Vec<String>,
}

/// Plays one round.
///
/// # Errors
/// When the laboratory itself does not do as it should.
pub fn play(site: &Site, plan: &Plan) -> Result<Outcome> {
    // A thread of its own: it may move to another network for good.
    let played = thread::scope(|scope| scope.spawn(|| play_here(site, plan)).join());
    played.map_err(|_| anyhow!("the round panicked"))?
}

/// Plays all, `jobs` at a time, and tells each as it ends.
pub fn play_all(
    site: &Site,
    plans: &[Plan],
    jobs: usize,
    tell: impl Fn(usize, &Result<Outcome>) + Sync,
) -> Vec<Result<Outcome>> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..plans.len()).collect());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(number) = next() {
                    let outcome = play(site, &plans[number]);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    tell(number, &outcome);
                    done.push((number, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn play_here(site: &Site, plan: &Plan) -> Result<Outcome> {
    let mut scene = Scene::start(site, plan)?;
    let first = scene.begun.at + plan.strikes.iter().map(|it| it.at).min().unwrap_or_default();
    let mut watch = Watch::new(plan);
    let restless = watch.over(&mut scene, plan)?;
    let mut seen = collect(&mut scene, first)?;
    seen.restless = restless;
    seen.asked = watch.asked;
    seen.by_hand = watch.by_hand.is_some();
    let violations = violations(plan, &seen);
    if !violations.is_empty() {
        keep_logs(&scene.lab, &site.logs.join(plan.seed.to_string()))?;
    }
    Ok(Outcome { plan: plan.clone(), seen, violations })
}

/// Copies all logs: what is seen once may not be seen again.
fn keep_logs(lab: &Lab, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for node in lab.data().iter().chain(lab.sentinels()) {
        fs::write(to.join(format!("{}.log", node.name())), node.log()?)?;
    }
    fs::copy(lab.folder().join("baton/baton.log"), to.join("baton.log"))?;
    Ok(())
}

/// Does the moves of all faults at their moments.
fn strike(stage: Stage<'_>, begun: Instant, strikes: &[Strike]) -> Result<()> {
    for strike in strikes {
        perform(stage, &story(strike.fault).before)?;
    }
    // What comes before the first moment takes its time; no moment is lost by it.
    let begun = begun.max(Instant::now());
    let mut moments: Vec<(Duration, Vec<Move>)> = Vec::new();
    for strike in strikes {
        moments.push((strike.at, story(strike.fault).begin));
        moments.push((strike.at + strike.lasts, story(strike.fault).end));
    }
    moments.sort_by_key(|(at, _)| *at);
    for (at, moves) in moments {
        // A moment that the seed has drawn: nothing else is waited for.
        thread::sleep((begun + at).saturating_duration_since(Instant::now()));
        perform(stage, &moves)?;
    }
    Ok(())
}

fn perform(stage: Stage<'_>, moves: &[Move]) -> Result<()> {
    moves.iter().try_for_each(|it| it.perform(stage))
}

/// Who looks after the engine meanwhile: a supervisor, and a person who is asked.
struct Watch {
    kills: VecDeque<(Duration, Duration)>,
    away_until: Option<Instant>,
    asked: Vec<String>,
    by_hand: Option<String>,
}

impl Watch {
    fn new(plan: &Plan) -> Self {
        let outside = plan.kills.iter().filter_map(|it| match it {
            EngineKill::Outside { at_ms, away_ms } => {
                Some((Duration::from_millis(*at_ms), Duration::from_millis(*away_ms)))
            }
            EngineKill::Within(_) => None,
        });
        Self { kills: outside.collect(), away_until: None, asked: Vec::new(), by_hand: None }
    }

    /// Until the faults are over and all is calm. Gives what is not, if it never is.
    fn over(&mut self, scene: &mut Scene, plan: &Plan) -> Result<Option<String>> {
        let over = AtomicBool::new(false);
        let Scene { engine, lab, trader, still_book, begun, .. } = scene;
        let (lab, begun) = (&*lab, begun.at);
        let stage = Stage { lab, trader, still_book };
        thread::scope(|scope| {
            let strikes = scope.spawn(|| {
                let done = strike(stage, begun, &plan.strikes);
                over.store(true, Ordering::Relaxed);
                done
            });
            let mut ended: Option<Instant> = None;
            let mut next_look = Instant::now();
            let restless = loop {
                thread::sleep(TICK);
                if !self.supervise(engine, begun)? || Instant::now() < next_look {
                    continue;
                }
                next_look = Instant::now() + LOOK_EVERY;
                let is_over = over.load(Ordering::Relaxed);
                self.answer(engine, lab, is_over)?;
                if !is_over {
                    continue;
                }
                let since = *ended.get_or_insert_with(Instant::now);
                self.decide(engine, lab, since)?;
                match unrest(engine, lab)? {
                    None if self.kills.is_empty() => break None,
                    Some(what) if since.elapsed() > CALM_WITHIN => break Some(what),
                    None | Some(_) => {}
                }
            };
            let struck = strikes.join().map_err(|_| anyhow!("the faults' thread panicked"))?;
            struck.map(|()| restless)
        })
    }

    /// Kills the engine when it is time, and has it run otherwise. No while it is away.
    fn supervise(&mut self, engine: &mut Engine, begun: Instant) -> Result<bool> {
        if let Some((at, away)) = self.kills.front().copied()
            && Instant::now() >= begun + at
        {
            self.kills.pop_front();
            engine.kill();
            self.away_until = Some(Instant::now() + away);
        }
        if self.away_until.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        self.away_until = None;
        engine.alive().context("the engine does not come back")?;
        Ok(true)
    }

    /// A person who finds two histories and nobody at work: what Sentinels name lives on, and
    /// the fenced one is taken back by hand.
    fn decide(&mut self, engine: &mut Engine, lab: &Lab, since: Instant) -> Result<()> {
        if self.by_hand.is_some() || since.elapsed() < LOOKED_INTO || is_at_work(engine)?.is_some()
        {
            return Ok(());
        }
        let Some(node) = fenced_master(lab) else { return Ok(()) };
        let params = json!({ "cluster": "bondx", "node": node.address() });
        engine.post("/runs", &json!({ "workflow": "redis-rejoin", "params": params }))?;
        self.by_hand = Some(node.address());
        Ok(())
    }

    /// A person who answers when the faults are over and there is a master again: yes then,
    /// and no only where there is none.
    fn answer(&mut self, engine: &mut Engine, lab: &Lab, is_over: bool) -> Result<()> {
        let asked = &mut self.asked;
        engine.answer(|question: &Question| {
            let text = format!("{} {}: {}", question.workflow, question.step, question.asks);
            if !asked.contains(&text) {
                asked.push(text);
            }
            let is_well = is_over && lab.writable_masters().len() == 1;
            Ok(is_well.then(|| Answered { approved: true, reason: "there is a master".into() }))
        })
    }
}

/// A node that is fenced and says that it is master.
fn fenced_master(lab: &Lab) -> Option<&Node> {
    let words = ["CONFIG", "GET", "min-replicas-to-write"];
    let gate = |node: &Node| query::ask::<(String, u32)>(node, &words).map_or(0, |(_, gate)| gate);
    let is_master = |node: &Node| query::role(node).is_some_and(|it| it == "master");
    lab.data().iter().find(|it| is_master(it) && gate(it) >= FENCE)
}

/// What has not come to rest; none: one master takes writes, all Sentinels name it, the
/// others follow it, nobody is fenced, and no run is at work.
fn unrest(engine: &mut Engine, lab: &Lab) -> Result<Option<String>> {
    let masters = lab.writable_masters();
    let [master] = masters.as_slice() else {
        return Ok(Some(format!("{masters:?} take writes")));
    };
    if lab.agreed_master().as_ref() != Some(master) {
        let named = lab.masters_by_sentinels();
        return Ok(Some(format!("the master is {master}, by the Sentinels {named:?}")));
    }
    for node in lab.data() {
        let fields = query::info(node, "replication");
        let of = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let follows = format!("{}:{}", of("master_host"), of("master_port")) == *master;
        if node.address() != *master && !(follows && query::in_sync(node)) {
            return Ok(Some(format!("{} does not follow {master}", node.address())));
        }
        let words = ["CONFIG", "GET", "min-replicas-to-write"];
        let gate = query::ask::<(String, u32)>(node, &words).map_or(FENCE, |(_, gate)| gate);
        if gate >= FENCE {
            return Ok(Some(format!("{} is fenced still", node.address())));
        }
    }
    is_at_work(engine)
}
