//! The WIT as Rust, and what a store holds while a guest runs.

use std::sync::Arc;

use baton_core::workflow::plan::Grants;
use wasmtime::ResourceLimiter;
use wasmtime::component::Linker;

use crate::capability::{clock, exec, http, log, probe, progress, redis};
use crate::host::{Context, Wall};
use crate::limits;
use crate::tape::{Answer, Asked, Divergence, Live, Tape, Turn};
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
    pub(crate) outside: Arc<Reachable>,
}

/// What baton.toml names besides Redis, made ready for all attempts.
pub(crate) struct Reachable {
    pub(crate) endpoints: http::Endpoints,
    pub(crate) commands: exec::Commands,
    pub(crate) targets: probe::Targets,
}

/// Who runs, and the way to the engine.
pub(crate) struct Caller {
    pub(crate) context: Arc<Context>,
    pub(crate) grants: Grants,
    pub(crate) wall: Arc<dyn Wall>,
    pub(crate) tape: Tape,
    calls: u32,
}

impl Caller {
    pub(crate) fn new(
        context: Arc<Context>,
        grants: Grants,
        wall: Arc<dyn Wall>,
        tape: Tape,
    ) -> Self {
        Self { context, grants, wall, tape, calls: 0 }
    }

    /// A host call that has one number: heard from the tape, or to be made.
    ///
    /// # Errors
    /// A trap when the attempt has used up its calls, or left its tape.
    pub(crate) fn ask<T: Answer>(
        &mut self,
        asked: impl FnOnce() -> Asked,
    ) -> wasmtime::Result<Turn<T>> {
        let first = self.take(1)?;
        let turn = self.tape.hear(first, 1, asked)?;
        if let Turn::Live(Live { cut, .. }) = &turn
            && let Some(call) = cut.first()
        {
            // Such a call changes nothing, so it is not the one that was on its way.
            let now = "the plugin does not ask for it";
            return Err(Stop::from(Divergence::in_flight(call.index, &call.request, now)).into());
        }
        Ok(turn)
    }

    /// What a live call gave, on its way to the guest.
    pub(crate) fn tell<T: Answer>(&mut self, live: Live, answer: T) -> T {
        self.tape.keep(live, &answer);
        answer
    }

    /// The guest has returned.
    ///
    /// # Errors
    /// If it had to make more calls by then.
    pub(crate) fn end(&self) -> Result<(), Divergence> {
        self.tape.end(self.calls)
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
    progress::add_to_linker(linker, |data: &mut Data| progress::View { caller: &mut data.caller })?;
    redis::add_to_linker(linker, |data: &mut Data| redis::View {
        state: &mut data.redis,
        caller: &mut data.caller,
    })?;
    http::add_to_linker(linker, |data: &mut Data| http::View {
        endpoints: &data.outside.endpoints,
        caller: &mut data.caller,
    })?;
    exec::add_to_linker(linker, |data: &mut Data| exec::View {
        commands: &data.outside.commands,
        caller: &mut data.caller,
    })?;
    probe::add_to_linker(linker, |data: &mut Data| probe::View {
        targets: &data.outside.targets,
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

#[cfg(test)]
mod tests {
    use baton_core::run::Taping;
    use baton_core::run::event::{Call, TapeEntry};
    use futures::future::BoxFuture;

    use super::*;
    use crate::host::{Durable, WallError};

    struct Nothing;

    impl Wall for Nothing {
        fn intend(
            &self,
            _calls: Vec<Call>,
            _heard: Vec<Arc<TapeEntry>>,
        ) -> BoxFuture<'_, Result<Durable, WallError>> {
            Box::pin(async { Err(WallError("nothing is sent".to_owned())) })
        }
        fn outcome(&self, _calls: Vec<Call>) {}
        fn progress(&self, _done: u64, _total: Option<u64>, _message: String) {}
    }

    #[test]
    fn host_calls_are_numbered_and_counted() {
        let context = Context {
            run: "r".parse().expect("a run id"),
            workflow: String::new(),
            step: String::new(),
            item: 0,
            attempt: 1,
            done: Vec::new(),
        };
        let (wall, tape) = (Arc::new(Nothing), Tape::new(Taping::Off));
        let mut caller = Caller::new(Arc::new(context), Grants::default(), wall, tape);
        assert_eq!(caller.take(1).ok(), Some(0));
        assert_eq!(caller.take(3).ok(), Some(1));
        let rest = limits::HOST_CALLS_MAX as usize - 4;
        assert_eq!(caller.take(rest).ok(), Some(4));
        let error = caller.take(1).expect_err("they are used up");
        assert!(matches!(error.downcast_ref::<Stop>(), Some(Stop::HostCalls)));
        assert!(caller.take(usize::MAX).is_err());
    }

    #[test]
    fn all_memories_count_together() {
        let mut limiter = Limiter::new(100);
        assert!(matches!(limiter.memory_growing(0, 60, None), Ok(true)));
        assert!(matches!(limiter.memory_growing(0, 60, None), Ok(false)));
        assert_eq!(limiter.refused_bytes, Some(120));
        // What exceeds the memory's own maximum is not taken into account.
        assert!(matches!(limiter.memory_growing(60, 90, Some(70)), Ok(true)));
        assert!(matches!(limiter.memory_growing(60, 100, None), Ok(true)));
    }
}
