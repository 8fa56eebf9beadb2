//! Data nodes: what each is set to, and whether they fit together. Pure.

use crate::ask::{DataNode, Seen};
use crate::{Report, Severity, Words};
use baton_topology::{Node, is_fence, same_address};

/// The backlog has to hold so much of the stream, s: a replica that was away for less
/// needs no full copy.
const BACKLOG_S: i64 = 60;

/// Redis's own default (`repl-backlog-size`): a second or two of a busy platform, bytes.
const BACKLOG_DEFAULT: i64 = 1024 * 1024;

/// A replica counts as near while it was heard within this time, s. Replicas acknowledge
/// once a second; above this a master that is cut off goes on for long.
const MAX_LAG_S: i64 = 10;

/// `repl-timeout` above this keeps a hung master's links up for as long, s.
const REPL_TIMEOUT_S: i64 = 60;

/// Clocks may differ by so much, ms.
const SKEW_MS_MAX: i64 = 1000;

/// Of `maxmemory`, in hundredths.
const MEMORY_PERCENT_MAX: i64 = 80;

/// Looks at all of them.
pub(crate) fn examine(seen: &Seen, report: &mut Report) {
    roles(seen, report);
    for node in &seen.nodes {
        let master = seen.look.masters().any(|it| it.address == node.address);
        persistence(node, report);
        gate(seen, node, master, report);
        replication(seen, node, report);
        memory(node, report);
        rights(node, report);
        clock(node, report);
        report.look(&node.address, slow_log(node));
    }
    alike(seen, report);
}

fn words(
    severity: Severity,
    code: &'static str,
    what: impl Into<String>,
    why: &'static str,
    mend: impl Into<String>,
) -> Words {
    Words { severity, code, what: what.into(), why, mend: mend.into() }
}

fn set(what: &str) -> String {
    format!("CONFIG SET {what}, then CONFIG REWRITE")
}

fn roles(seen: &Seen, report: &mut Report) {
    let name = &seen.cluster.name;
    let masters: Vec<&str> = seen.look.masters().map(|it| it.address.as_str()).collect();
    report.look(name, match masters[..] {
        [_] => None,
        [] => Some(words(
            Severity::Error,
            "no-master",
            "no reachable node says that it is master",
            "nothing can be written",
            format!("baton run redis-failover --param cluster={name}"),
        )),
        [..] => Some(words(
            Severity::Error,
            "two-masters",
            format!("{} all say that they are master", masters.join(" and ")),
            "what is written to the wrong one is lost when it is made to follow",
            "find out which history is the right one before anything else; `baton run redis-rejoin` takes the other back",
        )),
    });
    for node in &seen.look.nodes {
        report.look(&node.address, standing(seen, node));
    }
}

fn standing(seen: &Seen, node: &Node) -> Option<Words> {
    if !node.reachable || node.role.is_none() {
        let error = node.error.as_deref().unwrap_or("no answer");
        return Some(words(
            Severity::Error,
            "no-answer",
            format!("it does not answer: {error}"),
            "it cannot be promoted, and the next failure has one node less to fall back on",
            "start it, or correct its address and login in baton.toml",
        ));
    }
    if let Some(why) = &node.write_stalled {
        return Some(words(
            Severity::Error,
            "cannot-write",
            why.clone(),
            "writes fail now, or would the moment that it is promoted",
            "mend what the message names: disk, memory, script or replicas",
        ));
    }
    let master = seen.look.masters().next()?;
    if node.is_master() {
        return None;
    }
    if !node.follows(&master.address) {
        let whom = node.master_host_port.as_deref().unwrap_or("nobody");
        return Some(words(
            Severity::Error,
            "follows-another",
            format!("it follows {whom}, not {}", master.address),
            "it lacks what is written since, and would bring it down with it when promoted",
            format!("baton run redis-rejoin --param node={}", node.address),
        ));
    }
    (node.link_up != Some(true)).then(|| {
        words(
            Severity::Error,
            "link-down",
            "its link to the master is down",
            "it falls behind, and after the backlog's end it needs a full copy",
            "look at its log; `masterauth` and `masteruser` first",
        )
    })
}

fn persistence(node: &DataNode, report: &mut Report) {
    let aof = node.setting("appendonly") == Some("yes");
    let saves = node.setting("save").is_some_and(|it| !it.is_empty());
    report.look(&node.address, match (aof, saves) {
        (true, _) => None,
        (false, true) => Some(words(
            Severity::Warning,
            "snapshots-only",
            "appendonly is off: it writes snapshots only",
            "a restarted master serves what it had at its last snapshot, and replicas copy that",
            set("appendonly yes"),
        )),
        (false, false) => Some(words(
            Severity::Error,
            "no-persistence",
            "appendonly is off and no snapshot is configured",
            "a restarted master comes back empty and its replicas copy that: everything is lost",
            set("appendonly yes"),
        )),
    });
    let lazy = aof && node.setting("appendfsync") == Some("no");
    report.look(
        &node.address,
        lazy.then(|| {
            words(
                Severity::Warning,
                "fsync-left-to-the-system",
                "appendfsync is `no`",
                "a machine that loses power loses up to half a minute of writes",
                set("appendfsync everysec"),
            )
        }),
    );
    let failed = ["rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"]
        .into_iter()
        .find(|field| node.info.get(field) == Some("err"));
    report.look(
        &node.address,
        failed.map(|field| {
            words(
                Severity::Error,
                "last-save-failed",
                format!("{field} is err"),
                "the next save fails too, and then writes are refused with MISCONF",
                "free room on its disk and look at its log, then BGSAVE",
            )
        }),
    );
}

