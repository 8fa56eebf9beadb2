//! `baton run`: a run as it moves, as a frame for a terminal or as lines for a pipe.

use std::fmt::Write as _;

use baton_core::Millis;

use super::look::{Look, Tone, mark, spoken};
use super::run::{about, answers, heading, is_asking, state_and_time};
use super::words::{clean, clean_lines, clock, duration, pad};
use crate::runner::view::{ProgressView, RunView, StepView};

/// Columns of a progress bar.
const BAR: usize = 16;
/// What turns while something runs.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The run as lines of at most `rows` rows: the heading, then the steps; where
/// there are too many, those that are settled or not yet due are folded first.
pub(crate) fn frame(run: &RunView, tick: usize, rows: usize, look: Look) -> Vec<String> {
    let mut lines = vec![Line { weight: 0, text: heading(run, look) }];
    let width = names(run).map(console::measure_text_width).max().unwrap_or(0);
    let drawing = Drawing { run, tick, width, look };
    for step in &run.steps {
        drawing.step("  ", step, &mut lines);
    }
    fold(&mut lines, rows.max(3));
    lines.into_iter().map(|line| look.cut(&line.text)).collect()
}

/// A line, and how willingly it is folded away (0: never).
struct Line {
    weight: u8,
    text: String,
}

struct Drawing<'a> {
    run: &'a RunView,
    tick: usize,
    width: usize,
    look: Look,
}

impl Drawing<'_> {
    fn step(&self, lead: &str, step: &StepView, lines: &mut Vec<Line>) {
        let look = self.look;
        let (mut mark, tone) = mark(&step.state);
        if matches!(step.state.as_str(), "running" | "undoing") {
            mark = SPINNER[self.tick % SPINNER.len()];
        }
        let mut text = format!(
            "{lead}{} {}  {}",
            look.tint(tone, mark),
            pad(&clean(&step.name), self.width),
            look.tint(tone, &state_and_time(step, self.run.now)),
        );
        if let Some(number) = step.attempts.last().map(|last| last.number).filter(|n| *n > 1) {
            let _ = write!(text, ", attempt {number}");
        }
        if let Some(progress) = &step.progress {
            let _ = write!(text, "  {}", bar(progress, look));
        }
        if let Some(note) = note(step) {
            let _ = write!(text, ": {}", clean(note));
        }
        let about = about(step);
        if !about.is_empty() {
            text.push_str(&look.tint(Tone::Dim, &format!("  {about}")));
        }
        lines.push(Line { weight: weight(&step.state), text });
        self.below(&format!("{lead}    "), step, lines);
        for item in step.items.iter().filter(|item| weight(&item.state) < 2) {
            self.step(&format!("{lead}  "), item, lines);
        }
    }

    fn below(&self, lead: &str, step: &StepView, lines: &mut Vec<Line>) {
        if let Some(fault) = &step.fault {
            let code = self.look.tint(Tone::Bad, &clean(&fault.code));
            lines
                .push(Line { weight: 2, text: format!("{lead}{code}: {}", clean(&fault.message)) });
        }
        if let Some(question) = step.question.as_ref().filter(|_| is_asking(step)) {
            let question = self.look.tint(Tone::Ask, &clean(question));
            lines.push(Line { weight: 0, text: format!("{lead}{question}") });
            lines.push(Line { weight: 0, text: format!("{lead}{}", answers(self.run, step)) });
        }
    }
}

/// Why a step that asks nothing was skipped, or does not start.
fn note(step: &StepView) -> Option<&str> {
    if let Some(held) = &step.held {
        return Some(&held.why);
    }
    step.question.as_deref().filter(|_| !is_asking(step))
}

fn weight(state: &str) -> u8 {
    match state {
        "running" | "undoing" | "backing-off" | "asking" | "held" => 0,
        "failed" | "undo-failed" | "cancelled" => 1,
        "ready" => 2,
        "waiting" => 3,
        _ => 4,
    }
}

/// Takes the most foldable lines out until `rows` are left, and says how many.
fn fold(lines: &mut Vec<Line>, rows: usize) {
    if lines.len() <= rows {
        return;
    }
    let before = lines.len();
    while lines.len() >= rows {
        let Some(heaviest) = lines.iter().map(|line| line.weight).max() else { break };
        let Some(at) = lines.iter().position(|line| line.weight == heaviest) else { break };
        if heaviest == 0 {
            lines.truncate(rows - 1);
            break;
        }
        lines.remove(at);
    }
    let text = format!("  … {} more lines, see `baton show`", before - lines.len());
    lines.push(Line { weight: 0, text });
}

fn bar(progress: &ProgressView, look: Look) -> String {
    let message = clean(&progress.message);
    let Some(total) = progress.total.filter(|total| *total > 0) else {
        return format!("{} {message}", progress.done);
    };
    let done = progress.done.min(total);
    let share = u128::from(done) * BAR as u128 / u128::from(total);
    let full = usize::try_from(share).unwrap_or(BAR);
    let bar = format!("{}{}", "━".repeat(full), "╌".repeat(BAR - full));
    format!("{} {}/{total} {message}", look.tint(Tone::Busy, &bar), progress.done)
}

