//! The real failover workflow on a real cluster whose master is killed, while a client
//! goes on writing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::boundary::{Played, Subject};
use super::engine::{Answered, list, text};
use super::{Blow, Engine};
use crate::daemon::Home;
use crate::trader::{Habits, Route, Trader};
use crate::wait::wait_until;
use crate::{Lab, Options, market, query};

/// From the delivery to the end of the run, deaths included.
const PLAYED_WITHIN: Duration = Duration::from_secs(90);
/// For a client to write something.
const TRADED_WITHIN: Duration = Duration::from_secs(30);
/// What it writes before the fault, and after all is over.
const WRITES: usize = 20;
/// So few writes to so many books that each can be read between two of them, however
/// slow this machine is: reading a busy book is another test.
const WRITES_PER_S: u32 = 50;
const INSTRUMENTS: usize = 25;
const TOKEN: &str = "laboratory";
const FAILOVER: &str = "redis-failover";
const REJOIN: &str = "redis-rejoin";
const SETTLE: &str = "redis-settle";
/// From the return of the old master to the end of the run that waits for it.
const PAID_WITHIN: Duration = Duration::from_mins(1);
const GATE: &str = "min-replicas-to-write";

/// What begins the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// An alert alone, so that the same happens each time.
    ByAlert,
    /// An alert and the workflow's own watch, as in production.
    ByAll,
}

impl Begun {
    fn options(self) -> Options {
        match self {
            // Sentinel keeps out of it, however slow this machine is.
            Self::ByAlert => Options { down_after_ms: 60_000, ..Options::bondx() },
            Self::ByAll => Options::bondx(),
        }
    }
}

/// The workflow of the repository at `root`.
#[derive(Clone, Debug)]
pub struct Failover {
    root: PathBuf,
    binary: PathBuf,
    cache: PathBuf,
    begun: Begun,
}

impl Failover {
    /// `binary` is an armed `baton` of the repository at `root`, whose plugins are
    /// built. Compiled plugins are kept in `cache`.
    ///
    /// # Errors
    /// When something is not built.
    pub fn new(root: &Path, binary: &Path, cache: &Path, begun: Begun) -> Result<Self> {
        let promote = root.join("target/plugins/promote.wasm");
        ensure!(promote.is_file(), "no plugins: run `cargo xtask plugins`");
        ensure!(binary.is_file(), "{} is missing: build the workspace", binary.display());
        fs::create_dir_all(cache)?;
        let (root, binary) = (root.to_owned(), binary.to_owned());
        Ok(Self { root, binary, cache: cache.to_owned(), begun })
    }
}

impl Failover {
    /// A home of an engine that leads the cluster of `lab`.
    fn home(&self, lab: &Lab) -> Result<Home> {
        home(&self.root, &self.binary, &self.cache, lab, self.begun)
    }
}

/// A home of an engine of the repository at `root` that leads the cluster of `lab`.
/// Compiled plugins are kept in `cache`.
///
/// # Errors
/// When files cannot be written.
pub fn home(root: &Path, binary: &Path, cache: &Path, lab: &Lab, begun: Begun) -> Result<Home> {
    let folder = lab.folder().join("baton");
    let workflows = folder.join("workflows");
    fs::create_dir_all(&workflows)?;
    fs::create_dir_all(folder.join("data"))?;
    std::os::unix::fs::symlink(cache, folder.join("data/cache"))?;
    for entry in fs::read_dir(root.join("workflows"))? {
        let path = entry?.path();
        let name = path.file_name().context("a file of a folder has a name")?;
        let mut source = fs::read_to_string(&path)?;
        if begun == Begun::ByAlert {
            source = without_watch(&source);
        }
        fs::write(workflows.join(name), source)?;
    }
    let configuration = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n\n[paths]\ndata = \"data\"\nplugins = {:?}\n\
         workflows = \"workflows\"\n\n[secrets]\nhook-token = {{ env = \"HOOK_TOKEN\" }}\n\n{}",
        root.join("target/plugins").display().to_string(),
        lab.cluster_toml("bondx", "lead"),
    );
    fs::write(folder.join("baton.toml"), configuration)?;
    let environment = vec![("HOOK_TOKEN".to_owned(), TOKEN.to_owned())];
    Ok(Home { binary: binary.to_owned(), folder, environment })
}

