//! `target/demo/report.md`: for the person on call who was asleep.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::incident::Incident;
use super::runs::{self, text as field};
use super::summary::{Settled, Summary};
use super::timeline::{Timeline, clock, date};
use crate::shell::seconds;

/// The whole report. Writing to text cannot fail, so results of `write!` are not
/// looked at.
pub(crate) fn text(
    incident: &Incident,
    settled: &Settled,
    phases: &[(String, Duration)],
) -> String {
    let mut out = String::new();
    headline(&mut out, incident, &settled.summary);
    happened(&mut out, incident, settled);
    done(&mut out, &settled.runs);
    lost(&mut out, &settled.summary);
    verified(&mut out, settled);
    interrupted(&mut out, settled);
    out.push_str("\n## How long the demo took\n\n");
    for (name, took) in phases {
        let _infallible = writeln!(out, "- {}: {}", name, seconds(*took));
    }
    out
}

fn headline(out: &mut String, incident: &Incident, summary: &Summary) {
    let gap =
        summary.write_gap_ms.map_or("until the end".to_owned(), |gap| format!("for {gap:.0} ms"));
    let lost = match summary.lost_acked_writes {
        0 => "No acknowledged write is lost".to_owned(),
        1 => "1 acknowledged write is lost".to_owned(),
        more => format!("{more} acknowledged writes are lost"),
    };
    let _infallible = write!(
        out,
        "# Redis failover of bondx: {}\n\n\
         On {} at {} UTC the master {} was killed. Nothing was written {gap}. \
         {lost}. The master is now {}. \
         The order book: {}.\n",
        summary.outcome,
        date(incident.fault.unix_ms),
        clock(incident.fault.unix_ms),
        incident.old_master,
        summary.sentinel_addr.as_deref().unwrap_or("not agreed on"),
        summary.orderbook.verdict,
    );
    for failure in &summary.failures {
        let _infallible = write!(out, "\n- **Not good:** {failure}");
    }
    if !summary.failures.is_empty() {
        out.push('\n');
    }
}

fn happened(out: &mut String, incident: &Incident, settled: &Settled) {
    let mut timeline = incident.timeline.clone();
    if let Some((last, first)) = settled.silence {
        timeline.note(last, "last acknowledged write before the outage");
        timeline.note(first, "first acknowledged write after it");
    }
    for run in &settled.runs {
        of_run(run, &mut timeline);
    }
    out.push_str("\n## What happened when\n\n| UTC | ms | |\n|---|---:|---|\n");
    for (at, what) in timeline.sorted() {
        let since = at - incident.fault.unix_ms;
        let _infallible = writeln!(out, "| {} | {since:+} | {} |", clock(at), cell(what));
    }
}

/// The run's own times, from its journal.
fn of_run(run: &Value, timeline: &mut Timeline) {
    let name = field(run, "workflow");
    let mut note = |time: &Value, what: String| {
        // A run that cannot be read has no times.
        if let Some(at) = time.as_i64().filter(|at| *at > 0) {
            timeline.at_ms(at, what);
        }
    };
    note(&run["begun_at"], format!("{name}: run begun by {}", field(&run["trigger"], "kind")));
    for joined in run["joined"].as_array().into_iter().flatten() {
        note(&joined["at"], format!("{name}: {} joined the run", field(joined, "kind")));
    }
    for step in runs::steps(run) {
        for attempt in step["attempts"].as_array().into_iter().flatten() {
            let step = field(step, "name");
            let number = &attempt["number"];
            note(&attempt["started_at"], format!("{name}: {step} started, attempt {number}"));
            let end = field(attempt, "end");
            let why = attempt["fault"]["message"].as_str();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            note(&attempt["ended_at"], format!("{name}: {step} {end}{why}"));
        }
    }
    note(&run["closed_at"], format!("{name}: run {}", field(run, "state")));
}

/// Changing commands, in the order of the run.
fn done(out: &mut String, all: &[Value]) {
    out.push_str("\n## What was done\n\n");
    let mut any = false;
    for step in all.iter().flat_map(runs::steps) {
        for call in step["calls"].as_array().into_iter().flatten() {
            any = true;
            let outcome =
                call["outcome"].as_str().unwrap_or("in doubt: the engine died before it knew");
            let _infallible = writeln!(
                out,
                "- {}, attempt {}: `{}` ({}) → {outcome}",
                field(step, "name"),
                call["attempt"],
                field(call, "request").replace('`', "'"),
                field(call, "class"),
            );
        }
    }
    if !any {
        out.push_str("Baton changed nothing.\n");
    }
}

fn lost(out: &mut String, summary: &Summary) {
    let _infallible = write!(
        out,
        "\n## What was lost\n\n\
         - Transactions acknowledged to the client: {}\n\
         - of these, missing on the surviving master: {}\n\
         - there more than once: {}\n\
         - never acknowledged, but there all the same (promised to nobody): {}\n",
        summary.acked_writes,
        summary.lost_acked_writes,
        summary.doubled_writes,
        summary.unpromised_writes,
    );
}

fn verified(out: &mut String, settled: &Settled) {
    let Summary { orderbook, writable_masters, sentinels_agree, run_verdict, .. } =
        &settled.summary;
    let _infallible = write!(
        out,
        "\n## Verification\n\n\
         - Nodes that take writes: {}\n\
         - All Sentinels name that one: {}\n\
         - Verdict of the run, while trade went on: {}\n\
         - Order book at rest, after the trader had stopped: {} ({} instruments, {} orders, \
         {} price levels, {} trades, {} violations)\n",
        writable_masters.join(", "),
        if *sentinels_agree { "yes" } else { "no" },
        run_verdict.as_deref().unwrap_or("none"),
        orderbook.verdict,
        orderbook.instruments,
        orderbook.orders,
        orderbook.levels,
        orderbook.trades,
        orderbook.violations,
    );
    let Some(output) = runs::output_of(&settled.verification, "verify-replication") else { return };
    out.push_str("\nReplication, check by check:\n\n");
    for check in output["checks"].as_array().into_iter().flatten() {
        let mark = if check["ok"] == true { "ok" } else { "**not ok**" };
        let message = field(check, "message");
        let _infallible = writeln!(out, "- {}: {mark}. {message}", field(check, "name"));
    }
}

fn interrupted(out: &mut String, settled: &Settled) {
    let summary = &settled.summary;
    out.push_str("\n## Interruptions\n\n");
    let Some(step) = &summary.engine_killed_in_step else {
        out.push_str("The engine was not killed.\n");
        return;
    };
    let _infallible = writeln!(
        out,
        "The engine was killed (SIGKILL) while `{step}` was running. The run counts {} \
         interruption(s); it {}.",
        summary.interruptions,
        if summary.resumed {
            "went on by itself after the restart and succeeded"
        } else {
            "did not come to a good end"
        },
    );
    // What Baton's own report says of it: what had been sent, and how it went on.
    for line in settled.runs.iter().flat_map(runs::steps).flat_map(cut_off) {
        let _infallible = writeln!(out, "{line}");
    }
}

/// The lines of a `report` step's section on interruptions.
fn cut_off(step: &Value) -> impl Iterator<Item = &str> {
    let markdown = step["output"]["markdown"].as_str().unwrap_or_default();
    let section = markdown.lines().skip_while(|line| *line != "## Interruptions").skip(1);
    section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("- "))
}

/// Text that cannot break a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
