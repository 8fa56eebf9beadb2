//! A guest's lines in the engine's log.

mod host;
#[cfg(test)]
mod tests;

use wasmtime::component::{HasData, Linker};

use crate::guest::{Caller, wit};

/// What an attempt has written so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    lines: u32,
    bytes: usize,
}

pub(crate) struct View<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) caller: &'a mut Caller,
}

struct Log;

impl HasData for Log {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::log::add_to_linker::<T, Log>(linker, view)
}
