//! Commands of the machine that the engine runs on, as far as the operator listed them and
//! the step was granted them.
//!
//! A guest names a command and gives the arguments that `args` in baton.toml has patterns
//! for. There is no shell. The environment is cleared, stdin is closed, output and time
//! are bounded, and over its time the whole process group is ended. What running it again
//! would mean is the operator's word (`class`).

mod command;
mod grant;
mod host;
mod process;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::guest::{Caller, wit};

pub use command::{Class, Command, Pattern, SEARCHED, Secret};

/// All commands of baton.toml.
pub(crate) struct Commands(Vec<Arc<Command>>);

impl Commands {
    pub(crate) fn new(commands: Vec<Command>) -> Self {
        Self(commands.into_iter().map(Arc::new).collect())
    }

    fn find(&self, name: &str) -> Option<Arc<Command>> {
        self.0.iter().find(|command| command.name == name).cloned()
    }
}

pub(crate) struct View<'a> {
    pub(crate) commands: &'a Commands,
    pub(crate) caller: &'a mut Caller,
}

struct Exec;

impl HasData for Exec {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::exec::add_to_linker::<T, Exec>(linker, view)
}
