//! The WIT as Rust, and what a store holds while a guest runs.

use std::sync::Arc;

use baton_core::workflow::plan::RedisGrant;
use wasmtime::component::Linker;
use wasmtime::ResourceLimiter;

use crate::capability::{clock, log, progress, redis};
use crate::host::{Context, Wall};
use crate::limits;
use crate::trap::Stop;

mod bindings {
    #![allow(missing_docs, reason = "generated; the WIT carries the documentation")]
    #![allow(clippy::pedantic, reason = "generated")]
    #![allow(unused_qualifications, unreachable_pub, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "../../plugins/wit",
        world: "plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

pub(crate) use bindings::baton::plugin as wit;
pub(crate) use bindings::{Plugin as Exports, PluginPre as ExportsPre};

/// What a store holds.
pub(crate) struct Data {
    /// What stops the guest.
    pub(crate) limiter: Limiter,
    /// Whose guest this is.
    pub(crate) caller: Caller,
    pub(crate) log: log::State,
    pub(crate) redis: redis::State,
}

/// Who runs, and the way to the engine.
pub(crate) struct Caller {
    pub(crate) context: Arc<Context>,
    pub(crate) grants: Arc<[RedisGrant]>,
    pub(crate) wall: Arc<dyn Wall>,
    calls: u32,
}

impl Caller {
    pub(crate) fn new(
        context: Arc<Context>,
        grants: Arc<[RedisGrant]>,
        wall: Arc<dyn Wall>,
    ) -> Self {
        Self { context, grants, wall, calls: 0 }
    }

    /// Takes `count` numbers for host calls; gives the first.
    ///
    /// # Errors
    /// A trap when the attempt has used up its number of calls.
    pub(crate) fn take(&mut self, count: usize) -> wasmtime::Result<u32> {
        let first = self.calls;
        u32::try_from(count)
            .ok()
            .and_then(|count| first.checked_add(count))
            .filter(|next| *next <= limits::HOST_CALLS_MAX)
            .map(|next| {
                self.calls = next;
                first
            })
            .ok_or_else(|| Stop::HostCalls.into())
    }
}

/// Offers every capability to a linker; the grants decide at each call.
pub(crate) fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    log::add_to_linker(linker, |data: &mut Data| log::View {
        state: &mut data.log,
        caller: &mut data.caller,
    })?;
    clock::add_to_linker(linker, |data: &mut Data| clock::View { caller: &mut data.caller })?;
    progress::add_to_linker(linker, |data: &mut Data| progress::View {
        caller: &mut data.caller,
    })?;
    redis::add_to_linker(linker, |data: &mut Data| redis::View {
        state: &mut data.redis,
        caller: &mut data.caller,
    })
}

/// Holds a guest to its memory, and remembers what it was refused.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    memory_bytes: usize,
    /// The size asked for when memory was refused, all memories together.
    pub(crate) refused_bytes: Option<usize>,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, refused_bytes: None }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All memories of the guest together, so that a second one is no way out.
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > self.memory_bytes_max {
            self.refused_bytes = Some(total);
            return Ok(false);
        }
        // Over its own declared maximum the guest fails by itself.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory_bytes = total;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS_MAX)
    }
}
