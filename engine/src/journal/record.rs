//! Records as bytes: the on-disk types of version 1, which are nobody else's.
//!
//! JSON, so that a person can read a journal with common tools. Values of guests stand
//! in it as text in a string: a value may be nested as deep as JSON readers allow, and
//! must not fail to be read because a record is around it.

mod v1;

use baton_core::run::event::Event;

use super::Closed;

/// A record's body.
///
/// # Errors
/// It could not be read back: a sentence.
pub(super) fn encode(event: &Event) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&v1::Event::of(event)?).map_err(|error| error.to_string())
}

/// The event in a record's body.
///
/// # Errors
/// It is of a kind or shape that this Baton does not know: which.
pub(super) fn decode(body: &[u8]) -> Result<Event, String> {
    serde_json::from_slice::<v1::Event>(body).map_err(|error| error.to_string())?.into_core()
}

/// The body of a closed run's summary.
pub(super) fn encode_closed(closed: &Closed) -> Vec<u8> {
    serde_json::to_vec(&v1::Closed::of(closed)).expect("texts and numbers are valid JSON")
}

/// The summary in a body.
///
/// # Errors
/// As for [`decode`].
pub(super) fn decode_closed(body: &[u8]) -> Result<Closed, String> {
    serde_json::from_slice::<v1::Closed>(body).map_err(|error| error.to_string())?.into_core()
}
