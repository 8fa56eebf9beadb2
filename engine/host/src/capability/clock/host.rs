//! `clock.now`, `clock.sleep`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::View;
use crate::guest::wit::clock::Host;
use crate::limits;
use crate::trap::Stop;

impl Host for View<'_> {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        self.caller.take(1)?;
        // A clock before 1970 is a broken machine; 0 is as good as any answer.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep(&mut self, milliseconds: u32) -> wasmtime::Result<()> {
        self.caller.take(1)?;
        if milliseconds > limits::SLEEP_MS_MAX {
            return Err(Stop::Sleep { asked_ms: milliseconds }.into());
        }
        tokio::time::sleep(Duration::from_millis(u64::from(milliseconds))).await;
        Ok(())
    }
}
