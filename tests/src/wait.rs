//! Waiting for a condition, with a bound. Nothing here sleeps for its own sake.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at the condition.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Looks at `condition` until it gives `Some`, and returns that.
///
/// # Errors
/// After `bound`, naming `what` was waited for.
pub fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if begun.elapsed() > bound {
            bail!("waited {} ms in vain until {what}", bound.as_millis());
        }
        thread::sleep(POLL_EVERY);
    }
}

/// Looks at `condition` until it is true.
///
/// # Errors
/// After `bound`, naming `what` was waited for.
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, bound, || condition().then_some(()))
}
