//! The answers as a table that a report can hold.

use crate::{Answered, Query, State};
use std::fmt::Write as _;

/// Rows of one query; the worst come first.
const ROWS_MAX: usize = 5;

pub(crate) fn markdown(queries: &[Query], answered: &[Answered]) -> String {
    let mut text = "| what | bounds | value | |\n|---|---|---|---|\n".to_owned();
    for (query, answer) in queries.iter().zip(answered) {
        let (name, bounds) = (cell(&answer.name), bounds(query));
        for series in answer.series.iter().take(ROWS_MAX) {
            let what = match series.labels.as_str() {
                "" => name.clone(),
                labels => format!("{name} `{}`", cell(labels)),
            };
            row(&mut text, &what, &bounds, &series.value, word(series.state));
        }
        if answer.series.is_empty() {
            let note = answer.note.as_deref().unwrap_or("no value");
            row(&mut text, &name, &bounds, &cell(note), word(answer.state));
        }
        let more = answer.series.len().saturating_sub(ROWS_MAX) + answer.more;
        if more > 0 {
            row(&mut text, &name, &bounds, &format!("{more} more"), "");
        }
    }
    text
}

fn row(text: &mut String, what: &str, bounds: &str, value: &str, state: &str) {
    writeln!(text, "| {what} | {bounds} | {value} | {state} |").expect("text takes everything");
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Unknown => "unknown",
        State::Breach => "**breach**",
    }
}

fn bounds(query: &Query) -> String {
    match (query.min, query.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => String::new(),
    }
}

/// What would end a cell or a line of the table.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|").replace('`', "'")
}
