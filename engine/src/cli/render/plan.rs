//! `baton plan`: what a run would do, as a tree.

use std::fmt::Write as _;

use baton_core::Json;

use super::look::{Look, Tone};
use super::page::Page;
use super::words::{clean, clean_lines, count, duration, fit, pairs, span, value};
use crate::runner::rehearse::view::{Door, Fate, Reach, Rehearsal, StepPlan, Tried};

/// A list or table in an input or an output is cut here: the whole of it is in
/// `--output json`.
const NESTED_COLUMNS: usize = 120;
/// So is text, which is mostly written for people.
const TEXT_COLUMNS: usize = 1_000;
/// A value that a condition looks at is cut here.
const LOOKED_AT_COLUMNS: usize = 40;
/// Items of a `for_each` that are shown; `--output json` has them all.
const ITEMS_SHOWN: usize = 10;

/// The whole plan.
pub(crate) fn plan(told: &Rehearsal, look: Look) -> String {
    let mut page = Page::new(look);
    let (tone, verdict) = verdict(told);
    page.line(
        "",
        &format!(
            "{}  {}",
            look.tint(Tone::Strong, &clean(&told.workflow)),
            look.tint(tone, &verdict)
        ),
    );
    page.fact("  ", "sum", &sum(told));
    if let Some(key) = &told.key {
        page.fact("  ", "key", &clean(key));
    }
    if told.params.as_object().is_some_and(|fields| !fields.is_empty()) {
        page.fact("  ", "params", &pairs(&told.params));
    }
    page.fact("  ", "digest", &fit(&clean(&told.digest), 13));
    page.line("", "");
    steps(&mut page, "", &told.steps);
    if !told.output.is_null() {
        page.line("", "");
        page.line("", &look.tint(Tone::Dim, "output"));
        let pretty = serde_json::to_string_pretty(&told.output).unwrap_or_default();
        for line in clean_lines(&pretty) {
            page.line("  ", &line);
        }
    }
    page.text()
}

/// What a person wants to know first.
fn verdict(told: &Rehearsal) -> (Tone, String) {
    let names = |wanted: &dyn Fn(&StepPlan) -> bool| {
        let mut names = Vec::new();
        gather("", &told.steps, wanted, &mut names);
        names.join(", ")
    };
    let failed = names(&|step| step.fate == Fate::Failed);
    let change = names(&|step| step.changes && step.fate == Fate::WouldRun);
    let may = names(&|step| step.changes && step.fate == Fate::NotKnown);
    if !failed.is_empty() {
        (Tone::Bad, format!("a run would fail at {failed}"))
    } else if !change.is_empty() {
        (Tone::Ask, format!("a run would change something: {change}"))
    } else if !may.is_empty() {
        (Tone::Ask, format!("a run may change something: {may}"))
    } else {
        (Tone::Good, "a run would change nothing".to_owned())
    }
}

/// Names of the steps that are `wanted` and have none below them: `verify/replication`.
fn gather(
    path: &str,
    steps: &[StepPlan],
    wanted: &dyn Fn(&StepPlan) -> bool,
    names: &mut Vec<String>,
) {
    for step in steps {
        let name = format!("{path}{}", clean(&step.name));
        match &step.child {
            Some(child) => gather(&format!("{name}/"), &child.steps, wanted, names),
            None if wanted(step) => names.push(name),
            None => {}
        }
    }
}

/// `3 ran, 1 would run, 4 would be skipped`, of the workflow's own steps.
fn sum(told: &Rehearsal) -> String {
    let fates = [
        Fate::Ran,
        Fate::Failed,
        Fate::WouldRun,
        Fate::WouldAsk,
        Fate::WouldWait,
        Fate::WouldSkip,
        Fate::NotKnown,
        Fate::WouldNotRun,
    ];
    let mut parts = vec![count(told.steps.len(), "step")];
    for fate in fates {
        let number = told.steps.iter().filter(|step| step.fate == fate).count();
        if number > 0 {
            parts.push(format!("{number} {}", words(fate).2));
        }
    }
    format!("{}; nothing was changed", parts.join(", "))
}

