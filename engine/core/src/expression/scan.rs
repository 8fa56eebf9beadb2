//! What names an expression mentions, and where.
//!
//! minijinja's own `undeclared_variables` gives no places and overlooks what is
//! sliced (`steps.a.list[1:]`), so the names are read from the text. Only text
//! that minijinja has parsed comes here: syntax errors are not looked for.

use std::ops::Range;

/// A dotted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `steps.assess.verdict`.
    pub(crate) path: String,
    /// Where, in bytes.
    pub(crate) span: Range<usize>,
}

/// All names of one expression, each kind in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Variables.
    pub(super) references: Vec<Reference>,
    /// After `|`.
    pub(super) filters: Vec<Reference>,
    /// After `is`.
    pub(super) tests: Vec<Reference>,
    /// Before `(`.
    pub(super) calls: Vec<Reference>,
}

/// What stands before a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Dot,
    Pipe,
    Is,
    Other,
}

const KEYWORDS: [&str; 12] =
    ["and", "or", "not", "in", "if", "else", "true", "false", "none", "True", "False", "None"];

/// Reads all names.
pub(super) fn scan(source: &str) -> Names {
    let mut names = Names::default();
    let mut before = Before::Other;
    let mut at = 0;
    while let Some(byte) = source.as_bytes().get(at).copied() {
        match byte {
            b'"' | b'\'' => {
                at = after_string(source, at);
                before = Before::Other;
            }
            _ if byte.is_ascii_digit() => {
                at = after_number(source, at);
                before = Before::Other;
            }
            _ if starts_word(byte) => (at, before) = word(source, at, before, &mut names),
            b'.' => (at, before) = (at + 1, Before::Dot),
            b'|' => (at, before) = (at + 1, Before::Pipe),
            _ if byte.is_ascii_whitespace() => at += 1,
            _ => (at, before) = (at + 1, Before::Other),
        }
    }
    names
}

/// Takes the word at `at`; returns where the next token starts and what this one
/// means to it.
fn word(source: &str, at: usize, before: Before, names: &mut Names) -> (usize, Before) {
    let end = after_word(source, at);
    let text = &source[at..end];
    match before {
        Before::Dot => (end, Before::Other),
        Before::Is if text == "not" => (end, Before::Is),
        Before::Pipe | Before::Is => {
            let name = dotted(source, at, end);
            let end = name.span.end;
            if before == Before::Pipe { &mut names.filters } else { &mut names.tests }.push(name);
            (end, Before::Other)
        }
        Before::Other if text == "is" => (end, Before::Is),
        Before::Other if KEYWORDS.contains(&text) => (end, Before::Other),
        Before::Other => {
            let name = dotted(source, at, end);
            let end = name.span.end;
            let rest = source[end..].trim_start();
            if rest.starts_with('(') {
                names.calls.push(name);
            } else if !rest.starts_with('=') || rest.starts_with("==") {
                // A single `=` follows only the name of a keyword argument.
                names.references.push(name);
            }
            (end, Before::Other)
        }
    }
}

/// The dotted name that begins with the word `start..end`.
fn dotted(source: &str, start: usize, mut end: usize) -> Reference {
    let mut path = source[start..end].to_owned();
    while let Some(rest) = source[end..].trim_start().strip_prefix('.') {
        let rest = rest.trim_start();
        let at = source.len() - rest.len();
        if !rest.bytes().next().is_some_and(starts_word) {
            break;
        }
        end = after_word(source, at);
        path.push('.');
        path.push_str(&source[at..end]);
    }
    Reference { path, span: start..end }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn after_word(source: &str, at: usize) -> usize {
    let ends = |byte: u8| !(starts_word(byte) || byte.is_ascii_digit());
    source[at..].bytes().position(ends).map_or(source.len(), |length| at + length)
}

fn after_number(source: &str, at: usize) -> usize {
    let bytes = source.as_bytes();
    let mut end = after_word(source, at);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = after_word(source, end + 1);
    }
    end
}

/// The end of the string literal that opens at `at`, or of the text.
pub(super) fn after_string(source: &str, at: usize) -> usize {
    let bytes = source.as_bytes();
    let quote = bytes[at];
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    // A backslash may have stepped into a character; the caller slices only at
    // the end of the text then.
    source.len()
}
