//! What is counted in the end, by this program and not by Baton, except where the
//! field says otherwise.

use std::time::Duration;

use anyhow::{Context, Result};
use baton_lab::query;
use serde::Serialize;
use serde_json::Value;

use super::Course;
use super::incident::{FAILOVER, Incident};
use super::runs::{self, text};
use super::stage::Stage;
use super::timeline::Moment;

/// For a verification of 200 order books.
const VERIFIED_WITHIN: Duration = Duration::from_mins(3);

/// `target/demo/summary.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// `recovered` or `failed`.
    pub(crate) outcome: &'static str,
    /// Which demo this was.
    pub(crate) course: &'static str,
    /// Every reason why the outcome is not good.
    pub(crate) failures: Vec<String>,
    /// The failover run, if there was one.
    pub(crate) run_id: Option<String>,
    /// Its state.
    pub(crate) run_state: Option<String>,
    /// What Baton says of it beside its state: why it cannot be read, who ended it.
    pub(crate) run_note: Option<String>,
    /// The verdict it gave.
    pub(crate) run_verdict: Option<String>,
    /// What began the run, and what was folded into it.
    pub(crate) seen_by: Vec<String>,
    /// The step that ran when the engine was killed.
    pub(crate) engine_killed_in_step: Option<String>,
    /// The engine was killed, and the run went on by itself and closed.
    pub(crate) resumed: bool,
    /// How often the engine died under the run, as the run says.
    pub(crate) interruptions: u64,
    /// Last acknowledged write before the outage to the first one after it, ms.
    pub(crate) write_gap_ms: Option<f64>,
    /// Transactions acknowledged to the trader.
    pub(crate) acked_writes: usize,
    /// Of those, missing on the surviving master.
    pub(crate) lost_acked_writes: usize,
    /// Transactions found more than once.
    pub(crate) doubled_writes: usize,
    /// Sent without a clear answer, and there all the same.
    pub(crate) unpromised_writes: usize,
    /// By `verify-orderbook`, at rest.
    pub(crate) orderbook: Orderbook,
    /// Data nodes that say they are master and take writes.
    pub(crate) writable_masters: Vec<String>,
    /// All Sentinels name the one writable master.
    pub(crate) sentinels_agree: bool,
    /// What they name, if they agree.
    pub(crate) sentinel_addr: Option<String>,
    /// Failover runs of this incident beyond the first.
    pub(crate) duplicate_runs: usize,
}

/// The order book's verdict and what was looked at.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Orderbook {
    /// `pass` or `fail`.
    pub(crate) verdict: String,
    pub(crate) instruments: u64,
    pub(crate) orders: u64,
    pub(crate) levels: u64,
    pub(crate) trades: u64,
    pub(crate) violations: usize,
}

impl Summary {
    /// Whether all is as promised.
    pub(crate) fn good(&self) -> bool {
        self.failures.is_empty()
    }

    /// The few lines that matter.
    pub(crate) fn print(&self) {
        println!("\noutcome           {}", self.outcome);
        if let Some(step) = &self.engine_killed_in_step {
            println!("engine killed in  {step}; resumed by itself: {}", yes(self.resumed));
        }
        if let Some(gap) = self.write_gap_ms {
            println!("write gap         {gap:.0} ms");
        }
        println!("acknowledged      {} writes, {} lost", self.acked_writes, self.lost_acked_writes);
        let book = &self.orderbook;
        println!(
            "order book        {}: {} instruments, {} orders, {} trades, {} violations",
            book.verdict, book.instruments, book.orders, book.trades, book.violations
        );
        println!(
            "writable masters  {}; Sentinels agree: {}",
            self.writable_masters.join(", "),
            yes(self.sentinels_agree)
        );
        for failure in &self.failures {
            println!("not good          {failure}");
        }
    }
}

/// The summary, and what the report tells beside it.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) summary: Summary,
    /// The last acknowledged write before the outage and the first one after it.
    pub(crate) silence: Option<(Moment, Moment)>,
    /// The failover run and its child runs.
    pub(crate) runs: Vec<Value>,
    /// The verification at rest and its child runs.
    pub(crate) verification: Vec<Value>,
}

