//! How text looks: colours, marks, and how wide it may be.

use console::Style;

/// Where text goes, as far as rendering must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Colours or none.
    pub(crate) paint: Paint,
    /// Columns; none: as wide as it needs (a pipe, a file).
    pub(crate) width: Option<usize>,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// With ANSI colours.
    Colour,
    /// Without any escape sequence.
    Plain,
}

/// What a piece of text means; colours follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It moves, or wants attention.
    Busy,
    /// A person must act.
    Ask,
    /// Less important.
    Dim,
    /// More important.
    Strong,
}

impl Look {
    /// No colours, no limit.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { paint: Paint::Plain, width: None };

    /// `text` in the colours of `tone`.
    pub(crate) fn tint(self, tone: Tone, text: &str) -> String {
        if self.paint == Paint::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = Style::new().force_styling(true);
        let style = match tone {
            Tone::Good => style.green(),
            Tone::Bad => style.red().bold(),
            Tone::Busy => style.cyan(),
            Tone::Ask => style.yellow().bold(),
            Tone::Dim => style.dim(),
            Tone::Strong => style.bold(),
        };
        style.apply_to(text).to_string()
    }

    /// Cuts a finished line to the width.
    pub(crate) fn cut(self, line: &str) -> String {
        self.width.map_or_else(|| line.to_owned(), |width| super::words::fit(line, width))
    }
}

/// The mark of a state of a run or step, and its tone. Every mark is followed by
/// the state's word wherever it is shown, so that nothing hangs on a glyph or a
/// colour alone.
pub(crate) fn mark(state: &str) -> (&'static str, Tone) {
    match state {
        "succeeded" => ("✓", Tone::Good),
        "failed" | "undo-failed" | "timed-out" | "unreadable" => ("✗", Tone::Bad),
        "running" => ("●", Tone::Busy),
        "undoing" | "cancelling" | "backing-off" => ("↻", Tone::Busy),
        "asking" => ("?", Tone::Ask),
        "held" => ("‖", Tone::Ask),
        "undone" => ("↺", Tone::Dim),
        "cancelled" => ("⊘", Tone::Bad),
        "skipped" => ("–", Tone::Dim),
        _ => ("○", Tone::Dim),
    }
}

/// A state as a person says it.
pub(crate) fn spoken(state: &str) -> &str {
    match state {
        "asking" => "asks a person",
        "held" => "held back",
        "backing-off" => "waits to retry",
        "timed-out" => "timed out",
        "undo-failed" => "undo failed",
        other => other,
    }
}
