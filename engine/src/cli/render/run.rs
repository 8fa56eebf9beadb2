//! `baton show`: one run as a tree.

use std::fmt::Write as _;

use baton_core::Millis;

use super::look::{Look, Tone, mark, spoken};
use super::page::Page;
use super::words::{age, clean, clean_lines, clock, count, duration, fit, pairs, time};
use crate::runner::view::{
    AgainView, AnswerView, AttemptView, CallView, HeldView, QuestionView, RunView, SeenView,
    StepView,
};

/// Where nothing else says how wide text may be, an output is cut here: the whole
/// of it is in `--output json`.
const OUTPUT_COLUMNS: usize = 160;

/// The run, its facts, and its steps as a tree.
pub(crate) fn run(run: &RunView, look: Look) -> String {
    let mut page = Page::new(look);
    page.line("", &heading(run, look));
    for (label, fact) in facts(run) {
        page.fact("  ", label, &fact);
    }
    page.line("", "");
    for (index, step) in run.steps.iter().enumerate() {
        let place = Place { run, last: index + 1 == run.steps.len() };
        page.step("", step, &place);
    }
    if !run.output.is_null() {
        page.line("", "");
        page.line("", &look.tint(Tone::Dim, "output"));
        let pretty = serde_json::to_string_pretty(&run.output).unwrap_or_default();
        for line in clean_lines(&pretty) {
            page.line("  ", &line);
        }
    }
    page.text()
}

/// `✓ redis-failover 0193…  succeeded in 6.31 s`.
pub(super) fn heading(run: &RunView, look: Look) -> String {
    let (mark, tone) = mark(&run.state);
    let took = duration(run.closed_at.unwrap_or(run.now).saturating_sub(run.begun_at));
    let join = if run.closed_at.is_some() { "in" } else { "for" };
    format!(
        "{} {} {}  {}",
        look.tint(tone, mark),
        look.tint(Tone::Strong, &clean(&run.workflow)),
        clean(&run.id),
        look.tint(tone, &format!("{} {join} {took}", clean(spoken(&run.state)))),
    )
}

fn facts(run: &RunView) -> Vec<(&'static str, String)> {
    let trigger = &run.trigger;
    let by = format!("{} {}", trigger.kind, trigger.source);
    let mut facts = vec![("begun", format!("{} by {}", time(run.begun_at), clean(&by)))];
    if let Some(at) = run.closed_at {
        facts.push(("closed", time(at)));
    }
    if let Some(key) = &run.key {
        facts.push(("key", clean(key)));
    }
    if run.params.as_object().is_some_and(|fields| !fields.is_empty()) {
        facts.push(("params", pairs(&run.params)));
    }
    if let Some(parent) = &run.parent {
        facts.push(("parent", format!("run {}, {}", clean(&parent.run), clean(&parent.attempt))));
    }
    for joined in &run.joined {
        let who = format!("{} {}", joined.kind, joined.source);
        facts.push(("joined", format!("{} by {}", clock(joined.at), clean(&who))));
    }
    if let Some(SeenView { at, who, reason }) = &run.acknowledged {
        facts.push(("seen", format!("{} by {}: {}", clock(*at), clean(who), clean(reason))));
    }
    if run.interruptions > 0 {
        let times = count(run.interruptions as usize, "interruption");
        facts.push(("resumed", format!("after {times} of the engine")));
    }
    if let Some(note) = &run.note {
        facts.push(("note", clean(note)));
    }
    facts.push(("digest", fit(&clean(&run.digest), 13)));
    let builds = &run.builds;
    let used: Vec<String> = builds
        .workflows
        .iter()
        .chain(&builds.plugins)
        .map(|(name, digest)| format!("{} {}", clean(name), fit(&clean(digest), 13)))
        .collect();
    if !used.is_empty() {
        facts.push(("uses", used.join(", ")));
    }
    if !builds.changed.is_empty() {
        let changed = clean(&builds.changed.join(", "));
        let end = if run.closed_at.is_some() { "ended" } else { "ends" };
        facts.push((
            "changed",
            format!("since it began: {changed}; it {end} on what it began with"),
        ));
    }
    facts
}