/// Mark, tone and words. As everywhere, the words say all that the mark does.
fn words(fate: Fate) -> (&'static str, Tone, &'static str) {
    match fate {
        Fate::Ran => ("✓", Tone::Good, "ran"),
        Fate::Failed => ("✗", Tone::Bad, "failed"),
        Fate::WouldRun => ("▶", Tone::Busy, "would run"),
        Fate::WouldAsk => ("?", Tone::Ask, "would ask a person"),
        Fate::WouldWait => ("◷", Tone::Busy, "would wait"),
        Fate::WouldSkip => ("–", Tone::Dim, "would be skipped"),
        Fate::NotKnown => ("~", Tone::Ask, "cannot be known yet"),
        Fate::WouldNotRun => ("⊘", Tone::Dim, "would not run"),
    }
}

fn steps(page: &mut Page, lead: &str, steps: &[StepPlan]) {
    for (index, step) in steps.iter().enumerate() {
        self::step(page, lead, step, index + 1 == steps.len());
    }
}

fn step(page: &mut Page, lead: &str, step: &StepPlan, last: bool) {
    let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    page.line(&format!("{lead}{branch}"), &title(step, page.look()));
    let below = format!("{lead}{below}");
    let inner = step.child.as_ref().map_or(&step.items[..], |child| &child.steps);
    let trunk = if inner.is_empty() { "  " } else { "│ " };
    details(page, &format!("{below}{trunk}"), step);
    let shown = if step.child.is_some() { inner.len() } else { inner.len().min(ITEMS_SHOWN) };
    steps(page, &below, &inner[..shown]);
    if shown < inner.len() {
        let more = count(inner.len() - shown, "more item");
        page.line(&below, &format!("  … {more}; --output json has all"));
    }
}

fn title(step: &StepPlan, look: Look) -> String {
    let (mark, tone, words) = words(step.fate);
    let mut said = words.to_owned();
    if let (Some(took), Fate::Ran | Fate::Failed) = (step.took_ms, step.fate) {
        let _ = write!(said, " in {}", duration(took));
    }
    if let Some(ms) = step.waits_ms {
        let _ = write!(said, " {}", span(ms));
    }
    if let Some(tries) = step.tries.filter(|tries| *tries > 1) {
        let _ = write!(said, ", {tries} tries");
    }
    let what = step.plugin.as_deref().unwrap_or(step.kind);
    let marks = [
        (what != step.name, what),
        (step.changes, "changes something"),
        (step.pivot, "point of no return"),
        (step.always, "always runs"),
    ];
    let about: Vec<String> =
        marks.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| clean(word)).collect();
    let about = if about.is_empty() { String::new() } else { format!("  {}", about.join(", ")) };
    format!(
        "{} {}  {}{}",
        look.tint(tone, mark),
        look.tint(Tone::Strong, &clean(&step.name)),
        look.tint(tone, &said),
        look.tint(Tone::Dim, &about)
    )
}

fn details(page: &mut Page, lead: &str, step: &StepPlan) {
    if let Some(when) = &step.when {
        page.fact(lead, "when", &clean(when));
        let looked = step.looks_at.iter().map(|(name, json)| {
            format!("{} is {}", clean(name), fit(&value(json), LOOKED_AT_COLUMNS))
        });
        page.list(lead, "", looked);
    }
    if let Some(why) = &step.why {
        page.list(lead, "why", clean_lines(why).into_iter());
    }
    if let Some(fault) = &step.fault {
        page.fault(lead, fault);
    }
    if !step.output.is_null() && step.items.is_empty() && step.kind != "report" {
        page.list(lead, "output", fields(&step.output));
    }
    if let Some(asks) = &step.asks {
        page.list(lead, "asks", clean_lines(&asks.prompt).into_iter());
        let silence = format!("silence for {} means {}", span(asks.timeout_ms), asks.on_timeout);
        page.fact(lead, "", &silence);
    }
    // Of what ran here, what it did says more than what it would do.
    if matches!(step.fate, Fate::Ran | Fate::WouldSkip) {
        return;
    }
    if let Some(list) = &step.for_each {
        page.fact(lead, "for each", &value(list));
    }
    let label = if step.kind == "workflow" { "params" } else { "input" };
    page.list(lead, label, fields(&step.input));
    page.list(
        lead,
        "reaches",
        step.reaches.iter().flat_map(reach).chain(step.doors.iter().flat_map(door)),
    );
    if let (true, Some(tried)) = (step.kind == "plugin", &step.tried) {
        page.fact(lead, "bounds", &bounds(tried));
    }
    if !step.changes || step.kind != "plugin" {
        return;
    }
    if let Some(policy) = step.when_interrupted {
        let word = match policy {
            "ask" => "a person is asked".to_owned(),
            "rerun" => "it runs again and looks anew (rerun)".to_owned(),
            other => other.to_owned(),
        };
        page.fact(lead, "cut off", &word);
    }
    match &step.undo {
        Some(undo) => {
            let first = format!("{} {}", clean(&undo.plugin), pairs(&undo.input));
            let doors = undo.doors.iter().flat_map(door);
            let reaches = undo.reaches.iter().flat_map(reach).chain(doors);
            page.list(lead, "undo", std::iter::once(first).chain(reaches));
        }
        None => page.fact(lead, "undo", "nothing takes it back"),
    }
    match step.on_failure {
        "continue" => page.fact(lead, "fails", "the run goes on"),
        "ask" => page.fact(lead, "fails", "a person is asked whether to try again"),
        _ => {}
    }
}

