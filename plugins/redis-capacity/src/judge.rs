//! Figures against limits. Pure; whole numbers only.

use crate::{Check, Limits, Node, Verdict};

/// Below this, fragmentation is the allocator's own overhead, bytes.
const SMALL_BYTES: i64 = 64 * 1024 * 1024;
/// A rate below this is noise: a client's buffer coming or going between two looks, bytes.
const NOISE_BYTES: i64 = 256 * 1024;

pub(crate) fn checks(node: &Node, limits: &Limits) -> Vec<Check> {
    let all = [memory, growth, peak, fragmentation, evictions, clients, backlog, disk];
    all.iter().filter_map(|check| check(node, limits)).collect()
}

fn check(node: &Node, name: &str, verdict: Verdict, what: String, why: &str) -> Check {
    let (name, subject, why) = (name.to_owned(), node.address.clone(), why.to_owned());
    Check { name, subject, verdict, what, why }
}

/// More is worse.
fn above(value: i64, warn: u32, critical: u32) -> Verdict {
    if value >= critical.into() {
        Verdict::Critical
    } else if value >= warn.into() {
        Verdict::Warn
    } else {
        Verdict::Ok
    }
}

/// Less is worse.
fn below(value: i64, warn: u32, critical: u32) -> Verdict {
    if value < critical.into() {
        Verdict::Critical
    } else if value < warn.into() {
        Verdict::Warn
    } else {
        Verdict::Ok
    }
}

impl Node {
    fn now(&self, name: &str) -> i64 {
        self.after.int(name).unwrap_or(0)
    }

    fn grown(&self, name: &str) -> i64 {
        self.now(name) - self.before.int(name).unwrap_or(0)
    }

    /// What it may use, bytes, and what that is.
    fn ceiling(&self) -> Option<(i64, &'static str)> {
        let of = |name: &str| Some(self.now(name)).filter(|bytes| *bytes > 0);
        let machine = of("total_system_memory").map(|bytes| (bytes, "the machine"));
        of("maxmemory").map(|bytes| (bytes, "maxmemory")).or(machine)
    }
}

fn percent(part: i64, whole: i64) -> i64 {
    part.saturating_mul(100) / whole.max(1)
}

fn mib(bytes: i64) -> i64 {
    bytes / (1024 * 1024)
}

fn memory(node: &Node, limits: &Limits) -> Option<Check> {
    let (most, of) = node.ceiling()?;
    let used = node.now("used_memory");
    let share = percent(used, most);
    let verdict = above(share, limits.memory_warn_percent, limits.memory_critical_percent);
    let what = format!("{} of {} MiB of {of}: {share} %", mib(used), mib(most));
    let why = if of == "maxmemory" {
        "keys are evicted, or writes refused with OOM"
    } else {
        "without maxmemory the kernel ends the process"
    };
    Some(check(node, "memory", verdict, what, why))
}

/// When it is full, if it goes on as between the two looks.
fn growth(node: &Node, limits: &Limits) -> Option<Check> {
    let (most, _) = node.ceiling()?;
    let grown = node.grown("used_memory");
    let keys = |info: &baton_plugin::redis::Info| -> i64 {
        let count = |value: &str| -> Option<i64> {
            value.strip_prefix("keys=")?.split(',').next()?.parse().ok()
        };
        info.iter().filter(|(name, _)| name.starts_with("db")).filter_map(|(_, it)| count(it)).sum()
    };
    let keys = keys(&node.after) - keys(&node.before);
    let why = "when memory is full, keys are evicted or writes refused";
    if grown <= NOISE_BYTES {
        let what = format!("{grown} bytes in {} ms, {keys} keys: no growth", node.took_ms);
        return Some(check(node, "growth", Verdict::Ok, what, why));
    }
    let left = (most - node.now("used_memory")).max(0);
    let left_s = left.saturating_mul(node.took_ms) / grown / 1000;
    let verdict = below(left_s / 3600, limits.full_warn_h, limits.full_critical_h);
    let rate = grown.saturating_mul(1000) / node.took_ms / 1024;
    let what = format!(
        "{rate} KiB a second, {keys} keys in {} ms: full in {}",
        node.took_ms,
        span(left_s)
    );
    Some(check(node, "growth", verdict, what, why))
}

