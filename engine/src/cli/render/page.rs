//! A page of facts, as `show` and `plan` print them: labels in one column, what
//! they say in the next, wrapped under itself.

use baton_core::Json;

use super::look::{Look, Tone};
use super::words::{clean, clean_lines, fit, pad, pairs, wrap};
use crate::runner::table::{self, Table};
use crate::runner::view::FaultView;

/// Columns of the words before facts.
const LABEL: usize = 9;

/// Blanks between columns of a table.
const GAP: usize = 2;

/// Columns that the last cell of a table needs to stand beside the others.
const BESIDE: usize = 30;

/// Text in the making.
pub(super) struct Page {
    text: String,
    look: Look,
}

impl Page {
    pub(super) fn new(look: Look) -> Self {
        Self { text: String::new(), look }
    }

    pub(super) fn look(&self) -> Look {
        self.look
    }

    pub(super) fn text(self) -> String {
        self.text
    }

    pub(super) fn line(&mut self, lead: &str, text: &str) {
        let line = format!("{}{text}", self.look.tint(Tone::Dim, lead));
        self.text.push_str(self.look.cut(&line).trim_end());
        self.text.push('\n');
    }

    /// A label and its fact, wrapped under itself.
    pub(super) fn fact(&mut self, lead: &str, label: &str, fact: &str) {
        let taken = console::measure_text_width(lead) + LABEL;
        let room = self.look.width.map_or(usize::MAX, |width| width.saturating_sub(taken).max(20));
        for (index, part) in wrap(fact, room).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let label = self.look.tint(Tone::Dim, &pad(label, LABEL));
            self.line(lead, &format!("{label}{part}"));
        }
    }

    /// A label and its facts, one below the other.
    pub(super) fn list(&mut self, lead: &str, label: &str, lines: impl Iterator<Item = String>) {
        for (index, line) in lines.enumerate() {
            self.fact(lead, if index == 0 { label } else { "" }, &line);
        }
    }

    pub(super) fn fault(&mut self, lead: &str, fault: &FaultView) {
        let title = format!("{} ({})", clean(&fault.code), clean(&fault.kind));
        let title = self.look.tint(Tone::Bad, &title);
        self.fact(lead, "fault", &title);
        self.list(lead, "", clean_lines(&fault.message).into_iter());
        let Some(details) = fault.details.as_object() else {
            if !fault.details.is_null() {
                self.list(lead, "", clean_lines(&long(&fault.details)).into_iter());
            }
            return;
        };
        for (name, detail) in details {
            let lines = clean_lines(&long(detail));
            if let [line] = lines.as_slice() {
                self.fact(lead, "", &format!("{}: {line}", clean(name)));
            } else {
                self.fact(lead, "", &format!("{}:", clean(name)));
                self.list(lead, "", lines.iter().map(|line| format!("  {line}")));
            }
        }
    }

    /// What a step gave, on one line; cut at `columns` where nothing else says how
    /// wide text may be.
    pub(super) fn output(&mut self, lead: &str, output: &Json, columns: usize) {
        let room = self.look.width.map_or(columns, |width| {
            width.saturating_sub(console::measure_text_width(lead) + LABEL)
        });
        let label = self.look.tint(Tone::Dim, &pad("output", LABEL));
        let (table, output) = table::split(output);
        self.line(lead, &format!("{label}{}", fit(&pairs(&output), room)));
        if let Some(table) = table {
            self.table(lead, &table);
        }
    }

    /// Aligned columns; the last one, which says why, is wrapped under itself.
    fn table(&mut self, lead: &str, table: &Table) {
        let clean_row = |row: &Vec<String>| row.iter().map(|it| clean(it)).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> =
            std::iter::once(&table.columns).chain(&table.rows).map(clean_row).collect();
        let last = table.columns.len() - 1;
        let width = |column: usize| {
            rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..last).map(width).collect();
        let before: usize = widths.iter().map(|width| width + GAP).sum();
        let taken = console::measure_text_width(lead) + LABEL + before;
        let room = self.look.width.map_or(usize::MAX, |width| width.saturating_sub(taken));
        for (index, row) in rows.iter().enumerate() {
            let label = pad(if index == 0 { "table" } else { "" }, LABEL);
            let cells: String =
                row.iter().zip(&widths).map(|(cell, width)| pad(cell, width + GAP)).collect();
            // Where too little is left beside them, it stands below, indented.
            let beside = room >= BESIDE;
            let parts =
                wrap(&row[last], if beside { room } else { (room + before).max(BESIDE / 2) - GAP });
            let blank = " ".repeat(if beside { before } else { GAP });
            if !beside {
                self.table_line(lead, &label, cells.trim_end(), index == 0);
            }
            for (at, part) in parts.iter().enumerate() {
                let first = beside && at == 0;
                let (label, start) =
                    if first { (label.as_str(), cells.as_str()) } else { ("", blank.as_str()) };
                self.table_line(lead, label, &format!("{start}{part}"), index == 0);
            }
        }
        if table.more > 0 {
            self.fact(lead, "", &format!("{} more rows: --output json", table.more));
        }
    }

    fn table_line(&mut self, lead: &str, label: &str, text: &str, is_heading: bool) {
        let label = self.look.tint(Tone::Dim, &pad(label, LABEL));
        let text = if is_heading { self.look.tint(Tone::Dim, text) } else { text.to_owned() };
        self.line(lead, &format!("{label}{text}"));
    }
}

/// Text keeps its lines; all else is JSON on one.
fn long(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::look::Paint;
    use super::*;

    fn drawn(width: Option<usize>) -> String {
        let mut page = Page::new(Look { paint: Paint::Plain, width });
        let output = json!({ "chosen": "10.0.0.2:6379", "table": {
            "columns": ["rank", "replica", "reason"],
            "rows": [
                ["1", "10.0.0.2:6379", "same history, offset 1000, 0 bytes behind the furthest seen"],
                ["out", "10.0.0.3:6379", "of another \u{1b}[31m history"],
            ],
        } });
        page.output("│ ", &output, 160);
        page.text()
    }

    #[test]
    fn a_table_stands_in_columns() {
        expect![[r"
            │ output   chosen=10.0.0.2:6379
            │ table    rank  replica        reason
            │          1     10.0.0.2:6379  same history, offset 1000, 0 bytes behind the furthest seen
            │          out   10.0.0.3:6379  of another \u{1b}[31m history
        "]]
        .assert_eq(&drawn(None));
    }

    #[test]
    fn on_a_narrow_terminal_the_reason_is_wrapped_and_never_cut() {
        for width in [70, 40] {
            let text = drawn(Some(width));
            let over = |line: &&str| console::measure_text_width(line) > width;
            assert_eq!(text.lines().find(over), None, "{text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            for word in ["1000,", "furthest", "seen", "history"] {
                assert!(words.contains(&word), "{width}: {word} is missing in\n{text}");
            }
        }
    }
}
