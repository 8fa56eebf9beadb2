//! Connections that outlive an attempt, for a watch that looks many times a second: a
//! connect and a log-in for each member and look cost more than the look.
//!
//! Only what is as good as new is kept: on which nothing was said but plain reads, and
//! nobody waits for an answer. It is still no way to reach a server twice under one
//! call: a kept connection that the server has closed is not used ([`Connection::is_open`]),
//! one that breaks under a call ends that call, and the next call opens another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use baton_core::run::event::CallClass;

use super::Connection;
use super::grant::Command;
use crate::limits;

/// Idle connections, by cluster and address.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<(String, String), Connection>>);

impl Kept {
    pub(super) fn take(&self, place: &(String, String)) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(place)
    }

    /// A connection that has served long goes: what a new one would meet (a password that
    /// was changed, a listener that is gone) is met in time.
    pub(super) fn put(&self, place: (String, String), connection: Connection) {
        if connection.age() < limits::KEPT_AGE_MAX {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, connection);
        }
    }
}

/// Whether a connection is the same after a command as before it. Some reads are about
/// the connection itself: what stands between MULTI and EXEC, what WATCH holds.
pub(super) fn leaves_no_trace(command: &Command) -> bool {
    let own = ["DISCARD", "EXEC", "MULTI", "UNWATCH", "WATCH"];
    command.class == CallClass::Read && !own.contains(&command.name.as_str())
}