fn span(seconds: i64) -> String {
    match seconds {
        ..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn peak(node: &Node, limits: &Limits) -> Option<Check> {
    let (most, of) = node.ceiling()?;
    let peak = node.now("used_memory_peak");
    let share = percent(peak, most);
    // Only ever a warning: it is over.
    let verdict = above(share, limits.memory_critical_percent, u32::MAX);
    let what = format!("{} MiB at its peak, {share} % of {of}", mib(peak));
    Some(check(node, "peak", verdict, what, "what was needed once is needed again"))
}

fn fragmentation(node: &Node, limits: &Limits) -> Option<Check> {
    let (used, resident) = (node.now("used_memory"), node.after.int("used_memory_rss")?);
    let share = percent(resident, used);
    let is_small = used < SMALL_BYTES;
    let verdict = if is_small {
        Verdict::Ok
    } else {
        above(share, limits.fragmentation_warn_percent, u32::MAX)
    };
    let what = format!("{} MiB resident for {} MiB used: {share} %", mib(resident), mib(used));
    Some(check(
        node,
        "fragmentation",
        verdict,
        what,
        "memory is taken and not used: activedefrag, or a restart after a switchover",
    ))
}

fn evictions(node: &Node, _: &Limits) -> Option<Check> {
    let evicted = node.after.int("evicted_keys")? - node.before.int("evicted_keys")?;
    let verdict = if evicted > 0 { Verdict::Critical } else { Verdict::Ok };
    let what = format!("{evicted} keys evicted in {} ms", node.took_ms);
    Some(check(node, "evictions", verdict, what, "data is thrown away to go on"))
}

fn clients(node: &Node, limits: &Limits) -> Option<Check> {
    let (now, most) = (node.now("connected_clients"), node.now("maxclients"));
    if most == 0 {
        return None;
    }
    let share = percent(now, most);
    let verdict = above(share, limits.clients_warn_percent, limits.clients_critical_percent);
    let what = format!("{now} of {most}: {share} %");
    Some(check(
        node,
        "clients",
        verdict,
        what,
        "new connections are refused, those after a failover first",
    ))
}

/// Of the master: replicas that were away for longer need a full copy.
fn backlog(node: &Node, limits: &Limits) -> Option<Check> {
    if node.after.get("role") != Some("master") {
        return None;
    }
    let (size, grown) = (node.now("repl_backlog_size"), node.grown("master_repl_offset"));
    let why = "a replica that is away for longer needs a full copy: a fork, and minutes without it";
    if grown <= 0 {
        let what = format!("{} MiB, nothing is written", mib(size));
        return Some(check(node, "backlog", Verdict::Ok, what, why));
    }
    let holds_s = size.saturating_mul(node.took_ms) / grown / 1000;
    let verdict = below(holds_s, limits.backlog_warn_s, limits.backlog_critical_s);
    let rate = grown.saturating_mul(1000) / node.took_ms;
    let what = format!("{} MiB hold {holds_s} s of {rate} bytes a second", mib(size));
    Some(check(node, "backlog", verdict, what, why))
}

/// The fullest of what `df -P` names.
fn disk(node: &Node, limits: &Limits) -> Option<Check> {
    let share = |line: &str| -> Option<i64> {
        line.split_whitespace().find_map(|it| it.strip_suffix('%')?.parse().ok())
    };
    let lines = node.machine.as_deref()?.lines();
    let (share, line) = lines.filter_map(|line| Some((share(line)?, line))).max()?;
    let verdict = above(share, limits.disk_warn_percent, limits.disk_critical_percent);
    let place = line.split_whitespace().last().unwrap_or_default();
    let what = format!("{share} % of {}", place.chars().take(80).collect::<String>());
    Some(check(node, "disk", verdict, what, "saves fail, and then writes are refused with MISCONF"))
}
