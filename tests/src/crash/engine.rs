//! `baton serve`, started again whenever it has died, as a supervisor would.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use baton_crash::Point;
use serde_json::{Value, json};

use super::Blow;
use crate::daemon::{Daemon, Home, Start, closed};
use crate::wait::wait_for;
use crate::web::{self, Answer};

/// For one answer, however often the engine dies meanwhile.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// The variable with the token of its API, for one that others reach as well.
pub const API_TOKEN: &str = "BATON_API_TOKEN";
/// SIGKILL.
const KILL: i32 = 9;

/// A person's answer to a question of a run.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Yes or no.
    pub approved: bool,
    /// Why.
    pub reason: String,
}

/// An engine and what will kill it: each of its lives ends by one blow, in order, and
/// the life after the last one goes on.
#[derive(Debug)]
pub struct Engine {
    home: Home,
    blows: VecDeque<Blow>,
    daemon: Option<Daemon>,
    kill_at: Option<Instant>,
    deaths: u32,
}

impl Engine {
    /// Starts the first life.
    ///
    /// # Errors
    /// When it does not start, or ends otherwise than by a blow.
    pub fn start(home: Home, blows: impl IntoIterator<Item = Blow>) -> Result<Self> {
        let blows = blows.into_iter().collect();
        let mut engine = Self { home, blows, daemon: None, kill_at: None, deaths: 0 };
        engine.alive()?;
        Ok(engine)
    }

    /// How often it died.
    pub fn deaths(&self) -> u32 {
        self.deaths
    }

    /// What of its blows has not come: a point that was not passed so often, or a run
    /// that was over before.
    pub fn blows_left(&self) -> usize {
        self.blows.len() + usize::from(self.kill_at.is_some())
    }

