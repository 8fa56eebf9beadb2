//! The Markdown of a `report` step: what happened, what was done, what came of it.

use std::fmt::Write as _;

use baton_core::Millis;
use baton_core::run::Run;
use baton_core::workflow::plan::Plan;
use jiff::Timestamp;

use super::render::run_view;
use super::switches::Acknowledged;
use super::table::{self, Table};
use super::verdict::Found;
use super::view::{AgainView, AttemptView, RunView, StepView};

/// The run so far, for the person on call.
pub(super) fn markdown(plan: &Plan, run: &Run, now: Millis, seen: Option<&Acknowledged>) -> String {
    let view = RunView { acknowledged: seen.map(Into::into), ..run_view(plan, run, now) };
    let mut text = format!("# {}: run {}\n\n", view.workflow, view.id);
    if !plan.summary().is_empty() {
        let _ = writeln!(text, "{}\n", plan.summary());
    }
    summary(&mut text, &view);
    verification(&mut text, &view);
    text.push_str("\n## Timeline (UTC)\n\n| when | what |\n|---|---|\n");
    for (at, what) in timeline(&view) {
        let _ = writeln!(text, "| {} | {} |", utc(at), cell(&what));
    }
    interruptions(&mut text, &view);
    actions(&mut text, &view);
    text.push_str("\n## What each step gave\n\n");
    for step in &view.steps {
        outcome(&mut text, step);
    }
    text
}

fn summary(text: &mut String, view: &RunView) {
    let trigger = &view.trigger;
    let _ =
        writeln!(text, "- Trigger: {} `{}`, {}", trigger.kind, trigger.source, utc(view.begun_at));
    for joined in &view.joined {
        let _ = writeln!(
            text,
            "- Also reported by: {} `{}`, {}",
            joined.kind,
            joined.source,
            utc(joined.at)
        );
    }
    if view.interruptions > 0 {
        let _ = writeln!(
            text,
            "- The engine died under this run {} time(s), and it went on by itself.",
            view.interruptions
        );
    }
    if let Some(seen) = &view.acknowledged {
        let after = seen.at.saturating_sub(view.begun_at).div_ceil(1_000);
        let (who, reason, at) = (&seen.who, cell(&seen.reason), utc(seen.at));
        let _ = writeln!(text, "- Acknowledged by {who} after {after} s, {at}: {reason}");
    }
    if let Some(note) = &view.note {
        let _ = writeln!(text, "- {note}");
    }
}

/// What was verified, row by row, and what to do where it failed.
fn verification(text: &mut String, view: &RunView) {
    let mut found = Found::default();
    for step in view.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items)) {
        // A step that failed over its verdict has it in the fault.
        let failed = step.fault.as_ref().map(|fault| &fault.details);
        found.add(&step.name, failed.filter(|_| step.output.is_null()).unwrap_or(&step.output));
    }
    if found.rows.is_empty() {
        return;
    }
    text.push_str("\n## Verification\n\n| what | verdict | seen |\n|---|---|---|\n");
    for [what, verdict, seen] in &found.rows {
        let verdict = if verdict == "fail" { "**FAIL**" } else { verdict };
        let _ = writeln!(text, "| {} | {} | {} |", cell(what), cell(verdict), cell(seen));
    }
    if !found.failed {
        return;
    }
    text.push_str(
        "\n### What to do next\n\nA failed verification begins nothing by itself: put right what failed, then verify again.\n\n",
    );
    for (line, number) in found.next.iter().zip(1..) {
        let _ = writeln!(text, "{number}. {}", line.replace(['\n', '\r'], " "));
    }
}

fn timeline(view: &RunView) -> Vec<(Millis, String)> {
    let mut rows = vec![(
        view.begun_at,
        format!("run begun by {} `{}`", view.trigger.kind, view.trigger.source),
    )];
    rows.extend(
        view.joined
            .iter()
            .map(|joined| (joined.at, format!("{} `{}` joined", joined.kind, joined.source))),
    );
    for step in view.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items)) {
        for again in &step.again {
            let AgainView { at, before, because, age_ms, fresh_for_ms } = again;
            let what = format!(
                "`{}` sent back to look again before `{before}` acts: the output of `{because}` was {age_ms} ms old, {fresh_for_ms} ms are allowed",
                step.name
            );
            rows.push((*at, what));
        }
        for attempt in &step.attempts {
            let which = match (attempt.side.as_str(), attempt.number) {
                ("do", 1) => String::new(),
                (side, number) => format!(" ({side}, attempt {number})"),
            };
            let began = if attempt.replayed { "went on from its tape" } else { "started" };
            rows.push((attempt.started_at, format!("`{}`{which} {began}", step.name)));
            let Some(ended_at) = attempt.ended_at else { continue };
            let why = attempt.fault.as_ref().map(|fault| format!(": {}", fault.message));
            let why = why.unwrap_or_default();
            rows.push((ended_at, format!("`{}`{which} {}{why}", step.name, attempt.end)));
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    rows
}

/// What was cut off, what it had sent by then, and how it went on.
fn interruptions(text: &mut String, view: &RunView) {
    let steps = view.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items));
    let told: Vec<String> = steps.flat_map(cut_off).collect();
    if told.is_empty() {
        return;
    }
    text.push_str("\n## Interruptions\n\n");
    for line in told {
        let _ = writeln!(text, "- {}", cell(&line));
    }
}

