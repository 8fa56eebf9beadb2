//! Ctrl-C: everything that was started is ended, and its folder removed.

use std::path::PathBuf;
use std::process;
use std::thread;

use anyhow::{Context, Result};
use baton_lab::keeper;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program ended by SIGINT, as shells give it.
const INTERRUPTED: i32 = 130;

/// From now on SIGINT and SIGTERM end all children, remove `folder` and exit.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn guard(folder: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        println!("\nstopped by hand: ending everything that was started");
        keeper::end_all();
        // What a dying server still writes is in a folder for temporary files.
        let _left = std::fs::remove_dir_all(&folder);
        process::exit(INTERRUPTED);
    });
    Ok(())
}