/// Where a step stands in the tree.
struct Place<'a> {
    run: &'a RunView,
    last: bool,
}

impl Page {
    fn step(&mut self, lead: &str, step: &StepView, place: &Place<'_>) {
        let (branch, below) = if place.last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let title = title(step, place.run.now, self.look());
        self.line(&format!("{lead}{branch}"), &title);
        let below = format!("{lead}{below}");
        let trunk = if step.items.is_empty() { "  " } else { "│ " };
        self.details(&format!("{below}{trunk}"), step, place.run);
        for (index, item) in step.items.iter().enumerate() {
            let place = Place { run: place.run, last: index + 1 == step.items.len() };
            self.step(&below, item, &place);
        }
    }

    /// Since when, until when, what each answer leads to, and what to type.
    fn question(&mut self, lead: &str, question: &QuestionView, run: &RunView, step: &StepView) {
        let since = format!("{} ({})", clock(question.since), age(run.now, question.since));
        self.fact(lead, "since", &since);
        let until = match (question.until, &question.silence) {
            (Some(until), Some(silence)) => format!(
                "{} (in {}); silence until then means {}",
                clock(until),
                duration(until.saturating_sub(run.now)),
                clean(silence)
            ),
            _ => "it waits until somebody answers".to_owned(),
        };
        self.fact(lead, "until", &until);
        let doubted = |call: &&CallView| call.outcome.is_none() && call.side == question.side;
        if question.kind == "in-doubt" {
            let doubts = step.calls.iter().filter(doubted);
            self.list(
                lead,
                "doubt",
                doubts.map(|call| {
                    format!(
                        "{}: sent, or about to be; look whether it happened",
                        clean(&call.request)
                    )
                }),
            );
        }
        for (label, verb, meaning) in
            [("yes", "approve", &question.approve), ("no", "reject", &question.reject)]
        {
            self.fact(lead, label, &clean(meaning));
            self.fact(lead, "", &command(run, step, verb));
        }
    }

    /// What holds the step back, until when, and what to type.
    fn held(&mut self, lead: &str, held: &HeldView, now: Millis) {
        self.fact(lead, "held", &format!("{} (since {})", clean(&held.why), clock(held.since)));
        let until = match held.until {
            Some(until) => format!("{} (in {})", clock(until), duration(until.saturating_sub(now))),
            None => "it waits until somebody ends that".to_owned(),
        };
        self.fact(lead, "until", &until);
        self.fact(lead, "", &clean(&held.end));
    }

    fn details(&mut self, lead: &str, step: &StepView, run: &RunView) {
        if !step.needs.is_empty() {
            self.fact(lead, "needs", &clean(&step.needs.join(", ")));
        }
        if let Some(when) = &step.when {
            self.fact(lead, "when", &clean(when));
        }
        if let Some(child) = &step.child {
            self.fact(lead, "child", &format!("baton show {}", clean(child)));
        }
        if let Some(progress) = &step.progress {
            let total = progress.total.map_or_else(String::new, |total| format!("/{total}"));
            let message = clean(&progress.message);
            self.fact(lead, "at", &format!("{}{total} {message}", progress.done));
        }
        let tries = if worth_listing(step) { step.attempts.as_slice() } else { &[] };
        self.list(lead, "tries", tries.iter().map(|attempt| tried(attempt, run.now)));
        self.list(lead, "again", step.again.iter().map(again));
        self.list(lead, "calls", step.calls.iter().map(called));
        if let Some(fault) = &step.fault {
            self.fault(lead, fault);
        }
        if let Some(held) = &step.held {
            self.held(lead, held, run.now);
        }
        self.list(lead, "answered", step.answers.iter().map(answered));
        if let Some(text) = &step.question {
            let asks = is_asking(step);
            self.list(lead, if asks { "asks" } else { "why" }, clean_lines(text).into_iter());
        }
        if let Some(question) = &step.asks {
            self.question(lead, question, run, step);
        }
        if step.items.is_empty() && !step.output.is_null() {
            self.output(lead, &step.output, OUTPUT_COLUMNS);
        }
    }
}

