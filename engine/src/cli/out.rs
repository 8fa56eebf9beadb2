//! Standard output and standard error, and whether they are terminals.

use std::io::{self, IsTerminal as _};
use std::time::{SystemTime, UNIX_EPOCH};

use baton_core::Millis;
use clap::ValueEnum;
use console::Term;
use serde::Serialize;

use super::Exit;
use super::failure::Failure;
use super::render::Look;
use super::render::look::{Paint, Tone};

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal that can, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Where things are printed.
#[derive(Clone, Debug)]
pub(super) struct Out {
    stdout: Term,
    stderr: Term,
    look: Look,
    errors: Look,
    live: bool,
}

impl Out {
    /// Looks at the streams and the environment.
    pub(super) fn new(colour: Colour) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|text| !text.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = |terminal: bool, term: &Term| Look {
            paint: match colour {
                Colour::Always => Paint::Colour,
                Colour::Auto if terminal && !dumb && !set("NO_COLOR") => Paint::Colour,
                Colour::Auto | Colour::Never => Paint::Plain,
            },
            width: term.size_checked().filter(|_| terminal).map(|(_, columns)| columns.into()),
        };
        let terminal = io::stdout().is_terminal();
        let (stdout, stderr) = (Term::stdout(), Term::stderr());
        Self {
            look: look(terminal, &stdout),
            errors: look(io::stderr().is_terminal(), &stderr),
            stdout,
            stderr,
            live: terminal && !dumb,
        }
    }

    /// How text on stdout looks.
    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// Whether stdout is a terminal that can redraw.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Prints what was asked for.
    ///
    /// # Errors
    /// If it cannot be written (a full disk); nobody reading is no error.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        match self.stdout.write_str(text) {
            // `baton runs | head` has had enough. The verb goes on: a run is not lost
            // because nobody watches, and the exit code stays true.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other
                .map_err(|error| Failure::new(format!("cannot write to standard output: {error}"))),
        }
    }

    /// Prints one JSON document.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub(super) fn json(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::new(format!("cannot print as JSON: {error}")))?;
        self.print(&format!("{text}\n"))
    }

    /// Says something about the work, to stderr.
    pub(super) fn note(&self, text: &str) {
        self.tell("note", Tone::Busy, text);
    }

    /// Warns, to stderr.
    pub(super) fn warn(&self, text: &str) {
        self.tell("warning", Tone::Ask, text);
    }

    /// Prints lines that are already complete, to stderr.
    pub(super) fn complain(&self, lines: &str) {
        // Where stderr cannot be written to there is nobody to tell.
        let _ = self.stderr.write_str(lines);
    }

    /// Prints a failure and gives its exit code.
    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        if !failure.what.is_empty() {
            self.tell("error", Tone::Bad, &failure.what);
        }
        if let Some(help) = &failure.help {
            self.tell(" help", Tone::Good, help);
        }
        failure.exit
    }

    fn tell(&self, word: &str, tone: Tone, text: &str) {
        let indent = " ".repeat(word.len() + 2);
        let text = super::render::words::clean_lines(text).join(&format!("\n{indent}"));
        self.complain(&format!("{}: {text}\n", self.errors.tint(tone, word)));
    }
}

/// Now, Unix ms.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