fn names(run: &RunView) -> impl Iterator<Item = &str> {
    run.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items)).map(|s| &*s.name)
}

/// What changed from one look to the next: a line each, for logs and pipes.
pub(crate) fn changes(before: Option<&RunView>, after: &RunView) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &after.steps {
        let old = before.and_then(|run| run.steps.iter().find(|old| old.name == step.name));
        step_changes(old, step, after, &mut lines);
    }
    if before.is_none_or(|run| run.state != after.state) {
        let line = run_change(before, after);
        // A run's begin comes before its steps, its end after them.
        let at = if after.closed_at.is_some() { lines.len() } else { 0 };
        lines.insert(at, line);
    }
    lines
}

fn run_change(before: Option<&RunView>, run: &RunView) -> String {
    let at = run.closed_at.unwrap_or(if before.is_none() { run.begun_at } else { run.now });
    let took = run.closed_at.map(|at| duration(at.saturating_sub(run.begun_at)));
    let took = took.map_or_else(String::new, |took| format!(" in {took}"));
    let (workflow, id) = (clean(&run.workflow), clean(&run.id));
    format!("{} run {id} of {workflow}: {}{took}", clock(at), clean(spoken(&run.state)))
}

fn step_changes(old: Option<&StepView>, new: &StepView, run: &RunView, lines: &mut Vec<String>) {
    let attempt = |step: &StepView| step.attempts.last().map(|last| last.number);
    let moved = old.map_or("waiting", |old| &old.state) != new.state
        || (new.state == "running" && old.and_then(attempt) != attempt(new));
    if moved && new.state != "waiting" && new.state != "ready" {
        lines.push(step_change(new, run));
        lines.extend(reasons(new, run));
    }
    for item in &new.items {
        let old = old.and_then(|old| old.items.iter().find(|old| old.name == item.name));
        step_changes(old, item, run, lines);
    }
}

fn step_change(step: &StepView, run: &RunView) -> String {
    let name = clean(&step.name);
    let last = step.attempts.last();
    let number = last.map(|last| last.number).filter(|number| *number > 1);
    let attempt = number.map_or_else(String::new, |number| format!(", attempt {number}"));
    let state = clean(spoken(&step.state));
    let (at, took) = match (step.state.as_str(), step.started_at, step.ended_at) {
        ("running", started, _) => (last.map(|a| a.started_at).or(started), String::new()),
        ("succeeded" | "failed", Some(from), Some(to)) => {
            (Some(to), format!(" in {}", duration(to.saturating_sub(from))))
        }
        (_, _, ended) => (ended, String::new()),
    };
    let note = note(step).map_or_else(String::new, |note| format!(", {}", clean(note)));
    format!("{} {name}: {state}{took}{attempt}{note}", clock(at.unwrap_or(run.now)))
}

/// Indented lines below a change: why, and what a person can do.
fn reasons(step: &StepView, run: &RunView) -> Vec<String> {
    let mut lines = Vec::new();
    let lead = " ".repeat(13);
    let failed = matches!(step.state.as_str(), "failed" | "backing-off" | "undo-failed" | "asking");
    if let Some(fault) = step.fault.as_ref().filter(|_| failed) {
        for (index, line) in clean_lines(&fault.message).iter().enumerate() {
            let code = if index == 0 { format!("{}: ", clean(&fault.code)) } else { String::new() };
            lines.push(format!("{lead}{code}{line}"));
        }
    }
    if let Some(question) = step.question.as_ref().filter(|_| is_asking(step)) {
        lines.extend(clean_lines(question).iter().map(|line| format!("{lead}{line}")));
        lines.push(format!("{lead}{}", answers(run, step)));
    }
    lines
}