fn cut_off(step: &StepView) -> Vec<String> {
    let after = |index: usize| step.attempts.iter().skip(index + 1);
    let tell = |(index, attempt): (usize, &AttemptView)| {
        let (name, number) = (&step.name, attempt.number);
        let how = match attempt.end.as_str() {
            "interrupted" => "was cut off with the engine",
            "diverged" => "left its recording when it was played again",
            _ => return None,
        };
        let sent: Vec<_> = step
            .calls
            .iter()
            .filter(|call| call.attempt == number && call.side == attempt.side)
            .collect();
        let doubted = sent.iter().filter(|call| call.outcome.is_none()).count();
        let sent = match (sent.len(), doubted) {
            (0, _) => "it had changed nothing".to_owned(),
            (all, 0) => format!("it had sent {all} changing call(s), all answered"),
            (all, some) => format!("it had sent {all} changing call(s), {some} in doubt"),
        };
        let went_on = match after(index).find(|next| next.side == attempt.side) {
            Some(next) if next.replayed => {
                "it went on as the same attempt, on its recording: nothing of that was sent again"
                    .to_owned()
            }
            Some(next) => format!(
                "attempt {} began anew, looked at the world again, and was told what had been sent",
                next.number
            ),
            None => "it was not run again".to_owned(),
        };
        Some(format!("`{name}`, attempt {number}, {how}; {sent}; {went_on}."))
    };
    step.attempts.iter().enumerate().filter_map(tell).collect()
}

fn actions(text: &mut String, view: &RunView) {
    text.push_str("\n## Changes made\n\n");
    let mut any = false;
    for step in view.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.items)) {
        for call in &step.calls {
            any = true;
            let outcome = call.outcome.as_deref().unwrap_or("in doubt: no reply was seen");
            let _ = writeln!(
                text,
                "- `{}` by `{}`, attempt {}: {}",
                call.request.replace('`', "'"),
                step.name,
                call.attempt,
                cell(outcome)
            );
        }
    }
    if !any {
        text.push_str("None.\n");
    }
}

fn outcome(text: &mut String, step: &StepView) {
    let _ = writeln!(text, "### {}: {}\n", step.name, step.state);
    if let Some(fault) = &step.fault {
        let _ = writeln!(text, "{} ({}): {}\n", fault.code, fault.kind, fault.message);
    }
    if let Some(question) = &step.question {
        let _ = writeln!(text, "{question}\n");
    }
    if let Some(reason) = step.output.get("reason").and_then(|reason| reason.as_str()) {
        let _ = writeln!(text, "{reason}\n");
    }
    if !step.output.is_null() {
        let (table, output) = table::split(&step.output);
        if let Some(table) = table {
            drawn(text, &table);
        }
        let pretty = serde_json::to_string_pretty(&output).unwrap_or_default();
        let _ = writeln!(text, "```json\n{}\n```\n", pretty.replace("```", "'''"));
    }
}

fn drawn(text: &mut String, table: &Table) {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|it| cell(it)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let _ = writeln!(text, "{}", row(&table.columns));
    let _ = writeln!(text, "|{}", "---|".repeat(table.columns.len()));
    for cells in &table.rows {
        let _ = writeln!(text, "{}", row(cells));
    }
    if table.more > 0 {
        let _ = writeln!(text, "\n{} more rows are in the step's output.", table.more);
    }
    text.push('\n');
}

/// Milliseconds since the Unix epoch, as people on call write them.
fn utc(at: Millis) -> String {
    let stamp = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    stamp.map_or_else(|| at.to_string(), |stamp| format!("{stamp:.3}"))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_table_is_drawn_and_breaks_nothing_around_it() {
        let table = Table {
            columns: vec!["rank".to_owned(), "reason".to_owned()],
            rows: vec![
                vec!["1".to_owned(), "same | history".to_owned()],
                vec!["out".to_owned(), "two\nlines".to_owned()],
            ],
            more: 3,
        };
        let mut text = String::new();
        drawn(&mut text, &table);
        expect![[r"
            | rank | reason |
            |---|---|
            | 1 | same \| history |
            | out | two lines |

            3 more rows are in the step's output.

        "]]
        .assert_eq(&text);
    }
}
