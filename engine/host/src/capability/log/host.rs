//! `log.write`.

use super::{State, View};
use crate::guest::wit::log::{Host, Level};
use crate::host::Context;
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::text::tame;

/// What becomes of one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Write(String),
    /// The first line over the bound: said once.
    Cut,
    Drop,
}

impl State {
    /// Takes a line into account.
    pub(super) fn admit(&mut self, message: &str) -> Line {
        let is_open = self.lines < limits::LOG_LINES_MAX && self.bytes < limits::LOG_BYTES_MAX;
        if is_open {
            let line = tame(message, limits::LOG_LINE_BYTES_MAX);
            self.lines += 1;
            self.bytes += line.len();
            return Line::Write(line);
        }
        let is_first = self.bytes != usize::MAX;
        self.bytes = usize::MAX;
        if is_first { Line::Cut } else { Line::Drop }
    }
}

impl Host for View<'_> {
    async fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let asked = || Asked::of("log.write").text(word(level)).text(&message).word(&message);
        let admitted = self.state.admit(&message);
        // What was said is not said again, but counts.
        let Turn::Live(turn) = self.caller.ask::<()>(asked)? else { return Ok(()) };
        self.caller.tell(turn, ());
        match admitted {
            Line::Write(line) => write(&self.caller.context, level, &line),
            Line::Cut => write(
                &self.caller.context,
                Level::Warn,
                &format!(
                    "the log of this attempt is cut here: more than {} lines or {} bytes",
                    limits::LOG_LINES_MAX,
                    limits::LOG_BYTES_MAX
                ),
            ),
            Line::Drop => {}
        }
        Ok(())
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

fn write(context: &Context, level: Level, line: &str) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "baton::plugin",
                tracing::Level::$level,
                run = %context.run,
                workflow = context.workflow,
                step = context.step,
                item = context.item,
                attempt = context.attempt,
                "{line}"
            )
        };
    }
    match level {
        Level::Debug => event!(DEBUG),
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
}