impl Subject for Failover {
    fn name(&self) -> String {
        match self.begun {
            Begun::ByAlert => "failover".to_owned(),
            Begun::ByAll => "failover with its watch".to_owned(),
        }
    }

    fn play(&self, blows: &[Blow]) -> Result<Played> {
        let lab = Lab::start(self.begun.options())?;
        let old = lab.data()[0].address();
        let market = market::fill(&mut query::connect(&old, None)?, INSTRUMENTS, 1)?;
        let habits = Habits { name: "crash".to_owned(), rate_per_s: WRITES_PER_S, seed: 1 };
        let trader = Trader::start(Route::of(&lab), market, &habits);
        wait_until("something is written", TRADED_WITHIN, || trader.acked() >= WRITES)?;
        let mut engine = Engine::start(self.home(&lab)?, blows.iter().copied())?;
        lab.data()[0].kill()?;
        let id = alert(&mut engine, &old)?;
        let run = engine.end_of(&id, PLAYED_WITHIN, |_| {
            Ok(Answered { approved: true, reason: "the plugin looks before it acts".to_owned() })
        })?;
        let seen = trader.acked();
        wait_until("trade goes on", TRADED_WITHIN, || trader.acked() >= seen + WRITES)?;
        let history = trader.stop();

        // On a slow machine Sentinel is sometimes first: then it must be left alone.
        let by_sentinel = self.begun == Begun::ByAll && run["output"]["verdict"] == "no failover";
        let mut violations = Vec::new();
        if by_sentinel {
            lab.wait_for_new_master(&old, PLAYED_WITHIN)?;
        } else {
            violations.extend(judge_run(&mut engine, &run)?);
            violations.extend(judge_cluster(&lab, &old, &run));
            violations.extend(pay_debt(&mut engine, &lab)?);
            violations.extend(judge_cluster(&lab, &old, &run));
        }
        let mut master = query::connect(&lab.master()?.address(), None)?;
        let account = history.account(&mut master)?;
        if !account.lost.is_empty() || !account.doubled.is_empty() {
            violations.push(format!("acknowledged writes were lost or doubled: {account:?}"));
        }
        let (blows_left, passings) = (engine.blows_left(), engine.passings()?);
        violations.extend(judge_key(&mut engine, &id)?);
        Ok(Played { deaths: engine.deaths(), blows_left, passings, violations })
    }
}

/// The workflow with its watch cut out: what lies between one heading and the next.
fn without_watch(source: &str) -> String {
    let mut parts = source.split("\n[[triggers]]\n");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if part.starts_with("kind = \"watch\"") {
            let rest = part.find("\n[").map_or("", |at| &part[at..]);
            kept.push_str(rest);
        } else {
            kept.push_str("\n[[triggers]]\n");
            kept.push_str(part);
        }
    }
    kept
}

/// Delivers the alert, as often as it takes; gives the run that answers it.
///
/// # Errors
/// When it is not taken.
pub fn alert(engine: &mut Engine, instance: &str) -> Result<String> {
    let labels = json!({ "alertname": "RedisDown", "cluster": "bondx", "instance": instance });
    let body = json!({
        "version": "4", "groupKey": "{}:{alertname=\"RedisDown\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "baton", "groupLabels": labels, "commonLabels": labels,
        "commonAnnotations": {}, "externalURL": "http://alertmanager.example:9093",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "", "fingerprint": "9f0a1c53d1b6e8a7",
        }],
    });
    let bearer = format!("Bearer {TOKEN}");
    let bytes = body.to_string().into_bytes();
    let answer = engine.answer_to(|address| {
        let headers = [("Authorization", bearer.as_str())];
        crate::web::post(address, "/hooks/alertmanager", &headers, &bytes)
    })?;
    ensure!(answer.status == 202, "the alert: {} {}", answer.status, answer.body);
    let body = answer.json()?;
    let id = text(&body, "run").to_owned();
    ensure!(!id.is_empty(), "a 202 that names no run: {body}");
    Ok(id)
}

