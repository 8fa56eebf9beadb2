//! Mistakes of a workflow author: what, where, and the line to write instead.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// One mistake in a workflow file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Short, stable, kebab-case.
    pub code: &'static str,
    /// What is wrong, for the author.
    pub message: String,
    /// Where, as bytes of the source; none: the file as a whole.
    pub span: Option<Range<usize>>,
    /// What to write instead, where it is known.
    pub help: Option<String>,
}

impl Flaw {
    /// A flaw at `span`.
    pub(crate) fn at(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: Some(span), help: None }
    }

    /// A flaw of the file as a whole.
    pub(crate) fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, help: None }
    }

    /// The same, with what to write instead.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with what to write instead if that is known.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// All mistakes of one workflow file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Flaws {
    /// The workflow's name.
    pub name: String,
    /// At least one.
    pub flaws: Vec<Flaw>,
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workflow `{}` has {}", self.name, count(self.flaws.len()))?;
        let separators = std::iter::once(": ").chain(std::iter::repeat("; "));
        self.flaws
            .iter()
            .zip(separators)
            .try_for_each(|(flaw, separator)| write!(f, "{separator}{}", plain(&flaw.message)))
    }
}

impl Flaws {
    pub(super) fn new(name: &str, mut flaws: Vec<Flaw>) -> Self {
        flaws.sort_by_key(|flaw| flaw.span.as_ref().map_or(0, |span| span.start));
        Self { name: name.to_owned(), flaws }
    }

    /// All flaws as plain text, each with its line of `source`; `path` is how the
    /// file is named to the reader.
    pub fn render(&self, path: &str, source: &str) -> String {
        let mut text = String::new();
        for flaw in &self.flaws {
            flaw.render(path, source, &mut text).expect("writing to a string cannot fail");
            text.push('\n');
        }
        let found = count(self.flaws.len());
        writeln!(text, "error: {path} has {found}").expect("writing to a string cannot fail");
        text
    }
}

fn count(flaws: usize) -> String {
    if flaws == 1 { "1 flaw".to_owned() } else { format!("{flaws} flaws") }
}

impl Flaw {
    fn render(&self, path: &str, source: &str, out: &mut String) -> fmt::Result {
        writeln!(out, "error[{}]: {}", self.code, plain(&self.message))?;
        let mut margin = 1;
        if let Some(place) = self.span.as_ref().and_then(|span| Place::of(source, span)) {
            margin = place.line.to_string().len();
            writeln!(out, "{:margin$}--> {path}:{}:{}", "", place.line, place.column)?;
            writeln!(out, "{:margin$} |", "")?;
            let (text, indent, width) = place.window();
            writeln!(out, "{} | {}", place.line, plain(&text))?;
            writeln!(out, "{:margin$} | {:indent$}{}", "", "", "^".repeat(width))?;
        } else {
            writeln!(out, "{:margin$}--> {path}", "")?;
        }
        for (index, line) in self.help.iter().flat_map(|help| help.lines()).enumerate() {
            let lead = if index == 0 { "= help: " } else { "        " };
            writeln!(out, "{:margin$} {lead}{}", "", plain(line))?;
        }
        Ok(())
    }
}

/// Where a span begins, as people count.
struct Place<'s> {
    line: usize,
    column: usize,
    text: &'s str,
    /// Characters of the span in its first line, at least 1.
    width: usize,
}

impl<'s> Place<'s> {
    /// What to show of the line, how far in the span begins there, and how much of
    /// it is seen. A long line is cut, so that the carets stand below their text.
    fn window(&self) -> (String, usize, usize) {
        const CHARS_MAX: usize = 120;
        const LEAD_CHARS: usize = 40;
        let length = self.text.chars().count();
        let from =
            if length > CHARS_MAX { (self.column - 1).saturating_sub(LEAD_CHARS) } else { 0 };
        let mut text: String = self.text.chars().skip(from).take(CHARS_MAX).collect();
        let width = self.width.min((from + CHARS_MAX + 1).saturating_sub(self.column)).max(1);
        let mut indent = self.column - 1 - from;
        if from > 0 {
            text.insert(0, '…');
            indent += 1;
        }
        if length > from + CHARS_MAX {
            text.push('…');
        }
        (text, indent, width)
    }

    fn of(source: &'s str, span: &Range<usize>) -> Option<Self> {
        let before = source.get(..span.start)?;
        let marked = source.get(span.clone())?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = source[start..].lines().next().unwrap_or_default();
        Some(Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            text,
            width: marked.lines().next().map_or(1, |line| line.chars().count().max(1)),
        })
    }
}

/// `text` without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The candidate that `name` was probably meant to be.
pub(crate) fn closest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let near = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.chars().count().max(3) / 3).then_some(candidate)
}

/// Names that help lists: all keys of a step fit, all plugins of a large house do not.
const LISTED_MAX: usize = 32;

/// Help that names the closest candidate, or lists all of a few.
pub(crate) fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<String> {
    if let Some(close) = closest(name, candidates.clone()) {
        return Some(format!("did you mean `{close}`?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    (!all.is_empty() && all.len() <= LISTED_MAX).then(|| format!("there is {}", all.join(", ")))
}

/// Levenshtein's distance in characters; long names are compared by their head.
fn distance(a: &str, b: &str) -> usize {
    const CHARS_MAX: usize = 64;
    let b: Vec<char> = b.chars().take(CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found_but_not_a_far_one() {
        let keys = ["needs", "when", "with", "timeout"];
        assert_eq!(closest("need", keys), Some("needs"));
        assert_eq!(closest("timout", keys), Some("timeout"));
        assert_eq!(closest("colour", keys), None);
    }

    #[test]
    fn a_span_is_shown_by_line_and_column_in_characters() {
        let source = "a = 1\nbé = \"x\ty\"\n";
        let flaws = Flaws::new("w", vec![Flaw::at("code", 12..17, "odd\u{1b}").help("one\ntwo")]);
        let text = flaws.render("w.toml", source);
        let shown = "error[code]: odd \n --> w.toml:2:6\n  |\n2 | bé = \"x y\"\n  |      ^^^^^\n  \
                     = help: one\n          two\n\nerror: w.toml has 1 flaw\n";
        assert_eq!(text, shown);
    }

    #[test]
    fn a_long_line_is_cut_around_its_span() {
        let source = format!("{}WRONG{}", "a".repeat(200), "b".repeat(200));
        let text =
            Flaws::new("w", vec![Flaw::at("code", 200..205, "odd")]).render("w.toml", &source);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], format!("1 | …{}WRONG{}…", "a".repeat(40), "b".repeat(75)));
        assert_eq!(lines[4], format!("  | {}^^^^^", " ".repeat(41)));
        let text = Flaws::new("w", vec![Flaw::at("code", 0..405, "odd")]).render("w.toml", &source);
        assert_eq!(text.lines().nth(4), Some(format!("  | {}", "^".repeat(120)).as_str()));
    }

    #[test]
    fn a_span_outside_the_source_is_shown_without_a_line() {
        let flaws = Flaws::new("w", vec![Flaw::at("code", 90..91, "odd")]);
        assert!(flaws.render("w.toml", "a = 1").starts_with("error[code]: odd\n --> w.toml\n"));
    }
}