/// What stays on a terminal below the last frame: every fault with all its lines.
pub(crate) fn faults(run: &RunView, look: Look) -> String {
    let mut text = String::new();
    let steps = run.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items));
    for (step, fault) in steps.filter_map(|step| Some((step, step.fault.as_ref()?))) {
        if !matches!(step.state.as_str(), "failed" | "undo-failed") || !step.items.is_empty() {
            continue;
        }
        let title = format!("{}: {}", clean(&step.name), clean(&fault.code));
        let _ = writeln!(text, "\n{}", look.tint(Tone::Bad, &title));
        for line in clean_lines(&fault.message) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Milliseconds between two frames on a terminal.
pub(crate) const FRAME_MS: Millis = 100;

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::samples;
    use super::*;

    fn check(actual: &[String], expected: &Expect) {
        expected.assert_eq(&(actual.join("\n") + "\n"));
    }

    #[test]
    fn a_frame_shows_what_moves() {
        check(
            &frame(&samples::run("running"), 3, 40, Look::PLAIN),
            &expect![[r"
                ● redis-failover 01932b5e-7c1a-7000-8000-00000000002a  running for 7.50 s
                  ✓ assess    succeeded in 120 ms  redis-assess
                  ✓ promote   succeeded in 5.31 s, attempt 2  point of no return
                  ✗ drain     failed in 200 ms
                    ✗ drain[1]  failed in 200 ms  drain
                        no-candidate: no replica of bondx may be promoted: 127.0.0.1:7002 is loading ⏎ 127.0.0.1:7003 is of another lineage \u{1b}[31m
                  ⠸ verify    running for 1.50 s  verify-redis
                  ⠸ scan      running for 1.50 s  ━━━━━━━━━╌╌╌╌╌╌╌ 120/200 instruments  verify-orderbook
                  ? ok        asks a person  approval
                      Promote 127.0.0.1:7002?
                      baton approve 01932b5e-7c1a-7000-8000-00000000002a ok --reason WHY   (or: baton reject …)
                  ‖ settle    held back: maintenance of bondx by ben: new racks
                  – page      skipped: its condition does not hold
                  ○ report    waiting  always runs
            "]],
        );
    }

    #[test]
    fn a_small_terminal_keeps_what_matters() {
        let look = Look { width: Some(40), ..Look::PLAIN };
        check(
            &frame(&samples::run("running"), 0, 8, look),
            &expect![[r"
                ● redis-failover 01932b5e-7c1a-7000-800…
                  ⠋ verify    running for 1.50 s  verif…
                  ⠋ scan      running for 1.50 s  ━━━━━…
                  ? ok        asks a person  approval
                      Promote 127.0.0.1:7002?
                      baton approve 01932b5e-7c1a-7000-…
                  ‖ settle    held back: maintenance of…
                  … 7 more lines, see `baton show`
            "]],
        );
    }

    #[test]
    fn every_height_is_kept() {
        for rows in 3..30 {
            assert!(frame(&samples::run("running"), 0, rows, Look::PLAIN).len() <= rows, "{rows}");
        }
    }

    #[test]
    fn a_pipe_gets_one_line_a_change_and_none_without() {
        let mut before = samples::run("running");
        check(
            &changes(None, &before),
            &expect![[r"
                14:05:09.123 run 01932b5e-7c1a-7000-8000-00000000002a of redis-failover: running
                14:05:09.245 assess: succeeded in 120 ms
                14:05:14.563 promote: succeeded in 5.31 s, attempt 2
                14:05:14.823 drain: failed in 200 ms
                14:05:14.723 drain[0]: succeeded in 100 ms
                14:05:14.823 drain[1]: failed in 200 ms
                             no-candidate: no replica of bondx may be promoted: 127.0.0.1:7002 is loading
                             127.0.0.1:7003 is of another lineage \u{1b}[31m
                14:05:15.123 verify: running
                14:05:15.123 scan: running
                14:05:16.623 ok: asks a person
                             Promote 127.0.0.1:7002?
                             baton approve 01932b5e-7c1a-7000-8000-00000000002a ok --reason WHY   (or: baton reject …)
                14:05:16.623 settle: held back, maintenance of bondx by ben: new racks
                14:05:16.623 page: skipped, its condition does not hold
            "]],
        );
        assert_eq!(changes(Some(&before), &before), Vec::<String>::new());
        let mut after = before.clone();
        after.steps[3].state = "failed".to_owned();
        after.steps[3].ended_at = Some(samples::BEGUN + 8_000);
        after.steps[3].fault = after.steps[2].items[1].fault.clone();
        after.state = "failed".to_owned();
        after.closed_at = Some(samples::BEGUN + 8_100);
        check(
            &changes(Some(&before), &after),
            &expect![[r"
            14:05:17.123 verify: failed in 2.00 s
                         no-candidate: no replica of bondx may be promoted: 127.0.0.1:7002 is loading
                         127.0.0.1:7003 is of another lineage \u{1b}[31m
            14:05:17.223 run 01932b5e-7c1a-7000-8000-00000000002a of redis-failover: failed in 8.10 s
        "]],
        );
        before.steps.clear();
        assert_eq!(changes(Some(&before), &before), Vec::<String>::new());
    }

    #[test]
    fn a_new_attempt_is_a_change() {
        let before = samples::run("running");
        let mut after = before.clone();
        after.steps[4].attempts.push(samples::attempt(2, 7_000, None, "running"));
        check(
            &changes(Some(&before), &after),
            &expect![[r"
            14:05:16.123 scan: running, attempt 2
        "]],
        );
    }

    #[test]
    fn faults_stay_with_all_their_lines() {
        expect![[r"

            drain[1]: no-candidate
              no replica of bondx may be promoted: 127.0.0.1:7002 is loading
              127.0.0.1:7003 is of another lineage \u{1b}[31m
        "]]
        .assert_eq(&faults(&samples::run("failed"), Look::PLAIN));
    }
}
