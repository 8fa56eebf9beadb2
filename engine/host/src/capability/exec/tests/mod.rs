//! The rule on its own, and real commands that behave as they should or not.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod grants;
mod processes;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use baton_core::run::Taping;
use baton_core::workflow::plan::{ExecGrant, Grants};

use super::{Class, Command, Commands, Pattern, View};
use crate::capability::lab::{Journal, caller};
use crate::guest::Caller;
use crate::guest::wit::exec::{Host as _, Output};
use crate::guest::wit::types::Error;

/// A command called `tool`.
fn command(words: &[&str], args: &[&str], class: Class) -> Command {
    let mut words = words.iter().map(|word| (*word).to_owned());
    Command {
        name: "tool".to_owned(),
        program: words.next().unwrap(),
        fixed: words.collect(),
        args: args.iter().map(|text| Pattern::new(text).unwrap()).collect(),
        class,
        cwd: PathBuf::from("/"),
        env: Vec::new(),
        secrets: Vec::new(),
        timeout_ms: 20_000,
        output_bytes_max: 1_000,
    }
}

/// One that a shell of the operator's own runs.
fn script(text: &str) -> Command {
    command(&["sh", "-c", text], &[], Class::Once)
}

fn granted() -> ExecGrant {
    ExecGrant { commands: vec!["tool".to_owned()], only_reads: false }
}

/// An attempt without a guest.
struct Attempt {
    commands: Commands,
    caller: Caller,
    journal: Arc<Journal>,
}

impl Attempt {
    fn new(command: Command) -> Self {
        Self::with(command, Journal::default(), Taping::Record)
    }

    fn with(command: Command, journal: Journal, taping: Taping) -> Self {
        let grants = Grants { exec: vec![granted()], ..Grants::default() };
        let (caller, journal) = caller(grants, journal, taping);
        Self { commands: Commands::new(vec![command]), caller, journal }
    }

    /// The attempt after a crash that lost what was not on disk, and the outcomes.
    fn again(&self, command: Command) -> Self {
        Self::with(command, Journal::default(), Taping::Replay(self.journal.cut_off()))
    }

    async fn call(
        &mut self,
        arguments: &[&str],
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<Output, Error>> {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        let mut view = View { commands: &self.commands, caller: &mut self.caller };
        view.run("tool".to_owned(), arguments, timeout_ms).await
    }

    async fn run(&mut self, arguments: &[&str]) -> Result<Output, Error> {
        self.call(arguments, 20_000).await.unwrap()
    }
}
