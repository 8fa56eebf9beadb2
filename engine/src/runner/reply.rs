//! Who waits for a batch, and what they are told once it is durable or refused.

use baton_core::run::event::Call;
use baton_host::WallError;
use tokio::sync::oneshot;

use super::{Admission, BeginError, CommandError, Doing, Input, Runner, Told};
use crate::journal::AppendError;

/// Somebody who waits, and what they are told if the batch is stored.
pub(super) enum Reply {
    Begin(oneshot::Sender<Result<Admission, BeginError>>, Result<Admission, BeginError>),
    Command(oneshot::Sender<Result<(), CommandError>>, Result<(), CommandError>),
    Intend(Intent, Result<(), WallError>),
}

/// Changing calls that wait for their intents to be on disk.
pub(super) struct Intent {
    pub(super) of: Doing,
    pub(super) told: Told,
    pub(super) calls: Vec<Call>,
    pub(super) reply: oneshot::Sender<Result<(), WallError>>,
}

impl Reply {
    /// What is tried again instead of being answered. A changing call waits: its step has
    /// done nothing wrong.
    pub(super) fn again(self, error: &AppendError) -> Result<Input, Self> {
        match self {
            Self::Intend(Intent { of, told, calls, reply }, Ok(())) if error.passes() => {
                Ok(Input::Intend { of, told, calls, reply })
            }
            Self::Begin(..) | Self::Command(..) | Self::Intend(..) => Err(self),
        }
    }
}

impl Runner {
    /// Tells them; `error` is why the batch was not stored.
    pub(super) fn reply(&mut self, reply: Reply, error: Option<&AppendError>) {
        let unavailable = error.map(ToString::to_string);
        match reply {
            Reply::Begin(to, answer) => {
                let answer = match (unavailable, answer) {
                    // True whether the batch was stored or not; a retry would not help.
                    (
                        _,
                        answer @ Err(BeginError::UnknownWorkflow(_) | BeginError::BadParams(_)),
                    )
                    | (None, answer) => answer,
                    (Some(why), _) => Err(BeginError::Unavailable(why)),
                };
                *self.stats.admissions.entry(super::admit::word(&answer)).or_default() += 1;
                let _ = to.send(answer);
            }
            Reply::Command(to, answer) => {
                let _ =
                    to.send(unavailable.map_or(answer, |why| Err(CommandError::Unavailable(why))));
            }
            Reply::Intend(Intent { reply, .. }, answer) => {
                let _ = reply.send(unavailable.map_or(answer, |why| Err(WallError(why))));
            }
        }
    }
}
