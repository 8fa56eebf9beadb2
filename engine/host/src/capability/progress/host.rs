//! `progress.report`.

use super::View;
use crate::guest::wit::progress::Host;
use crate::limits;
use crate::text::tame;

impl Host for View<'_> {
    async fn report(
        &mut self,
        done: u64,
        total: Option<u64>,
        message: String,
    ) -> wasmtime::Result<()> {
        self.caller.take(1)?;
        let message = tame(&message, limits::PROGRESS_BYTES_MAX);
        self.caller.wall.progress(done, total, message);
        Ok(())
    }
}