/// Stops the trader, counts, and verifies the order book once more at rest.
///
/// # Errors
/// When something cannot be asked.
pub(crate) fn settle(stage: &mut Stage, incident: &Incident) -> Result<Settled> {
    let history = stage.trader.take().context("the trader has been stopped")?.stop();
    let masters = stage.lab.writable_masters();
    let agreed = stage.lab.agreed_master();
    let survivor = masters.first().context("no data node takes writes")?;
    let account = history.account(&mut query::connect(survivor, None)?)?;
    let gap = history.gap_after(incident.fault.at);

    let daemon = stage.daemon()?;
    let verified = runs::run_now(daemon, "verify-redis", VERIFIED_WITHIN)?;
    let begun = daemon.runs(FAILOVER)?;
    // A joined alert may be looked at once more when its run is over: that is no
    // second failover of the incident.
    let failovers = begun.iter().filter(|run| run["trigger"] != "reassess").count();
    let verification = runs::family(daemon, text(&verified, "id"))?;
    let runs = match &incident.run {
        Some(id) => runs::family(daemon, id)?,
        None => Vec::new(),
    };
    let run = runs.first();

    let note = run.and_then(|run| run["note"].as_str()).unwrap_or_default().to_owned();
    let mut summary = Summary {
        outcome: "failed",
        course: stage.course.name(),
        failures: Vec::new(),
        run_id: incident.run.clone(),
        run_state: run.map(|run| text(run, "state").to_owned()),
        run_note: (!note.is_empty()).then_some(note),
        run_verdict: run.and_then(|run| run["output"]["verdict"].as_str().map(str::to_owned)),
        seen_by: run.map(seen_by).unwrap_or_default(),
        engine_killed_in_step: incident.killed_in.clone(),
        resumed: incident.killed_in.is_some() && run.is_some_and(|run| run["state"] == "succeeded"),
        interruptions: run.and_then(|run| run["interruptions"].as_u64()).unwrap_or(0),
        write_gap_ms: gap.map(|gap| (gap.length().as_secs_f64() * 10_000.0).round() / 10.0),
        acked_writes: account.acked,
        lost_acked_writes: account.lost.len(),
        doubled_writes: account.doubled.len(),
        unpromised_writes: account.unpromised,
        orderbook: orderbook(&verification),
        sentinels_agree: agreed.is_some()
            && masters.len() == 1
            && agreed.as_ref() == masters.first(),
        sentinel_addr: agreed,
        writable_masters: masters,
        duplicate_runs: failovers.saturating_sub(1),
    };
    summary.failures = failures(&summary, stage.course);
    summary.outcome = if summary.good() { "recovered" } else { "failed" };
    let silence = gap.map(|gap| (incident.fault.of(gap.from), incident.fault.of(gap.to)));
    Ok(Settled { summary, silence, runs, verification })
}

fn failures(summary: &Summary, course: Course) -> Vec<String> {
    let mut failures = Vec::new();
    let mut expect = |holds: bool, otherwise: String| {
        if !holds {
            failures.push(otherwise);
        }
    };
    let masters = summary.writable_masters.len();
    expect(masters == 1, format!("{masters} writable masters"));
    expect(summary.sentinels_agree, "the Sentinels do not agree on the writable master".to_owned());
    let book = &summary.orderbook;
    expect(book.verdict == "pass", format!("the order book's verdict is {:?}", book.verdict));
    expect(book.instruments > 0, "the order book's verdict is about no instrument".to_owned());
    let lost = summary.lost_acked_writes;
    expect(lost == 0, format!("{lost} acknowledged writes are lost"));
    expect(summary.doubled_writes == 0, format!("{} writes are doubled", summary.doubled_writes));
    expect(summary.write_gap_ms.is_some(), "nothing was acknowledged after the fault".to_owned());
    if course == Course::SentinelOnly {
        return failures;
    }
    let state = summary.run_state.as_deref().unwrap_or("not there");
    let note = summary.run_note.as_deref().unwrap_or("no note");
    expect(state == "succeeded", format!("the failover run is {state} ({note})"));
    let verdict = summary.run_verdict.as_deref().unwrap_or("not there");
    expect(verdict.starts_with("pass"), format!("the run's verdict is {verdict:?}"));
    expect(summary.duplicate_runs == 0, format!("{} duplicate runs", summary.duplicate_runs));
    for trigger in ["watch", "webhook"] {
        let seen = summary.seen_by.iter().any(|kind| kind == trigger);
        expect(seen, format!("the {trigger} has no part in the run"));
    }
    if course == Course::EngineKilled {
        let step = summary.engine_killed_in_step.as_deref().unwrap_or("no step");
        expect(step == "promote", format!("the engine was killed in {step}"));
        expect(summary.resumed, "the run was not resumed".to_owned());
        expect(summary.interruptions > 0, "the run knows of no interruption".to_owned());
    }
    failures
}

