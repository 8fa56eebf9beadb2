//! `clock.now`, `clock.sleep`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::View;
use crate::guest::wit::clock::Host;
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::trap::Stop;

impl Host for View<'_> {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        let live = match self.caller.ask(|| Asked::of("clock.now").word(""))? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        // A clock before 1970 is a broken machine; 0 is as good as any answer.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(self.caller.tell(live, u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn sleep(&mut self, milliseconds: u32) -> wasmtime::Result<()> {
        let asked = || {
            Asked::of("clock.sleep").number(milliseconds.into()).word(&format!("{milliseconds} ms"))
        };
        // Time that has passed does not pass again.
        let Turn::Live(live) = self.caller.ask::<()>(asked)? else { return Ok(()) };
        if milliseconds > limits::SLEEP_MS_MAX {
            return Err(Stop::Sleep { asked_ms: milliseconds }.into());
        }
        tokio::time::sleep(Duration::from_millis(u64::from(milliseconds))).await;
        self.caller.tell(live, ());
        Ok(())
    }
}
