//! Mistakes in baton.toml, gathered so that one look shows them all.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Line and column, from 1; none for what has no place in the file.
    pub at: Option<(usize, usize)>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// The configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file; none when only the environment was read.
    pub file: Option<PathBuf>,
    /// Every mistake, in the file's order.
    pub flaws: Vec<Flaw>,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, message: &str) -> Self {
        let flaw = Flaw { at: None, message: format!("cannot read it: {message}") };
        Self { file: Some(file.to_owned()), flaws: vec![flaw] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().map_or("configuration".into(), Path::to_string_lossy);
        for (index, flaw) in self.flaws.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match flaw.at {
                Some((line, column)) => write!(f, "{file}:{line}:{column}: {}", flaw.message)?,
                None => write!(f, "{file}: {}", flaw.message)?,
            }
        }
        Ok(())
    }
}

/// Mistakes found so far.
pub(super) struct Flaws<'t> {
    file: Option<PathBuf>,
    text: &'t str,
    found: Vec<(usize, Flaw)>,
}

impl<'t> Flaws<'t> {
    pub(super) fn new(file: Option<&Path>, text: &'t str) -> Self {
        Self { file: file.map(Path::to_owned), text, found: Vec::new() }
    }

    /// Adds a mistake at a byte range of the text.
    pub(super) fn add(&mut self, span: Range<usize>, message: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.found.push((span.start, Flaw { at: Some((line, column)), message }));
    }

    /// Adds a mistake without a place: these are shown last.
    pub(super) fn add_unplaced(&mut self, message: String) {
        self.found.push((usize::MAX, Flaw { at: None, message }));
    }

    /// Fails if there is any.
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|(place, _)| *place);
        let flaws = found.into_iter().map(|(_, flaw)| flaw).collect();
        Err(ConfigError { file: self.file.clone(), flaws })
    }
}

/// A value as an error may show it: quoted, short, and without what may be a
/// password (`redis://user:password@host`).
pub(super) fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("`…@{}`", shortened(host)),
        None => format!("`{}`", shortened(text)),
    }
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(CHARS_MAX).map(plain).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// `; did you mean …?` if `name` is close to one of `known`, else nothing.
pub(super) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    const SIMILARITY_MIN: f64 = 0.8;
    let scored = known.into_iter().map(|other| (strsim::jaro_winkler(name, other), other));
    scored
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(String::new, |(_, best)| format!("; did you mean `{best}`?"))
}
