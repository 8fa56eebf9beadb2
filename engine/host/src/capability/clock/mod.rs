//! The time, and letting it pass.

mod host;

use wasmtime::component::{HasData, Linker};

use crate::guest::{Caller, wit};

pub(crate) struct View<'a> {
    pub(crate) caller: &'a mut Caller,
}

struct Clock;

impl HasData for Clock {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::clock::add_to_linker::<T, Clock>(linker, view)
}
