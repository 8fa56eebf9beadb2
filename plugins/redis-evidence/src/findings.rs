//! What is a cause, or the trace of one. Pure: figures in, findings out, each with a
//! weight (less weighs more).

use crate::ask::{Node, mebibytes};
use crate::machine::Machine;
use crate::{Finding, Silent, tame, utc};

/// Something held the server up for longer, ms: a tenth of Sentinel's usual patience
/// makes itself felt, and clients time out at it.
const LATENCY_MS: i64 = 250;
/// The same of one command, microseconds.
const SLOW_US: i64 = 250_000;
/// A fork stops the server for as long, microseconds.
const FORK_US: i64 = 250_000;
/// A process younger than this was started by the incident or caused it, s.
const YOUNG_S: i64 = 600;
/// An output buffer, bytes: what Redis allows a replica before it cuts it off is 64 MiB
/// for a minute (`client-output-buffer-limit replica`).
const BUFFER_BYTES: u64 = 16 * 1024 * 1024;
/// Of a disk or of a machine's memory, in hundredths.
const FULL_PERCENT: i64 = 95;

/// Errors that clients were given, and what they mean.
const ERRORS: [(&str, u8, &str, &str); 7] = [
    (
        "MISCONF",
        1,
        "save-refused-writes",
        "a save failed, and Redis refuses writes until one works: disk full, or no memory for the fork",
    ),
    (
        "OOM",
        1,
        "out-of-memory",
        "maxmemory was reached and nothing could be evicted: writes were refused",
    ),
    (
        "BUSY",
        1,
        "script-held-it",
        "a script ran for longer than busy-reply-threshold: everybody else was refused meanwhile",
    ),
    (
        "NOREPLICAS",
        2,
        "writes-fenced",
        "too few replicas were near: min-replicas-to-write refused writes, by policy or by a fence",
    ),
    (
        "LOADING",
        4,
        "was-loading",
        "it was asked while it read its data from disk: it had been restarted or took a full copy",
    ),
    (
        "READONLY",
        4,
        "written-as-replica",
        "a client wrote to a replica: it did not notice that the master had changed",
    ),
    (
        "WRONGPASS",
        4,
        "wrong-password",
        "somebody logs in with a wrong password: a client, a replica or a Sentinel after a rotation",
    ),
];

/// What the log says of a cause: a part of the line, weight, code, meaning. As Redis 7.0
/// writes them (rdb.c, aof.c, networking.c, server.c, debug.c) and the kernel after it.
const LINES: [(&str, u8, &str, &str); 13] = [
    (
        "crashed by signal",
        0,
        "crashed",
        "the process crashed: the stack in its log is what Redis's authors want to see",
    ),
    (
        "Out Of Memory allocating",
        0,
        "crashed-out-of-memory",
        "the machine had no memory left for it",
    ),
    ("ASSERTION FAILED", 0, "crashed", "the process found itself in a state that must not be"),
    (
        "No space left on device",
        0,
        "disk-full",
        "nothing could be written: saves fail, then writes are refused",
    ),
    (
        "Can't save in background: fork",
        0,
        "fork-failed",
        "no memory for the fork: vm.overcommit_memory is 0, or too little is free",
    ),
    (
        "Can't rewrite append only file in background: fork",
        0,
        "fork-failed",
        "no memory for the fork: vm.overcommit_memory is 0, or too little is free",
    ),
    (
        "Background saving error",
        1,
        "save-failed",
        "the snapshot was not written: disk full, or the child was killed",
    ),
    (
        "Background saving terminated by signal",
        1,
        "save-killed",
        "the child that saves was killed, as by the kernel for its memory",
    ),
    (
        "Asynchronous AOF fsync is taking too long",
        2,
        "slow-disk",
        "the disk is too slow for the append-only file: writes wait for it",
    ),
    (
        "overcoming of output buffer limits",
        2,
        "buffer-overrun",
        "a client or replica read too slowly and was cut off: a replica then starts over",
    ),
    (
        "Received SIGTERM",
        1,
        "was-told-to-stop",
        "somebody or a supervisor stopped it: it did not fail",
    ),
    ("User requested shutdown", 1, "was-told-to-stop", "somebody sent SHUTDOWN: it did not fail"),
    (
        "MASTER aborted replication",
        3,
        "copy-refused",
        "a full copy failed at the master: its disk, its memory or the login",
    ),
];

pub(crate) type Weighed = (u8, Finding);