/// `min-replicas-to-write`: the only fence that a master has against itself.
fn gate(seen: &Seen, node: &DataNode, master: bool, report: &mut Report) {
    let replicas = i64::try_from(seen.look.nodes.len()).unwrap_or(i64::MAX) - 1;
    let gate = node.number("min-replicas-to-write");
    report.look(&node.address, match gate {
        Some(gate) if is_fence(gate) && master => Some(words(
            Severity::Error,
            "fenced-master",
            format!("it is fenced: min-replicas-to-write {gate}"),
            "every write is refused",
            format!("baton run redis-rejoin --param node={}", node.address),
        )),
        Some(gate) if is_fence(gate) => Some(words(
            Severity::Warning,
            "still-fenced",
            format!("it is fenced: min-replicas-to-write {gate}"),
            "promoted it would refuse every write",
            format!("let its redis-rejoin run end, or baton run redis-rejoin --param node={}", node.address),
        )),
        Some(0) => Some(words(
            Severity::Warning,
            "no-fence",
            "min-replicas-to-write is 0",
            "a master that hangs or is cut off goes on acknowledging writes that are lost later: 14,000 in ten seconds, measured; with 1, none",
            set("min-replicas-to-write 1"),
        )),
        Some(gate) if gate >= replicas && replicas > 1 => Some(words(
            Severity::Warning,
            "gate-too-high",
            format!("min-replicas-to-write {gate} with {replicas} replicas"),
            "one replica away stops all writes, and a failover leaves one less",
            set("min-replicas-to-write 1"),
        )),
        Some(_) | None => None,
    });
    let lag = node.number("min-replicas-max-lag").filter(|lag| *lag > MAX_LAG_S);
    report.look(
        &node.address,
        lag.filter(|_| gate != Some(0)).map(|lag| {
            words(
                Severity::Warning,
                "fence-too-slow",
                format!("min-replicas-max-lag is {lag} s"),
                "for so long a master that is cut off goes on acknowledging writes",
                set("min-replicas-max-lag 3"),
            )
        }),
    );
}

fn replication(seen: &Seen, node: &DataNode, report: &mut Report) {
    let needed = seen.bytes_per_s.saturating_mul(BACKLOG_S);
    report.look(&node.address, node.number("repl-backlog-size").and_then(|size| {
        let why = "a replica that was away for longer than the backlog holds needs a full copy: a fork of its master, and minutes without it";
        if size < needed {
            let what = format!("a backlog of {size} bytes at {} bytes a second", seen.bytes_per_s);
            return Some(words(Severity::Warning, "backlog-too-small", what, why, set(&format!("repl-backlog-size {needed}"))));
        }
        (size <= BACKLOG_DEFAULT).then(|| {
            let what = "the backlog has its default size, 1 MiB".to_owned();
            words(Severity::Notice, "backlog-default", what, why, set("repl-backlog-size 64mb"))
        })
    }));
    let (ping, timeout) = (node.number("repl-ping-replica-period"), node.number("repl-timeout"));
    report.look(
        &node.address,
        ping.zip(timeout).and_then(|(ping, timeout)| {
            if timeout <= ping {
                return Some(words(
                    Severity::Error,
                    "timeout-below-ping",
                    format!(
                        "repl-timeout {timeout} s is not above repl-ping-replica-period {ping} s"
                    ),
                    "links of an idle master break again and again",
                    set(&format!("repl-timeout {}", (ping * 5).max(5))),
                ));
            }
            (timeout > REPL_TIMEOUT_S).then(|| {
                words(
                    Severity::Warning,
                    "links-kept-too-long",
                    format!("repl-timeout is {timeout} s"),
                    "replicas take a hung master for alive as long",
                    set("repl-timeout 10"),
                )
            })
        }),
    );
    let writable = node.setting("replica-read-only") == Some("no");
    report.look(
        &node.address,
        writable.then(|| {
            words(
                Severity::Error,
                "writable-replica",
                "replica-read-only is off",
                "what is written to it is on no other node, and is lost at the next full copy",
                set("replica-read-only yes"),
            )
        }),
    );
    let never = node.number("replica-priority") == Some(0);
    report.look(
        &node.address,
        never.then(|| {
            words(
                Severity::Notice,
                "never-promoted",
                "replica-priority is 0",
                "neither Sentinel nor Baton promotes it",
                "nothing, if that is meant; else CONFIG SET replica-priority 100",
            )
        }),
    );
}

