//! What an armed process does at each point: counts, and dies where it was told to.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

use super::{Passing, Point};

/// Where to die: one [`Passing`].
const AT: &str = "BATON_CRASH_AT";
/// The file that keeps the counts.
const COUNT: &str = "BATON_CRASH_COUNT";

struct Orders {
    at: Option<Passing>,
    file: Option<File>,
}

static ORDERS: LazyLock<Orders> = LazyLock::new(|| Orders {
    // An order that cannot be followed must not pass for one that was.
    at: std::env::var(AT).ok().map(|text| text.parse().unwrap_or_else(|why| panic!("{AT}: {why}"))),
    file: std::env::var_os(COUNT)
        .map(|path| File::create(&path).unwrap_or_else(|why| panic!("{COUNT}: {why}"))),
});

/// How often each point was passed, in the order of [`Point::ALL`].
static COUNTS: Mutex<[u64; Point::ALL.len()]> = Mutex::new([0; Point::ALL.len()]);

pub(super) fn pass(point: Point) {
    let orders = &*ORDERS;
    // Held until the end: nothing else passes while this one dies, or is written down.
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = &mut counts[point as usize];
    *count += 1;
    let is_last = orders.at == Some(Passing { point, number: *count });
    if let Some(file) = &orders.file {
        let mut text = String::new();
        for (point, count) in Point::ALL.iter().zip(counts.iter()) {
            // Numbers of one width: each text covers the one before it.
            let _infallible = writeln!(text, "{point} {count:>12}");
        }
        file.write_all_at(text.as_bytes(), 0).unwrap_or_else(|why| panic!("{COUNT}: {why}"));
    }
    if is_last {
        die();
    }
}

/// SIGKILL: no destructor, no flush, no goodbye.
fn die() -> ! {
    // The signal is there before the call returns; what comes after it is never seen.
    let _killed = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
