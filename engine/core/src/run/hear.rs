//! What becomes known of an attempt while it runs: its changing calls, and its tape.

use std::sync::Arc;

use super::apply::{Illegal, illegal};
use super::event::{Call, Event, Tape, TapeHead};
use super::place::{CallRecord, Heard, Item, State};
use super::state::Run;
use crate::Millis;
use crate::id::AttemptId;
use crate::limits;

impl Run {
    pub(super) fn call(
        &mut self,
        event: &Event,
        at: Millis,
        attempt: AttemptId,
        call: &Call,
    ) -> Result<(), Illegal> {
        let item = self.at_work(event, at, attempt)?;
        let same =
            |record: &CallRecord| record.attempt == attempt && record.call.index == call.index;
        match item.calls.iter().position(same) {
            Some(at) if item.calls[at].call.outcome.is_none() && call.outcome.is_some() => {
                item.calls[at].call.outcome.clone_from(&call.outcome);
            }
            Some(_) => return Err(illegal(event, "the call is known already")),
            None if item.calls.len() >= limits::CALLS_MAX => {
                return Err(illegal(event, "the place has made more calls than are kept"));
            }
            None => item.calls.push(CallRecord { attempt, call: call.clone() }),
        }
        Ok(())
    }

    pub(super) fn taped(
        &mut self,
        event: &Event,
        at: Millis,
        attempt: AttemptId,
        tape: &Tape,
    ) -> Result<(), Illegal> {
        let item = self.at_work(event, at, attempt)?;
        match (&mut item.tapes[attempt.side as usize], &tape.head) {
            (known @ None, Some(head)) => {
                let TapeHead { version, input } = head;
                let (version, input) = (*version, Arc::clone(input));
                *known = Some(Heard { version, input, entries: tape.entries.clone() });
                Ok(())
            }
            (Some(heard), None) => {
                heard.entries.extend(tape.entries.iter().cloned());
                Ok(())
            }
            (None, None) => Err(illegal(event, "the tape has no beginning")),
            (Some(_), Some(_)) => Err(illegal(event, "the tape has begun already")),
        }
    }

    /// The place of an attempt that runs; something is known of it at `at`.
    fn at_work(
        &mut self,
        event: &Event,
        at: Millis,
        attempt: AttemptId,
    ) -> Result<&mut Item, Illegal> {
        let Some(item) = self.item_mut(attempt.place) else {
            return Err(illegal(event, "there is no such place"));
        };
        if !matches!(*item.lane(attempt.side), State::Running { number, .. } if number == attempt.number)
        {
            return Err(illegal(event, "the attempt does not run"));
        }
        item.heard_at[attempt.side as usize] = at;
        Ok(item)
    }
}
