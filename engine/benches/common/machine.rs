//! Where the figures were taken; without that they mean nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// On the disk that the project is on; `/tmp` may be memory.
pub(crate) const PLACE: &str = env!("CARGO_TARGET_TMPDIR");

/// Facts about this machine and this build; what cannot be learnt is null.
pub(crate) fn facts() -> Value {
    let read = |file: &str| fs::read_to_string(file).ok();
    let cpu = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    json!({
        "cores": std::thread::available_parallelism().ok().map(usize::from),
        "cpu": cpu,
        "kernel": read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        "load_1_min": read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse::<f64>().ok()),
        "file_system": file_system(PLACE),
        "profile": std::env::var("BATON_BENCH_PROFILE").ok(),
        "debug_assertions": cfg!(debug_assertions),
    })
}

/// Device, type and options of what is mounted where `path` is.
fn file_system(path: &str) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let holds =
        |line: &&str| line.split(' ').nth(1).is_some_and(|at| path.starts_with(Path::new(at)));
    let deepest =
        mounts.lines().filter(holds).max_by_key(|line| line.split(' ').nth(1).map(str::len))?;
    let words: Vec<&str> = deepest.split(' ').collect();
    Some(format!("{} {} {}", words.first()?, words.get(2)?, words.get(3)?))
}