fn weighed(weight: u8, code: &str, subject: &str, what: String, why: &str) -> Weighed {
    let (code, subject, why) = (code.to_owned(), subject.to_owned(), why.to_owned());
    (weight, Finding { code, subject, what, why })
}

pub(crate) fn silent(it: &Silent) -> Weighed {
    let why = "a dead or hanging process tells nothing itself";
    weighed(3, "no-answer", &it.address, format!("did not answer: {}", tame(&it.error, 200)), why)
}

pub(crate) fn of_node(node: &Node) -> Vec<Weighed> {
    let at = node.address.as_str();
    if let Some(complaint) = &node.complaint {
        let code = if complaint.starts_with("BUSY") { "script-holds-it" } else { "only-complains" };
        let why = "it lives and answers nothing else: a script, or its data being read";
        return vec![weighed(0, code, at, complaint.clone(), why)];
    }
    let mut found = Vec::new();
    saves(node, &mut found);
    memory(node, &mut found);
    held_up(node, &mut found);
    clients(node, &mut found);
    for (error, count) in node.errors() {
        if let Some((_, weight, code, why)) = ERRORS.iter().find(|it| it.0 == error) {
            found.push(weighed(
                *weight,
                code,
                at,
                format!("{error} was answered {count} times"),
                why,
            ));
        }
    }
    let up_s = node.figure("uptime_in_seconds");
    if node.info.get("uptime_in_seconds").is_some() && up_s < YOUNG_S {
        let why = "it was restarted: by a supervisor after a crash, or by people";
        found.push(weighed(3, "restarted", at, format!("its process is {up_s} s old"), why));
    }
    let full = node.figure("sync_full");
    if node.info.get("role") == Some("master") && full > 0 {
        let refused = node.figure("sync_partial_err");
        let what = format!("{full} full copies were taken of it, {refused} partial ones refused");
        let why = "each is a fork and minutes without that replica: at its start, or because the backlog was too small";
        found.push(weighed(5, "full-copies", at, what, why));
    }
    found
}

fn saves(node: &Node, found: &mut Vec<Weighed>) {
    let failed = |field: &str| node.info.get(field) == Some("err");
    for (field, what) in [
        ("rdb_last_bgsave_status", "the last snapshot failed"),
        ("aof_last_bgrewrite_status", "the last rewrite of the append-only file failed"),
        ("aof_last_write_status", "the last write to the append-only file failed"),
    ] {
        if failed(field) {
            let why = "the disk was full, or there was no memory for the fork; then writes are refused with MISCONF";
            found.push(weighed(0, "save-failed", &node.address, what.into(), why));
        }
    }
    let delayed = node.figure("aof_delayed_fsync");
    if delayed > 0 {
        let what = format!("aof_delayed_fsync is {delayed}");
        let why = "the disk was too slow so often that writes waited for the append-only file";
        found.push(weighed(2, "slow-disk", &node.address, what, why));
    }
    let fork_us = node.figure("latest_fork_usec");
    if fork_us > FORK_US {
        let what = format!("its latest fork took {} ms", fork_us / 1000);
        let why = "a fork stops the server for as long: Sentinel and clients see it hang";
        found.push(weighed(2, "slow-fork", &node.address, what, why));
    }
}

fn memory(node: &Node, found: &mut Vec<Weighed>) {
    let (used, most) = (node.figure("used_memory"), node.figure("maxmemory"));
    if most > 0 && used >= most {
        let what =
            format!("{:.0} of {:.0} MiB of maxmemory are used", mebibytes(used), mebibytes(most));
        let why = "keys are evicted, or writes refused with OOM";
        found.push(weighed(1, "memory-full", &node.address, what, why));
    }
    let evicted = node.figure("evicted_keys");
    if evicted > 0 {
        let what = format!("{evicted} keys were evicted");
        let why = "memory was full and data was thrown away to go on";
        found.push(weighed(2, "evicted", &node.address, what, why));
    }
    let (resident, machine) = (node.figure("used_memory_rss"), node.figure("total_system_memory"));
    if machine > 0 && resident.saturating_mul(100) / machine >= 90 {
        let what = format!(
            "its process holds {:.0} of {:.0} MiB of the machine",
            mebibytes(resident),
            mebibytes(machine)
        );
        let why = "a fork may fail, and the kernel kills whoever is largest";
        found.push(weighed(1, "machine-full", &node.address, what, why));
    }
    if resident > 0
        && used > 64 * 1024 * 1024
        && resident.saturating_mul(10) < used.saturating_mul(9)
    {
        let what =
            format!("{:.0} of {:.0} MiB are in memory", mebibytes(resident), mebibytes(used));
        let why = "the rest is swapped out: a command that touches it waits for the disk";
        found.push(weighed(1, "swapped-out", &node.address, what, why));
    }
}

