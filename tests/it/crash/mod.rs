//! Kills the engine where it hurts, and holds it to its promises. A sample: all of it is
//! `cargo xtask crashpoints`.

mod boundaries;
mod failover;
mod kept;
mod many;
mod unarmed;

use std::path::Path;

use baton_lab::crash::Bench;

use crate::cli::binary;

/// Plays at a time: they mostly wait for the disk.
const JOBS: usize = 3;

fn bench() -> Bench {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Bench::start(root, &binary()).unwrap()
}
