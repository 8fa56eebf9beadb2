//! The fault and what comes of it, until the run is closed and trade goes on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use baton_lab::daemon::Daemon;
use baton_lab::query;
use baton_lab::wait::wait_for;
use baton_lab::{Lab, wait_until};
use serde_json::Value;

use super::stage::{HOOK_TOKEN, Stage};
use super::timeline::{Moment, Timeline};
use super::{Course, alert, runs};
use crate::shell::Phases;

/// The workflow that replaces a master.
pub(crate) const FAILOVER: &str = "redis-failover";
/// Its step that changes who is master.
const PROMOTE: &str = "promote";

/// For the watch to see two times that the master is dead. The alert comes after
/// it, as a real one would; or after this, whatever the watch does.
const WATCH_WITHIN: Duration = Duration::from_secs(3);
/// From the run's begin to `promote` running and a replica promoted.
const PROMOTED_WITHIN: Duration = Duration::from_secs(30);
/// For a run to close by itself.
const CLOSED_WITHIN: Duration = Duration::from_mins(3);
/// For Sentinel's own failover: several tries.
const SENTINEL_WITHIN: Duration = Duration::from_secs(90);
/// What the trader writes after it is over.
const WRITES_AFTER: usize = 1_000;

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    /// When the master was killed.
    pub(crate) fault: Moment,
    /// Its address.
    pub(crate) old_master: String,
    /// The failover run, if Baton began one.
    pub(crate) run: Option<String>,
    /// What the webhook answered the alert: `started`, `joined`, …
    pub(crate) alert_outcome: String,
    /// The step that ran when the engine was killed.
    pub(crate) killed_in: Option<String>,
    /// What this program did and saw.
    pub(crate) timeline: Timeline,
}

/// Kills the master and sees it through.
///
/// # Errors
/// When something that must happen does not.
pub(crate) fn unfold(stage: &mut Stage, phases: &mut Phases) -> Result<Incident> {
    let old_master = stage.lab.data()[0].address();
    let mut timeline = Timeline::default();
    let fault = Moment::now();
    stage.lab.data()[0].kill()?;
    timeline.note(fault, format!("SIGKILL of the master {old_master}"));
    let mut incident = Incident {
        fault,
        old_master,
        run: None,
        alert_outcome: String::new(),
        killed_in: None,
        timeline,
    };

    phases.phase("the master is killed: the watch sees it, and an alert comes in", || {
        notice(stage, &mut incident)
    })?;
    if stage.course == Course::EngineKilled {
        phases.phase("kill baton while it promotes, and start it again", || {
            kill_engine(stage, &mut incident)
        })?;
    }
    if let Some(id) = &incident.run {
        let run = phases.phase("the run finishes by itself", || {
            runs::wait_closed(stage.daemon()?, id, CLOSED_WITHIN)
        })?;
        println!("  run {id} {}", runs::text(&run, "state"));
    }
    if stage.course == Course::SentinelOnly {
        phases.phase("Sentinel fails over by itself", || {
            let new = stage.lab.wait_for_new_master(&incident.old_master, SENTINEL_WITHIN)?;
            let what = format!("all Sentinels name {new}, which takes writes");
            incident.timeline.note(Moment::now(), what);
            Ok(())
        })?;
    }
    phases.phase("trade goes on", || {
        let trader = stage.trader()?;
        let since = Instant::now();
        wait_until("1,000 more transactions are acknowledged", Duration::from_mins(1), || {
            trader.acked_after(since) >= WRITES_AFTER
        })
    })?;
    Ok(incident)
}