    /// Where it keeps all.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// SIGKILL from outside, now. The next question starts it again.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
            self.deaths += 1;
        }
    }

    /// Ends it for good and takes its home away: many hundreds are played in a row.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn retire(mut self) -> Result<u32> {
        drop(self.daemon.take());
        fs::remove_dir_all(&self.home.folder)?;
        Ok(self.deaths)
    }

    /// How often the first life passed each point until now.
    ///
    /// # Errors
    /// When the engine is not armed, and so keeps no counts.
    pub fn passings(&self) -> Result<BTreeMap<Point, u64>> {
        let path = self.count_file();
        if self.deaths > 0 && !path.exists() {
            // It died before it passed any.
            return Ok(BTreeMap::new());
        }
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{}: the engine has no crash points; build the whole workspace", path.display())
        })?;
        let count = |point: Point| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{point} ")))?;
            Some((point, line.trim().parse().ok()?))
        };
        let counts: BTreeMap<_, _> = Point::ALL.into_iter().filter_map(count).collect();
        ensure!(counts.len() == Point::ALL.len(), "not all points are counted in:\n{text}");
        Ok(counts)
    }

    fn count_file(&self) -> PathBuf {
        self.home.folder.join("passings")
    }

    /// The address of a running engine: the one that runs, or a new life.
    ///
    /// # Errors
    /// When it does not start, or ended otherwise than by a blow.
    pub fn alive(&mut self) -> Result<SocketAddr> {
        loop {
            if self.kill_at.is_some_and(|at| Instant::now() >= at) {
                self.kill_at = None;
                self.kill();
            }
            let Some(daemon) = &mut self.daemon else {
                self.rise()?;
                continue;
            };
            match daemon.ended() {
                None => return Ok(daemon.address()),
                Some(status) => {
                    self.daemon = None;
                    self.died(status)?;
                }
            }
        }
    }

    fn rise(&mut self) -> Result<()> {
        let mut variables = Vec::new();
        if self.deaths == 0 {
            variables.push(("BATON_CRASH_COUNT", self.count_file().display().to_string()));
        }
        let blow = self.blows.pop_front();
        if let Some(Blow::At(passing)) = blow {
            variables.push(("BATON_CRASH_AT", passing.to_string()));
        }
        match Daemon::launch(&self.home, &variables)? {
            Start::Ended(status) => self.died(status),
            Start::Ready(daemon) => {
                self.daemon = Some(daemon);
                if let Some(Blow::After(time)) = blow {
                    self.kill_at = Some(Instant::now() + time);
                }
                Ok(())
            }
        }
    }

    fn died(&mut self, status: ExitStatus) -> Result<()> {
        self.deaths += 1;
        if status.signal() == Some(KILL) {
            return Ok(());
        }
        bail!("the engine ended by itself ({status}):\n{}", self.home.last_lines())
    }

    /// The answer to what `ask` asks, through deaths and 503: as Alertmanager retries.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn answer_to(
        &mut self,
        mut ask: impl FnMut(SocketAddr) -> Result<Answer>,
    ) -> Result<Answer> {
        wait_for("the engine answers", ANSWERED_WITHIN, || match self.alive() {
            Ok(address) => ask(address).ok().filter(|answer| answer.status < 500).map(Ok),
            Err(error) => Some(Err(error)),
        })
        .with_context(|| self.home.last_lines())?
    }

    /// `GET path`, as JSON.
    ///
    /// # Errors
    /// When it is not answered by 200.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        let login = self.login();
        let login: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.answer_to(|address| web::get_with(address, path, &login))?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.body);
        answer.json()
    }

    /// `GET path`, as it is.
    ///
    /// # Errors
    /// When it is not answered by 200.
    pub fn page(&mut self, path: &str) -> Result<String> {
        let login = self.login();
        let login: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.answer_to(|address| web::get_with(address, path, &login))?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// `POST path` until it is taken; gives the body of the answer.
    ///
    /// # Errors
    /// When it is refused.
    pub fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(path, body)?;
        let taken = [200, 202].contains(&answer.status);
        ensure!(taken, "POST {path}: {} {}", answer.status, answer.body);
        answer.json()
    }

    fn send(&mut self, path: &str, body: &Value) -> Result<Answer> {
        let login = self.login();
        let login: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let bytes = body.to_string().into_bytes();
        self.answer_to(|address| web::post(address, path, &login, &bytes))
    }

    /// What its API asks for, where it has a token.
    fn login(&self) -> Option<(&'static str, String)> {
        let mut variables = self.home.environment.iter();
        let (_, token) = variables.find(|(name, _)| name == API_TOKEN)?;
        Some(("Authorization", format!("Bearer {token}")))
    }

    /// Lets run `id` come to its end, with a person who answers what any run asks; gives
    /// the run.
    ///
    /// # Errors
    /// When it does not end `within`; those of the person.
    pub fn end_of(
        &mut self,
        id: &str,
        within: Duration,
        mut person: impl FnMut(&Question) -> Result<Answered>,
    ) -> Result<Value> {
        let path = format!("/runs/{id}");
        let what = format!("run {id} is over");
        let waited = wait_for(&what, within, || {
            let mut look = || -> Result<Option<Value>> {
                let run = self.get(&path)?;
                if closed(text(&run, "state")) {
                    return Ok(Some(run));
                }
                self.answer_all(&mut person)?;
                Ok(None)
            };
            look().transpose()
        });
        waited.with_context(|| self.shown(&path))?
    }

    /// A run that did not do as it should, for an error.
    fn shown(&mut self, path: &str) -> String {
        let run = self.get(path).and_then(|run| self.told(&run));
        let run = run.unwrap_or_else(|error| format!("{error:#}"));
        format!("{run}\n{}", self.home.last_lines())
    }

    /// What became of each step of a run and of its children, in short.
    ///
    /// # Errors
    /// When a child cannot be shown.
    pub fn told(&mut self, run: &Value) -> Result<String> {
        let mut told = format!("{} {}: {}", text(run, "workflow"), text(run, "state"), run["note"]);
        for step in list(run, "steps") {
            let tries = list(step, "attempts").iter().map(|it| text(it, "end"));
            let tries = tries.collect::<Vec<_>>().join(", ");
            let _infallible =
                write!(told, "; {} {} [{tries}]", text(step, "name"), text(step, "state"));
            if !step["fault"].is_null() {
                let _infallible = write!(told, " {}", step["fault"]);
            }
            if let Some(child) = step["child"].as_str() {
                let child = self.get(&format!("/runs/{child}"))?;
                let _infallible = write!(told, " ({})", self.told(&child)?);
            }
        }
        Ok(told)
    }

    /// Lets all runs come to their end, with a person who answers what they ask.
    ///
    /// # Errors
    /// When they do not `within`; those of the person.
    pub fn settle(
        &mut self,
        within: Duration,
        mut person: impl FnMut(&Question) -> Result<Answered>,
    ) -> Result<()> {
        wait_for("all runs are over", within, || {
            let mut look = || -> Result<Option<()>> {
                self.answer_all(&mut person)?;
                for state in ["queued", "running", "asking", "undoing", "cancelling"] {
                    let open = self.get(&format!("/runs?state={state}&limit=1"))?;
                    if !list(&open, "runs").is_empty() {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            };
            look().transpose()
        })
        .with_context(|| self.home.last_lines())?
    }

    /// Answers every question that is open now.
    fn answer_all(&mut self, person: &mut impl FnMut(&Question) -> Result<Answered>) -> Result<()> {
        self.answer(|question| person(question).map(Some))
    }

    /// Puts every question that is open now to a person, who may leave it open.
    ///
    /// # Errors
    /// When the engine does not answer; those of the person.
    pub fn answer(
        &mut self,
        mut person: impl FnMut(&Question) -> Result<Option<Answered>>,
    ) -> Result<()> {
        let asking = self.get("/runs?state=asking&limit=500")?;
        for run in list(&asking, "runs") {
            let run = self.get(&format!("/runs/{}", text(run, "id")))?;
            for question in Question::all(&run) {
                let Some(Answered { approved, reason }) = person(&question)? else { continue };
                let body = json!({
                    "step": question.step, "item": question.item, "approved": approved,
                    "who": "a person", "reason": reason,
                });
                let path = format!("/runs/{}/answer", question.run);
                // Refused where the answer was taken and its acknowledgement lost.
                self.send(&path, &body)?;
            }
        }
        Ok(())
    }
}

/// What a run asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which run.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// Which step.
    pub step: String,
    /// Which item of it.
    pub item: usize,
    /// What is asked.
    pub asks: String,
    /// The step's changing calls, as `GET /runs/<id>` shows them.
    pub calls: Vec<Value>,
}

impl Question {
    fn all(run: &Value) -> Vec<Self> {
        let mut all = Vec::new();
        for step in list(run, "steps") {
            let name = text(step, "name");
            let items = list(step, "items");
            if items.is_empty() {
                all.extend(Self::of(run, name, 0, step));
            }
            for (number, item) in items.iter().enumerate() {
                all.extend(Self::of(run, name, number, item));
            }
        }
        all
    }

    fn of(run: &Value, step: &str, item: usize, view: &Value) -> Option<Self> {
        // Why a step was left out is told in the same place, and nobody is asked.
        if view["asks"].is_null() {
            return None;
        }
        Some(Self {
            run: text(run, "id").to_owned(),
            workflow: text(run, "workflow").to_owned(),
            step: step.to_owned(),
            item,
            asks: view["question"].as_str()?.to_owned(),
            calls: list(view, "calls").to_vec(),
        })
    }
}

/// A text of a JSON object; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A list of a JSON object; empty if there is none.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}
