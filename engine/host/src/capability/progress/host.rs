//! `progress.report`.

use super::View;
use crate::guest::wit::progress::Host;
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::text::tame;

impl Host for View<'_> {
    async fn report(
        &mut self,
        done: u64,
        total: Option<u64>,
        message: String,
    ) -> wasmtime::Result<()> {
        let asked =
            || Asked::of("progress.report").number(done).maybe(total).text(&message).word(&message);
        // What people have seen they need not see again.
        let Turn::Live(live) = self.caller.ask::<()>(asked)? else { return Ok(()) };
        self.caller.tell(live, ());
        let message = tame(&message, limits::PROGRESS_BYTES_MAX);
        self.caller.wall.progress(done, total, message);
        Ok(())
    }
}