fn memory(node: &DataNode, report: &mut Report) {
    let limit = node.number("maxmemory").filter(|limit| *limit > 0);
    let policy = node.setting("maxmemory-policy").unwrap_or("noeviction");
    report.look(
        &node.address,
        limit.filter(|_| policy != "noeviction").map(|_| {
            words(
                Severity::Warning,
                "evicts",
                format!("maxmemory-policy is {policy}"),
                "when memory is short it deletes data nobody asked it to delete",
                set("maxmemory-policy noeviction"),
            )
        }),
    );
    let used = node.info.int("used_memory");
    report.look(
        &node.address,
        limit.zip(used).and_then(|(limit, used)| {
            let percent = used.saturating_mul(100) / limit;
            (percent >= MEMORY_PERCENT_MAX).then(|| {
            words(
                Severity::Warning,
                "memory-short",
                format!("{percent} % of maxmemory is used"),
                "at 100 % writes are refused with OOM; a full copy needs room for its buffers too",
                "raise maxmemory, or find what grows: redis-cli --bigkeys",
            )
        })
        }),
    );
}

/// Whether it could follow the next master, and remember that it does.
fn rights(node: &DataNode, report: &mut Report) {
    let is_set = |name: &str| node.setting(name).is_some_and(|value| !value.is_empty());
    let locked_out = is_set("requirepass") && !is_set("masterauth");
    report.look(&node.address, locked_out.then(|| {
        words(
            Severity::Error,
            "no-masterauth",
            "requirepass is set and masterauth is not",
            "when it is replaced it cannot log in to the next master, and stays behind for good",
            set("masterauth <the password of the others>"),
        )
    }));
    let forgetful = node.info.get("config_file").is_some_and(str::is_empty);
    report.look(&node.address, forgetful.then(|| {
        words(
            Severity::Error,
            "no-config-file",
            "it was started without a config file",
            "CONFIG REWRITE fails, and a restart forgets its role: a replaced master comes back as master",
            "start it with a config file that it may write",
        )
    }));
}

fn clock(node: &DataNode, report: &mut Report) {
    let skew = node.skew_ms.filter(|ms| ms.abs() > SKEW_MS_MAX);
    report.look(
        &node.address,
        skew.map(|ms| {
            words(
                Severity::Warning,
                "clock",
                format!("its clock is {ms} ms from Baton's"),
                "logs cannot be put in order, and keys expire early or late after a failover",
                "look at chrony or ntpd on both machines",
            )
        }),
    );
}

fn slow_log(node: &DataNode) -> Option<Words> {
    (node.number("latency-monitor-threshold") == Some(0)).then(|| {
        words(
            Severity::Notice,
            "no-latency-monitor",
            "latency-monitor-threshold is 0",
            "after an incident nobody can say whether a fork or the disk held it up",
            set("latency-monitor-threshold 100"),
        )
    })
}

/// Settings that should be the same everywhere: any node may be master next.
fn alike(seen: &Seen, report: &mut Report) {
    for setting in ["appendonly", "min-replicas-to-write", "maxmemory", "maxmemory-policy"] {
        let gate = |node: &DataNode| {
            setting == "min-replicas-to-write" && node.number(setting).is_some_and(is_fence)
        };
        let mut values: Vec<String> = seen
            .nodes
            .iter()
            .filter(|node| !gate(node))
            .filter_map(|node| Some(format!("{} {}", node.address, node.setting(setting)?)))
            .collect();
        values.sort();
        let mut distinct: Vec<&str> =
            values.iter().filter_map(|it| it.split_once(' ')).map(|it| it.1).collect();
        distinct.sort_unstable();
        distinct.dedup();
        report.look(
            &seen.cluster.name,
            (distinct.len() > 1).then(|| {
                words(
                    Severity::Warning,
                    "not-alike",
                    format!("{setting} differs: {}", values.join(", ")),
                    "after a failover the cluster behaves in another way",
                    "set it alike on every node",
                )
            }),
        );
    }
    let mut versions: Vec<&str> =
        seen.look.nodes.iter().filter_map(|it| it.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    report.look(&seen.cluster.name, (versions.len() > 1).then(|| {
        words(
            Severity::Warning,
            "versions-differ",
            format!("Redis {}", versions.join(" and ")),
            "a replica of an older version than its master may not read its stream; it is not promoted while there is a newer one",
            "bring all to the newest of them, replicas first",
        )
    }));
    unlisted(seen, report);
}

/// Replicas that baton.toml does not know.
fn unlisted(seen: &Seen, report: &mut Report) {
    let Some(master) = seen.look.masters().next() else { return };
    let Some(node) = seen.nodes.iter().find(|it| it.address == master.address) else { return };
    for line in baton_succession::attached(&node.info) {
        let listed = seen.look.nodes.iter().any(|it| same_address(&it.address, &line.address));
        report.look(
            &master.address,
            (!listed).then(|| {
                words(
                    Severity::Warning,
                    "unlisted-replica",
                    format!("{} follows it, and baton.toml does not list it", line.address),
                    "Baton neither promotes nor re-points it: after a failover it is left behind",
                    format!(
                        "add \"{}\" to `nodes`, by the address that the replica announces",
                        line.address
                    ),
                )
            }),
        );
    }
}