/// A field a line; what says nothing is left out. First what is short and for people,
/// then lists and tables.
fn fields(json: &Json) -> impl Iterator<Item = String> {
    let is_nested = |json: &Json| json.is_array() || json.is_object();
    let line = |(name, json): (&String, &Json)| {
        let columns = if is_nested(json) { NESTED_COLUMNS } else { TEXT_COLUMNS };
        fit(&format!("{}={}", clean(name), value(json)), columns)
    };
    let lines: Vec<String> = match json.as_object() {
        Some(all) => {
            let (nested, plain): (Vec<_>, Vec<_>) = all
                .iter()
                .filter(|(_, json)| !json.is_null())
                .partition(|(_, json)| is_nested(json));
            plain.into_iter().chain(nested).map(line).collect()
        }
        None if json.is_null() => Vec::new(),
        None => vec![fit(&value(json), NESTED_COLUMNS)],
    };
    lines.into_iter()
}

/// `bondx (lead) data: @read, REPLICAOF`, and below it the addresses.
fn reach(reach: &Reach) -> Vec<String> {
    let mode = reach.mode.map_or_else(String::new, |mode| format!(" ({mode})"));
    let mut lines = vec![format!(
        "{}{mode} {}: {}",
        clean(&reach.cluster),
        clean(&reach.members.join(", ")),
        clean(&reach.commands.join(", "))
    )];
    if !reach.nodes.is_empty() && reach.nodes != reach.members {
        lines.push(format!("  at {}", clean(&reach.nodes.join(", "))));
    }
    if !reach.keys.is_empty() {
        lines.push(format!("  keys {}", clean(&reach.keys.join(", "))));
    }
    lines.extend(reach.note.iter().map(|note| format!("  {}", clean(note))));
    lines
}

/// `http prometheus (only reads): GET /api/v1/query`, and below it where that is.
fn door(door: &Door) -> Vec<String> {
    let Door { door, name, at, may, only_reads, note } = door;
    let reads = if *only_reads { " (only reads)" } else { "" };
    let mut lines = vec![format!("{door} {}{reads}: {}", clean(name), clean(&may.join(", ")))];
    lines.extend(at.iter().map(|at| format!("  at {}", clean(at))));
    lines.extend(note.iter().map(|note| format!("  {}", clean(note))));
    lines
}

fn bounds(bounds: &Tried) -> String {
    let tries = if bounds.attempts == 1 { "try" } else { "tries" };
    let mut text = format!("{} {tries} of at most {}", bounds.attempts, span(bounds.timeout_ms));
    if bounds.attempts > 1 {
        let _ =
            write!(text, ", {} to {} apart", span(bounds.backoff_ms), span(bounds.backoff_ms_max));
    }
    if let Some(until) = &bounds.until {
        let _ = write!(text, ", until {}", clean(until));
    }
    if let Some(parallel) = bounds.parallel {
        let _ = write!(text, ", {parallel} at a time");
    }
    text
}
