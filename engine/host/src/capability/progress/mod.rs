//! How far an attempt is, for people.

mod host;

use wasmtime::component::{HasData, Linker};

use crate::guest::{Caller, wit};

pub(crate) struct View<'a> {
    pub(crate) caller: &'a mut Caller,
}

struct Progress;

impl HasData for Progress {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::progress::add_to_linker::<T, Progress>(linker, view)
}