/// `14:05:09.123 approved by anna: checked by hand`.
fn answered(answer: &AnswerView) -> String {
    let word = if answer.approved { "approved" } else { "rejected" };
    let (who, why) = (clean(&answer.who), clean(&answer.reason));
    format!("{} {word} by {who}: {why}", clock(answer.at))
}

/// A single try that did what the step did tells nothing new.
fn worth_listing(step: &StepView) -> bool {
    step.attempts.len() > 1 || step.attempts.iter().any(|a| a.end == "interrupted")
}

fn title(step: &StepView, now: Millis, look: Look) -> String {
    let (mark, tone) = mark(&step.state);
    let mut title = format!(
        "{} {}  {}",
        look.tint(tone, mark),
        look.tint(Tone::Strong, &clean(&step.name)),
        look.tint(tone, &state_and_time(step, now)),
    );
    let about = about(step);
    if !about.is_empty() {
        title.push_str(&look.tint(Tone::Dim, &format!("  {about}")));
    }
    title
}

/// `succeeded in 120 ms`, `running for 1.20 s`, `waiting`.
pub(super) fn state_and_time(step: &StepView, now: Millis) -> String {
    let state = clean(spoken(&step.state));
    match (step.started_at, step.ended_at) {
        (Some(from), Some(to)) => format!("{state} in {}", duration(to.saturating_sub(from))),
        (Some(from), None) => format!("{state} for {}", duration(now.saturating_sub(from))),
        (None, _) => state,
    }
}

/// What the step is, beside its name.
pub(super) fn about(step: &StepView) -> String {
    let what = step.plugin.as_deref().filter(|name| !name.is_empty()).unwrap_or(&step.kind);
    let what = if what == step.name { String::new() } else { clean(what) };
    let marks = [(step.pivot, "point of no return"), (step.always, "always runs")];
    let marks = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned());
    std::iter::once(what)
        .filter(|what| !what.is_empty())
        .chain(marks)
        .collect::<Vec<_>>()
        .join(", ")
}

fn tried(attempt: &AttemptView, now: Millis) -> String {
    let side = if attempt.side == "undo" { "undo " } else { "" };
    let replayed = if attempt.replayed { " (from its tape)" } else { "" };
    let end = attempt.ended_at.unwrap_or(now);
    let took = duration(end.saturating_sub(attempt.started_at));
    let mut text = format!(
        "{side}{}{replayed} at {}, {} after {took}",
        attempt.number,
        clock(attempt.started_at),
        clean(&attempt.end)
    );
    if let Some(fault) = &attempt.fault {
        let _ = write!(text, ": {}: {}", clean(&fault.code), clean(&fault.message));
    }
    text
}

fn again(again: &AgainView) -> String {
    format!(
        "at {} before {}: {} was {} old, {} are allowed",
        clock(again.at),
        clean(&again.before),
        clean(&again.because),
        duration(again.age_ms),
        duration(again.fresh_for_ms)
    )
}

fn called(call: &CallView) -> String {
    let outcome =
        call.outcome.as_deref().map_or_else(|| "in doubt (no outcome known)".to_owned(), clean);
    let side = if call.side == "undo" { "undo " } else { "" };
    format!(
        "{side}{}.{} {} {} → {outcome}",
        call.attempt,
        call.index,
        clean(&call.class),
        clean(&call.request)
    )
}

/// Whether the step's question waits for a person; on any other step it is a note
/// on why the step was skipped.
pub(super) fn is_asking(step: &StepView) -> bool {
    step.state == "asking"
}

/// How a person answers, on one line.
pub(super) fn answers(run: &RunView, step: &StepView) -> String {
    format!("{}   (or: baton reject …)", command(run, step, "approve"))
}

