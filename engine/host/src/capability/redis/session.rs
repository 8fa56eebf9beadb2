//! What a guest said to a connection that the next connection would not know.
//!
//! A write after `SELECT 1` on a connection that was opened anew would go to another
//! database; an EXEC without its WATCH would not be conditional any more. So the first
//! call after such a connection is gone (closed while idle, or by the crash that a
//! replay comes after) fails, and the guest says it again.

/// What was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    selected: bool,
    watches: bool,
}

impl Session {
    /// Takes a command into account.
    pub(super) fn heed(&mut self, name: &str) {
        match name {
            "SELECT" => self.selected = true,
            "WATCH" => self.watches = true,
            "UNWATCH" | "EXEC" | "DISCARD" => self.watches = false,
            _ => {}
        }
    }

    /// Forgets all, and says what a new connection would have to be told again.
    pub(super) fn lose(&mut self) -> Option<&'static str> {
        match std::mem::take(self) {
            Self { watches: true, .. } => Some("WATCH"),
            Self { selected: true, .. } => Some("SELECT"),
            Self { selected: false, watches: false } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_still_holds_is_lost() {
        let lost = |names: &[&str]| {
            let mut session = Session::default();
            for name in names {
                session.heed(name);
            }
            session.lose()
        };
        assert_eq!(lost(&["GET", "SET"]), None);
        assert_eq!(lost(&["SELECT", "SET"]), Some("SELECT"));
        assert_eq!(lost(&["WATCH", "GET"]), Some("WATCH"));
        assert_eq!(lost(&["WATCH", "MULTI", "EXEC"]), None);
        assert_eq!(lost(&["SELECT", "WATCH", "UNWATCH"]), Some("SELECT"));
    }
}