/// What the server itself was held up by.
fn held_up(node: &Node, found: &mut Vec<Weighed>) {
    for it in node.latency.iter().filter(|it| it.max_ms >= LATENCY_MS) {
        let what = format!(
            "{}: {} ms at most, {} ms at {}",
            it.event,
            it.max_ms,
            it.latest_ms,
            utc(it.at_s)
        );
        found.push(weighed(2, "latency", &node.address, what, meaning(&it.event)));
    }
    for it in node.slow.iter().filter(|it| it.took_us >= SLOW_US).take(3) {
        let (code, why) = if it.is_script() {
            ("slow-script", "a script holds everybody else up while it runs")
        } else {
            ("slow-command", "one command holds everybody else up while it runs")
        };
        let (took, at) = (it.took_us / 1000, utc(it.at_s));
        let what = format!("{} by {} took {took} ms at {at}", it.command, it.who);
        found.push(weighed(2, code, &node.address, what, why));
    }
}

/// Events as Redis 7.0 calls them.
fn meaning(event: &str) -> &'static str {
    match event {
        "fork" => "a fork stops the server for as long: large memory, or transparent huge pages",
        it if it.starts_with("aof-") || it.starts_with("rdb-") => {
            "the disk was slow, and the server waited for it"
        }
        it if it.starts_with("expire")
            || it.starts_with("eviction")
            || it == "active-defrag-cycle" =>
        {
            "tidying up memory held the server up"
        }
        "command" | "command-unblocking" => "a slow command held the server up: see the slow log",
        "fast-command" => {
            "even fast commands were slow: the machine was busy, swapping, or a neighbour's"
        }
        _ => "the server was held up",
    }
}

fn clients(node: &Node, found: &mut Vec<Weighed>) {
    let refused = node.figure("rejected_connections");
    if refused > 0 {
        let what = format!(
            "{refused} connections were refused, at {} of maxclients",
            node.figure("maxclients")
        );
        let why = "clients that reconnect all at once, or leak connections, shut others out";
        found.push(weighed(2, "too-many-clients", &node.address, what, why));
    }
    let buffers = node.clients.iter().flat_map(|it| &it.buffers);
    for it in buffers.filter(|it| it.bytes >= BUFFER_BYTES) {
        let whom = if it.name.is_empty() { &it.address } else { &it.name };
        let what = format!("{} MiB wait to be read by {whom}", it.bytes / (1024 * 1024));
        let why =
            "somebody reads too slowly: the buffer takes memory, and at its limit he is cut off";
        found.push(weighed(2, "large-buffer", &node.address, what, why));
    }
}

pub(crate) fn of_machine(machine: &Machine) -> Vec<Weighed> {
    let at = machine.address.as_str();
    let mut found: Vec<Weighed> = Vec::new();
    for (part, weight, code, why) in LINES {
        // Of two lines that say the same the first one here says more.
        if found.iter().any(|(_, it)| it.code == code) {
            continue;
        }
        // The last one: what came before it is in the log.
        if let Some(line) = machine.text.lines().rfind(|it| it.contains(part)) {
            found.push(weighed(
                weight,
                code,
                at,
                format!("its log: {}", tame(line.trim(), 200)),
                why,
            ));
        }
    }
    for line in machine.state.lines() {
        let percent =
            line.split_whitespace().find_map(|it| it.strip_suffix('%')?.parse::<i64>().ok());
        if percent.is_some_and(|it| it >= FULL_PERCENT) {
            let why = "what cannot be written fails: saves, the append-only file, CONFIG REWRITE";
            found.push(weighed(0, "disk-full", at, tame(line, 200), why));
        }
    }
    let kib = |name: &str| {
        let line = machine.state.lines().find_map(|it| it.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse::<i64>().ok()
    };
    if let (Some(all), Some(free)) = (kib("MemTotal"), kib("MemAvailable"))
        && all > 0
        && free.saturating_mul(100) / all < 100 - FULL_PERCENT
    {
        let what = format!("its machine has {} of {} MiB available", free / 1024, all / 1024);
        let why = "a fork may fail, and the kernel kills whoever is largest";
        found.push(weighed(1, "machine-full", at, what, why));
    }
    found
}