fn command(run: &RunView, step: &StepView, verb: &str) -> String {
    let (run, step) = (clean(&run.id), clean(&step.name));
    // Brackets of an item are the shell's as well.
    let step = if step.contains('[') { format!("'{step}'") } else { step };
    format!("baton {verb} {run} {step} --reason WHY")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::look::Paint;
    use super::super::samples;
    use super::*;

    #[test]
    fn a_run_is_a_tree_with_everything_an_operator_asks_for() {
        expect![[r"
            ● redis-failover 01932b5e-7c1a-7000-8000-00000000002a  running for 7.50 s
              begun    2026-11-03 14:05:09.123 UTC by webhook alertmanager
              key      redis:bondx
              params   cluster=bondx force=false
              parent   run parent-1, step 3[0] attempt 1
              joined   14:05:09.423 by watch detect-redis
              seen     14:05:13.123 by anna: on it
              resumed  after 1 interruption of the engine
              digest   12ab34cd56ef…
              uses     verify-redis ab12cd34ef56…, promote cd34ef56ab78…
              changed  since it began: workflow redis-failover, plugin promote; it ends on what it began with

            ├─ ✓ assess  succeeded in 120 ms  redis-assess
            │    output   verdict=dead master=null
            ├─ ✓ promote  succeeded in 5.31 s  point of no return
            │    needs    assess
            │    tries    1 at 14:05:09.253, interrupted after 1.20 s
            │             2 at 14:05:11.123, succeeded after 3.44 s
            │    calls    1.3 guarded REPLICAOF NO ONE → OK
            │             1.9 guarded PUBLISH __sentinel__:hello … → in doubt (no outcome known)
            ├─ ✗ drain  failed in 200 ms
            │  ├─ ✓ drain[0]  succeeded in 100 ms  drain
            │  └─ ✗ drain[1]  failed in 200 ms  drain
            │       fault    no-candidate (permanent)
            │                no replica of bondx may be promoted: 127.0.0.1:7002 is loading
            │                127.0.0.1:7003 is of another lineage \u{1b}[31m
            │                candidates: 2
            ├─ ● verify  running for 1.50 s  verify-redis
            │    child    baton show 5f0c1ad2-0000-5000-8000-000000000001
            ├─ ● scan  running for 1.50 s  verify-orderbook
            │    at       120/200 instruments
            ├─ ? ok  asks a person  approval
            │    answered 14:05:15.023 approved by anna: 7002 is back
            │    asks     Promote 127.0.0.1:7002?
            │    since    14:05:15.123 (1s ago)
            │    until    14:25:15.123 (in 19m 58s); silence until then means reject
            │    yes      the step succeeds and the run goes on
            │             baton approve 01932b5e-7c1a-7000-8000-00000000002a ok --reason WHY
            │    no       the step fails and the run with it; nothing is undone
            │             baton reject 01932b5e-7c1a-7000-8000-00000000002a ok --reason WHY
            ├─ ‖ settle  held back
            │    held     maintenance of bondx by ben: new racks (since 14:04:09.123)
            │    until    15:05:09.123 (in 59m 52s)
            │             baton maintenance end 3 --reason WHY
            ├─ – page  skipped
            │    when     status.verify == 'failed'
            │    why      its condition does not hold
            └─ ○ report  waiting  always runs
        "]].assert_eq(&run(&samples::run("running"), Look::PLAIN));
    }

    #[test]
    fn a_narrow_terminal_is_never_overrun() {
        let look = Look { paint: Paint::Colour, width: Some(48) };
        let text = run(&samples::run("running"), look);
        for line in text.lines() {
            assert!(console::measure_text_width(line) <= 48, "{line}");
        }
    }

    #[test]
    fn colours_change_no_character() {
        let view = samples::run("failed");
        let coloured = run(&view, Look { paint: Paint::Colour, width: None });
        assert_ne!(coloured, run(&view, Look::PLAIN));
        assert_eq!(console::strip_ansi_codes(&coloured), run(&view, Look::PLAIN));
    }
}