/// The watch finds the dead master; then the alert arrives. Both are one incident.
fn notice(stage: &Stage, incident: &mut Incident) -> Result<()> {
    let daemon = stage.daemon()?;
    // None in time is no error here: the alert still comes, and the summary says
    // what began the run.
    incident.run = wait_for("the watch begins a run", WATCH_WITHIN, || newest(daemon)).ok();
    if let Some(run) = &incident.run {
        incident.timeline.note(Moment::now(), format!("the watch has begun run {run}"));
    }
    let fault = incident.fault.unix_ms;
    let answer = alert::post(daemon, HOOK_TOKEN, &incident.old_master, fault)?;
    let body = answer.json()?;
    runs::text(&body, "outcome").clone_into(&mut incident.alert_outcome);
    let what = format!("alert posted to the webhook: 202, {}", incident.alert_outcome);
    println!("  {what}");
    incident.timeline.note(Moment::now(), what);
    if incident.run.is_none() {
        incident.run = body["run"].as_str().map(str::to_owned);
    }
    if incident.run.is_none() && stage.course != Course::SentinelOnly {
        bail!("neither the watch nor the alert began a run: {}", answer.body);
    }
    Ok(())
}

/// Holds `promote` by stopping one Sentinel, kills the engine in it, lets the
/// Sentinel go on, and starts the engine again.
fn kill_engine(stage: &mut Stage, incident: &mut Incident) -> Result<()> {
    let id = incident.run.clone().context("there is no run to interrupt")?;
    let held = stage.lab.sentinels().len() - 1;
    let name = stage.lab.sentinels()[held].name().to_owned();

    // Not before: a Sentinel that hangs would also slow down the detection.
    wait_for("the run has looked at all Sentinels", PROMOTED_WITHIN, || {
        let run = stage.daemon.as_ref()?.run(&id).ok()?;
        past(&run, "confirm").then_some(())
    })?;
    stage.lab.sentinels()[held].stop()?;
    incident.timeline.note(Moment::now(), format!("SIGSTOP of {name}, so that promote waits"));

    let step = caught(stage.daemon()?, &stage.lab, &id)?;
    if let Some(daemon) = stage.daemon.take() {
        daemon.kill();
    }
    let killed = Moment::now();
    incident.timeline.note(killed, format!("SIGKILL of baton in step {step}"));
    println!("  baton killed while step {step} was running");
    incident.killed_in = Some(step);

    stage.lab.sentinels()[held].cont()?;
    incident.timeline.note(Moment::now(), format!("SIGCONT of {name}"));
    stage.daemon = Some(Daemon::start(&stage.home)?);
    let ready = Moment::now();
    incident.timeline.note(ready, "baton is started again and ready");
    Ok(())
}

/// Waits until `promote` is running and a replica is promoted; gives the name of
/// the running step as the API shows it.
fn caught(daemon: &Daemon, lab: &Lab, id: &str) -> Result<String> {
    let outcome =
        wait_for("promote is running and a replica is promoted", PROMOTED_WITHIN, || {
            let promoted = lab.data()[1..]
                .iter()
                .any(|node| query::role(node).is_some_and(|role| role == "master"));
            let run = daemon.run(id).ok()?;
            let state =
                runs::step(&run, PROMOTE).map(|step| runs::text(step, "state").to_owned())?;
            match state.as_str() {
                "running" if promoted => Some(Ok(running(&run))),
                "waiting" | "ready" | "running" | "backing-off" => None,
                _ => Some(Err(state)),
            }
        })?;
    outcome
        .map_err(|state| anyhow::anyhow!("promote was {state} before baton could be killed in it"))
}

/// Name of the step that runs.
fn running(run: &Value) -> String {
    let running = runs::steps(run).find(|step| step["state"] == "running");
    running.map(|step| runs::text(step, "name").to_owned()).unwrap_or_default()
}

/// Whether a step has ended well.
fn past(run: &Value, name: &str) -> bool {
    runs::step(run, name).is_some_and(|step| step["state"] == "succeeded")
}

/// The newest failover run.
fn newest(daemon: &Daemon) -> Option<String> {
    let list = daemon.runs(FAILOVER).ok()?;
    list.first().and_then(|run| run["id"].as_str()).map(str::to_owned)
}
