//! A page of facts, as `show` and `plan` print them: labels in one column, what
//! they say in the next, wrapped under itself.

use baton_core::Json;

use super::look::{Look, Tone};
use super::words::{clean, clean_lines, fit, pad, pairs, wrap};
use crate::runner::view::FaultView;

/// Columns of the words before facts.
const LABEL: usize = 9;

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
        self.line(lead, &format!("{label}{}", fit(&pairs(output), room)));
    }
}

/// Text keeps its lines; all else is JSON on one.
fn long(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}