fn seen_by(run: &Value) -> Vec<String> {
    let joined =
        run["joined"].as_array().into_iter().flatten().map(|trigger| text(trigger, "kind"));
    std::iter::once(text(&run["trigger"], "kind")).chain(joined).map(str::to_owned).collect()
}

fn orderbook(runs: &[Value]) -> Orderbook {
    let Some(output) = runs::output_of(runs, "verify-orderbook") else {
        return Orderbook::default();
    };
    let count = |field: &str| output[field].as_u64().unwrap_or(0);
    Orderbook {
        verdict: text(output, "verdict").to_owned(),
        instruments: count("instruments"),
        orders: count("orders"),
        levels: count("levels"),
        trades: count("trades"),
        violations: output["violations"].as_array().map_or(0, Vec::len),
    }
}

fn yes(so: bool) -> &'static str {
    if so { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Summary {
        Summary {
            outcome: "recovered",
            course: Course::EngineKilled.name(),
            failures: Vec::new(),
            run_id: Some("1".to_owned()),
            run_state: Some("succeeded".to_owned()),
            run_note: None,
            run_verdict: Some("pass".to_owned()),
            seen_by: vec!["watch".to_owned(), "webhook".to_owned()],
            engine_killed_in_step: Some("promote".to_owned()),
            resumed: true,
            interruptions: 1,
            write_gap_ms: Some(800.0),
            acked_writes: 3_000,
            lost_acked_writes: 0,
            doubled_writes: 0,
            unpromised_writes: 1,
            orderbook: Orderbook {
                verdict: "pass".to_owned(),
                instruments: 200,
                ..Orderbook::default()
            },
            writable_masters: vec!["127.0.0.1:1".to_owned()],
            sentinels_agree: true,
            sentinel_addr: Some("127.0.0.1:1".to_owned()),
            duplicate_runs: 0,
        }
    }

    #[test]
    fn a_good_end_has_no_failure() {
        assert_eq!(failures(&good(), Course::EngineKilled), Vec::<String>::new());
    }

    #[test]
    fn every_broken_promise_is_a_failure() {
        let breaks: [fn(&mut Summary); 12] = [
            |it| it.run_state = Some("failed".to_owned()),
            |it| it.run_verdict = Some("fail".to_owned()),
            |it| it.seen_by.truncate(1),
            |it| it.engine_killed_in_step = Some("verify".to_owned()),
            |it| it.resumed = false,
            |it| it.interruptions = 0,
            |it| it.lost_acked_writes = 1,
            |it| it.doubled_writes = 1,
            |it| it.orderbook.verdict = "fail".to_owned(),
            |it| it.writable_masters.push("127.0.0.1:2".to_owned()),
            |it| it.sentinels_agree = false,
            |it| it.duplicate_runs = 1,
        ];
        for (number, planted) in breaks.iter().enumerate() {
            let mut summary = good();
            planted(&mut summary);
            assert_eq!(failures(&summary, Course::EngineKilled).len(), 1, "break {number}");
        }
    }

    #[test]
    fn sentinel_alone_owes_no_run() {
        let summary = Summary { run_state: None, seen_by: Vec::new(), duplicate_runs: 3, ..good() };
        assert_eq!(failures(&summary, Course::SentinelOnly), Vec::<String>::new());
    }
}
