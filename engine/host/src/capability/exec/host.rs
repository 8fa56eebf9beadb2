//! `exec.run`.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use baton_core::run::event::Call;
use baton_crash::{self as crash, Point};

use super::command::Command;
use super::process::{self, Ended};
use super::{View, grant};
use crate::capability::change::{self, Change};
use crate::capability::secret::blot;
use crate::guest::wit::exec::{Host, Output};
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::text::tame;

type Outcome<T> = Result<T, Error>;

impl Host for View<'_> {
    async fn run(
        &mut self,
        command: String,
        arguments: Vec<String>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Output>> {
        let first = self.caller.take(1)?;
        let asked = || asked(&command, &arguments, timeout_ms);
        let live = match self.caller.tape.hear(first, 1, asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let answer = self.answer(&command, &arguments, timeout_ms, first, &live.cut).await?;
        Ok(self.caller.tell(live, answer))
    }
}

impl View<'_> {
    async fn answer(
        &mut self,
        name: &str,
        arguments: &[String],
        timeout_ms: u32,
        index: u32,
        cut: &[Call],
    ) -> wasmtime::Result<Outcome<Output>> {
        let command = match self.granted(name, arguments) {
            Ok(granted) => granted,
            Err(refusal) => return change::refused(cut, refusal).map(Err),
        };
        let shown = shown(name, arguments);
        match Change::admit(self.caller, cut, index, command.class, &shown)? {
            Ok(change) => Ok(self.run_it(&command, arguments, timeout_ms, &change).await),
            Err(in_doubt) => Ok(Err(in_doubt)),
        }
    }

    fn granted(&self, name: &str, arguments: &[String]) -> Outcome<Arc<Command>> {
        let (step, grants) = (&self.caller.context.step, &self.caller.grants.exec);
        grant::knows(step, grants, name)?;
        let command = self.commands.find(name).ok_or_else(|| Error {
            kind: ErrorKind::NotFound,
            message: format!("baton.toml has no command {name}: add [exec.{name}]"),
        })?;
        grant::check(step, grants, &command, arguments)?;
        Ok(command)
    }

    /// That there is such a program is seen before the intent.
    async fn run_it(
        &self,
        command: &Command,
        arguments: &[String],
        timeout_ms: u32,
        change: &Change,
    ) -> Outcome<Output> {
        let name = &command.name;
        let program = process::program(command)?;
        crash::point(if change.is_read() { Point::ReadBefore } else { Point::ChangeBefore });
        change.intend(self.caller).await?;
        if !change.is_read() {
            crash::point(Point::ChangeIntended);
        }
        let group = process::start(&program, command, arguments).map_err(|error| {
            let message = format!("{name} could not be started ({error})");
            change.came_of(self.caller, &format!("not started: {error}"));
            Error { kind: ErrorKind::Internal, message }
        })?;
        let time_ms = timeout_ms.clamp(1, command.timeout_ms);
        let ended =
            group.end(Duration::from_millis(time_ms.into()), command.output_bytes_max).await;
        crash::point(if change.is_read() { Point::ReadAfter } else { Point::ChangeAfter });
        let Some(ended) = ended else {
            return Err(change.doubted(Error {
                kind: ErrorKind::TimedOut,
                message: format!(
                    "{name} did not end within {time_ms} ms and was ended with all that it began: if it needs longer, raise timeout_ms of the call and under [exec.{name}] in baton.toml"
                ),
            }));
        };
        change.came_of(self.caller, &process::word(ended.status));
        Ok(told(ended, command))
    }
}

fn told(ended: Ended, command: &Command) -> Output {
    let Ended { status, stdout, stderr } = ended;
    let secrets: Vec<_> = command.secrets.iter().map(|(_, secret)| secret.clone()).collect();
    Output {
        exit: status.code(),
        signal: status.signal(),
        left_out: stdout.left_out + stderr.left_out,
        stdout: blot(stdout.bytes, &secrets),
        stderr: blot(stderr.bytes, &secrets),
    }
}

/// All of a call, for the tape.
fn asked(command: &str, arguments: &[String], timeout_ms: u32) -> Asked {
    let asking = Asked::of("exec.run").text(command).number(arguments.len() as u64);
    let asking = arguments.iter().fold(asking, |asking, argument| asking.text(argument));
    asking.number(timeout_ms.into()).word(&shown(command, arguments))
}

/// `exec> restart-api "api 1"`: so that two arguments are not taken for one.
fn shown(command: &str, arguments: &[String]) -> String {
    let mut text = format!("exec> {}", tame(command, limits::REQUEST_TEXT_BYTES_MAX));
    for argument in arguments {
        text.push(' ');
        if argument.is_empty() || argument.contains([' ', '"']) {
            write!(text, "{argument:?}").expect("memory");
        } else {
            text.push_str(argument);
        }
        if text.len() > limits::REQUEST_TEXT_BYTES_MAX {
            break;
        }
    }
    tame(&text, limits::REQUEST_TEXT_BYTES_MAX)
}
