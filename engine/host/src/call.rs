//! One attempt: a fresh store, one call, and whatever comes of it as a value.
//!
//! **Invariant:** dropping the future of [`run`] ends the attempt: the store, its
//! connections and its sleeps go with it, and nothing is sent afterwards.

use std::sync::Arc;
use std::time::Instant;

use baton_core::Json;
use baton_core::run::fault::Fault;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::capability::{log, redis};
use crate::guest::{Caller, Data, Limiter, wit};
use crate::host::{Attempt, Context, End, Ended, Inner, Wall};
use crate::limits;
use crate::tape::Tape;
use crate::text::tame;
use crate::trap::{self, Given, Phase, Stop};

/// What a guest returned.
type Returned = Result<String, wit::types::Fault>;

/// Runs `attempt` to its end, on connections of its own or on `kept` ones.
pub(crate) async fn run(
    host: &Inner,
    attempt: Attempt,
    tape: Tape,
    wall: Arc<dyn Wall>,
    kept: Option<Arc<redis::Kept>>,
) -> Ended {
    live(host, attempt, tape, wall, kept)
        .await
        .unwrap_or_else(|fault| Ended { end: End::Fault(fault), heard: Vec::new() })
}

/// # Errors
/// If the guest could not begin.
async fn live(
    host: &Inner,
    attempt: Attempt,
    tape: Tape,
    wall: Arc<dyn Wall>,
    kept: Option<Arc<redis::Kept>>,
) -> Result<Ended, Fault> {
    if !Engine::same(attempt.plugin.exports().engine(), &host.engine) {
        return Err(Fault::permanent("internal", "the plugin was loaded by another host"));
    }
    let _place = host
        .places
        .acquire()
        .await
        .map_err(|_| Fault::retryable("internal", "the host is shutting down"))?;
    let context = Arc::new(attempt.context);
    let given = Given {
        step: &context.step,
        timeout: attempt.timeout,
        fuel_max: host.fuel_max,
        memory_bytes_max: host.memory_bytes_max,
    };
    let deadline = Instant::now()
        .checked_add(attempt.timeout)
        .ok_or_else(|| Fault::permanent("internal", "the step's timeout is beyond all time"))?;
    let data = Data {
        limiter: Limiter::new(host.memory_bytes_max),
        caller: Caller::new(Arc::clone(&context), attempt.grants, wall, tape),
        log: log::State::default(),
        redis: redis::State::new(Arc::clone(&host.clusters), kept),
        outside: Arc::clone(&host.outside),
    };
    let mut store = Store::new(&host.engine, data);
    store.limiter(|data| &mut data.limiter);
    bound(&mut store, host.fuel_max, deadline, yields)
        .map_err(|error| Fault::retryable("internal", error.to_string()))?;

    let input = attempt.input.to_string();
    let mut phase = Phase::Instantiate;
    let guest = async {
        let exports = attempt.plugin.exports().instantiate_async(&mut store).await?;
        phase = Phase::Run;
        exports.call_run(&mut store, &asks(&context), &input).await
    };
    let returned = tokio::time::timeout_at(deadline.into(), guest).await;
    let data = store.data_mut();
    let end = match returned {
        Ok(Ok(returned)) => match data.caller.end() {
            Ok(()) => {
                data.redis.give_back();
                finish(&context.step, returned).map_or_else(End::Fault, End::Output)
            }
            Err(divergence) => End::Diverged(divergence),
        },
        Ok(Err(error)) => match error.downcast_ref() {
            Some(Stop::Diverged(how)) => End::Diverged((**how).clone()),
            Some(_) | None => End::Fault(trap::fault(&error, phase, &data.limiter, &given)),
        },
        Err(_elapsed) => End::Fault(trap::timeout(&given)),
    };
    Ok(Ended { end, heard: data.caller.tape.rest() })
}

/// Lets others run after each tick: by tokio's own yield, so that its timers are
/// served meanwhile.
fn yields() -> UpdateDeadline {
    UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
}

/// Fuel and a deadline for a store, and what happens at a tick before it.
pub(crate) fn bound<T: Send + 'static>(
    store: &mut Store<T>,
    fuel_max: u64,
    deadline: Instant,
    tick: fn() -> UpdateDeadline,
) -> wasmtime::Result<()> {
    store.set_fuel(fuel_max)?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() < deadline { Ok(tick()) } else { Err(Stop::Deadline.into()) }
    });
    Ok(())
}

fn asks(context: &Context) -> wit::types::Context {
    wit::types::Context {
        run_id: context.run.to_string(),
        workflow: context.workflow.clone(),
        step: context.step.clone(),
        item: context.item,
        attempt: context.attempt,
        done: context
            .done
            .iter()
            .map(|done| wit::types::Done {
                attempt: done.attempt,
                index: done.call.index,
                request: done.call.request.clone(),
                outcome: done.call.outcome.clone(),
            })
            .collect(),
    }
}

fn finish(step: &str, returned: Returned) -> Result<Json, Fault> {
    let text = returned.map_err(|fault| theirs(step, &fault))?;
    if text.len() > limits::OUTPUT_BYTES_MAX {
        return Err(Fault::permanent(
            "output-limit",
            format!(
                "the plugin of step \"{step}\" gave {} bytes of output, more than {}: outputs are journaled; let it summarise, or split the step",
                text.len(),
                limits::OUTPUT_BYTES_MAX
            ),
        ));
    }
    match serde_json::from_str(&text) {
        Ok(output @ Json::Object(_)) => Ok(output),
        Ok(other) => Err(bad_output(step, &format!("it is {}", kind_of(&other)))),
        Err(error) => Err(bad_output(step, &format!("it is no JSON ({error})"))),
    }
}

fn bad_output(step: &str, what: &str) -> Fault {
    Fault::permanent(
        "bad-output",
        format!(
            "the output of step \"{step}\" must be a JSON object, but {what}: a fault of the plugin"
        ),
    )
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A guest's own fault, bounded: it goes into the journal and onto terminals.
fn theirs(step: &str, fault: &wit::types::Fault) -> Fault {
    let is_code = !fault.code.is_empty()
        && fault.code.len() <= limits::FAULT_CODE_BYTES_MAX
        && fault.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let details = if fault.details.len() > limits::FAULT_DETAILS_BYTES_MAX {
        Json::String(format!(
            "left out: {} bytes, more than {}",
            fault.details.len(),
            limits::FAULT_DETAILS_BYTES_MAX
        ))
    } else {
        serde_json::from_str(&fault.details)
            .unwrap_or_else(|_| Json::String(tame(&fault.details, limits::FAULT_MESSAGE_BYTES_MAX)))
    };
    let message = lines(&fault.message);
    if !is_code {
        return bad_output(
            step,
            &format!(
                "it gave a fault with the code {:?}, which is not kebab-case: {message}",
                tame(&fault.code, limits::FAULT_CODE_BYTES_MAX)
            ),
        );
    }
    let make = match fault.kind {
        wit::types::FaultKind::Retryable => Fault::retryable,
        wit::types::FaultKind::Permanent => Fault::permanent,
    };
    Fault { details, ..make(&fault.code, message) }
}

/// Tames each line by itself: a message may have several.
fn lines(message: &str) -> String {
    let tamed: Vec<String> =
        message.lines().map(|line| tame(line, limits::FAULT_MESSAGE_BYTES_MAX)).collect();
    let joined = tamed.join("\n");
    match joined.char_indices().find(|(at, _)| *at >= limits::FAULT_MESSAGE_BYTES_MAX) {
        Some((at, _)) => format!("{}… ({} bytes more)", &joined[..at], joined.len() - at),
        None => joined,
    }
}
