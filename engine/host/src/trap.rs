//! What stopped a guest, as a [`Fault`]: which limit, its value, and where it is
//! set; with the guest's own backtrace.

use std::time::Duration;

use baton_core::Json;
use baton_core::limits::TAPE_BYTES_MAX;
use baton_core::run::fault::Fault;
use wasmtime::{Trap, WasmBacktrace};

use crate::guest::Limiter;
use crate::limits;
use crate::tape::Divergence;

/// A reason of the host's own to end a guest.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the attempt's time is over")]
    Deadline,
    #[error("too many host calls")]
    HostCalls,
    #[error("a sleep of {asked_ms} ms is too long")]
    Sleep { asked_ms: u32 },
    #[error("the tape is full")]
    TapeLimit,
    #[error("{0}")]
    Diverged(Box<Divergence>),
}

impl From<Divergence> for Stop {
    fn from(divergence: Divergence) -> Self {
        Self::Diverged(Box::new(divergence))
    }
}

/// What the attempt was given, for the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) step: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) fuel_max: u64,
    pub(crate) memory_bytes_max: usize,
}

/// How far the guest had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Instantiate,
    Run,
}

/// The fault of a guest that did not return.
pub(crate) fn fault(
    error: &wasmtime::Error,
    phase: Phase,
    limiter: &Limiter,
    given: &Given,
) -> Fault {
    let mut fault = kind(error, phase, limiter, given);
    let frames = backtrace(error);
    if !frames.is_empty() {
        fault.details = serde_json::json!({ "backtrace": frames });
    }
    fault
}

/// The fault of an attempt whose time is over.
pub(crate) fn timeout(given: &Given) -> Fault {
    let (step, timeout) = (given.step, given.timeout);
    Fault::retryable(
        "timeout",
        format!(
            "step \"{step}\" did not end within {timeout:?}: if it needs longer, raise `timeout` of the step"
        ),
    )
}

fn kind(error: &wasmtime::Error, phase: Phase, limiter: &Limiter, given: &Given) -> Fault {
    let step = given.step;
    match error.downcast_ref::<Stop>() {
        Some(Stop::Deadline) => return timeout(given),
        Some(Stop::HostCalls) => {
            return Fault::permanent(
                "call-limit",
                format!(
                    "the plugin of step \"{step}\" made more than {} host calls in one attempt: it loops, or must send its commands as pipelines",
                    limits::HOST_CALLS_MAX
                ),
            );
        }
        Some(Stop::Sleep { asked_ms }) => {
            return Fault::permanent(
                "sleep-limit",
                format!(
                    "the plugin of step \"{step}\" wanted to sleep {asked_ms} ms, more than {} ms: use a `wait` step, which survives a crash",
                    limits::SLEEP_MS_MAX
                ),
            );
        }
        Some(Stop::TapeLimit) => {
            return Fault::permanent(
                "tape-limit",
                format!(
                    "the plugin of step \"{step}\" heard more than {TAPE_BYTES_MAX} bytes before a change, more than is kept to go on after a crash; the change was not sent: let a step of its own, granted reads only, do the long reading and give what it found, or split the step"
                ),
            );
        }
        Some(Stop::Diverged(divergence)) => {
            return Fault::permanent("diverged", divergence.to_string());
        }
        None => {}
    }
    if let Some(asked) = limiter.refused_bytes {
        return Fault::permanent(
            "memory-limit",
            format!(
                "the plugin of step \"{step}\" wanted {} MiB of memory, more than the {} MiB it may have: raise `memory_mib` under [limits] in baton.toml, or give it less input",
                asked.div_ceil(1 << 20),
                given.memory_bytes_max >> 20
            ),
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::permanent(
            "fuel-limit",
            format!(
                "the plugin of step \"{step}\" used up its {} instructions: it loops, or `fuel` under [limits] in baton.toml must be raised",
                given.fuel_max
            ),
        ),
        Some(Trap::StackOverflow) => Fault::permanent(
            "trap",
            format!(
                "the plugin of step \"{step}\" overflowed its stack of {} KiB: endless recursion is a fault of the plugin",
                limits::STACK_BYTES_MAX >> 10
            ),
        ),
        Some(trap) => Fault::permanent(
            "trap",
            format!(
                "the plugin of step \"{step}\" trapped: {trap}: a fault of the plugin; details.backtrace says where"
            ),
        ),
        None if phase == Phase::Run => Fault::permanent(
            "bad-output",
            format!(
                "the plugin of step \"{step}\" broke the contract: {}: a fault of the plugin",
                root(error)
            ),
        ),
        None => Fault::retryable(
            "internal",
            format!("the plugin of step \"{step}\" could not be started: {}", root(error)),
        ),
    }
}

fn root(error: &wasmtime::Error) -> String {
    crate::text::tame(&error.root_cause().to_string(), limits::FAULT_MESSAGE_BYTES_MAX)
}

/// Names of the guest's functions, innermost first.
fn backtrace(error: &wasmtime::Error) -> Vec<Json> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    trace
        .frames()
        .iter()
        .map(|frame| match frame.func_name() {
            Some(name) => {
                let name = format!("{:#}", rustc_demangle::demangle(name));
                Json::String(crate::text::tame(&name, limits::PROGRESS_BYTES_MAX))
            }
            None => Json::String(format!("function {}", frame.func_index())),
        })
        .collect()
}