fn judge_run(engine: &mut Engine, run: &Value) -> Result<Vec<String>> {
    let is_good = text(run, "state") == "succeeded" && run["output"]["verdict"] == "pass";
    let told = |engine: &mut Engine| {
        Ok(vec![format!("its verdict is {}: {}", run["output"]["verdict"], engine.told(run)?)])
    };
    if is_good { Ok(Vec::new()) } else { told(engine) }
}

fn judge_cluster(lab: &Lab, old: &str, run: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let masters = lab.writable_masters();
    let [master] = masters.as_slice() else {
        return vec![format!("{} masters take writes: {masters:?}", masters.len())];
    };
    if master == old || run["output"]["master"] != master.as_str() {
        wrong.push(format!("the master is {master}, by the run {}", run["output"]["master"]));
    }
    let by_sentinels = lab.masters_by_sentinels();
    if by_sentinels.iter().any(|named| named.as_ref() != Some(master)) {
        wrong.push(format!("the master is {master}, by the Sentinels {by_sentinels:?}"));
    }
    wrong
}

/// The old master comes back: the one run that waits for it makes it follow, unfenced.
fn pay_debt(engine: &mut Engine, lab: &Lab) -> Result<Vec<String>> {
    let old = &lab.data()[0];
    old.start()?;
    let debts = engine.get(&format!("/runs?workflow={REJOIN}&limit=10"))?;
    let [debt] = list(&debts, "runs") else {
        return Ok(vec![format!("there should be one debt: {debts}")]);
    };
    let id = text(debt, "id").to_owned();
    let run = engine.end_of(&id, PAID_WITHIN, |_| {
        Ok(Answered { approved: true, reason: "the plugin looks before it acts".to_owned() })
    })?;
    let mut wrong = Vec::new();
    let outcome = text(&run["output"], "outcome");
    if text(&run, "state") != "succeeded" || !["held", "follows"].contains(&outcome) {
        wrong.push(format!("the debt ended {outcome}: {}", engine.told(&run)?));
    }
    if !query::in_sync(old) {
        wrong.push(format!("{} does not follow", old.address()));
    }
    let (_, gate): (String, String) = query::ask(old, &["CONFIG", "GET", GATE])?;
    if gate != "0" {
        wrong.push(format!("{} is left with {GATE} {gate}", old.address()));
    }
    Ok(wrong)
}

/// One incident is one run, all are over, and the key is free again: a run by hand
/// starts and is not held back.
fn judge_key(engine: &mut Engine, id: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let listed = engine.get("/runs?limit=500")?;
    for run in list(&listed, "runs") {
        // A delivery that came late is owed another look, once it is cool.
        let owed = text(run, "state") == "queued" && text(run, "trigger") == "reassess";
        if text(run, "workflow") == FAILOVER && text(run, "id") != id && !owed {
            wrong.push(format!("a second run began: {run}"));
        }
        // The watch over the new master goes on for a while by itself.
        let watches = text(run, "workflow") == SETTLE && text(run, "state") == "running";
        if run["closed_at"].is_null() && !owed && !watches {
            wrong.push(format!("run {} is still {}", text(run, "id"), text(run, "state")));
        }
        if text(run, "state") == "unreadable" {
            wrong.push(format!("run {} is unreadable", text(run, "id")));
        }
    }
    let again = json!({ "workflow": FAILOVER });
    let deaths = engine.deaths();
    let answer = engine.post("/runs", &again)?;
    // A late death between the run's begin and its acknowledgement: it joins itself.
    let died = engine.deaths() > deaths;
    if text(&answer, "outcome") != "started" && !died {
        wrong.push(format!("the key is not free: {answer}"));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::without_watch;

    #[test]
    fn only_the_watch_is_cut_out() {
        let hook = "\n[[triggers]]\nkind = \"webhook\"\n\n";
        let watch = "\n[[triggers]]\nkind = \"watch\"\nevery = \"1s\"\n";
        let steps = "\n[steps.a]\n";
        let source = format!("name = \"x\"\n{hook}{watch}{steps}");
        assert_eq!(without_watch(&source), format!("name = \"x\"\n{hook}{steps}"));
    }
}
