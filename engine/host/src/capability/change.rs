//! A call of one number that may change something: what `http` and `exec` share. Its
//! intent is on disk before it is made; in a replay, what was on its way is made again
//! only if again is the same.

use baton_core::run::event::{Call, CallClass};

use crate::guest::Caller;
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::tape::Divergence;
use crate::text::tame;
use crate::trap::Stop;

/// A call that may be made.
pub(super) struct Change {
    /// None: it only reads.
    call: Option<Call>,
    /// Its intent is on disk since before the crash.
    again: bool,
}

impl Change {
    /// Lets the call `index` be made, unless it was on its way when the attempt was `cut`
    /// off and must not go twice. `request` is what people see; no secret is in it.
    ///
    /// # Errors
    /// The outer one ends the guest: another call was on its way than is asked for now, or
    /// its tape has no room. The inner one is for the guest: in doubt.
    pub(super) fn admit(
        caller: &Caller,
        cut: &[Call],
        index: u32,
        class: CallClass,
        request: &str,
    ) -> wasmtime::Result<Result<Self, Error>> {
        let request = tame(request, limits::REQUEST_TEXT_BYTES_MAX);
        if let Some(was) = cut.first() {
            if (was.index, was.class, &was.request) != (index, class, &request) {
                let now = format!("the plugin asked for {request}");
                return Err(other(was, &now));
            }
            if class > CallClass::Idempotent {
                return Ok(Err(in_doubt(was)));
            }
        }
        if class == CallClass::Read {
            return Ok(Ok(Self { call: None, again: false }));
        }
        caller.tape.may_change()?;
        let call = Call { index, class, request, outcome: None };
        Ok(Ok(Self { call: Some(call), again: !cut.is_empty() }))
    }

    /// Whether it only reads.
    pub(super) fn is_read(&self) -> bool {
        self.call.is_none()
    }

    /// Puts the intent on disk.
    ///
    /// # Errors
    /// If it could not be stored: the call must not be made.
    pub(super) async fn intend(&self, caller: &Caller) -> Result<(), Error> {
        let Some(call) = self.call.as_ref().filter(|_| !self.again) else { return Ok(()) };
        let stored = caller.tape.intend(&*caller.wall, std::slice::from_ref(call)).await;
        stored.map_err(|error| Error {
            kind: ErrorKind::Internal,
            message: format!("nothing was sent: the intent could not be stored ({error})"),
        })
    }

    /// Says what came of it.
    pub(super) fn came_of(&self, caller: &Caller, outcome: &str) {
        if let Some(call) = &self.call {
            let outcome = Some(tame(outcome, limits::OUTCOME_TEXT_BYTES_MAX));
            caller.wall.outcome(vec![Call { outcome, ..call.clone() }]);
        }
    }

    /// Adds to an error that nothing is known of the change.
    pub(super) fn doubted(&self, error: Error) -> Error {
        match &self.call {
            None => error,
            Some(call) => Error {
                message: format!("{}; {} is in doubt", error.message, call.request),
                ..error
            },
        }
    }
}

/// A call that was let through before the crash is refused now: "nothing was sent" would
/// be a lie.
pub(super) fn refused(cut: &[Call], error: Error) -> wasmtime::Result<Error> {
    match cut.first() {
        None => Ok(error),
        Some(was) => Err(other(was, &format!("it is refused: {}", error.message))),
    }
}

fn other(was: &Call, now: &str) -> wasmtime::Error {
    Stop::from(Divergence::in_flight(was.index, &was.request, now)).into()
}

fn in_doubt(was: &Call) -> Error {
    let known = match &was.outcome {
        Some(outcome) => format!("its outcome was: {outcome}"),
        None => "no outcome is known".to_owned(),
    };
    Error {
        kind: ErrorKind::InDoubt,
        message: format!(
            "the engine was cut off while {} was on its way ({known}): it may have been done, and is not done again",
            was.request
        ),
    }
}
